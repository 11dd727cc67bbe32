"""Kernels against automatic Jacobians, arc-cosine kernels, closed forms and SciPy's integrals."""

import numpy as np
import pytest
import torch
from scipy import integrate

from inrkit.fields import FINER, MLP, SIREN
from inrkit.measure import (
    eigen,
    mean_product,
    ntk,
    ntk_by_layer,
    shallow_kernel,
)
from inrkit.training import Regression, fit


def dense(model, x):
    """The Jacobian ``(n c, parameters)`` by functorch, all points at once."""
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (x,)))(parameters)
    return torch.cat([j.flatten(2).flatten(0, 1) for j in found.values()], -1).detach()


@pytest.mark.parametrize("memory", [2**24, 700, 1])
@pytest.mark.parametrize("model", [FINER, SIREN, MLP])
def test_kernel_is_the_product_of_jacobians(model, memory):
    torch.manual_seed(0)
    field = model(2, 2, width=6, hidden_layers=2).double()
    x, y = (2 * torch.rand(n, 2, dtype=torch.float64) - 1 for n in (7, 5))
    J, H = dense(field, x), dense(field, y)
    torch.testing.assert_close(ntk(field, x, memory=memory), J @ J.mT)
    torch.testing.assert_close(ntk(field, x, y, memory=memory), J @ H.mT)


def test_layers_add_up_and_frozen_ones_are_left_out():
    field = FINER(2, 1, width=6, hidden_layers=2).double()
    x = torch.rand(4, 2, dtype=torch.float64)
    shares = ntk_by_layer(field, x)
    assert list(shares) == ["layers.0", "layers.1", "layers.2"]
    torch.testing.assert_close(sum(shares.values()), ntk(field, x))
    field.layers[1].requires_grad_(False)
    expected = shares["layers.0"] + shares["layers.2"]
    torch.testing.assert_close(ntk(field, x), expected)
    field.requires_grad_(False)
    with pytest.raises(ValueError, match="at least one parameter that trains"):
        ntk(field, x)


def test_a_wide_relu_network_has_the_arc_cosine_kernels():
    """Cho and Saul 2009: degree 0 from the first layer, degree 1 from the second."""
    torch.manual_seed(0)
    width = 20_000
    field = MLP(2, 1, width=width, hidden_layers=1).double()
    first, last = field.layers
    for p in (first.weight, first.bias, last.weight):
        torch.nn.init.normal_(p)
    last.weight.data /= width**0.5
    last.bias.requires_grad_(False)
    x = 2 * torch.rand(5, 2, dtype=torch.float64) - 1
    shares = ntk_by_layer(field, x, memory=2**20)
    v = np.concatenate([x.numpy(), np.ones((5, 1))], -1)  # the bias is one more input
    lengths = np.linalg.norm(v, axis=-1)
    cosine = np.clip(v @ v.T / np.outer(lengths, lengths), -1, 1)
    angle = np.arccos(cosine)
    degree_0 = (np.pi - angle) / (2 * np.pi)
    degree_1 = (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    degree_1 *= np.outer(lengths, lengths)
    np.testing.assert_allclose(shares["layers.0"], v @ v.T * degree_0, rtol=0.06, atol=0.03)
    np.testing.assert_allclose(shares["layers.1"] / width, degree_1, rtol=0.12)


X, Y = np.array([0.0, 0.3, -0.8, 1.0]), np.array([0.0, -0.7, -0.75, 1.0])


@pytest.mark.parametrize(("a", "k", "scale"), [(1.0, 0.5, 1.0), (1.0, 3.0, 1.0), (0.5, 1.0, 6.0)])
def test_the_sine_has_a_closed_form(a, k, scale):
    def s(z):
        return np.sinc(scale * z / np.pi)

    expected = (s(a * (X - Y)) + s(a * (X + Y)) * s(2 * k)) / 2
    found = mean_product(np.cos, X, Y, weight=a, bias=k, scale=scale)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    kernel = shallow_kernel(np.cos, X, Y, weight=a, bias=k, scale=scale)
    np.testing.assert_allclose(kernel, scale**2 * (X * Y + 1) * expected, atol=1e-9)


def test_a_jump_at_zero_does_no_harm():
    """Both neurons on: the share of a rectangle above two lines."""
    x, y, k = 0.6, -0.9, 0.5
    found = mean_product(lambda u: (u > 0) * 1.0, x, y, weight=1.0, bias=k)
    corners = np.clip(np.linspace(-1, 1, 400_001), -1, 1)
    above = np.clip(k - np.maximum(-x * corners, -y * corners), 0, 2 * k)
    assert found == pytest.approx(np.trapezoid(above, corners) / (4 * k), abs=1e-8)


@pytest.mark.parametrize(("x", "y"), [(0.4, 0.4), (0.2, -0.9)])
def test_finer_against_an_adaptive_integral(x, y):
    k = 2.0

    def slope(u):
        return (2 * abs(u) + 1) * np.cos((abs(u) + 1) * u)

    def inner(w):
        kinks = [p for p in (-w * x, -w * y) if abs(p) < k]
        value = integrate.quad(
            lambda b: slope(w * x + b) * slope(w * y + b), -k, k, points=kinks, limit=200
        )
        return value[0]

    expected = integrate.quad(inner, -1, 1, points=[0], epsabs=1e-9)[0] / (4 * k)
    found = mean_product(slope, x, y, weight=1.0, bias=k)
    assert found == pytest.approx(expected, rel=1e-7)


def test_eigenvectors_of_a_wide_network_decay_as_predicted():
    torch.manual_seed(0)
    field = MLP(1, 1, width=4096, hidden_layers=1, activation=torch.sin).double()
    torch.nn.init.uniform_(field.layers[0].weight, -4, 4)
    torch.nn.init.normal_(field.layers[1].weight, std=4096**-0.5)
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).unsqueeze(-1)
    values = torch.sin(3 * x) + 0.1
    before = (field(x) - values).detach()[:, 0]
    found = eigen(ntk(field, x))
    lr = 0.3 * found.largest_rate()
    result = fit(field, Regression(x, values), steps=40, lr=lr, optimizer=torch.optim.SGD,
                 progress=False)  # fmt: skip
    after = (result.model(x) - values)[:, 0]
    start = found.components(before)
    predicted = found.decay([40], lr)[0] * start
    np.testing.assert_allclose(found.components(after), predicted, atol=0.02 * abs(start).max())
    assert abs(predicted[0]) < 1e-3 * abs(start[0]) and abs(predicted[-1]) > 0.9 * abs(start[-1])


def test_gradient_descent_diverges_above_the_largest_rate_alone():
    """A linear model, whose kernel stays as it is."""
    torch.manual_seed(1)
    x = torch.randn(20, 3, dtype=torch.float64)
    limit = eigen(ntk(torch.nn.Linear(3, 1).double(), x)).largest_rate()
    for factor in (0.98, 1.02):
        model = torch.nn.Linear(3, 1).double()
        loss = Regression(x, x.sin().sum(-1, keepdim=True))
        losses = fit(model, loss, steps=400, lr=factor * limit, optimizer=torch.optim.SGD,
                     progress=False).losses  # fmt: skip
        assert (losses[-1] > 100 * losses[0]) == (factor > 1)
        assert (losses[-1] < losses[0]) == (factor < 1)


def test_effective_rank_and_order():
    found = eigen(np.diag([1.0, 4.0, 2.0]))
    assert list(found.values) == [4, 2, 1] and abs(found.vectors[1, 0]) == 1
    assert found.effective_rank() == pytest.approx(49 / 21)
    assert eigen(np.eye(5)).effective_rank() == pytest.approx(5)
