"""Jets against nested autograd in float64, closed forms, and laws.

A wrong rule would otherwise go unnoticed, since the guard computes by nested autograd in its place.
"""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from inrkit import fields
from inrkit.calculus import (
    Jet,
    UnknownOperation,
    derivative,
    divergence,
    gradient,
    hessian,
    hessian_trace,
    laplacian,
    nested_autograd,
    partials,
    second_order,
    total_degree,
)
from inrkit.calculus.series import SERIES
from inrkit.fields import (
    MLP,
    RBF,
    SIREN,
    SPDER,
    DampedSine,
    FourierFeatures,
    Gaussian,
    HashGrid,
    PositionalEncoding,
    encoded,
    finer,
    log_abs,
    one,
    sqrt_abs,
    sqrt_relu,
    stack,
)

pytestmark = pytest.mark.filterwarnings("error:.*falling back to nested autograd")

ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "elu": functional.elu,
    "selu": functional.selu,
    "sin": torch.sin,
    "cos": torch.cos,
    "exp": torch.exp,
    "atan": torch.atan,
    "exp2": torch.exp2,
    "square": torch.square,
    "gaussian": lambda u: torch.exp(-(u**2) / 2),
    "gaussian module": Gaussian(2.0),
    "finer": finer,
    "sqrt": DampedSine(sqrt_abs),
    "log": DampedSine(log_abs),
    "arctan": DampedSine(torch.atan),
    "sqrt relu": DampedSine(sqrt_relu),
    "relu damping": DampedSine(torch.relu),
    "linear damping": DampedSine(lambda u: u),
    "no damping": DampedSine(one),
    "own damping": DampedSine(lambda u: torch.log1p(u.abs())),
}


tanh_network = partial(MLP, width=12, hidden_layers=2, activation=torch.tanh)
MODELS = {
    "SIREN": lambda: SIREN(2, 2, width=12, hidden_layers=2),
    "SPDER": lambda: SPDER(2, 1, width=12, hidden_layers=2),
    "PE": lambda: encoded(PositionalEncoding(2, bands=3), tanh_network),
    "FFN": lambda: encoded(FourierFeatures(2, features=5), tanh_network),
    "RBF": lambda: encoded(RBF(2, features=9), tanh_network),
}


def relative(values, expected):
    """Largest error of each partial, relative to its largest value."""
    scale = expected.flatten(1).abs().amax(1).clamp(min=1)
    return ((values - expected).flatten(1).abs().amax(1) / scale).max()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_agrees_with_nested_autograd_to_order_four(name):
    torch.manual_seed(1)
    model = MLP(2, 2, width=10, hidden_layers=2, activation=ACTIVATIONS[name]).double()
    x = 2 * torch.rand(9, 2, dtype=torch.float64) - 1
    found = partials(model, x, 4)
    expected = nested_autograd(model, x, found.indices)
    assert expected.flatten(1).abs().amax(1)[1:3].min() > 1e-3  # there is a slope to get wrong
    assert relative(found.values, expected) < 1e-12


@pytest.mark.parametrize("name", MODELS)
def test_every_model_agrees_with_nested_autograd_to_order_four(name):
    torch.manual_seed(2)
    model, x = MODELS[name]().double(), 2 * torch.rand(9, 2, dtype=torch.float64) - 1
    found = partials(model, x, 4)
    assert relative(found.values, nested_autograd(model, x, found.indices)) < 1e-12


def test_hash_grid_has_the_slopes_of_its_multilinear_cells():
    torch.manual_seed(3)
    grid = HashGrid(2, levels=3, log2_table_size=8, finest=32).double()
    torch.nn.init.normal_(grid.table)
    x = 2 * torch.rand(9, 2, dtype=torch.float64) - 1
    found = partials(grid, x, 2)
    expected = nested_autograd(grid, x, found.indices)
    assert relative(found.values[[0, 1, 2, 4]], expected[[0, 1, 2, 4]]) < 1e-12
    assert found[(2, 0)].abs().max() < 1e-9 > found[(0, 2)].abs().max()


