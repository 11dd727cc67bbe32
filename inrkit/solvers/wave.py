r"""The wave equation in two dimensions, from rest.

.. math:: \partial_t^2 u = c^2 \Delta u, \qquad u(x, 0) = f(x), \qquad \partial_t u(x, 0) = 0

(SIREN, Suppl. 5.4; its Eq. 15 and 18 print first derivatives on both sides, a misprint.) Two routes
that share nothing: :func:`solve` steps any start on a periodic grid in Fourier space, and
:func:`pulse` is the closed form for a Gaussian.
"""

import numpy as np
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.special import j0

ROWS = 4096  # radii whose Bessel functions are held at once


def axis(points: int, side: float = 2.0) -> np.ndarray:
    """N points of a periodic axis, from -side/2 on; side/2 is the first one again."""
    return side * (np.arange(points) / points - 0.5)


def solve(
    initial: np.ndarray, times: np.ndarray, *, side: float = 2.0, c: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""The field and its rate of change at given times, exact for every wave on the grid.

    .. math:: \hat u(k, t) = \cos(c |k| t) \, \hat f(k), \qquad
              \partial_t \hat u(k, t) = -c |k| \sin(c |k| t) \, \hat f(k)

    The box is periodic: what leaves comes back on the other side. The field is that of an endless
    plane as long as the front, which starts at the rim of f, has not met its own image.

    Args:
        initial: f, ``(N, N)`` on :func:`axis` along both axes.
        times: t, ``(T,)``.
        side: of the box.
        c: speed.

    Returns:
        u and :math:`\partial_t u`, ``(T, N, N)`` each.
    """
    f = np.asarray(initial, dtype=float)
    if f.ndim != 2 or f.shape[0] != f.shape[1]:
        raise ValueError(f"the start must be given on a square grid, got shape {f.shape}")
    n = len(f)
    rows, columns = fftfreq(n, side / n), rfftfreq(n, side / n)
    rate = 2 * np.pi * c * np.hypot(rows[:, None], columns)
    phase, spectrum = rate * np.reshape(times, (-1, 1, 1)), rfft2(f)
    u = irfft2(np.cos(phase) * spectrum, s=f.shape)
    return u, irfft2(-rate * np.sin(phase) * spectrum, s=f.shape)


def pulse(
    r: np.ndarray, t: np.ndarray, *, variance: float, amplitude: float = 1.0, c: float = 1.0
) -> np.ndarray:
    r"""The field of a Gaussian :math:`f = A e^{-r^2 / 2v}`, as a Hankel integral.

    .. math:: u(r, t) = A v \int_0^\infty k \, e^{-k^2 v / 2} \cos(c k t) \, J_0(k r) \, dk

    by Gauss-Legendre quadrature up to :math:`k = 9 / \sqrt v`, where the integrand has vanished,
    with three nodes to a period of its fastest wave and a hundred more.

    Args:
        r: distances from the centre, any shape.
        t: times, any shape.
        variance: v.
        amplitude: A.
        c: speed.

    Returns:
        ``(*t.shape, *r.shape)``.
    """
    if not variance > 0:
        raise ValueError(f"the variance of a pulse must be positive, got {variance}")
    r, t = np.asarray(r, dtype=float), np.asarray(t, dtype=float)
    highest = 9 / np.sqrt(variance)
    phase = highest * (c * np.abs(t).max() + np.abs(r).max())
    x, weights = np.polynomial.legendre.leggauss(100 + int(phase / 2))
    k = highest * (x + 1) / 2
    weights = weights * highest / 2 * amplitude * variance * k * np.exp(-variance * k**2 / 2)
    moving = (weights * np.cos(c * np.multiply.outer(t.ravel(), k))).T
    flat = r.ravel()
    parts = [
        j0(np.outer(flat[i : i + ROWS], k)) @ moving for i in range(0, max(len(flat), 1), ROWS)
    ]
    return np.concatenate(parts).T.reshape(*t.shape, *r.shape)
