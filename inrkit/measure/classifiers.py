"""Classifiers that need no training loop: principal components, and a support vector machine."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from inrkit.measure.metrics import as_array


def principal_components(train, other, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the directions of most variance, found on the first set alone.

    Args:
        train: ``(N, d)``.
        other: ``(M, d)``.
        count: number of directions, at most N and d.

    Returns:
        ``(N, count)`` and ``(M, count)``.
    """
    train, other = as_array(train), as_array(other)
    if not 1 <= count <= min(train.shape):
        raise ValueError(f"there are 1 to {min(train.shape)} components, got {count}")
    mean = train.mean(0)
    _, _, directions = np.linalg.svd(train - mean, full_matrices=False)
    return (train - mean) @ directions[:count].T, (other - mean) @ directions[:count].T


def support_vectors(train, labels, other, *, penalty: float = 1.0) -> np.ndarray:
    r"""Classes by a support vector machine, one against the rest.

    .. math:: \min_a \tfrac12 a^\top K a + C \sum_i \max(0,\, 1 - y_i (K a)_i)^2, \qquad
              K_{ij} = e^{-\gamma |x_i - x_j|^2}

    with :math:`y_i = \pm 1` for each class, the squared hinge, and :math:`\gamma` one over d times
    the variance of all numbers. The problem is convex; L-BFGS solves it for all classes at once.

    Args:
        train: x, ``(N, d)``.
        labels: classes, ``(N,)``.
        other: ``(M, d)``.
        penalty: C.

    Returns:
        a class for each of the others, ``(M,)``.
    """
    train, other = as_array(train), as_array(other)
    gamma = 1 / (train.shape[1] * train.var())
    classes, coded = np.unique(as_array(labels), return_inverse=True)
    weights = fit_kernel_machine(_kernel(train, train, gamma), coded, penalty)
    return classes[(_kernel(other, train, gamma) @ weights).argmax(-1)]


def fit_kernel_machine(kernel: np.ndarray, labels: np.ndarray, penalty: float) -> np.ndarray:
    r"""The weights a of each class, ``(N, classes)``, of :func:`support_vectors`.

    With :math:`K = R^\top R` and :math:`b = R a` the problem is well conditioned in b.
    """
    n, count = len(kernel), int(labels.max()) + 1
    signs = np.where(labels[:, None] == np.arange(count), 1.0, -1.0)
    root = cholesky(kernel + 1e-10 * np.eye(n))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        b = flat.reshape(n, count)
        slack = np.maximum(0, 1 - signs * (root.T @ b))
        value = 0.5 * np.square(b).sum() + penalty * np.square(slack).sum()
        return value, (b - 2 * penalty * (root @ (signs * slack))).ravel()

    options = {"maxiter": 500, "maxfun": 1000, "gtol": 1e-6, "ftol": 1e-14}
    found = minimize(objective, np.zeros(n * count), jac=True, method="L-BFGS-B", options=options)
    return solve_triangular(root, found.x.reshape(n, count))


def _kernel(x: np.ndarray, y: np.ndarray, gamma: float) -> np.ndarray:
    squares = np.square(x).sum(-1)[:, None] + np.square(y).sum(-1) - 2 * x @ y.T
    return np.exp(-gamma * np.maximum(squares, 0))
