"""Fixed points against closed forms and SciPy, and rows and signals against each alone."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torchdeq.solver import get_solver

from inrkit.solvers import Anderson, Broyden, Forward, solve

METHODS = [Forward(), Anderson(), Broyden()]
EXACT = {"tolerance": 1e-12, "limit": 400}


def contraction(width, norm=0.9, seed=0, signals=()):
    torch.manual_seed(seed)
    matrix = torch.randn(*signals, width, width, dtype=torch.float64)
    return norm * matrix / torch.linalg.matrix_norm(matrix, 2)[..., None, None]


def tanh_map(width, rows, seed=0):
    """A map that acts on each row alone, with an offset of its own."""
    matrix, offset = contraction(width, seed=seed), torch.randn(rows, width).double()
    return lambda z: torch.tanh(z @ matrix.mT + offset), offset


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_fixed_point_is_the_linear_systems_solution(method):
    matrix, offset = contraction(7), torch.randn(5, 7).double()
    found = solve(lambda z: z @ matrix.mT + offset, torch.zeros_like(offset), method, **EXACT)
    identity = torch.eye(7).double()
    expected = torch.linalg.solve(identity - matrix, offset.mT).mT
    assert found.converged and found.residual <= 1e-12
    assert torch.allclose(found.value, expected, rtol=1e-10)


@pytest.mark.parametrize("memory", [3, 20])
def test_steps_are_scipys(memory):
    """Every row by itself goes the way that SciPy goes."""
    f, offset = tanh_map(6, rows=4)
    scipys = {
        "anderson": (Anderson(memory), {"M": memory, "w0": 0.01}),
        "broyden1": (Broyden(memory), {"reduction_method": "simple", "max_rank": memory}),
    }
    for name, (method, settings) in scipys.items():
        z, history = torch.zeros_like(offset), method.begin(offset)
        for _ in range(8):
            z = method.step(z, f(z), history)
        for row in range(4):

            def residual(x, row=row):
                together = torch.zeros_like(offset)
                together[row] = torch.from_numpy(x)
                return (f(together) - together)[row].numpy()

            expected = getattr(scipy.optimize, name)(
                residual, np.zeros(6), iter=8, alpha=1.0, line_search=None, **settings
            )
            np.testing.assert_allclose(z[row], expected, rtol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_roots_are_scipys(method):
    f, offset = tanh_map(6, rows=1, seed=3)
    expected = scipy.optimize.root(
        lambda x: (f(torch.from_numpy(x)) - torch.from_numpy(x))[0].numpy(), np.zeros(6), tol=1e-13
    )
    found = solve(f, torch.zeros_like(offset), method, **EXACT)
    assert expected.success
    np.testing.assert_allclose(found.value[0], expected.x, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_fixed_points_are_torchdeqs(method):
    names = {Forward: "fixed_point_iter", Anderson: "anderson", Broyden: "broyden"}
    f, offset = tanh_map(8, rows=5, seed=4)
    # a fixed ridge would slow the last of its Anderson steps
    settings = {"stop_mode": "rel", "tol": 1e-10, "max_iter": 400, "lam": 1e-14}
    theirs, _, info = get_solver(names[type(method)])(f, torch.zeros_like(offset), **settings)
    ours = solve(f, torch.zeros_like(offset), method, per_sample=True, **EXACT)
    assert info["rel_lowest"].max() < 1e-10 and ours.converged.all()
    torch.testing.assert_close(ours.value, theirs, rtol=1e-8, atol=1e-9)


def test_acceleration_saves_steps_where_the_contraction_is_weak():
    f, offset = tanh_map(20, rows=30, seed=1)
    steps = [int(solve(f, torch.zeros_like(offset), m, tolerance=1e-9).steps) for m in METHODS]
    assert max(steps[1:]) < steps[0]


def test_forward_iteration_stops_when_the_printed_rule_says():
    f, offset = tanh_map(9, rows=6)
    found = solve(f, torch.zeros_like(offset), tolerance=1e-4)
    z, steps = torch.zeros_like(offset), 0
    while True:
        before, z, steps = z, f(z), steps + 1
        if (z - before).norm() <= 1e-4 * z.norm():
            break
    assert int(found.steps) == steps
    torch.testing.assert_close(found.value, z)


@pytest.mark.parametrize("method", METHODS)
def test_samples_that_stop_on_their_own_end_as_they_would_alone(method):
    torch.manual_seed(2)
    matrix, offset = contraction(5), torch.randn(8, 5).double()
    offset[3] = 0  # a row that is at its fixed point from the start
    scale = torch.linspace(0.1, 1, 8).double().unsqueeze(-1)  # rows converge at unlike rates

    def f(z, rows=slice(None)):
        return torch.tanh(scale[rows] * (z @ matrix.mT) + offset[rows])

    start, rule = torch.zeros_like(offset), {"tolerance": 1e-6}
    together = solve(f, start, method, per_sample=True, **rule)
    assert together.steps.shape == (8,) and len(together.steps.unique()) > 2
    for i in range(8):
        alone = solve(
            lambda z, i=i: f(z, slice(i, i + 1)), start[i : i + 1], method, tolerance=1e-6
        )
        assert int(alone.steps) == int(together.steps[i])
        assert torch.allclose(alone.value[0], together.value[i], rtol=1e-9)
    chunks = [slice(0, 3), slice(3, 8)]
    parts = [
        solve(lambda z, c=c: f(z, c), start[c], method, per_sample=True, **rule).value
        for c in chunks
    ]
    assert torch.allclose(torch.cat(parts), together.value, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_signals_do_not_mix(method):
    matrix = contraction(5, signals=(3,)) * torch.tensor([0.2, 0.6, 1.0]).double()[:, None, None]
    offset = torch.randn(3, 4, 5).double()
    start = torch.zeros_like(offset)
    together = solve(lambda z: torch.sin(z @ matrix.mT + offset), start, method, tolerance=1e-5)
    assert together.steps.shape == (3,) and len(together.steps.unique()) > 1
    for i in range(3):
        f = lambda z, i=i: torch.sin(z @ matrix[i].mT + offset[i])  # noqa: E731
        alone = solve(f, start[i], method, tolerance=1e-5)
        assert int(alone.steps) == int(together.steps[i])
        assert torch.allclose(alone.value, together.value[i], rtol=1e-9)
        assert torch.allclose(alone.residual, together.residual[i], rtol=1e-6)


def test_what_does_not_converge_is_said():
    found = solve(lambda z: 1 - 1.5 * z, torch.zeros(2, 3).double(), limit=30)
    assert not found.converged and int(found.steps) == 30 and found.residual > 1
    blown_up = solve(lambda z: 1 + 9 * z, torch.zeros(2, 3), limit=100)
    assert not blown_up.converged
    unfinished = solve(tanh_map(5, 4)[0], torch.zeros(4, 5).double(), limit=2)
    assert not unfinished.converged and int(unfinished.steps) == 2


def test_iterates_beyond_all_numbers_have_not_converged():
    matrix = contraction(6, norm=16.0)
    start = 10 * torch.randn(100, 6).double()
    found = solve(lambda z: z @ matrix.mT + 1, start, limit=600, per_sample=True)
    assert not found.converged.any() and (found.residual > 0.1).all()


def test_one_sample_may_fail_and_the_others_not():
    slope = torch.tensor([[0.5], [-1.5]]).double()
    found = solve(lambda z: 1 + slope * z, torch.zeros(2, 4).double(), per_sample=True)
    assert found.converged.tolist() == [True, False]
    assert torch.allclose(found.value[0], torch.full((4,), 2.0).double(), rtol=1e-2)


def test_a_limit_of_zero_applies_nothing():
    start = torch.randn(4, 3)
    found = solve(lambda z: z / 0, start, limit=0)
    assert torch.equal(found.value, start) and int(found.steps) == 0 and not found.converged


def test_a_map_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match="keeps the shape"):
        solve(lambda z: z[:, :2], torch.zeros(4, 3))
