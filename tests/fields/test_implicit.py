"""Implicit fields: fixed points in closed form, by SciPy, as sums of sines; gradients; reuse."""

from collections import defaultdict
from functools import partial
from itertools import product

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from inrkit.calculus import gradient
from inrkit.fields import (
    FixedPointCache,
    FourierMFN,
    GaborMFN,
    ImplicitField,
    InjectedSIREN,
    SpectralNorm,
    WeightNorm,
    count_parameters,
    stack,
)
from inrkit.solvers import Anderson, Broyden, Forward, Implicit, Truncated, solve

EXACT = {"tolerance": 1e-13, "limit": 500}
NETWORKS = [FourierMFN, GaborMFN, InjectedSIREN]
SMALL = {"width": 9, "scale": 4.0}


def points(n=6, d=2, seed=0):
    return 2 * torch.rand(n, d, generator=torch.Generator().manual_seed(seed)).double() - 1


def field(network=FourierMFN, seed=0, implicit=EXACT, **settings):
    torch.manual_seed(seed)
    return ImplicitField(network(2, 3, **{**SMALL, **settings}).double(), **implicit)


def dense(model, coords):
    """The fixed point of a Fourier or Gabor cell of one layer, which is linear in z."""
    f = model.cell.conditioned(coords)
    ((weight, bias, given),) = f.layers
    right = (f.entry @ weight.mT + bias) * given
    system = torch.eye(len(bias)).double() - given.unsqueeze(-1) * weight
    return torch.linalg.solve(system, right.unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("method", [Forward(), Anderson(), Broyden()])
@pytest.mark.parametrize("network", [FourierMFN, GaborMFN])
def test_the_fixed_point_of_a_filter_cell_is_a_linear_systems_solution(network, method):
    model, x = field(network), points()
    model.method = method
    with torch.no_grad():
        assert torch.allclose(model(x), model.output(dense(model, x)), rtol=1e-9)
    assert model.solution.converged


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_fixed_point_is_scipys(network, layers):
    model, x = field(network, layers=layers), points(n=1)
    with torch.no_grad():
        f = model.cell.conditioned(x)
        found = scipy.optimize.root(
            lambda z: (f(torch.from_numpy(z)[None])[0] - torch.from_numpy(z)).numpy(),
            np.ones(9),
            tol=1e-13,
        )
        assert found.success
        expected = model.output(torch.from_numpy(found.x))
        assert torch.allclose(model(x)[0], expected, rtol=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
def test_many_starts_lead_to_one_fixed_point(network):
    model, x = field(network), points()
    with torch.no_grad():
        f = model.cell.conditioned(x)
        ends = [solve(f, 10 * torch.randn(6, 9).double(), **EXACT).value for _ in range(20)]
    assert max((end - ends[0]).abs().max() for end in ends) < 1e-10


def test_without_normalization_the_iteration_may_fail_and_says_so():
    model = field(normalization=nn.Identity, weight_scale=400.0, implicit={})
    with torch.no_grad():
        model(points())
    assert not model.solution.converged


@pytest.mark.parametrize("network", [FourierMFN, GaborMFN])
def test_gradients_are_those_of_the_linear_systems_solution(network):
    model, x = field(network), points().requires_grad_()
    model.gradient = Implicit(**EXACT)
    variables = [x, *model.parameters()]
    target = torch.randn(6, 3).double()
    found = torch.autograd.grad((model(x) * target).sum(), variables)
    exact = torch.autograd.grad((model.output(dense(model, x)) * target).sum(), variables)
    for ours, theirs in zip(found, exact, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-7, atol=1e-10)


def test_an_implicit_field_has_the_parameters_of_the_explicit_one():
    torch.manual_seed(0)
    explicit = GaborMFN(2, 1)
    assert count_parameters(ImplicitField(explicit)) == count_parameters(explicit)
    with torch.no_grad():  # one application from zero is the explicit network
        implicit = ImplicitField(explicit, limit=0)
        torch.testing.assert_close(implicit(points().float()), explicit(points().float()))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("strategy", [Truncated(0), Truncated(1), Implicit(tolerance=1e-6)])
def test_a_stack_is_its_models_one_by_one(network, strategy):
    rules = {"implicit": {"gradient": strategy, "tolerance": 1e-4}}
    models = [field(network, seed=i, scale=3.0 + i, **rules) for i in range(3)]
    models[2].cell.hidden[0].weight.data.mul_(0.3)  # they converge at unlike rates
    together, x = stack(models), torch.stack([points(seed=i) for i in range(3)])
    together(x).square().sum().backward()
    steps = together.solution.steps
    assert len(steps.unique()) > 1
    for i, model in enumerate(models):
        value = model(x[i])
        value.square().sum().backward()
        assert int(model.solution.steps) == int(steps[i])
        assert torch.allclose(together(x)[i], value, atol=1e-10)
        for stacked, alone in zip(together.parameters(), model.parameters(), strict=True):
            assert torch.allclose(stacked.grad[i], alone.grad, atol=1e-9)


def test_chunks_make_no_difference_where_samples_stop_on_their_own():
    model, x = field(implicit={"tolerance": 1e-3, "per_sample": True}), points(50)
    model.gradient = Implicit(tolerance=1e-3, per_sample=True)
    grads = []
    for parts in ([x], x.split(7)):
        model.zero_grad()
        for part in parts:
            model(part).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for whole, chunked in zip(*grads, strict=True):
        assert torch.allclose(whole, chunked, atol=1e-10)


def test_there_is_no_taylor_series_of_a_fixed_point():
    with pytest.raises(ValueError, match="no Taylor series"), torch.no_grad():
        gradient(field(), points())
    with pytest.raises(ValueError, match="cut short"):
        gradient(ImplicitField(FourierMFN(2, 1, width=9).double()), points())


@pytest.mark.parametrize("normalization", [SpectralNorm, WeightNorm, nn.Identity])
def test_deep_cells_with_each_normalization_solve_their_equation(normalization):
    model = field(InjectedSIREN, layers=3, normalization=normalization)
    x = points()
    with torch.no_grad():
        z = solve(model.cell.conditioned(x), torch.zeros(6, 9).double(), **EXACT)
        assert z.converged
        assert torch.allclose(model.cell.conditioned(x)(z.value), z.value, atol=1e-10)


# Corollary 1: the fixed point of a Fourier cell as a sum of sines, worked out by algebra

FREQUENCIES = np.array([3, 5, 7, 11])  # of the two entry filters and the two multiplying ones
TERMS, CONTRACTION = 24, 0.5


def sines_cell():
    torch.manual_seed(0)
    norm = partial(SpectralNorm, target=CONTRACTION)
    model = FourierMFN(1, 1, width=2, weight_scale=40.0, normalization=norm).double()
    with torch.no_grad():
        for part, values in zip(
            (model.cell.entry, model.cell.filters[0]), FREQUENCIES.reshape(2, 2), strict=True
        ):
            part.weight.copy_(torch.from_numpy(values).unsqueeze(-1))
    return model.cell


def sine(index):
    """The sine of one phase as exponentials: wave numbers of the four phases, and factors."""
    unit = tuple(int(i == index) for i in range(4))
    return {unit: -0.5j, tuple(-k for k in unit): 0.5j}


def times(a, b):
    total = defaultdict(complex)
    for (m, x), (n, y) in product(a.items(), b.items()):
        total[tuple(i + j for i, j in zip(m, n, strict=True))] += x * y
    return total


def combination(parts, factors, constant):
    total = defaultdict(complex)
    total[0, 0, 0, 0] += constant
    for part, factor in zip(parts, factors, strict=True):
        for m, x in part.items():
            total[m] += factor * x
    return total


def expansion(cell):
    """The state after so many applications of F to zero."""
    weight = cell.hidden[0].matrix().detach().numpy()
    bias = cell.hidden[0].bias.detach().numpy()
    entry, given = [sine(0), sine(1)], [sine(2), sine(3)]
    z = [{}, {}]
    for _ in range(TERMS):
        inner = [combination([z[k], entry[k]], [1, 1], 0) for k in range(2)]
        z = [times(combination(inner, weight[j], bias[j]), given[j]) for j in range(2)]
    return z


def test_the_fixed_point_of_a_fourier_cell_is_a_sum_of_sines():
    cell, n = sines_cell(), 1024
    x = torch.arange(n).double().unsqueeze(-1) * 2 * torch.pi / n
    with torch.no_grad():
        f = cell.conditioned(x)
        first = f(torch.zeros(n, 2).double())
        found = solve(f, torch.zeros(n, 2).double(), **EXACT).value.numpy()
    # Banach: what is left after t applications
    bound = CONTRACTION**TERMS / (1 - CONTRACTION) * first.norm(dim=-1).max().item()
    phases = torch.cat([cell.entry.phase, cell.filters[0].phase]).detach().numpy()
    for k, series in enumerate(expansion(cell)):
        amplitudes = np.zeros(n, dtype=complex)
        for m, factor in series.items():
            amplitudes[np.dot(m, FREQUENCIES) % n] += factor * np.exp(1j * np.dot(m, phases))
        spectrum = np.fft.fft(found[:, k], norm="forward")
        assert np.abs(spectrum - amplitudes).max() < bound + 1e-12
        # far from all: a check that the bound could have failed
        assert np.sort(np.abs(spectrum))[-20] > 1e3 * bound


def test_reuse_applies_the_cell_once_to_the_last_state():
    """Three steps written out, with the parameters changed in between."""
    model, x = field(implicit={"tolerance": 1e-8}), points()
    model.cache = FixedPointCache(6, 9).double()
    z = None
    for step in range(3):
        with model.cache.at(slice(0, 6)):
            value = model(x)
        assert int(model.solution.steps) == 0 if step else int(model.solution.steps) > 3
        with torch.no_grad():
            f = model.cell.conditioned(x)
            z = f(z) if step else f(solve(f, torch.zeros(6, 9).double(), tolerance=1e-8).value)
            assert torch.allclose(value, model.output(z), rtol=1e-12)
            model.cell.hidden[0].bias.add_(0.1)
    model.tolerance = 1e-13
    with torch.no_grad(), model.cache.at(slice(0, 6)):  # without a graph: solved from zero
        assert torch.allclose(model(x), model.output(dense(model, x)), rtol=1e-9)


def test_the_gradient_of_a_reused_point_is_the_released_codes():
    """One product with the Jacobian at the point that F was applied to."""
    model, x = field(implicit={"tolerance": 1e-3}), points()
    model.cache = FixedPointCache(6, 9).double()
    z = torch.randn(6, 9).double()
    with model.cache.at(slice(0, 6)):
        model.cache.write(z)
        value = model(x)
    found = torch.autograd.grad(value.sum(), model.cell.hidden[0].bias)[0]
    ((weight, _, given),) = model.cell.conditioned(x).layers
    g = model.output.weight.sum(0).expand(6, 9)
    v = g + (g * given) @ weight
    assert torch.allclose(found, (v * given).sum(0), rtol=1e-10)


def test_caches_of_a_stack_are_filled_by_row():
    models = [field(seed=i, implicit={}) for i in range(2)]
    for model in models:
        model.cache = FixedPointCache(10, 9).double()
    together, rows = stack(models), torch.tensor([7, 2, 5])
    with together.cache.at(rows):
        together(points(3))
    for i, model in enumerate(models):
        with model.cache.at(rows):
            model(points(3))
        assert torch.allclose(together.cache.values[i], model.cache.values, atol=1e-12)
    assert together.cache.known.nonzero().flatten().tolist() == [2, 5, 7]
    assert together.cache.values[:, [0, 1, 3, 4, 6, 8, 9]].abs().max() == 0
