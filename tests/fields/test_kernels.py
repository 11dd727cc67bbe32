"""Kernels against the plain expression and its derivatives in double precision.

On a CUDA device they are compiled; elsewhere Triton's interpreter runs them, where there is Triton.
"""

import sys
from importlib.util import find_spec, module_from_spec

import pytest
import torch

from inrkit.calculus import value_and_slope
from inrkit.fields.activations import (
    DampedSine,
    VariableSine,
    log_abs,
    one,
    sqrt_abs,
    sqrt_relu,
)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# name: (as the layer knows it, the formula)
PHI = {
    "sin": (torch.sin, torch.sin),
    "one": (DampedSine(one), torch.sin),
    "sqrt_abs": (DampedSine(sqrt_abs), lambda u: u.sin() * u.abs().sqrt()),
    "log_abs": (DampedSine(log_abs), lambda u: u.sin() * u.abs().log()),
    "finer": (VariableSine(4.0), lambda u: ((u.abs() / 4 + 1) * u).sin()),
}

# shapes of x and of the weights
SHAPES = {
    "plane": ((150, 2), (33, 2)),
    "space": ((40, 3), (64, 3)),
    "one output": ((130, 40), (1, 40)),
    "tiles": ((260, 70), (80, 70)),
    "batched rows": ((2, 3, 20, 5), (17, 5)),
    "one row": ((1, 40), (33, 40)),
    "stacked": ((3, 37, 20), (3, 33, 20)),
    "twice stacked": ((2, 2, 9, 3), (2, 2, 17, 3)),
    "shared": ((150, 2), (3, 33, 2)),
    "shared, wide": ((1, 140, 40), (2, 18, 40)),
    "stack of one": ((50, 3), (1, 33, 3)),
}


def copy_of_module():
    """Another copy than the package's own, made under the circumstances of now."""
    spec = find_spec("inrkit.fields.kernels")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kernels():
    pytest.importorskip("triton", reason="Triton is not installed")
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")  # is read while kernels are defined
        return copy_of_module()


