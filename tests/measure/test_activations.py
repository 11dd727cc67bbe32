import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import nn

from inrkit.fields import MLP, SIREN, DampedSine, log_abs, one, sqrt_abs, sqrt_relu, stack
from inrkit.measure import (
    capture,
    gaussian_surrogate,
    ks_distance,
    lipschitz_bound,
    peak_ratios,
    share_near,
    stationary_points,
)


def test_capture_sees_every_layer_on_the_way():
    model, coords = SIREN(2, 3, width=8, hidden_layers=2).double(), torch.rand(5, 2).double()
    records = capture(model, coords)
    x = coords
    for layer, record in zip(model.layers, records, strict=True):
        pre = layer.omega * (x @ layer.weight.T + layer.bias)
        x = layer.activation(pre)
        torch.testing.assert_close(record.pre, pre)
        torch.testing.assert_close(record.post, x)
        assert record.gradient is None and not record.post.requires_grad
    assert not model.layers[0]._forward_hooks


def test_gradients_are_those_of_the_summed_output():
    model, coords = SIREN(1, 1, width=6, hidden_layers=2).double(), torch.rand(4, 1).double()
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # gradients of activations do not need them
    records = capture(model, coords, gradients=True)
    moved = records[0].post.clone()
    step = 1e-6
    moved[2, 3] += step
    rest = nn.Sequential(*model.layers[1:])
    slope = (rest(moved).sum() - rest(records[0].post).sum()) / step
    assert records[0].gradient[2, 3].item() == pytest.approx(slope.item(), rel=1e-4)
    torch.testing.assert_close(records[-1].gradient, torch.ones(4, 1).double())


def test_capture_works_on_stacked_models():
    model = stack([MLP(2, 1, width=4, hidden_layers=1) for _ in range(3)])
    records = capture(model, torch.rand(3, 5, 2))
    assert [tuple(record.post.shape) for record in records] == [(3, 5, 4), (3, 5, 1)]


def test_capture_refuses_a_model_without_layers():
    with pytest.raises(ValueError, match="no layers"):
        capture(nn.Linear(2, 1), torch.rand(3, 2))


def test_ks_distance_is_the_largest_gap():
    assert ks_distance([0.5], stats.uniform.cdf) == pytest.approx(0.5)
    values = (np.arange(100) + 0.5) / 100
    assert ks_distance(values, stats.uniform.cdf) == pytest.approx(1 / 200)


@pytest.mark.parametrize(
    ("damping", "slope"),
    [
        (one, lambda x: np.cos(x)),
        (sqrt_abs, lambda x: 2 * x * np.cos(x) + np.sin(x)),
        (log_abs, lambda x: x * np.cos(x) * np.log(abs(x)) + np.sin(x)),
        (torch.atan, lambda x: np.cos(x) * np.arctan(x) + np.sin(x) / (1 + x**2)),
    ],
)
def test_stationary_points_are_the_roots_of_the_closed_form(damping, slope):
    found = stationary_points(DampedSine(damping), 0.05, 20)
    x = np.linspace(0.05, 20, 2000)
    turns = np.flatnonzero(np.diff(np.sign(slope(x))))
    expected = [optimize.brentq(slope, x[i], x[i + 1], xtol=1e-14) for i in turns]
    np.testing.assert_allclose(found.x, expected, rtol=1e-9)
    values = DampedSine(damping)(torch.tensor(expected, dtype=torch.float64))
    np.testing.assert_allclose(found.values, values.numpy(), rtol=1e-9)


def test_stationary_points_of_an_even_activation_include_zero():
    found = stationary_points(DampedSine(torch.atan), -9, 9)
    assert 0 in found.x.round(9)
    assert len(found.magnitudes) == (len(found.x) + 1) / 2


def test_kinks_and_flat_stretches_are_not_stationary_points():
    assert len(stationary_points(torch.abs, -1, 1.5).x) == 0
    assert stationary_points(DampedSine(sqrt_relu), -9, 3).x.min() > 0


def test_share_near_counts_magnitudes():
    assert share_near([-1.0, 1.1, 0.5, 3.0], [1, -3], tolerance=0.11) == 0.75


def test_peak_ratios_know_flat_straight_and_peaked_densities():
    points = [1.0]
    flat = (np.arange(200000) + 0.5) / 100000
    assert peak_ratios(flat, points, window=0.1) == pytest.approx(1, abs=1e-3)
    straight = np.sqrt(flat * 2)  # density grows in proportion to the magnitude
    assert peak_ratios(straight, points, window=0.1) == pytest.approx(1, abs=1e-3)
    sine = np.sin(2 * np.pi * flat)  # arcsine: all of the pole on one side
    inside, flanks = np.arcsin([1, 0.9, 0.7])[:2] - np.arcsin([0.9, 0.7])
    expected = (inside / 0.2) / (flanks / 0.4)
    assert peak_ratios(sine, points, window=0.1) == pytest.approx(expected, rel=1e-3)
    assert np.isnan(peak_ratios(flat, [9.0], window=0.1))


def test_a_smooth_distribution_before_the_activation_peaks_after_it():
    """The peaks follow from the change of variables alone, as for the sine of a Gaussian."""
    pre = 2 + 3 * torch.randn(4000)
    u = gaussian_surrogate(pre, lambda u: u)
    assert u.mean().item() == pytest.approx(pre.double().mean().item(), abs=1e-6)
    assert ks_distance((u - pre.double().mean()) / pre.double().std(), stats.norm.cdf) < 2e-4
    y = gaussian_surrogate(pre, DampedSine(sqrt_abs))
    points = stationary_points(DampedSine(sqrt_abs), 0, 6).magnitudes
    assert (peak_ratios(y, points, window=0.05) > 1.3).all()


@pytest.mark.parametrize("damping", [one, sqrt_abs, log_abs, torch.atan, sqrt_relu])
def test_the_slope_keeps_to_its_bound_and_reaches_it_within_a_factor(damping):
    x = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    x = x[x != 0].requires_grad_()
    (slope,) = torch.autograd.grad(DampedSine(damping)(x).sum(), x)
    bound = lipschitz_bound(damping, x.detach())
    assert (slope.abs() <= bound + 1e-12).all()
    period = slope.abs()[-629:].max() / bound[-629:].max()  # the last period
    assert period > 0.9
    # SPDER, Eq. 12, its damping differentiated by central differences
    u, h = x.detach(), 1e-6
    inner = u.abs() > 0.1
    rise = (damping(u + h) - damping(u - h)) / (2 * h)
    expected = abs(damping(u)) + abs(rise) + 0 * u
    torch.testing.assert_close(bound[inner], expected[inner], rtol=1e-6, atol=1e-8)
