"""Two routes to a wave from rest against each other, and each against laws of its own."""

import numpy as np
import pytest
from scipy.fft import fft2, fftfreq

from inrkit.solvers import wave

VARIANCE, TIMES = 5e-4, np.array([0.0, 0.1, 0.25, 0.4])


def radii(points, side=2.0):
    x = wave.axis(points, side)
    return np.hypot(*np.meshgrid(x, x, indexing="ij"))


@pytest.mark.parametrize(("points", "bound"), [(128, 1e-4), (256, 1e-9)])
def test_both_routes_agree(points, bound):
    r = radii(points)
    start = 0.02 * np.exp(-(r**2) / (2 * VARIANCE))
    found, _ = wave.solve(start, TIMES)
    line = points // 2  # through the centre, where the pulse is sharpest
    exact = wave.pulse(r[line], TIMES, variance=VARIANCE, amplitude=0.02)
    error = np.linalg.norm(found[:, line] - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert error.max() < bound


def test_a_pulse_starts_as_a_gaussian_at_rest():
    r, dt = np.linspace(0, 0.3, 50), 1e-4
    start, soon = wave.pulse(r, np.array([0.0, dt]), variance=VARIANCE, amplitude=3.0)
    np.testing.assert_allclose(start, 3 * np.exp(-(r**2) / (2 * VARIANCE)), atol=1e-12)
    x = r**2 / VARIANCE  # u = f + t^2/2 Lap f: its rate of change is that of t^2, not of t
    laplacian = start * (x - 2) / VARIANCE
    np.testing.assert_allclose(soon - start, laplacian * dt**2 / 2, atol=1e-7)


def test_a_pulse_obeys_the_equation():
    """By central differences of fourth order in r and t, with another speed."""
    v, c, h, r = 0.01, 1.7, 4e-3, np.linspace(0.1, 0.9, 9)
    offsets = h * np.arange(-2, 3)
    first, second = np.array([1, -8, 0, 8, -1]) / (12 * h), np.array([-1, 16, -30, 16, -1])
    second = second / (12 * h**2)
    for t in (0.2, 0.37):
        in_t = wave.pulse(r, t + offsets, variance=v, c=c)
        in_r = wave.pulse(r[:, None] + offsets, t, variance=v, c=c)
        laplacian = in_r @ second + in_r @ first / r
        error = second @ in_t - c**2 * laplacian
        assert np.abs(error).max() < 1e-3 * np.abs(second @ in_t).max()


def test_energy_is_conserved():
    points, side, c = 96, 3.0, 1.4
    rng = np.random.default_rng(0)
    x = wave.axis(points, side)
    start = sum(
        rng.normal() * np.exp(-np.add.outer((x - a) ** 2, (x - b) ** 2) / 0.02)
        for a, b in rng.uniform(-1, 1, (4, 2))
    )
    u, rate = wave.solve(start, np.linspace(0, 2, 5), side=side, c=c)  # well past one return
    k = 2 * np.pi * fftfreq(points, side / points)
    squares = np.abs(fft2(u)) ** 2 / points**2
    tension = ((k[:, None] ** 2 + k**2) * squares).sum((1, 2))
    energy = np.square(rate).sum((1, 2)) + c**2 * tension
    np.testing.assert_allclose(energy, energy[0], rtol=1e-9)
    assert np.square(rate).sum((1, 2))[1:].min() > 0.05 * energy[0]  # it does move


def test_rates_are_slopes_in_time():
    start = np.exp(-(radii(32) ** 2) / 0.05)
    times = 0.3 + 1e-4 * np.arange(-1, 2)
    u, rate = wave.solve(start, times, c=0.7)
    np.testing.assert_allclose((u[2] - u[0]) / 2e-4, rate[1], atol=1e-6)


def test_a_standing_wave_is_exact():
    x = wave.axis(20, 4.0)
    mode = np.outer(np.cos(np.pi * x), np.sin(1.5 * np.pi * x))
    u, _ = wave.solve(mode, np.array([0.7]), side=4.0, c=2.0)
    rate = 2 * np.pi * np.hypot(1, 1.5)
    np.testing.assert_allclose(u[0], np.cos(rate * 0.7) * mode, atol=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="square grid"):
        wave.solve(np.zeros((4, 5)), [0.0])
    with pytest.raises(ValueError, match="positive"):
        wave.pulse(np.ones(2), 0.0, variance=0.0)