def layer(x_shape, weight_shape, seed=0):
    """Inputs in [-1, 1] and weights as of a SIREN that is not quite so steep."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return (2 * torch.rand(shape, generator=generator) - 1).to(DEVICE)

    bound = 1 / weight_shape[-1] ** 0.5
    return uniform(*x_shape), bound * uniform(*weight_shape), bound * uniform(*weight_shape[:-1])


def preactivation(x, weight, bias, omega):
    return omega * (x @ weight.mT + bias.unsqueeze(-2))


def derivatives(phi, u):
    """Value, slope and second derivative."""
    u = u.detach().requires_grad_()
    value = phi(u)
    (slope,) = torch.autograd.grad(value.sum(), u, create_graph=True)
    return value.detach(), slope.detach(), torch.autograd.grad(slope.sum(), u)[0]


def assert_forward(kernels, activation, phi, tensors, omega):
    """Within what rounding of the sum to u by 1e-6 of its terms, and of the result, can do."""
    value, slope = kernels.forward(*tensors, activation, omega)
    x, weight, bias = (tensor.double() for tensor in tensors)
    u = preactivation(x, weight, bias, omega)
    error_of_u = 1e-6 * preactivation(x.abs(), weight.abs(), bias.abs(), omega)
    exact = derivatives(phi, u)
    assert value.shape == slope.shape == u.shape
    for result, expected, steepness in zip((value, slope), exact[:2], exact[1:], strict=True):
        bound = 1e-6 * (1 + expected.abs()) + steepness.abs() * error_of_u
        assert ((result - expected).abs() <= bound).all()


@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("case", ["plane", "tiles", "shared"])
def test_value_and_slope(kernels, name, case):
    assert_forward(kernels, *PHI[name], layer(*SHAPES[case]), 5.0)


@pytest.mark.parametrize("case", SHAPES)
def test_value_and_slope_in_every_shape(kernels, case):
    assert_forward(kernels, *PHI["sqrt_abs"], layer(*SHAPES[case]), 30)


def assert_backward(kernels, x, weight, bias):
    double = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    value = torch.sin(preactivation(*double, 5.0))
    grad = torch.randn(value.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    exact = torch.autograd.grad(value, double, grad.double())
    slope = torch.cos(preactivation(*double, 5.0)).detach().float()
    for result, expected in zip(kernels.backward(grad, slope, x, weight, 5.0), exact, strict=True):
        assert result.shape == expected.shape
        assert (result - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("case", SHAPES)
def test_gradients(kernels, case):
    assert_backward(kernels, *layer(*SHAPES[case]))


@pytest.mark.parametrize("case", ["tiles", "stacked"])
def test_gradients_where_a_program_sums_many_tiles(kernels, monkeypatch, case):
    monkeypatch.setattr(kernels, "PROGRAMS", 8)
    assert_backward(kernels, *layer(*SHAPES[case]))


def test_the_gradient_by_the_input_is_optional(kernels):
    x, weight, bias = layer((20, 3), (17, 3))
    value, slope = kernels.forward(x, weight, bias, torch.sin, 2.0)
    full = kernels.backward(value, slope, x, weight, 2.0)
    to_x, *rest = kernels.backward(value, slope, x, weight, 2.0, needs_input=False)
    assert to_x is None
    torch.testing.assert_close(rest, list(full[1:]))


def test_any_memory_layout(kernels):
    x, weight, bias = layer((4, 30, 20), (2, 33, 20))
    views = x[::2, 1:], weight.mT.contiguous().mT, bias.T.contiguous().T
    dense = [view.clone(memory_format=torch.contiguous_format) for view in views]
    value, slope = kernels.forward(*views, torch.sin, 3.0)
    expected = kernels.forward(*dense, torch.sin, 3.0)
    torch.testing.assert_close((value, slope), expected)
    grad = torch.ones((), device=DEVICE).expand_as(value)  # as from a sum
    results = kernels.backward(grad, slope, *views[:2], 3.0)
    expected = kernels.backward(grad.contiguous(), slope, *dense[:2], 3.0)
    torch.testing.assert_close(results, expected)


@pytest.mark.parametrize("name", PHI)
def test_at_zero(kernels, name):
    weight = torch.ones(5, 3, device=DEVICE)
    x, bias = torch.zeros(4, 3, device=DEVICE), torch.zeros(5, device=DEVICE)
    results = kernels.forward(x, weight, bias, PHI[name][0], 30.0)
    torch.testing.assert_close(results, value_and_slope(PHI[name][0], torch.zeros_like(results[0])))


def test_no_rows_have_no_gradient(kernels):
    x, weight, bias = layer((0, 3), (5, 3))
    value, slope = kernels.forward(x, weight, bias, torch.sin, 1.0)
    to_x, to_weight, to_bias = kernels.backward(value, slope, x, weight, 1.0)
    assert value.shape == (0, 5) and to_x.shape == (0, 3)
    assert not to_weight.any() and not to_bias.any()


def test_half_the_bits(kernels):
    x, weight, bias = layer((150, 40), (64, 40))
    exact = kernels.forward(x, weight, bias, torch.sin, 2.0)
    rough = kernels.forward(x, weight, bias, torch.sin, 2.0, "bf16")
    grad = layer((150, 64), (1, 1))[0]
    exact += kernels.backward(grad, exact[1], x, weight, 2.0)
    rough += kernels.backward(grad, exact[1], x, weight, 2.0, "bf16")
    for a, b in zip(exact[:4], rough[:4], strict=True):
        assert 3e-4 < (a - b).norm() / a.norm() < 1e-2
    torch.testing.assert_close(exact[4], rough[4])  # no product of matrices


def test_coordinates_are_never_rounded(kernels):
    x, weight, bias = layer((150, 2), (64, 2))
    exact = kernels.forward(x, weight, bias, torch.sin, 30.0)
    rough = kernels.forward(x, weight, bias, torch.sin, 30.0, "bf16")
    torch.testing.assert_close(exact, rough)


def test_inputs_must_be_for_the_weights(kernels):
    x, weight, bias = layer((2, 9, 3), (3, 5, 3))
    with pytest.raises(ValueError, match="do not fit"):
        kernels.forward(x, weight, bias, torch.sin, 1.0)


def test_what_is_supported(kernels):
    x = torch.zeros(2, 2, device=DEVICE)
    assert all(kernels.supports(activation, x, x) for activation, _ in PHI.values())
    assert not kernels.supports(torch.sin, x, x.double())
    for other in (torch.relu, None, torch.nn.Tanh(), DampedSine(sqrt_relu), DampedSine(torch.atan)):
        assert not kernels.supports(other, x)


def test_nothing_is_supported_without_a_device(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    kernels = copy_of_module()
    assert not kernels.supports(torch.sin, torch.zeros(2, 2))


def test_nothing_is_supported_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)  # its import fails
    kernels = copy_of_module()
    assert kernels.triton is None
    assert not kernels.supports(torch.sin, torch.zeros(2, 2, device=DEVICE))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="there is no CUDA device")
@pytest.mark.parametrize("name", PHI)
def test_compiled(kernels, name):
    x, weight, bias = tensors = layer((4096, 256), (256, 256))
    assert_forward(kernels, *PHI[name], tensors, 5.0)
    value, slope = kernels.forward(*tensors, PHI[name][0], 5.0)
    g = 5.0 * value.double() * slope.double()
    exact = g @ weight.double(), g.mT @ x.double(), g.sum(0)
    for precision, error in ("float32", 2e-6), ("tf32", 2e-3), ("bf16", 1e-2):
        results = kernels.backward(value, slope, x, weight, 5.0, precision)
        again = kernels.backward(value, slope, x, weight, 5.0, precision)
        for result, same, expected in zip(results, again, exact, strict=True):
            assert torch.equal(result, same)
            assert (result - expected).norm() < error * expected.norm()
