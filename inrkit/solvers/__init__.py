"""Reference solvers in NumPy and SciPy: what networks are compared with."""

from inrkit.solvers.poisson import from_gradients, from_laplacian, laplace, sobel

__all__ = ["from_gradients", "from_laplacian", "laplace", "sobel"]
