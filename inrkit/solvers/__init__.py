"""Reference solvers in NumPy and SciPy: what networks are compared with.

Those for waves are modules, ``helmholtz.solve``, ``wave.solve``, ``inversion.admm``.
"""

from inrkit.solvers import helmholtz, inversion, wave
from inrkit.solvers.poisson import from_gradients, from_laplacian, laplace, sobel

__all__ = [
    "from_gradients",
    "from_laplacian",
    "helmholtz",
    "inversion",
    "laplace",
    "sobel",
    "wave",
]
