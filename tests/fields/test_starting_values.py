"""Every trained parameter against the law of a paper or its released code, by Kolmogorov-Smirnov.

A baseline that starts badly flatters the paper's own model. Samples are so many that a law whose
scale is off by a half fails, and one that holds passes but for one chance in a million.
"""

from fnmatch import fnmatchcase
from inspect import signature
from math import pi, sqrt

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch.nn import functional

from inrkit.fields import (
    FINER,
    MLP,
    RBF,
    SIREN,
    SPDER,
    WIRE,
    ComposedMLP,
    FourierMFN,
    GaborMFN,
    Gauss,
    Gaussian,
    HashGrid,
    Hypernetwork,
    ImplicitField,
    InjectedSIREN,
    INSPConvLayer,
    MetaSinMLP,
    MLPFusion,
    ModulatedSIREN,
    PositionalEncoding,
    SpectralNorm,
)
from inrkit.solvers import Forward, Truncated

D, N, C = 3, 400, 300  # coordinates, width, values: numbers that no formula can mistake
NET = {"width": N, "hidden_layers": 3}
MFN = {"width": N, "layers": 2, "scale": 30.0, "normalization": nn.Identity}
SHARE = 30 / sqrt(3)  # of the scale of each of three filters


def U(bound):
    return stats.uniform(-bound, 2 * bound)


def normal(deviation):
    return stats.norm(0, deviation)


FIRST, REST = U(1 / sqrt(D)), U(1 / sqrt(N))  # PyTorch's for nn.Linear
LINEAR = {"layers.0.*": FIRST, "layers.[123].*": REST}
BIASES = {"layers.0.bias": FIRST, "layers.[123].bias": REST}
# Sitzmann et al., Suppl. 1.5; the first layer and the biases as in their released code
SINE = {"layers.0.weight": U(1 / D), "layers.[123].weight": U(sqrt(6 / N) / 30)}
FILTERS = {  # Fathony et al.: sines; (Implicit)^2's released code shares the scale out
    "cell.entry.weight": U(SHARE / sqrt(D)),
    "cell.filters.*.weight": U(SHARE / sqrt(D)),
    "cell.*.phase": U(pi),
    "output.*": REST,
}


def he(gain=2.0):
    """Normal weights of variance gain / n."""
    weights = {"layers.0.weight": normal(sqrt(gain / D))}
    return BIASES | weights | {"layers.[123].weight": normal(sqrt(gain / N))}


def gabor():
    """Frequencies over the root of their window's precision, with which they are multiplied."""
    model = GaborMFN(D, C, alpha=6.0, **MFN)
    with torch.no_grad():
        for given in (model.cell.entry, *model.cell.filters):
            given.weight /= given.precision.sqrt().unsqueeze(-1)
    return model


