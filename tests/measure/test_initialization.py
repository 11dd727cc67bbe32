import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from inrkit.fields import SIREN
from inrkit.measure import (
    arcsine,
    capture,
    fixed_point,
    ks_distance,
    sine_of_gaussian_cdf,
    sine_of_gaussian_pdf,
    variance_recursion,
)

VARIANCES = [0.05, 0.8, 1.0, 9.0, 300.0]


def test_fixed_point_solves_the_recursion_it_stands_for():
    for width in (64, 256, 2048):
        B = 30 / np.sqrt(width)
        v = fixed_point(width=width) - B**2 / 3
        assert v == pytest.approx(1 - np.exp(-2 * v) * np.sin(2 * B) / (2 * B), abs=1e-14)
    root = optimize.brentq(lambda v: v - 1 + np.exp(-2 * v), 0.1, 2)
    assert fixed_point(width=64, bias_range=0) == pytest.approx(root)


@pytest.mark.parametrize("bias_range", [None, 0.0])
def test_recursion_runs_into_the_fixed_point(bias_range):
    coords = [[0.3], [0.9]]
    variances = variance_recursion(60, width=512, bias_range=bias_range, coords=coords)
    assert variances.before[-1] == pytest.approx(fixed_point(width=512, bias_range=bias_range))


@pytest.mark.parametrize("x", [[0.37], [0.37, -0.8]])
def test_first_layer_agrees_with_integration_over_its_weights(x):
    omega, d = 3.0, len(x)
    variances = variance_recursion(2, width=64, omega_0=omega, coords=[x])
    node, share = np.polynomial.legendre.leggauss(40)
    *w, b = np.meshgrid(*[node] * (d + 1))
    u = omega * (sum(w_j / d * x_j for w_j, x_j in zip(w, x, strict=True)) + b / np.sqrt(d))
    density = np.prod(np.meshgrid(*[share / 2] * (d + 1)), axis=0)
    assert variances.before[0] == pytest.approx((u**2 * density).sum(), rel=1e-10)
    assert variances.after[0] == pytest.approx((np.sin(u) ** 2 * density).sum(), rel=1e-10)


def test_hidden_step_agrees_with_integration_of_gaussian_plus_uniform():
    width, coords = 64, [[0.37]]
    variances = variance_recursion(2, width=width, coords=coords)
    v, B = 2 * variances.after[0], 30 / np.sqrt(width)

    def square(beta, g):
        return np.sin(g + beta) ** 2 * stats.norm.pdf(g, scale=np.sqrt(v)) / (2 * B)

    expected, _ = integrate.dblquad(square, -9, 9, -B, B, epsabs=1e-9)
    assert variances.after[1] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("in_features", [1, 2])
def test_networks_have_the_predicted_variances(in_features):
    """Means over seeds: a seed alone scatters by about 3% where units are 1,024."""
    torch.manual_seed(0)
    coords = 2 * torch.rand(128, in_features) - 1
    measured = []
    for _ in range(12):
        model = SIREN(in_features, 1, width=1024, hidden_layers=4)
        records = capture(model, coords)[:-1]
        squares = [(r.pre.square().mean().item(), r.post.square().mean().item()) for r in records]
        measured.append(squares)
    predicted = variance_recursion(4, width=1024, coords=coords)
    expected = np.stack([predicted.before, predicted.after], axis=-1)
    np.testing.assert_allclose(np.mean(measured, 0), expected, rtol=0.02)


@pytest.mark.parametrize("variance", VARIANCES)
def test_sine_of_gaussian_density_integrates_to_its_distribution(variance):
    for y in (-0.95, -0.2, 0.6, 1.0):
        end = np.arcsin(y)  # substitute y = sin a: the poles at the ends go away
        area, _ = integrate.quad(
            lambda a: sine_of_gaussian_pdf(np.sin(a), variance) * np.cos(a), -np.pi / 2 + 1e-9, end
        )
        assert sine_of_gaussian_cdf(y, variance) == pytest.approx(area, abs=1e-6)


@pytest.mark.parametrize("variance", VARIANCES)
def test_sine_of_gaussian_is_what_samples_show(variance):
    samples = np.sin(np.random.default_rng(0).normal(0, np.sqrt(variance), 20000))
    assert ks_distance(samples, lambda y: sine_of_gaussian_cdf(y, variance)) < 0.0138  # 0.1% level
    moment, _ = integrate.quad(
        lambda a: np.sin(a) ** 2 * sine_of_gaussian_pdf(np.sin(a), variance) * np.cos(a),
        -np.pi / 2 + 1e-9,
        np.pi / 2 - 1e-9,
    )
    assert moment == pytest.approx((1 - np.exp(-2 * variance)) / 2, abs=1e-6)


def test_wide_gaussians_become_arcsine():
    y = np.linspace(-0.99, 0.99, 50)
    np.testing.assert_allclose(sine_of_gaussian_cdf(y, 400.0), arcsine.cdf(y), atol=1e-10)
    np.testing.assert_allclose(arcsine.pdf(y), 1 / (np.pi * np.sqrt(1 - y**2)))
    assert arcsine.var() == pytest.approx(0.5)
