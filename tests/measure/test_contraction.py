"""Certificates of contraction against sampled slopes, and Jacobians against the formulas."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from inrkit.fields import FourierMFN, GaborMFN, InjectedSIREN, SpectralNorm, WeightNorm, stack
from inrkit.measure import contraction_bound, jacobian_norms

NETWORKS = [FourierMFN, GaborMFN, InjectedSIREN]


def cell(network, **settings):
    torch.manual_seed(0)
    return network(2, 1, width=8, scale=3.0, **settings).double().cell


def states(*shape):
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(1)).double() - 1


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_certificate_holds_for_pairs_and_jacobians(network, layers):
    model, x = cell(network, layers=layers), states(200, 2)
    bound = contraction_bound(model)
    norms = [np.linalg.svd(h.weight.detach().numpy())[1][0] for h in model.hidden]
    assert bound.item() == pytest.approx(np.prod(np.minimum(norms, 0.97)), rel=1e-5)
    with torch.no_grad():
        f = model.conditioned(x)
        first, second = 5 * states(2, 200, 8)
        slopes = (f(first) - f(second)).norm(dim=-1) / (first - second).norm(dim=-1)
    norms = jacobian_norms(model, x, first)
    assert norms.shape == (200,) and norms.max() < bound and slopes.max() < bound
    assert norms.max() > 0.05 * bound  # it says something


@pytest.mark.parametrize("normalization", [nn.Identity, WeightNorm])
def test_without_spectral_norm_there_is_no_certificate(normalization):
    free = cell(FourierMFN, normalization=normalization, weight_scale=25.0)
    assert contraction_bound(free) > 1


def test_jacobians_are_those_of_the_proofs():
    """Thm. 1: G W. Thm. 2: diag(cos h) W."""
    x, z = states(20, 2), states(20, 8)
    for network in NETWORKS:
        model = cell(network)
        with torch.no_grad():
            f = model.conditioned(x)
            ((weight, bias, given),) = f.layers
            inner = (z + f.entry) @ weight.mT + bias
            slope = torch.cos(inner + given) if network is InjectedSIREN else given
            expected = torch.linalg.matrix_norm(slope.unsqueeze(-1) * weight, 2)
        assert torch.allclose(jacobian_norms(model, x, z), expected, rtol=1e-10)


def test_one_number_a_signal():
    torch.manual_seed(0)
    for target in (0.3, 0.6):
        models = [
            FourierMFN(2, 1, width=5, normalization=partial(SpectralNorm, target=target))
            for _ in range(2)
        ]
        for model in models:
            assert contraction_bound(model.cell).item() == pytest.approx(target, rel=1e-4)
    together = stack(models)
    assert contraction_bound(together.cell).shape == (2,)
    x, z = states(7, 2).float(), states(2, 7, 5).float()
    norms = jacobian_norms(together.cell, x, z)
    assert torch.allclose(norms[0], jacobian_norms(models[0].cell, x, z[0]), rtol=1e-5)
