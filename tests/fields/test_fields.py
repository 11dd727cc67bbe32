"""Models against formulas written out by hand, published counts and stacks one by one."""

from functools import partial, reduce
from itertools import product
from operator import xor

import numpy as np
import pytest
import torch
from torch import nn

from inrkit.calculus import gradient
from inrkit.fields import (
    FINER,
    MLP,
    RBF,
    SIREN,
    SPDER,
    WIRE,
    ComposedMLP,
    FourierFeatures,
    FourierMFN,
    GaborMFN,
    Gauss,
    HashGrid,
    ImplicitField,
    InjectedSIREN,
    MetaSinMLP,
    ModulatedSIREN,
    PositionalEncoding,
    count_parameters,
    encoded,
    evaluate,
    finer,
    join,
    log_abs,
    parameter_vectors,
    siren_gradient,
    sqrt_abs,
    stack,
    unstack,
)


def small(in_features, out_features):
    return MLP(in_features, out_features, width=7, hidden_layers=2)


MODELS = {
    "MLP": lambda: small(2, 3),
    "SIREN": lambda: SIREN(2, 3, width=7, hidden_layers=2),
    "SPDER": lambda: SPDER(2, 3, width=7, hidden_layers=2),
    "FINER": lambda: FINER(2, 3, width=7, hidden_layers=2, omega_0=3.0),
    "Gauss": lambda: Gauss(2, 3, width=7, hidden_layers=2, scale=3.0),
    "WIRE": lambda: WIRE(2, 3, width=5, hidden_layers=2, omega=3.0, scale=1.0),
    "MPA": lambda: ModulatedSIREN(2, 3, width=7, hidden_layers=2, omega_0=3.0, code=4),
    "MetaSin": lambda: MetaSinMLP(2, 3, width=7, hidden_layers=2, components=3),
    "SC-MLP": lambda: ComposedMLP(2, 3, width=7, hidden_layers=2, highest=4.0),
    "Fourier MFN": lambda: FourierMFN(2, 3, width=7, layers=2, scale=3.0),
    "Gabor MFN": lambda: GaborMFN(2, 3, width=7, layers=2, scale=3.0),
    "injected SIREN": lambda: InjectedSIREN(2, 3, width=7, layers=2, scale=3.0),
    "Fourier iMFN": lambda: ImplicitField(FourierMFN(2, 3, width=7, scale=3.0)),
    "iSIREN": lambda: ImplicitField(InjectedSIREN(2, 3, width=7, scale=3.0)),
    "PE": lambda: encoded(PositionalEncoding(2, bands=3), small),
    "FFN": lambda: encoded(FourierFeatures(2, features=4), small),
    "RBF": lambda: encoded(RBF(2, features=5), small),
    "hash": lambda: encoded(HashGrid(2, levels=3, log2_table_size=6, finest=32), small),
}


def test_the_papers_parameter_counts():
    assert count_parameters(SIREN(2, 1)) == 198_401  # 2 -> 4 x 256 -> 1
    assert count_parameters(SPDER(2, 1)) == 329_985  # 7 linear maps


def numpy_forward(model, x, omega, activation):
    *hidden, last = [(p.weight.detach().numpy(), p.bias.detach().numpy()) for p in model.layers]
    for weight, bias in hidden:
        x = activation(omega * (x @ weight.T + bias))
    return x @ last[0].T + last[1]


def test_forward_passes_are_the_equations():
    x = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    points = torch.from_numpy(x)
    cases = [
        (SIREN(2, 1, width=9, omega_0=20.0), 20.0, np.sin),
        (SIREN(2, 1, width=9, activation=torch.relu), 30.0, lambda u: np.maximum(u, 0)),
        (SPDER(2, 1, width=9), 30.0, lambda u: np.sin(u) * np.sqrt(np.abs(u))),
        (SPDER(2, 1, width=9, damping=torch.atan), 30.0, lambda u: np.sin(u) * np.arctan(u)),
        (FINER(2, 1, width=9), 30.0, lambda u: np.sin((np.abs(u / 30) + 1) * u)),
        (Gauss(2, 1, width=9, scale=2.0), 1.0, lambda u: np.exp(-((2 * u) ** 2))),
        (MLP(2, 1, width=9), 1.0, lambda u: np.maximum(u, 0)),
    ]
    for model, omega, activation in cases:
        ours = model.double()(points).detach().numpy()
        assert np.allclose(ours, numpy_forward(model, x, omega, activation), atol=1e-10)


