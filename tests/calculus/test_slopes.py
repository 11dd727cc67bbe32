"""Values and slopes of activations, by their Taylor series, against autograd in float64."""

import pytest
import torch
from torch.nn import functional

from inrkit.calculus import elementwise, nested_autograd, partials
from inrkit.fields import (
    DampedSine,
    Gaussian,
    finer,
    gaussian,
    identity,
    log_abs,
    one,
    sqrt_abs,
    sqrt_relu,
)

pytestmark = pytest.mark.filterwarnings("error:.*falling back to nested autograd")

ACTIVATIONS = {
    "relu": torch.relu,
    "relu of functional": functional.relu,
    "tanh": torch.tanh,
    "tanh module": torch.nn.Tanh(),
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "elu": functional.elu,
    "selu": functional.selu,
    "sin": torch.sin,
    "cos": torch.cos,
    "exp": torch.exp,
    "atan": torch.atan,
    "square": torch.square,
    "identity": identity,
    "gaussian": lambda u: torch.exp(-(u**2) / 2),
    "gaussian module": Gaussian(2.0),
    "narrow gaussian": Gaussian(30.0),
    "finer": finer,
    "sqrt": DampedSine(sqrt_abs),
    "log": DampedSine(log_abs),
    "arctan": DampedSine(torch.atan),
    "sqrt relu": DampedSine(sqrt_relu),
    "relu damping": DampedSine(torch.relu),
    "linear damping": DampedSine(lambda u: u),
    "no damping": DampedSine(one),
    "own damping": DampedSine(lambda u: torch.log1p(u.abs())),
    "dampings": lambda u: sqrt_abs(u) + log_abs(u) * sqrt_relu(u),
}
# both signs, close to zero and far from it
RIGHT = torch.cat(
    [torch.tensor([1e-12, 1e-3]), torch.linspace(0.01, 3, 60), 2.0 ** torch.arange(6)]
)
POINTS = torch.cat([RIGHT, -RIGHT]).double()


def by_autograd(function, u):
    u = u.clone().requires_grad_()
    value = function(u)
    return value.detach(), torch.autograd.grad(value.sum(), u)[0]


def value_and_slope(function, u):
    found = partials(function, u.reshape(-1, 1), 1)
    return found[(0,)].reshape(u.shape), found[(1,)].reshape(u.shape)


def assert_equal(function, u, own=None):
    expected = by_autograd(own or function, u)
    for ours, theirs in zip(value_and_slope(function, u), expected, strict=True):
        assert ours.shape == u.shape and ours.dtype == u.dtype
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_slope(name):
    assert_equal(ACTIVATIONS[name], POINTS)
    assert_equal(ACTIVATIONS[name], POINTS[:24].reshape(2, 3, 4))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_at_zero(name):
    zero = torch.tensor([0.0, -0.0], dtype=torch.float64)
    assert_equal(ACTIVATIONS[name], zero)
    for dtype in (torch.float32, torch.float64):
        results = value_and_slope(ACTIVATIONS[name], zero.to(dtype))
        assert all(torch.isfinite(result).all() for result in results)


@pytest.mark.parametrize("name", ["softplus", "elu", "selu", "gaussian module", "tanh", "sigmoid"])
def test_far_out(name):
    far = torch.tensor([40.0, -40.0, 800.0, -800.0], dtype=torch.float64)
    assert_equal(ACTIVATIONS[name], far)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "dampings"])
def test_the_slope_can_be_differentiated(name):
    u = POINTS[POINTS.abs() > 1e-4].clone().requires_grad_()
    (theirs,) = torch.autograd.grad(ACTIVATIONS[name](u).sum(), u, create_graph=True)
    slopes = value_and_slope(ACTIVATIONS[name], u)[1], theirs
    seconds = [
        torch.autograd.grad(slope.sum(), u)[0] if slope.requires_grad else torch.zeros_like(u)
        for slope in slopes
    ]
    assert torch.allclose(*seconds, rtol=1e-10, atol=1e-10)


def test_a_namesake_has_its_own_slope():
    def sin(u):
        return u * u * u

    def relu(u):
        return -torch.relu(u)

    for function in (sin, relu):
        assert_equal(function, POINTS)


def test_gaussians_have_no_subnormal_tails():
    u, least = torch.linspace(-12, 12, 4001), torch.finfo(torch.float32).tiny
    plain = torch.exp(-(u.double() ** 2))
    assert ((plain > 0) & (plain < least)).any()
    value, slope = value_and_slope(Gaussian(1.0), u)
    assert (value - plain).abs().max() < 1e-6 and (value[plain < 1e-20] == 0).all()
    for result in (value, slope):
        assert ((result == 0) | (result.abs() >= least)).all()


@elementwise
def atan(u):
    return torch.angle(torch.complex(torch.ones_like(u), u))  # which has no Taylor rule


@pytest.mark.parametrize("function", [finer, gaussian, sqrt_abs, log_abs, sqrt_relu, atan])
def test_elementwise_functions_let_jets_pass(function):
    reference = torch.atan if function is atan else function
    points = POINTS[POINTS.abs() > 0.01].reshape(-1, 1)
    found = partials(function, points, 3)
    expected = nested_autograd(reference, points, found.indices)
    assert torch.allclose(found.values, expected, rtol=1e-11, atol=1e-11)
    inner = partials(lambda x: function(torch.sin(x)), points, 3)
    expected = nested_autograd(lambda x: reference(torch.sin(x)), points, inner.indices)
    assert torch.allclose(inner.values, expected, rtol=1e-9, atol=1e-9)


def test_elementwise_functions_of_tensors_stay_as_they_are():
    assert atan.__name__ == "atan" and torch.allclose(atan(POINTS), torch.atan(POINTS))
    assert_equal(atan, POINTS, own=torch.atan)
