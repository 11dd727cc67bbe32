"""Derivatives that flow forward: truncated Taylor series (jets) and the operators built on them."""

from inrkit.calculus import compositions as _rules  # registers the rules  # noqa: F401
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
from inrkit.calculus.slopes import elementwise, value_and_slope
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
    "value_and_slope",
]
