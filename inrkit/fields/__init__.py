"""Fields: networks from coordinates ``(*signals, n, d)`` to values ``(*signals, n, c)``."""

from inrkit.fields.activations import (
    DampedSine,
    Gaussian,
    finer,
    gaussian,
    identity,
    log_abs,
    one,
    sqrt_abs,
    sqrt_relu,
)
from inrkit.fields.encodings import RBF, FourierFeatures, HashGrid, PositionalEncoding
from inrkit.fields.hyper import (
    Completed,
    Completer,
    ConditionalDecoder,
    ConvEncoder,
    Hypernetwork,
    PartialConv2d,
    SetEncoder,
)
from inrkit.fields.implicit import FixedPointCache, ImplicitField
from inrkit.fields.layers import Layer, affine
from inrkit.fields.mfn import (
    Cell,
    Explicit,
    FourierFilter,
    FourierMFN,
    GaborFilter,
    GaborMFN,
    InjectedSIREN,
)
from inrkit.fields.mlp import FINER, MLP, SIREN, SPDER, Gauss, encoded, evaluate, siren_gradient
from inrkit.fields.normalization import SpectralNorm, WeightNorm
from inrkit.fields.stack import count_parameters, stack, unstack

__all__ = [
    "FINER",
    "MLP",
    "RBF",
    "SIREN",
    "SPDER",
    "Cell",
    "Completed",
    "Completer",
    "ConditionalDecoder",
    "ConvEncoder",
    "DampedSine",
    "Explicit",
    "FixedPointCache",
    "FourierFilter",
    "FourierMFN",
    "GaborFilter",
    "GaborMFN",
    "Hypernetwork",
    "ImplicitField",
    "InjectedSIREN",
    "PartialConv2d",
    "SetEncoder",
    "SpectralNorm",
    "WeightNorm",
    "FourierFeatures",
    "Gauss",
    "Gaussian",
    "HashGrid",
    "Layer",
    "PositionalEncoding",
    "affine",
    "count_parameters",
    "encoded",
    "evaluate",
    "finer",
    "gaussian",
    "identity",
    "log_abs",
    "one",
    "siren_gradient",
    "sqrt_abs",
    "sqrt_relu",
    "stack",
    "unstack",
]