@pytest.mark.parametrize("model", [SIREN, FINER])
def test_hidden_layers_may_have_another_omega(model):
    torch.manual_seed(0)
    field = model(3, 1, width=128, hidden_layers=3, omega_0=30.0, hidden_omega=2.0).double()
    for layer in field.layers[1:]:
        bound = np.sqrt(6 / 128) / 2
        assert 0.95 * bound < layer.weight.abs().max() <= bound
    points = 2 * torch.rand(7, 3, dtype=torch.float64) - 1
    x, *hidden = points.numpy(), *field.layers[:-1]
    for layer, omega in zip(hidden, (30, 2, 2), strict=True):
        z = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        x = np.sin(omega * (np.abs(z) + 1) * z) if model is FINER else np.sin(omega * z)
    last = field.layers[-1]
    ours = x @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    assert np.allclose(field(points).detach().numpy(), ours, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_a_stack_is_its_models_one_by_one(name):
    torch.manual_seed(1)
    models = [MODELS[name]().double() for _ in range(3)]
    together = stack(models)
    shared = 2 * torch.rand(11, 2, dtype=torch.float64) - 1
    own = 2 * torch.rand(3, 11, 2, dtype=torch.float64) - 1
    assert type(together) is type(models[0])
    for x in (shared, own):
        expected = torch.stack([m(x if x.ndim == 2 else x[i]) for i, m in enumerate(models)])
        assert torch.allclose(together(x), expected, atol=1e-11)
    together(own).square().sum().backward()
    for i, model in enumerate(models):
        model(own[i]).square().sum().backward()
        for stacked, alone in zip(together.parameters(), model.parameters(), strict=True):
            assert torch.allclose(stacked.grad[i], alone.grad, atol=1e-9)
    assert torch.allclose(unstack(together, 1)(shared), models[1](shared), atol=1e-12)
    vectors = parameter_vectors(together)
    alone = torch.nn.utils.parameters_to_vector(models[1].parameters())
    assert torch.equal(vectors[1], alone)


def test_stacks_of_stacks():
    models = [stack([SIREN(2, 1, width=4) for _ in range(2)]) for _ in range(3)]
    assert stack(models)(torch.rand(5, 2)).shape == (3, 2, 5, 1)


def test_stack_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="at least one"):
        stack([])
    with pytest.raises(ValueError, match="one class with parameters of equal shapes"):
        stack([SIREN(2, 1, width=4), SIREN(2, 1, width=5)])


def test_a_stack_is_of_models_that_differ_in_parameters_alone():
    """Each setting that is no parameter, changed one at a time."""
    base = {"width": 4, "hidden_layers": 1}
    frozen = MLP(2, 1, activation=torch.relu, **base)
    frozen.requires_grad_(False)
    first = MLP(2, 1, activation=torch.relu, **base)
    for name, one, other in [
        ("omega", SIREN(2, 1, omega_0=30, **base), SIREN(2, 1, omega_0=10, **base)),
        ("activation", first, MLP(2, 1, activation=torch.tanh, **base)),
        ("activation", MLP(2, 1, activation=lambda u: u * 2, **base), first),
        ("scale", Gauss(2, 1, scale=3.0, **base), Gauss(2, 1, scale=4.0, **base)),
        ("damping", SPDER(2, 1, **base), SPDER(2, 1, damping=torch.atan, **base)),
        ("requires_grad", first, frozen),
        ("training", first, MLP(2, 1, activation=torch.relu, **base).eval()),
    ]:
        with pytest.raises(ValueError, match=f"in their parameters alone; '[^']*{name}"):
            stack([one, other])
    twins = [MLP(2, 1, activation=partial(torch.mul, other=k), **base) for k in (2.0, 2.0, 3.0)]
    assert stack(twins[:2])(torch.rand(3, 2)).shape == (2, 3, 1)
    with pytest.raises(ValueError, match="in their parameters alone"):
        stack(twins)


class Scaled(nn.Module):
    """Of one's own: a layer, its factors in another place too, and a whole power."""

    def __init__(self, *, power=1, tied=True, behind=True):
        super().__init__()
        self.layer = SIREN(2, 2, width=4, hidden_layers=1)
        self.scale = nn.Parameter(torch.rand(2))
        self.again = self.scale if tied else nn.Parameter(torch.rand(2))
        self.behind = behind
        self.register_buffer("power", torch.tensor(power))
        self.register_buffer("phase", torch.rand(2, dtype=torch.complex64))

    def forward(self, x):
        parts = self.scale * self.again, self.phase.real + self.phase.imag
        scale, phase = (part.unsqueeze(-2) if self.behind else part for part in parts)
        return scale * self.layer(x) ** self.power + phase


