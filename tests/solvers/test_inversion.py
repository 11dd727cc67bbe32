"""Inversion: gradients against differences, and a disc found from data of another grid."""

import numpy as np
import pytest

from inrkit.solvers import helmholtz, inversion

POINTS, RADIUS, CENTRE, WAVENUMBER = 61, 0.2, (0.08, -0.05), 12.0


def medium(points):
    return 1 - 0.75 * helmholtz.disc(points, CENTRE, RADIUS)


def sources(points):
    centres = [(x, -0.42) for x in (-0.4, 0.0, 0.4)]
    return (1 + 1j) * np.stack([helmholtz.gaussian(points, c, 2e-3) for c in centres])


def receivers():
    line = np.linspace(-0.4, 0.4, 8)
    side = np.full_like(line, 0.45)
    return np.concatenate(
        [np.stack(pair, axis=-1) for pair in ((line, side), (side, line), (-side, line))]
    )


@pytest.fixture(scope="module")
def survey():
    heard = helmholtz.solve(medium(95), sources(95), wavenumber=WAVENUMBER)
    data = inversion.sample(heard, receivers())
    x = np.abs(helmholtz.axis(POINTS))
    free = np.maximum.outer(x, x) <= 0.35
    return inversion.Survey(sources(POINTS), receivers(), data, WAVENUMBER, free)


def test_splines_sample_a_wave_as_exactly_as_the_scheme():
    x = helmholtz.axis(POINTS)
    k = np.array([WAVENUMBER, 5.0])
    wave = np.exp(1j * np.add.outer(k[0] * x, k[1] * x))
    where = np.random.default_rng(0).uniform(-0.7, 0.7, (20, 2))
    np.testing.assert_allclose(inversion.sample(wave, where), np.exp(1j * where @ k), atol=1e-4)
    nodes = np.stack([x[[3, 20]], x[[50, 31]]], axis=-1)
    np.testing.assert_allclose(inversion.sample(wave, nodes), wave[[3, 20], [50, 31]], atol=1e-12)


def test_the_gradient_is_that_of_central_differences(survey):
    rng = np.random.default_rng(1)
    m = 1 + 0.2 * rng.uniform(-1, 1, survey.free.shape) * survey.free
    _, slope = survey.misfit(m)
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=m.shape) * survey.free
        up, down = (survey.misfit(m + sign * 1e-4 * direction)[0] for sign in (1, -1))
        expected = (up - down) / 2e-4
        assert abs((slope * direction).sum() - expected) < 1e-5 * abs(expected)


def test_the_gradient_is_zero_where_the_slowness_is_known(survey):
    _, slope = survey.misfit(np.ones(survey.free.shape))
    assert (slope[~survey.free] == 0).all() and (slope[survey.free] != 0).all()


def test_the_truth_fits_data_of_another_grid(survey):
    start, _ = survey.misfit(np.ones(survey.free.shape))
    assert survey.misfit(medium(POINTS))[0] < 1e-3 * start


@pytest.mark.parametrize(
    ("method", "iterations"), [(inversion.adjoint_state, 20), (inversion.admm, 30)]
)
def test_the_disc_is_found(survey, method, iterations):
    found = method(survey, iterations)
    assert len(found.misfits) == iterations + 1
    assert found.misfits[-1] < 1e-2 * found.misfits[0]
    m, x = found.slowness_squared, helmholtz.axis(POINTS)
    assert (m[~survey.free] == 1).all()
    missing = np.maximum(1 - m - 0.2, 0)
    centre = (missing * x[:, None]).sum() / missing.sum(), (missing * x).sum() / missing.sum()
    np.testing.assert_allclose(centre, CENTRE, atol=0.03)
    true = helmholtz.solve(medium(POINTS), sources(POINTS), wavenumber=WAVENUMBER)
    start = helmholtz.solve(np.ones(m.shape), sources(POINTS), wavenumber=WAVENUMBER)
    errors = [np.linalg.norm(u - true) for u in (found.wavefields, start)]
    assert errors[0] < 0.2 * errors[1]
    assert np.mean((m - medium(POINTS)) ** 2) < 0.5 * np.mean((1 - medium(POINTS)) ** 2)


def test_one_step_of_the_multipliers_is_its_equations():
    """The fields against dense least squares, the slowness against its normal equation."""
    points, n = 9, 49
    rng = np.random.default_rng(3)
    f = np.zeros((2, points, points), dtype=complex)
    f[:, 3:6, 3:6] = rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3))
    where, free = rng.uniform(-0.6, 0.6, (4, 2)), np.ones((points, points), dtype=bool)
    data = rng.normal(size=(2, 4)) * 1e-2 + 0j
    survey = inversion.Survey(f, where, data, 3.0, free)
    found = inversion.admm(survey, 1, penalty=0.5)

    scheme, sample = survey.scheme, survey.receive
    average = scheme.average.toarray()
    g = np.linalg.solve(average, scheme.stiffness.toarray()) + np.diag(scheme.mass)
    q = sample @ np.linalg.inv(g)
    root = np.sqrt(0.5 * np.linalg.norm(q, 2) ** 2)
    right = np.concatenate([data.T, root * scheme.inner(f)])
    u = np.linalg.lstsq(np.concatenate([sample, root * g]), right, rcond=None)[0]
    np.testing.assert_allclose(scheme.inner(found.wavefields), u, atol=1e-10)

    rest = scheme.inner(f) - np.linalg.solve(average, scheme.stiffness @ u)
    for i in range(n):
        column = scheme.mass[i] * u[i]
        stacked = np.concatenate([column.real, column.imag])
        target = np.concatenate([rest[i].real, rest[i].imag])
        best = np.clip(stacked @ target / (stacked @ stacked), *inversion.BOUNDS)
        assert abs(scheme.inner(found.slowness_squared)[i] - best) < 1e-9


def test_bad_input_is_named(survey):
    with pytest.raises(ValueError, match="one row a source"):
        inversion.Survey(survey.sources, receivers()[:3], survey.data, 1.0, survey.free)
    with pytest.raises(ValueError, match="receivers are points"):
        inversion.sample(survey.sources, np.array([[0.0, 1.5]]))
