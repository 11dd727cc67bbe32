"""Gradients through fixed points: closed forms, finite differences, autograd through all steps."""

import pytest
import torch
from torch.autograd import gradcheck

from inrkit.solvers import Anderson, Broyden, Forward, Implicit, Truncated, Unrolled, fixed_point

METHODS = [Forward(), Anderson(), Broyden()]
EXACT = {"tolerance": 1e-13, "limit": 500}


def problem(width=5, rows=4, norm=0.8):
    torch.manual_seed(0)
    matrix = torch.randn(width, width).double()
    matrix = (norm * matrix / torch.linalg.matrix_norm(matrix, 2)).requires_grad_()
    offset = torch.randn(rows, width).double().requires_grad_()
    target = torch.randn(rows, width).double()
    return matrix, offset, target


def gradients(gradient, matrix, offset, target, activation=torch.tanh, method=METHODS[0]):
    def f(z):
        return activation(z @ matrix.mT + offset)

    start = torch.zeros_like(offset)
    found = fixed_point(f, start, method=method, gradient=gradient, **EXACT)
    return torch.autograd.grad((found.value * target).sum(), (matrix, offset))


def identity(u):
    return u


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_of_a_linear_fixed_point_is_in_closed_form(method):
    matrix, offset, target = problem()
    gradient = Implicit(method, **EXACT)
    found = gradients(gradient, matrix, offset, target, identity, method)
    system = torch.eye(5).double() - matrix.detach()
    z = torch.linalg.solve(system, offset.detach().mT).mT
    v = torch.linalg.solve(system.mT, target.mT).mT
    assert torch.allclose(found[0], v.mT @ z, rtol=1e-9)
    assert torch.allclose(found[1], v, rtol=1e-9)


def test_the_implicit_gradient_by_finite_differences():
    matrix, offset, _ = problem(width=3, rows=2)

    def value(matrix, offset):
        def f(z):
            return torch.sin(z @ matrix.mT + offset)

        gradient = Implicit(**EXACT)
        return fixed_point(f, torch.zeros_like(offset), gradient=gradient, **EXACT).value

    assert gradcheck(value, (matrix, offset))


def test_the_implicit_gradient_is_that_of_all_steps():
    matrix, offset, target = problem()
    z = torch.zeros_like(offset)
    for _ in range(200):
        z = torch.tanh(z @ matrix.mT + offset)
    expected = torch.autograd.grad((z * target).sum(), (matrix, offset))
    for strategy in (Implicit(**EXACT), Unrolled(200), Truncated(199)):
        for ours, exact in zip(gradients(strategy, matrix, offset, target), expected, strict=True):
            assert torch.allclose(ours, exact, rtol=1e-9, atol=1e-12)


def test_gradients_do_not_depend_on_the_solver():
    inputs = problem()
    reference = gradients(Implicit(**EXACT), *inputs)
    for forward in METHODS:
        for backward in METHODS:
            found = gradients(Implicit(backward, **EXACT), *inputs, method=forward)
            for ours, other in zip(found, reference, strict=True):
                assert torch.allclose(ours, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("terms", [0, 1, 4])
def test_truncated_gradients_are_the_series(terms):
    matrix, offset, target = problem()
    found = gradients(Truncated(terms), matrix, offset, target)
    z = torch.zeros_like(offset)
    for _ in range(300):
        z = torch.tanh(z @ matrix.mT + offset).detach()
    slope = (1 - z**2).detach()
    v = target
    for _ in range(terms):  # J = diag(slope) W, row by row
        v = target + (slope * v) @ matrix.detach()
    assert torch.allclose(found[1], slope * v, rtol=1e-9)
    assert torch.allclose(found[0], (slope * v).mT @ z, rtol=1e-9)


def test_more_terms_come_nearer_to_the_exact_gradient():
    inputs = problem()
    exact = gradients(Implicit(**EXACT), *inputs)[0]
    errors = [
        (gradients(Truncated(terms), *inputs)[0] - exact).norm().item() for terms in (0, 1, 4, 16)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-2 * errors[0]


def test_signals_and_rows_do_not_mix():
    """The gradient of a stack is that of its signals, one by one and row by row."""
    matrix, offset, target = problem(rows=6)
    matrices = torch.stack([matrix, 0.3 * matrix]).detach().requires_grad_()
    own = Implicit(Anderson(), tolerance=1e-6, per_sample=True)
    rule = {"tolerance": 1e-6, "per_sample": True, "gradient": own}
    start = torch.zeros(2, 6, 5).double()
    stacked = fixed_point(lambda z: torch.tanh(z @ matrices.mT + offset), start, **rule)
    together = torch.autograd.grad((stacked.value * target).sum(), matrices)[0]
    for i in range(2):
        single, total = matrices[i].detach().requires_grad_(), 0
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):

            def f(z, rows=rows, single=single):
                return torch.tanh(z @ single.mT + offset[rows])

            part = fixed_point(f, start[0, rows], **rule)
            total = total + (part.value * target[rows]).sum()
        alone = torch.autograd.grad(total, single)[0]
        assert torch.allclose(together[i], alone, rtol=1e-8)


def test_an_adjoint_that_does_not_converge_is_said():
    matrix, offset, target = problem(norm=0.99)
    with pytest.warns(UserWarning, match="not converged after 2 steps"):
        gradients(Implicit(tolerance=1e-9, limit=2), matrix, offset, target, identity)


def test_second_derivatives_are_refused():
    matrix, offset, target = problem()
    f = lambda z: torch.tanh(z @ matrix.mT + offset)  # noqa: E731
    value = fixed_point(f, torch.zeros_like(offset), gradient=Implicit()).value
    (slope,) = torch.autograd.grad((value * target).sum(), offset, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.grad(slope.sum(), offset)


def test_no_graph_where_none_is_asked_for():
    matrix, offset, _ = problem()
    with torch.no_grad():
        f = lambda z: torch.tanh(z @ matrix.mT + offset)  # noqa: E731
        found = fixed_point(f, torch.zeros_like(offset), **EXACT)
    assert not found.value.requires_grad and torch.allclose(f(found.value), found.value)