def test_a_stack_of_ones_own_models_is_they_one_by_one():
    """What is tied stays tied, complex buffers are stacked, and nothing is shared."""
    models = [Scaled() for _ in range(3)]
    together, x = stack(models), torch.rand(4, 2)
    assert together.scale is together.again
    assert torch.allclose(together(x), torch.stack([model(x) for model in models]), atol=1e-6)
    assert torch.allclose(unstack(together, 2)(x), models[2](x), atol=1e-6)
    given = {id(p) for model in models for p in model.parameters()}
    assert not given & {id(p) for p in together.parameters()}


def test_a_stack_that_would_not_be_its_models_is_refused():
    hooked = Scaled()
    hooked.register_forward_hook(lambda *_: None)
    for one, other, sentence in [
        (Scaled(power=2), Scaled(power=3), "in their parameters alone; 'power'"),
        (Scaled(), hooked, "in their parameters alone; '_forward_hooks'"),
        (Scaled(), Scaled().double(), "equal shapes and number formats"),
        (Scaled(), Scaled(tied=False), "one class with parameters"),
        (Scaled(behind=False), Scaled(behind=False), "does not take parameters with leading axes"),
        (nn.Linear(2, 3), nn.Linear(2, 3), "does not take parameters with leading axes"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            stack([one, other])
    with pytest.raises(TypeError, match="a list of modules"):
        stack(hooked)
    with pytest.raises(TypeError, match="a list of modules"):
        stack([torch.sin])


def test_what_is_frozen_stays_frozen_in_a_stack():
    models = [SIREN(2, 1, width=4, hidden_layers=1) for _ in range(2)]
    for model in models:
        next(model.parameters()).requires_grad_(False)
    together = stack(models)
    wanted = [p.requires_grad for p in models[0].parameters()]
    assert [p.requires_grad for p in together.parameters()] == wanted
    assert [p.requires_grad for p in unstack(together, 1).parameters()] == wanted
    assert [p.requires_grad for p in join([together, together]).parameters()] == wanted


def test_positional_encoding_frequencies():
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    found = set(PositionalEncoding(2, bands=3)(x)[0].numpy().round(12))
    expected = {*x[0].tolist()}
    for i in range(3):
        for value in (0.3, -0.7):
            expected |= {np.sin(2**i * np.pi * value), np.cos(2**i * np.pi * value)}
    assert found == {round(float(v), 12) for v in expected}


def test_positional_encoding_starts_where_it_is_told():
    x = torch.tensor([[0.3]], dtype=torch.float64)
    found = PositionalEncoding(1, bands=2, lowest=1.0)(x)[0].tolist()
    assert found == pytest.approx([0.3, *np.sin([0.3, 0.6]), *np.cos([0.3, 0.6])])


def test_fourier_features_are_gaussian():
    torch.manual_seed(2)
    frequencies = FourierFeatures(2, features=4000, scale=3.0).frequencies / (2 * torch.pi)
    assert abs(frequencies.std().item() - 3) < 0.1 and abs(frequencies.mean().item()) < 0.1


def test_fourier_features_are_their_formula():
    encoding = FourierFeatures(2, features=3).double()
    x = np.random.default_rng(0).uniform(-1, 1, (7, 2))
    u = x @ encoding.frequencies.numpy().T
    expected = np.concatenate([x, np.sin(u), np.cos(u)], -1)
    np.testing.assert_allclose(encoding(torch.from_numpy(x)).numpy(), expected, atol=1e-12)
    assert encoding.out_features == expected.shape[-1] == 8


def test_rbf_is_its_formula():
    rbf = RBF(2, features=6, width=0.4).double()
    x = 2 * torch.rand(8, 2, dtype=torch.float64) - 1
    squared = torch.cdist(x, rbf.centres) ** 2
    assert torch.allclose(rbf(x), torch.exp(-squared / (2 * 0.4**2)))


def test_a_dense_hash_grid_is_bilinear_interpolation():
    """A level whose table holds every corner, against SciPy."""
    from scipy.interpolate import RegularGridInterpolator

    grid = HashGrid(2, levels=1, features=1, log2_table_size=8, coarsest=15, finest=15).double()
    torch.nn.init.normal_(grid.table)
    x = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    corners = np.linspace(-1, 1, 16)
    table = grid.table.detach().numpy()[:256, 0].reshape(16, 16).T  # first coordinate fastest
    expected = RegularGridInterpolator((corners, corners), table)(x.numpy())
    assert np.allclose(grid(x)[:, 0].detach().numpy(), expected)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_hash_grid_is_its_papers(d):
    """Mueller et al. 2022, Eq. 2 to 4, point by point: sizes, spatial hash, interpolation."""
    torch.manual_seed(0)
    grid = HashGrid(d, levels=4, features=2, log2_table_size=7, coarsest=3, finest=24).double()
    torch.nn.init.normal_(grid.table)
    tables = grid.table.detach().numpy().reshape(4, 128, 2)
    x = np.random.default_rng(0).uniform(-1, 1, (20, d))
    expected = np.zeros((20, 4, 2))
    for level, size in enumerate((3, 6, 12, 24)):  # from 3 to 24 by a constant factor
        for i, point in enumerate((x + 1) / 2 * size):
            for corner in product((0, 1), repeat=d):
                place = np.floor(point).astype(int) + corner
                share = np.prod(np.where(corner, point % 1, 1 - point % 1))
                if (size + 1) ** d <= 128:
                    entry = sum(int(p) * (size + 1) ** k for k, p in enumerate(place))
                else:
                    primes = (1, 2_654_435_761, 805_459_861)
                    terms = [int(p) * prime for p, prime in zip(place, primes, strict=False)]
                    entry = reduce(xor, terms) % 128
                expected[i, level] += share * tables[level, entry]
    found = grid(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected.reshape(20, 8), atol=1e-12)


def test_hash_grid_is_continuous_and_collides_only_where_it_must():
    grid = HashGrid(2, levels=4, log2_table_size=6, coarsest=4, finest=64).double()
    torch.nn.init.normal_(grid.table)
    edge = torch.linspace(-1, 1, 65, dtype=torch.float64)
    line = torch.stack([edge, torch.full_like(edge, 0.123)], -1)
    step = 1e-9 * torch.tensor([1.0, 0.0], dtype=torch.float64)
    inner = line[1:-1]
    assert (grid(inner - step) - grid(inner + step)).abs().max() < 1e-5
    corners = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    rows = grid.rows(corners.reshape(25, 1, 1, 2).expand(25, 4, 1, 2))[:, 0, 0]
    assert len(rows.unique()) == 25  # the first level fits its table


def test_siren_gradient_is_equation_seven():
    torch.manual_seed(3)
    model = SIREN(2, 3, width=10).double()
    x = 2 * torch.rand(6, 2, dtype=torch.float64) - 1
    automatic = torch.stack([torch.autograd.functional.jacobian(model, p) for p in x])
    assert torch.allclose(siren_gradient(model, x), automatic, rtol=1e-10)
    assert torch.allclose(gradient(model, x)[1], automatic, rtol=1e-10)


def test_finer_without_a_frequency_factor_is_the_supplements():
    torch.manual_seed(4)
    model, x = FINER(2, 1, width=8, omega_0=1.0), torch.rand(5, 2)
    literal = MLP(2, 1, width=8, activation=finer)
    literal.load_state_dict(model.state_dict())
    torch.testing.assert_close(literal(x), model(x))


def test_a_frozen_factor_is_a_constant_in_the_backward_pass():
    layers = FINER(1, 1, width=8, hidden_layers=1, omega_0=3.0, frozen=True).double().layers
    x = torch.linspace(-1, 1, 7, dtype=torch.float64).reshape(-1, 1).requires_grad_()
    z = layers[0].weight.mT * x + layers[0].bias
    slope = 3 * (z.abs() + 1) * torch.cos(3 * (z.abs() + 1) * z)
    (found,) = torch.autograd.grad(layers[1](layers[0](x)).sum(), x)
    expected = (slope * layers[0].weight.mT * layers[1].weight).sum(-1, keepdim=True)
    torch.testing.assert_close(found, expected)


def test_the_literal_reading_of_spder_differs():
    torch.manual_seed(4)
    x = torch.rand(5, 2)
    paper = SPDER(2, 1, width=8)
    literal = SPDER(2, 1, width=8, damping=lambda u: sqrt_abs(u / 30))
    literal.load_state_dict(paper.state_dict())
    assert (paper(x) - literal(x)).abs().max() > 1e-3


@pytest.mark.parametrize("damping", [sqrt_abs, log_abs])
def test_spder_under_function_transforms(damping):
    torch.manual_seed(0)
    model = SPDER(2, 1, width=7, hidden_layers=2, damping=damping).double()
    x = 2 * torch.rand(5, 2, dtype=torch.float64) - 1
    jacobians = torch.func.vmap(torch.func.jacrev(model))(x)
    assert torch.allclose(jacobians, gradient(model, x)[1], rtol=1e-10)


def test_evaluate_is_the_field_in_parts():
    model, x = SIREN(2, 3, width=8), torch.rand(2, 50, 2)
    values = evaluate(model, x, rows=7)
    assert not values.requires_grad and torch.allclose(values, model(x), atol=1e-6)
    sizes = []
    evaluate(lambda part: sizes.append(part.shape[-2]) or part, x, rows=7)
    assert sizes == [7] * 7 + [1]
