"""Solvers: references in NumPy and SciPy that networks are compared with, and fixed points."""

from inrkit.solvers.adjoint import Implicit, Truncated, Unrolled, fixed_point
from inrkit.solvers.fixed_point import Anderson, Broyden, Forward, Solution, solve
from inrkit.solvers.poisson import from_gradients, from_laplacian, laplace, sobel

__all__ = [
    "Anderson",
    "Broyden",
    "Forward",
    "Implicit",
    "Solution",
    "Truncated",
    "Unrolled",
    "fixed_point",
    "from_gradients",
    "from_laplacian",
    "laplace",
    "sobel",
    "solve",
]
