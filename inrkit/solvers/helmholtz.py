r"""The Helmholtz equation on a square with absorbing borders, on a grid of fourth order inside.

On :math:`[-1, 1]^2`, with time factor :math:`e^{j \omega t}`, squared slowness m, and wavenumber k
where m is one,

.. math:: \partial_1 \Bigl( \frac{e_2}{e_1} \partial_1 u \Bigr)
          + \partial_2 \Bigl( \frac{e_1}{e_2} \partial_2 u \Bigr) + e_1 e_2 k^2 m \, u = f,
          \qquad e_i = 1 - j a_0 \Bigl( \frac{\max(|x_i| - 1 + L, 0)}{L} \Bigr)^2,

and u = 0 on the border (SIREN, Suppl. Eq. 11). The perfectly matched layer is L wide and lets no
wave back; further in, :math:`e_i = 1`. The paper writes -f on the right: its fields are those here
with the other sign.

The scheme has nine points: with :math:`\delta_i^2` the second difference along axis i, both sides
are averaged by :math:`B = 1 + (\delta_1^2 + \delta_2^2) / 12`, and each derivative by
:math:`1 + \delta^2 / 12` along the other axis. Arrays are ``(N, N)``, :math:`x_1` along rows,
border included. A source must be resolved: a Gaussian's standard deviation is at least the spacing.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu
from scipy.special import hankel2


@dataclass(frozen=True)
class Discretization:
    r"""The equation at the n = (N - 2)² inner points of a grid, :math:`A(m) u = B f`.

    .. math:: A(m) = K + B \, \mathrm{diag}(w m), \qquad w = k^2 e_1 e_2

    Attributes:
        points: N, along each axis, border included.
        stiffness: K, ``(n, n)``.
        average: B, ``(n, n)``, real and symmetric.
        mass: w, ``(n,)``.
    """

    points: int
    stiffness: sparse.csc_array
    average: sparse.csc_array
    mass: np.ndarray

    def factor(self, slowness_squared: np.ndarray) -> SuperLU:
        """The LU factors of A(m), to be used for any number of sources.

        Args:
            slowness_squared: m, ``(N, N)``.
        """
        matrix = self.stiffness + self.average @ sparse.diags_array(
            self.mass * self.inner(slowness_squared)
        )
        return splu(  # a symmetric pattern fills half as much in this order, and needs no pivots
            matrix.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )

    def inner(self, values: np.ndarray) -> np.ndarray:
        """Values at inner points, from ``(*any, N, N)`` to ``(n, *any)``."""
        inside = values[..., 1:-1, 1:-1]
        return np.moveaxis(inside.reshape(*values.shape[:-2], -1), -1, 0)

    def outer(self, values: np.ndarray) -> np.ndarray:
        """Back from ``(n, *any)`` to ``(*any, N, N)``, with zeros on the border."""
        inside = np.moveaxis(values, 0, -1).reshape(*values.shape[1:], *[self.points - 2] * 2)
        return np.pad(inside, [(0, 0)] * (values.ndim - 1) + [(1, 1), (1, 1)])


def discretize(
    points: int, wavenumber: float, *, width: float = 0.5, strength: float = 5.0
) -> Discretization:
    """The scheme on a grid, before the slowness is known.

    Args:
        points: N, along each axis, border included.
        wavenumber: k, in radians a unit of length.
        width: L of the absorbing layer.
        strength: :math:`a_0` of the absorbing layer.
    """
    if points < 5:
        raise ValueError(f"the grid needs at least 5 points an axis, got {points}")
    x, h = axis(points), 2 / (points - 1)
    between = 1 / _stretch((x[1:] + x[:-1]) / 2, width, strength)
    slope = sparse.diags_array(
        [between[1:-1], -(between[1:] + between[:-1]), between[1:-1]], offsets=[-1, 0, 1]
    )
    n = points - 2
    across = sparse.diags_array([1 / 12, 10 / 12, 1 / 12], offsets=[-1, 0, 1], shape=(n, n))
    e = _stretch(x[1:-1], width, strength)
    across_e = across @ sparse.diags_array(e)
    stiffness = (sparse.kron(slope, across_e) + sparse.kron(across_e, slope)) / h**2
    second = sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)) / 12
    one = sparse.eye_array(n)
    average = sparse.kron(one, one) + sparse.kron(second, one) + sparse.kron(one, second)
    mass = wavenumber**2 * np.outer(e, e).ravel()
    return Discretization(points, stiffness.tocsc(), average.tocsc(), mass)


def solve(
    slowness_squared: np.ndarray,
    source: np.ndarray,
    *,
    wavenumber: float,
    width: float = 0.5,
    strength: float = 5.0,
) -> np.ndarray:
    """The field u of each source.

    Where neither the source nor the absorbing layer is, the error falls with the fourth power of
    the spacing; within the layer, whose coefficients bend, and over the whole grid with the second.

    Args:
        slowness_squared: m, ``(N, N)``, positive.
        source: f, ``(*sources, N, N)``, zero on the border.
        wavenumber: k, in radians a unit of length.
        width, strength: L and :math:`a_0` of the absorbing layer.

    Returns:
        u, complex, in the shape of ``source``.

    Raises:
        ValueError: the shapes do not agree, or a slowness is not positive.
    """
    m, f = np.asarray(slowness_squared, dtype=float), np.asarray(source)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or f.shape[-2:] != m.shape:
        raise ValueError(
            f"slowness and sources need the same square grid, got shapes {m.shape} and {f.shape}"
        )
    if not (np.isfinite(m).all() and m.min() > 0):
        raise ValueError("squared slowness must be positive everywhere")
    scheme = discretize(len(m), wavenumber, width=width, strength=strength)
    right = scheme.average @ scheme.inner(f.astype(complex)).reshape(len(scheme.mass), -1)
    u = scheme.factor(m).solve(right)
    return scheme.outer(u.reshape(-1, *f.shape[:-2]))


def axis(points: int) -> np.ndarray:
    """N points from -1 to 1, ends included."""
    return np.linspace(-1, 1, points)


def gaussian(points: int, centre: tuple[float, float], variance: float) -> np.ndarray:
    r"""A source of integral one, :math:`e^{-r^2 / 2v} / (2 \pi v)`, on the grid, ``(N, N)``.

    Args:
        points: N, along each axis.
        centre: where r is zero.
        variance: v.
    """
    x = axis(points)
    squares = np.add.outer((x - centre[0]) ** 2, (x - centre[1]) ** 2)
    return np.exp(-squares / (2 * variance)) / (2 * np.pi * variance)


def disc(points: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Share of the cell round each grid point that a disc covers, ``(N, N)`` in [0, 1].

    A medium averaged over cells has an error ten times smaller than one with stair steps. The
    share is exact along the second axis, and a mean over 64 lines along the first.

    Args:
        points: N, along each axis.
        centre: of the disc.
        radius: of the disc.
    """
    x, h, lines = axis(points), 2 / (points - 1), 64
    fine = x[:, None] + h * ((np.arange(lines) + 0.5) / lines - 0.5)
    chord = np.sqrt(np.maximum(radius**2 - (fine - centre[0]) ** 2, 0))[..., None]
    high = np.minimum(centre[1] + chord, x + h / 2)
    low = np.maximum(centre[1] - chord, x - h / 2)
    return np.maximum(high - low, 0).mean(axis=1) / h


def free_space(
    points: np.ndarray, source: tuple[float, float], wavenumber: float, variance: float
) -> np.ndarray:
    r"""The field of a :func:`gaussian` source in a plane without borders, m = 1.

    .. math:: u = \frac{j}{4} H_0^{(2)}(k r) \, e^{-k^2 v / 2}

    The last factor is the Gaussian's Fourier transform at k: what its width takes from a point
    source. The form holds where the Gaussian has vanished: its tail adds a part of the order of
    :math:`e^{-r^2 / 2v}`, about 1e-8 at r = 6 standard deviations.

    Args:
        points: ``(*any, 2)``.
        source: where r is zero.
        wavenumber: k.
        variance: v of the source; zero for a point source.
    """
    r = np.linalg.norm(np.asarray(points) - np.asarray(source), axis=-1)
    return 0.25j * hankel2(0, wavenumber * r) * np.exp(-(wavenumber**2) * variance / 2)


def _stretch(x: np.ndarray, width: float, strength: float) -> np.ndarray:
    return 1 - 1j * strength * (np.maximum(np.abs(x) - 1 + width, 0) / width) ** 2