CASES = {
    "SIREN": (lambda: SIREN(D, C, **NET), SINE | BIASES),
    "SPDER": (lambda: SPDER(D, C, **NET), SINE | BIASES),
    # Liu et al., released code: models.py
    "FINER": (
        lambda: FINER(D, C, bias_range=20.0, **NET), SINE | BIASES | {"layers.0.bias": U(20)}
    ),
    "Gauss": (lambda: Gauss(D, C, **NET), LINEAR),
    "MLP": (lambda: MLP(D, C, **NET), he()),
    "MLP tanh": (lambda: MLP(D, C, activation=torch.tanh, **NET), he(1.0)),  # Glorot
    "MLP selu": (lambda: MLP(D, C, activation=functional.selu, **NET), he(1.0)),  # Klambauer
    "MLP, no gain": (lambda: MLP(D, C, activation=torch.sigmoid, **NET), LINEAR),
    # Saragadam et al., released code: nn.Linear, complex after the first layer
    "WIRE": (lambda: WIRE(D, C, **NET), LINEAR),
    # as SIREN; its modulator as a ReLU network
    "MPA": (
        lambda: ModulatedSIREN(D, C, code=500, **NET),
        SINE | BIASES
        | {"last.weight": SINE["layers.[123].weight"], "last.bias": REST, "code": normal(1)}
        | {"modulators.0.weight": normal(sqrt(2 / 500)), "modulators.0.bias": U(1 / sqrt(500))}
        | {"modulators.[12].weight": normal(sqrt(2 / (N + 500)))}
        | {"modulators.[12].bias": U(1 / sqrt(N + 500))},
    ),
    "MetaSin": (
        lambda: MetaSinMLP(D, C, **NET),
        BIASES
        | {"layers.0.weight": U(1), "layers.[12].weight": U(sqrt(3 / N)), "layers.3.weight": REST}
        | {"layers.*.activation.*": None},
    ),
    "SC-MLP": (
        lambda: ComposedMLP(D, C, **NET),
        {"first.*": FIRST, "layers.*.weight": normal(sqrt(2 / N)), "layers.*.bias": REST},
    ),
    "Fourier MFN": (
        lambda: FourierMFN(D, C, weight_scale=2.0, **MFN),
        FILTERS | {"cell.hidden.*.weight": U(sqrt(2 / N)), "cell.hidden.*.bias": REST},
    ),
    "Fourier iMFN": (
        lambda: ImplicitField(FourierMFN(D, C, **MFN)),
        FILTERS | {"cell.hidden.*": REST},
    ),
    "Gabor MFN": (
        gabor,
        FILTERS | {"cell.hidden.*": REST}
        | {"cell.*.centres": U(1), "cell.*.precision": stats.gamma(6 / 3)},
    ),
    "injected SIREN": (
        lambda: InjectedSIREN(D, C, **MFN),
        FILTERS | {"cell.hidden.*.weight": REST, "cell.hidden.*.bias": U(pi)},
    ),
    "RBF": (lambda: RBF(D, features=N), {"centres": U(1), "precision": None}),
    "hash": (lambda: HashGrid(D, levels=2), {"table": U(1e-4)}),  # Mueller et al., Sec. 3
    # Sitzmann et al., Suppl. 9.1
    "hypernetwork": (
        lambda: Hypernetwork(SIREN(D, C, width=N, hidden_layers=1), 300, width=500),
        {"networks.*.layers.0.weight": normal(sqrt(2 / 300))}
        | {"networks.*.layers.0.bias": U(1 / sqrt(300))}
        | {"networks.*.layers.1.weight": normal(sqrt(2 / 500) / 100)}
        | {"networks.[01].layers.1.bias": U(1 / D), "networks.[23].layers.1.bias": U(1 / N)},
    ),
    "INSP-Conv": (
        lambda: INSPConvLayer(50, 40, order=2),
        {"operators": U(1 / sqrt(6)), "mixing": U(1 / sqrt(200))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_parameters_start_from_their_law(name):
    torch.manual_seed(0)
    build, laws = CASES[name]
    for parameter_name, parameter in build().named_parameters():
        if not parameter.requires_grad:
            continue
        found = [law for pattern, law in laws.items() if fnmatchcase(parameter_name, pattern)]
        assert len(found) == 1, parameter_name
        if found[0] is not None:
            values = parameter.detach().flatten().double().numpy()[:200_000]
            assert stats.kstest(values, found[0].cdf).pvalue > 1e-6, parameter_name


def test_the_laws_of_linear_layers_are_pytorchs_own_complex_ones_too():
    torch.manual_seed(0)
    for dtype in (torch.float, torch.cfloat):
        layer = nn.Linear(N, C, dtype=dtype)
        for parameter in layer.parameters():
            parts = torch.view_as_real(parameter) if dtype.is_complex else parameter
            values = parts.detach().flatten().double().numpy()
            assert stats.kstest(values, REST.cdf).pvalue > 1e-6


@pytest.mark.parametrize("activation", [torch.relu, functional.elu, functional.selu])
def test_gains_keep_the_mean_square_of_wide_layers(activation):
    r"""He et al. 2015: :math:`g^2 E[\phi(z)^2] = 1` for z from N(0, 1); SELU has g = 1."""

    def square(z):
        return float(activation(torch.tensor(z, dtype=torch.float64))) ** 2 * stats.norm.pdf(z)

    mean = sum(integrate.quad(square, *ends)[0] for ends in ((-9, 0), (0, 9)))
    torch.manual_seed(0)
    weight = MLP(D, C, activation=activation, **NET).layers[1].weight
    assert (weight.var() * N).item() == pytest.approx(1 / mean, rel=0.02)


def test_constants_at_the_start():
    """Widths of basis functions are the spacing of a grid; multipliers double evenly."""
    for d, features, spacing in ((1, 50, 2 / 50), (2, 100, 2 / 10), (3, 64, 2 / 4)):
        precision = RBF(d, features=features).precision
        torch.testing.assert_close(precision, torch.full((features,), 1 / (2 * spacing**2)))
    multipliers = ComposedMLP(2, 1, width=16).multipliers
    np.testing.assert_allclose(multipliers, 2.0 ** np.arange(-3, 13), rtol=1e-5)


MFN_DEFAULTS = {"scale": 256.0, "normalization": SpectralNorm, "layers": 1}
DEFAULTS = {
    SIREN: {"width": 256, "hidden_layers": 4, "omega_0": 30.0},  # Sec. 3.2 and released code
    SPDER: {"width": 256, "hidden_layers": 6, "omega_0": 30.0},  # Sec. 4.1 and released code
    # FINER's released code: the scripts of its image experiments, models.py
    FINER: {
        "width": 256, "hidden_layers": 4, "omega_0": 30.0,
        "bias_range": pytest.approx(1 / sqrt(2)),
    },
    WIRE: {"width": int(256 / sqrt(2)), "hidden_layers": 4, "omega": 20.0, "scale": 10.0},
    Gauss: {"width": 256, "hidden_layers": 4, "scale": 30.0},
    Gaussian: {"scale": 30.0},
    # chosen here, since FINER gives none: see their docstrings
    ModulatedSIREN: {"width": 256, "hidden_layers": 4, "omega_0": 30.0, "code": 256},
    MetaSinMLP: {"width": 256, "hidden_layers": 4, "components": 5},
    ComposedMLP: {"width": 256, "hidden_layers": 4, "lowest": 2**-3, "highest": 2**12},
    PositionalEncoding: {"lowest": pi},  # SPDER, Eq. 7
    # (Implicit)^2: supplement, image fitting; released code
    FourierMFN: MFN_DEFAULTS | {"weight_scale": 1.0},
    GaborMFN: MFN_DEFAULTS | {"weight_scale": 1.0, "alpha": 3.0, "entry_alpha": 6.0},
    InjectedSIREN: MFN_DEFAULTS,
    SpectralNorm: {"target": 0.97, "iterations": 5},
    ImplicitField: {
        "tolerance": 1e-3, "limit": 100, "per_sample": False,
        "method": Forward(), "gradient": Truncated(1),
    },
    Hypernetwork: {"latent": 256, "width": 256},  # SIREN, Suppl. 9.1
    MLPFusion: {"width": 256, "hidden_layers": 4, "activation": torch.relu},  # INSP, released code
}  # fmt: skip


@pytest.mark.parametrize("model", DEFAULTS, ids=lambda model: model.__name__)
def test_defaults_are_the_papers(model):
    parameters = signature(model).parameters
    assert {name: parameters[name].default for name in DEFAULTS[model]} == DEFAULTS[model]
