"""The grid solver against the Hankel function, and its parts against closed forms."""

import numpy as np
import pytest
from scipy.special import hankel2

from inrkit.solvers import helmholtz

WAVENUMBER, VARIANCE = 20.0, 4e-4


def positions(points):
    return np.stack(np.meshgrid(*[helmholtz.axis(points)] * 2, indexing="ij"), axis=-1)


def hankel_error(points, variance=VARIANCE, centre=(0.0, 0.0), **layer):
    """Relative error where neither the source nor the layer is."""
    source = helmholtz.gaussian(points, centre, variance)
    u = helmholtz.solve(np.ones_like(source), source, wavenumber=WAVENUMBER, **layer)
    x = positions(points)
    away = np.linalg.norm(x - centre, axis=-1) > 7 * np.sqrt(variance)
    use = away & (np.abs(x).max(-1) <= 0.5)
    exact = helmholtz.free_space(x[use], centre, WAVENUMBER, variance)
    return np.linalg.norm(u[use] - exact) / np.linalg.norm(exact)


def test_the_error_falls_with_the_fourth_power_of_the_spacing():
    errors = np.array([hankel_error(points) for points in (81, 121, 181)])
    orders = np.log(errors[:-1] / errors[1:]) / np.log(1.5)
    assert (np.abs(orders - 4) < 0.3).all(), orders


@pytest.mark.parametrize("centre", [(0.0, 0.0), (-0.35, 0.1)])
def test_it_is_right_to_one_part_in_ten_thousand(centre):
    assert hankel_error(201, 1e-4, centre) < 1e-4


def test_the_layer_lets_back_what_its_strength_predicts():
    """A wave that goes straight in and out again keeps exp(-2 k a_0 L / 3)."""
    for strength in (0.3, 0.5):
        expected = np.exp(-2 * WAVENUMBER * strength * 0.5 / 3)
        assert 0.5 * expected < hankel_error(121, strength=strength) < 1.5 * expected
    assert hankel_error(121, strength=5.0) < 5e-4


def test_a_wide_source_in_free_space_is_a_convolution():
    """A Gaussian's share at wavenumber k, against the convolution by quadrature."""
    variance, target = 2e-3, np.array([0.5, 0.2])
    x = np.linspace(-0.4, 0.4, 161)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
    weight = np.exp(-np.square(points).sum(-1) / (2 * variance)) / (2 * np.pi * variance)
    r = np.linalg.norm(points - target, axis=-1)
    expected = (0.25j * hankel2(0, WAVENUMBER * r) * weight).sum() * (x[1] - x[0]) ** 2
    found = helmholtz.free_space(target, (0, 0), WAVENUMBER, variance)
    assert abs(found - expected) < 1e-8


def test_a_denser_medium_is_a_larger_wavenumber():
    source = helmholtz.gaussian(61, (0.1, 0.0), 2e-3)
    dense = helmholtz.solve(np.full((61, 61), 4.0), source, wavenumber=5.0)
    fast = helmholtz.solve(np.ones((61, 61)), source, wavenumber=10.0)
    np.testing.assert_allclose(dense, fast, atol=1e-12)


def test_any_medium_obeys_reciprocity():
    """The field at b of a source at a is the field at a of the same source at b."""
    points, i, j = 91, (30, 40), (55, 62)
    x = helmholtz.axis(points)
    centres = [(x[a], x[b]) for a, b in (i, j)]
    sources = np.stack([helmholtz.gaussian(points, c, 1e-3) for c in centres])
    medium = 1 - 0.75 * helmholtz.disc(points, (0.05, 0.1), 0.2)
    u = helmholtz.solve(medium, sources, wavenumber=10.0)
    heard = (u[0] * sources[1]).sum(), (u[1] * sources[0]).sum()
    assert abs(heard[0] - heard[1]) < 1e-3 * abs(heard[0])


def test_several_sources_are_solved_as_one_by_one():
    medium = 1 - 0.5 * helmholtz.disc(41, (0.1, 0.0), 0.2)
    sources = np.stack([helmholtz.gaussian(41, (c, -c), 1e-2) for c in (-0.2, 0.0, 0.3)])
    together = helmholtz.solve(medium, (1 + 1j) * sources, wavenumber=8.0)
    for u, source in zip(together, sources, strict=True):
        alone = helmholtz.solve(medium, source, wavenumber=8.0)
        np.testing.assert_allclose(u, (1 + 1j) * alone, atol=1e-13)


def test_a_disc_covers_its_area_and_whole_cells_within():
    share = helmholtz.disc(64, (0.03, -0.2), 0.31)
    h = 2 / 63
    assert abs(share.sum() * h**2 - np.pi * 0.31**2) < 1e-5
    r = np.linalg.norm(positions(64) - np.array([0.03, -0.2]), axis=-1)
    reach = h / np.sqrt(2)  # from a cell's centre to its corner
    np.testing.assert_allclose(share[r < 0.31 - reach], 1, atol=1e-12)
    assert share[r > 0.31 + reach].max() == 0


def test_a_gaussian_has_integral_one():
    assert abs(helmholtz.gaussian(101, (0.1, 0.2), 1e-2).sum() * 0.02**2 - 1) < 1e-10


def test_bad_input_is_named():
    ones = np.ones((9, 9))
    with pytest.raises(ValueError, match="same square grid"):
        helmholtz.solve(ones, np.ones((8, 8)), wavenumber=1.0)
    with pytest.raises(ValueError, match="positive"):
        helmholtz.solve(0 * ones, ones, wavenumber=1.0)
    with pytest.raises(ValueError, match="at least 5"):
        helmholtz.discretize(3, 1.0)