@pytest.mark.parametrize("name", ["sin", "tanh", "softplus", "sqrt", "own damping"])
def test_jets_back_propagate(name):
    """Parameter gradients of a loss on second derivatives, against those by nested autograd."""
    torch.manual_seed(4)
    model = MLP(2, 1, width=8, hidden_layers=2, activation=ACTIVATIONS[name]).double()
    x = 2 * torch.rand(6, 2, dtype=torch.float64) - 1
    indices = total_degree(2, 2).indices
    losses = [partials(model, x, 2).values, nested_autograd(model, x, indices)]
    gradients = [
        torch.autograd.grad(values.square().sum(), list(model.parameters()), retain_graph=True)
        for values in losses
    ]
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def operations_of(values):
    """Names of the operations that autograd will go back through."""
    seen, waiting = set(), [values.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    return {node.name() for node in seen}


def test_a_jet_that_trains_has_one_operation_a_layer_and_one_an_activation():
    field, x = SIREN(2, 1, width=8, hidden_layers=2), torch.rand(5, 2)
    found = operations_of(partials(field, x, 2).values)
    assert {"_CompositionBackward", "_AffineBackward"} <= found
    assert not any("Sin" in name or "Addcmul" in name for name in found)


def test_operators_on_a_polynomial():
    """x^3 y + y^2 and x y, whose derivatives are known."""

    def field(p):
        x, y = p[..., :1], p[..., 1:]
        return torch.cat([x**3 * y + y**2, x * y], dim=-1)

    p = torch.tensor([[2.0, 3.0], [-1.0, 0.5]], dtype=torch.float64)
    x, y = p.T
    values, slopes = gradient(field, p)
    assert torch.allclose(values, torch.stack([x**3 * y + y**2, x * y], -1))
    assert torch.allclose(slopes[:, 0], torch.stack([3 * x**2 * y, x**3 + 2 * y], -1))
    assert torch.allclose(divergence(field, p), 3 * x**2 * y + x)
    assert torch.allclose(laplacian(field, p)[:, 0], 6 * x * y + 2)
    assert torch.allclose(hessian(field, p)[:, 0, 0, 1], 3 * x**2)
    assert torch.allclose(partials(field, p, 4)[(3, 1)][:, 0], torch.full_like(x, 6))


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.integers(1, 5), st.floats(0.2, 3))
def test_sine_derivatives_cycle(x, order, omega):
    found = derivative(lambda u: torch.sin(omega * u), torch.tensor(x, dtype=torch.float64), order)
    expected = omega**order * math.sin(omega * x + order * math.pi / 2)
    assert abs(float(found) - expected) < 1e-12 * max(1, omega**order)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(0, 5))
def test_number_of_partials(dimensions, order):
    assert len(total_degree(dimensions, order).indices) == math.comb(dimensions + order, order)


