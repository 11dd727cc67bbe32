"""Derivatives that flow forward: truncated Taylor series (jets) and the operators built on them."""

from inrkit.calculus.compositions import elementwise
from inrkit.calculus.jet import Jet, UnknownOperation
from inrkit.calculus.operators import (
    Partials,
    derivative,
    divergence,
    gradient,
    hessian,
    hessian_trace,
    laplacian,
    nested_autograd,
    partials,
    second_order,
)
from inrkit.calculus.truncation import Truncation, along_axes, total_degree

__all__ = [
    "Jet",
    "Partials",
    "Truncation",
    "UnknownOperation",
    "along_axes",
    "derivative",
    "divergence",
    "elementwise",
    "gradient",
    "hessian",
    "hessian_trace",
    "laplacian",
    "nested_autograd",
    "partials",
    "second_order",
    "total_degree",
]
