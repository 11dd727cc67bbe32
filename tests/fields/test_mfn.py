"""Multiplicative filter networks against their equations in NumPy, and normalized weights."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import nn

from inrkit.calculus import hessian, nested_autograd, total_degree
from inrkit.fields import (
    FourierFilter,
    FourierMFN,
    GaborFilter,
    GaborMFN,
    InjectedSIREN,
    SpectralNorm,
    WeightNorm,
    count_parameters,
    stack,
)
from inrkit.training import Regression, fit

NETWORKS = [FourierMFN, GaborMFN, InjectedSIREN]


def arrays(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters(recurse=False)}


def numpy_filter(module, x):
    p = arrays(module)
    u = x @ p["weight"].T + p.get("phase", 0)
    if isinstance(module, GaborFilter):
        square = ((x[:, None] - p["centres"]) ** 2).sum(-1)
        return np.sin(u) * np.exp(-p["precision"] * square / 2)
    return np.sin(u) if isinstance(module, FourierFilter) else u


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_forward_passes_are_the_equations(network, layers):
    torch.manual_seed(0)
    model = network(2, 3, width=6, layers=layers, scale=5.0, normalization=nn.Identity).double()
    x = np.random.default_rng(0).uniform(-1, 1, (10, 2))
    z = numpy_filter(model.cell.entry, x)
    for hidden, given in zip(model.cell.hidden, model.cell.filters, strict=True):
        p, g = arrays(hidden), numpy_filter(given, x)
        u = z @ p["weight"].T + p["bias"]
        z = np.sin(u + g) if network is InjectedSIREN else u * g
    out = arrays(model.output)
    expected = z @ out["weight"].T + out["bias"]
    np.testing.assert_allclose(model(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-12)


def test_parameter_counts():
    # filters 2 x (2 -> 256, phase), one 256 x 256 map, output 256 -> 1, each with a bias
    assert count_parameters(FourierMFN(2, 1)) == 2 * 768 + 65_792 + 257
    assert count_parameters(GaborMFN(2, 1)) == 2 * (768 + 512 + 256) + 65_792 + 257
    assert count_parameters(InjectedSIREN(2, 1)) == 768 + 512 + 65_792 + 257


def test_filters_stay_within_one():
    torch.manual_seed(2)
    gabor = GaborFilter(2, 50, scale=10.0).double()
    with torch.no_grad():
        gabor.precision[:25] *= -1
        gabor.precision[25:] *= 100
        gabor.centres[:] = 0.3
    x = torch.cat([torch.rand(200, 2), torch.full((1, 2), 0.3)]).double()  # last, the centres
    assert gabor(x).abs().max() <= 1
    sines = torch.sin(x @ gabor.weight.mT + gabor.phase)
    assert torch.allclose(gabor(x)[:, :25], sines[:, :25])


@pytest.mark.parametrize("normalization", [nn.Identity, SpectralNorm, WeightNorm])
@pytest.mark.parametrize("network", NETWORKS)
def test_derivatives_flow_forward(network, normalization):
    torch.manual_seed(3)
    settings = {"width": 8, "layers": 2, "scale": 4.0, "normalization": normalization}
    own = 2 * torch.rand(2, 7, 2).double() - 1
    models = [network(2, 2, **settings).double() for _ in range(2)]
    indices = total_degree(2, 2)
    for model, x in ((models[0], own[0]), (stack(models), own)):
        rows = nested_autograd(model, x, indices.indices).detach()
        expected = dict(zip(indices.indices, rows, strict=True))
        found = hessian(model, x)
        for i, j in [(0, 0), (0, 1), (1, 1)]:
            index = tuple((i, j).count(axis) for axis in range(2))
            assert torch.allclose(found[..., i, j], expected[index], rtol=1e-8, atol=1e-8)


def spectral_norm(weight):
    return torch.linalg.matrix_norm(weight, 2)


def test_spectral_norm_is_that_of_the_singular_values():
    torch.manual_seed(4)
    weights = torch.randn(2, 3, 9, 9).double()
    weights[0] /= 40  # all singular values below the target
    normalized = SpectralNorm(weights)(weights)
    assert spectral_norm(weights[0]).max() < 0.97 < spectral_norm(weights[1]).min()
    assert torch.equal(normalized[0], weights[0])
    norms = spectral_norm(weights[1])[:, None, None]
    assert torch.allclose(normalized[1], 0.97 * weights[1] / norms, rtol=1e-12)


def test_the_gradient_of_spectral_norm_is_the_exact_ones():
    torch.manual_seed(5)
    weight, factor = torch.randn(2, 7, 7).double()
    weight.requires_grad_()
    module = SpectralNorm(weight)
    exact = 0.97 * weight / spectral_norm(weight)
    (expected,) = torch.autograd.grad((exact * factor).sum(), weight)
    (found,) = torch.autograd.grad((module(weight) * factor).sum(), weight)
    assert torch.allclose(found, expected, rtol=1e-9)


def test_singular_vectors_follow_once_a_change():
    torch.manual_seed(6)
    weight = nn.Parameter(torch.randn(30, 30))
    module = SpectralNorm(weight)
    vectors, first = module.left.clone(), module(weight)
    assert torch.equal(module.left, vectors)
    weight.data = weight + 0.02 * torch.randn_like(weight)
    second = module(weight)
    assert not torch.equal(module.left, vectors)
    vectors = module.left.clone()
    torch.testing.assert_close(module(weight), second)
    assert torch.equal(module.left, vectors)
    first.sum().backward()  # the graph of before is whole


def test_of_a_stack_only_what_has_changed_is_followed():
    torch.manual_seed(6)
    weights = torch.randn(3, 12, 12)
    module = SpectralNorm(weights)
    before = module.left.clone()
    weights[1] += 0.1 * torch.randn(12, 12)
    found = module(weights)
    assert torch.equal(module.left[[0, 2]], before[[0, 2]])
    for i in range(3):
        exact = spectral_norm(weights[i])
        assert spectral_norm(found[i]).item() == pytest.approx(0.97, rel=1e-2 if i == 1 else 1e-5)
        assert exact > 0.97


@pytest.mark.parametrize("network", NETWORKS)
def test_training_keeps_the_norm_within_the_target(network):
    torch.manual_seed(7)
    model = network(1, 1, width=24, scale=20.0)
    x = torch.linspace(-1, 1, 64).unsqueeze(-1)
    before = model.cell.hidden[0].weight.detach().clone()
    fit(model, Regression(x, torch.sign(x)), steps=150, lr=1e-2, chunk=20, progress=False)
    hidden = model.cell.hidden[0]
    assert (hidden.weight - before).norm() > 0.1 * before.norm()
    assert 0.9 < spectral_norm(hidden.matrix()).item() < 0.97 * 1.01


def test_weight_norm_is_pytorchs():
    torch.manual_seed(8)
    linear = nn.Linear(6, 5, bias=False).double()
    weight = linear.weight.detach().clone().requires_grad_()
    module = WeightNorm(weight)
    theirs = nn.utils.parametrizations.weight_norm(linear, dim=0)
    parametrization = theirs.parametrizations.weight
    with torch.no_grad():
        module.lengths *= 1.7
        parametrization.original0 *= 1.7
        weight.mul_(3)  # a direction has no length
    factor = torch.randn(5, 6).double()
    assert torch.allclose(module(weight), linear.weight, rtol=1e-12)
    (module(weight) * factor).sum().backward()
    (linear.weight * factor).sum().backward()
    assert torch.allclose(module.lengths.grad, parametrization.original0.grad, rtol=1e-10)
    assert torch.allclose(3 * weight.grad, parametrization.original1.grad, rtol=1e-10)


@pytest.mark.parametrize("normalization", [SpectralNorm, WeightNorm, nn.Identity])
def test_a_stack_trains_as_its_models_do(normalization):
    torch.manual_seed(9)
    settings = {"width": 10, "scale": 5.0, "normalization": normalization}
    models = [FourierMFN(1, 1, **settings).double() for _ in range(2)]
    together = stack(models)
    x = torch.linspace(-1, 1, 40).double().unsqueeze(-1)
    values = torch.stack([torch.sin(5 * x), torch.cos(9 * x)])
    fit(together, Regression(x, values), steps=20, lr=1e-2, progress=False)
    for i, model in enumerate(models):
        fit(model, Regression(x, values[i]), steps=20, lr=1e-2, progress=False)
        assert torch.allclose(together(x)[i], model(x), atol=1e-6)


def test_another_number_format_is_the_same_network():
    torch.manual_seed(0)
    model, x = FourierMFN(2, 1, width=32, layers=2), torch.rand(50, 2)
    with torch.no_grad():  # its singular vectors lag behind
        for hidden in model.cell.hidden:
            hidden.weight += torch.randn_like(hidden.weight)
    values = model(x).double()
    assert torch.allclose(
        model.double()(x.double()), values, atol=1e-5 * float(values.detach().abs().max())
    )
    assert torch.allclose(
        model.float()(x).double(), values, atol=1e-5 * float(values.detach().abs().max())
    )


def test_windows_of_entry_and_layers_start_from_their_own_gammas():
    """(Implicit)^2's released code: 6 and 3, over the number of filters."""
    torch.manual_seed(0)
    cell = GaborMFN(2, 1, width=3000, layers=2).cell
    for given, alpha in ((cell.entry, 2.0), *((f, 1.0) for f in cell.filters)):
        draws = given.precision.detach().numpy()
        assert kstest(draws, "gamma", args=(alpha,)).pvalue > 1e-3