OPERATIONS = {
    "sum": lambda z: (z * z).sum(-1, keepdim=True),
    "mean": lambda z: torch.sin(z).mean(dim=-1, keepdim=True),
    "prod": lambda z: z.prod(-1, keepdim=True),
    "division": lambda z: torch.sin(z) / (2 + z * z),
    "reverse": lambda z: 1 / (3 - z) - (2 - torch.exp(z)),
    "where": lambda z: torch.where(z > 0, torch.sin(z), z**3),
    "matmul": lambda z: torch.tanh(z @ torch.ones(2, 3, dtype=z.dtype)),
    "shape": lambda z: (z.unsqueeze(-1) * z.unsqueeze(-2)).flatten(-2),
    "cat": lambda z: torch.cat([z, torch.sin(z), torch.ones(z.shape, dtype=z.dtype)], dim=-1),
    "transpose": lambda z: torch.sin(z).transpose(-1, -2).reshape(2, -1).movedim(0, -1),
    "sqrt": lambda z: torch.sqrt(4 + z) + torch.log(4 + z) + (4 + z) ** 1.5,
    "floor": lambda z: torch.sin(z - torch.floor(z)),
    "squeeze": lambda z: (z.unsqueeze(-1) ** 2).squeeze(-1).expand(*z.shape),
    "abs": lambda z: z.abs() * torch.sign(z) * z,
    "length": lambda z: torch.linalg.vector_norm(z + 2, dim=-1, keepdim=True),
    "hypot": lambda z: torch.hypot(torch.hypot(z + 2, z * z), torch.tensor(0.5, dtype=z.dtype)),
    "linear": lambda z: functional.linear(torch.sin(z), torch.ones(3, 2, dtype=z.dtype)),
    "difference": lambda z: torch.sub(torch.sin(z), z * z, alpha=3) - torch.add(1, z, alpha=2),
    "constants before": lambda z: torch.cat([torch.ones_like(z), z.square()], dim=-1),
    "constants behind": lambda z: torch.cat([z, torch.ones_like(z)], dim=-1).square(),
    "constant branch": lambda z: torch.where(z > 0, 2.0, z) * z,
    "expand": lambda z: (torch.sin(z).expand(3, *z.shape) * z).sum(0),
    # axes counted from the front
    "sum of axis 1": lambda z: torch.sin(z).sum(1, keepdim=True),
    "sum of axes 1, 2": lambda z: (z.unsqueeze(2) * torch.sin(z).unsqueeze(1)).sum((1, 2))[:, None],
    "mean of axis 1": lambda z: torch.sin(z).mean(1, keepdim=True),
    "prod of axis 1": lambda z: z.prod(1, keepdim=True),
    "length of axis 1": lambda z: torch.linalg.vector_norm(z + 2, dim=1, keepdim=True),
    "cat of axis 1": lambda z: torch.cat([z, torch.sin(z)], 1),
    "cat of axis 1, of equals": lambda z: torch.cat([torch.cos(z), torch.sin(z)], 1),
    "cat of axis 0, of equals": lambda z: torch.cat([torch.cos(z), torch.sin(z)])[7:],
    "unsqueeze 1, 2": lambda z: (torch.sin(z).unsqueeze(2) * z.unsqueeze(1)).flatten(1),
    "squeeze 1": lambda z: torch.sin(z).unsqueeze(1).squeeze(1),
    "transpose 0, 1": lambda z: torch.sin(z).transpose(0, 1).swapaxes(1, 0),
    "movedim 1": lambda z: torch.sin(z).movedim(1, 0).movedim(0, 1),
    "flatten 1, 2": lambda z: (z.unsqueeze(-1) * z.sin().unsqueeze(-2)).flatten(1, 2),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_tensor_operation(name):
    torch.manual_seed(5)
    x = 2 * torch.rand(7, 2, dtype=torch.float64) - 1
    found = partials(OPERATIONS[name], x, 3)
    assert relative(found.values, nested_autograd(OPERATIONS[name], x, found.indices)) < 1e-12


def test_powers_at_zero_and_beside_it():
    """Factorials over factorials times x to the rest; all of a constant's derivatives are zero."""
    x = torch.tensor([[0.0], [1.5], [-2.0]], dtype=torch.float64)
    for power in (0, 0.0, 1, 2, 3):
        found = partials(lambda z, power=power: z**power, x, 4)
        for k in range(5):
            expected = math.perm(int(power), k) * x ** max(int(power) - k, 0)
            assert torch.equal(found[(k,)], expected)


@pytest.mark.parametrize("name", sorted(SERIES))
def test_every_series_is_taylors(name):
    """On both sides of zero where the function has one, to order five."""
    function = next(getattr(m, name) for m in (torch, functional, fields) if hasattr(m, name))
    function = partial(function, exponent=2.5) if name == "pow" else function
    u = torch.linspace(0.1, 2.1, 21, dtype=torch.float64).unsqueeze(-1)
    positive = name in ("log", "sqrt", "pow")
    u = u if positive else torch.cat([u, -u if name != "log1p" else -u / 3])
    found = partials(function, u, 5)
    expected = nested_autograd(function, u, found.indices)
    assert relative(found.values, expected) < 1e-11


def test_unknown_operations_fall_back_to_autograd():
    x = torch.rand(5, 2, dtype=torch.float64)
    with pytest.warns(UserWarning, match="erfinv"):
        found = partials(lambda z: torch.erfinv(0.5 * z), x, 2)
    assert torch.allclose(
        found.values[1, :, :1],
        torch.autograd.functional.jacobian(lambda z: torch.erfinv(0.5 * z[:, 0]).sum(), x)[:, :1],
    )


def test_chunks_and_stacks_change_nothing():
    torch.manual_seed(6)
    one_by_one = [SIREN(2, 1, width=8, hidden_layers=2).double() for _ in range(3)]
    x = 2 * torch.rand(1100, 2, dtype=torch.float64) - 1
    with torch.no_grad():
        together = partials(stack(one_by_one), x, 2).values
        apart = torch.stack([partials(m, x, 2).values for m in one_by_one], dim=1)
    assert torch.allclose(together, apart, rtol=1e-10, atol=1e-9)


def test_the_slope_of_damped_sines_at_zero():
    zero = torch.zeros(3, requires_grad=True)
    for damping in (sqrt_abs, sqrt_relu):
        (slope,) = torch.autograd.grad(DampedSine(damping)(zero).sum(), zero)
        assert (slope == 0).all()  # the limit
    (slope,) = torch.autograd.grad(DampedSine(log_abs)(zero).sum(), zero)
    assert torch.isfinite(slope).all()  # the limit is infinite
    tiny = torch.tensor([1e-45, -1e-45, 1e-38], requires_grad=True)  # subnormals too
    (slope,) = torch.autograd.grad(DampedSine(sqrt_abs)(tiny).sum(), tiny)
    assert torch.isfinite(slope).all() and slope.abs().max() < 1e-15


def test_a_jet_tells_what_it_cannot_do():
    jet = Jet.identity(torch.rand(3, 2), total_degree(2, 1))
    with pytest.raises(UnknownOperation, match="no Taylor rule for 'erfinv'"):
        jet.erfinv()
    with pytest.raises(AttributeError, match="banana"):
        jet.banana()


@pytest.mark.parametrize("shared", [True, False])
def test_a_gradient_to_train_on_is_the_jets_for_every_signal_and_channel(shared):
    torch.manual_seed(0)
    networks = [SIREN(2, 3, width=8, hidden_layers=2).double() for _ in range(4)]
    field, x = stack(networks), torch.rand(5, 2, dtype=torch.float64)
    x = x if shared else torch.rand(4, 5, 2, dtype=torch.float64)
    values, slopes = gradient(field, x)
    assert slopes.shape == (4, 5, 3, 2) and slopes.requires_grad
    with torch.no_grad():
        expected_values, expected = gradient(field, x)
    assert torch.allclose(values, expected_values) and torch.allclose(slopes, expected)
    slopes.square().sum().backward()
    for i, network in enumerate(networks):
        jet = partials(network, x if shared else x[i], 1).values[1:]
        jet.square().sum().backward()
        for stacked, alone in zip(field.parameters(), network.parameters(), strict=True):
            if stacked.grad is not None:
                assert torch.allclose(stacked.grad[i], alone.grad)
            else:  # the last bias has no part in a gradient
                assert alone.grad.count_nonzero() == 0


def test_a_jets_gradient_can_itself_be_differentiated():
    torch.manual_seed(0)
    field = SIREN(2, 1, width=6, hidden_layers=2).double()
    x = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)

    def curvature(x):
        return partials(field, x, 2).values.square().sum((0, 2))

    assert torch.autograd.gradcheck(curvature, x)
    assert torch.autograd.gradgradcheck(curvature, x)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_second_order_is_nested_autograd_in_one_pass(d):
    torch.manual_seed(0)
    field = SIREN(d, 3, width=12, hidden_layers=2, omega_0=5.0).double()
    x = torch.rand(9, d, dtype=torch.float64)
    value, slopes, bends = second_order(field, x)
    first = [tuple(row) for row in torch.eye(d, dtype=torch.int64).tolist()]
    second = [tuple(2 * i for i in row) for row in first]
    expected = nested_autograd(field, x, ((0,) * d, *first, *second))
    torch.testing.assert_close(value, expected[0])
    torch.testing.assert_close(slopes, expected[1 : d + 1].permute(1, 2, 0))
    torch.testing.assert_close(bends, expected[d + 1 :].permute(1, 2, 0))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, -4.0, -0.25), (0.0, 2.0)])
