"""Solvers: references in NumPy and SciPy that networks are compared with, and fixed points.

Those for waves are modules, ``helmholtz.solve``, ``wave.solve``, ``inversion.admm``.
"""

from inrkit.solvers import helmholtz, inversion, wave
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
    "helmholtz",
    "inversion",
    "laplace",
    "sobel",
    "solve",
    "wave",
]