@pytest.mark.parametrize("network", [SIREN, SPDER, partial(MLP, activation=torch.tanh)])
def test_weighted_second_derivatives_are_those_of_the_hessian(network, weights):
    torch.manual_seed(0)
    field = network(len(weights), 2, width=9, hidden_layers=3).double()
    x = torch.rand(7, len(weights), dtype=torch.float64)
    value, slopes, found = hessian_trace(field, x, weights)
    diagonal = hessian(field, x).diagonal(dim1=-2, dim2=-1)
    expected = (diagonal * torch.tensor(weights, dtype=torch.float64)).sum(-1)
    torch.testing.assert_close(value, field(x))
    torch.testing.assert_close(slopes, gradient(field, x)[1])
    torch.testing.assert_close(found, expected)
    ours, theirs = (
        torch.autograd.grad(values.square().sum(), field.parameters(), materialize_grads=True)
        for values in (found, expected)
    )
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


def test_as_many_weights_as_coordinates():
    with pytest.raises(ValueError, match="3 coordinates need as many weights, got 2"):
        hessian_trace(torch.sin, torch.rand(4, 3), (1.0, -1.0))


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("network", [SIREN, SPDER, partial(MLP, activation=torch.tanh)])
def test_a_laplacian_is_the_trace_of_the_hessian(network, d):
    torch.manual_seed(0)
    field = network(d, 2, width=9, hidden_layers=3).double()
    x = torch.rand(7, d, dtype=torch.float64)
    trace = hessian(field, x).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert torch.allclose(laplacian(field, x), trace)
    ours, theirs = (
        torch.autograd.grad(values.square().sum(), field.parameters(), materialize_grads=True)
        for values in (laplacian(field, x), trace)
    )
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_laplacian_without_taylor_rules_is_the_trace_as_well():
    x = torch.rand(5, 3, dtype=torch.float64)

    def field(x):
        return torch.special.i0(x.sum(-1, keepdim=True)) * x[..., :1]

    with pytest.warns(UserWarning, match="nested autograd"):
        found = laplacian(field, x)
    y, s = x[:, :1], x.sum(-1, keepdim=True)
    bessel, slope = torch.special.i0(s), torch.special.i1(s)
    bend = bessel - slope / s  # I_0'' = I_0 - I_1 / s
    assert torch.allclose(found, 3 * y * bend + 2 * slope)
    with pytest.warns(UserWarning, match="nested autograd"):
        *_, found = hessian_trace(field, x, (1.0, -2.0, 0.5))
    assert torch.allclose(found, -0.5 * y * bend + 2 * slope)
