r"""Pictures from their derivatives: the exact answers to SIREN's Eq. 5 on the pixel grid.

The derivative filters of the paper (Suppl. 3.2), with the picture mirrored at its borders, are
diagonal in cosine and sine bases of half-sample symmetry. Along one axis of N pixels, with
:math:`\theta = \pi k / N` and :math:`x_i = i + \tfrac12`,

.. math:: (1, 2, 1) * \cos(\theta x) &= (2 + 2 \cos\theta) \cos(\theta x) \\
          (-1, 0, 1) * \cos(\theta x) &= -2 \sin\theta \, \sin(\theta x)

so that least squares is a division in that basis. The mean is not determined, and is set to zero.
Arrays are float64, ``(H, W)`` or ``(H, W, C)``.
"""

import numpy as np
from scipy.fft import dct, dst, idctn
from scipy.ndimage import correlate1d

AXES = (0, 1)


def sobel(image: np.ndarray) -> np.ndarray:
    """Sobel's derivatives along rows and columns, not normalized (eight times a pixel's slope).

    Returns:
        ``(*image.shape, 2)``.
    """
    image = np.asarray(image, dtype=np.float64)
    slopes = []
    for axis in AXES:
        smooth = correlate1d(image, [1, 2, 1], axis=1 - axis, mode="reflect")
        slopes.append(correlate1d(smooth, [-1, 0, 1], axis=axis, mode="reflect"))
    return np.stack(slopes, axis=-1)


def laplace(image: np.ndarray) -> np.ndarray:
    """The five-point Laplacian of pixels a distance 1 apart."""
    image = np.asarray(image, dtype=np.float64)
    return sum(correlate1d(image, [1, -2, 1], axis=axis, mode="reflect") for axis in AXES)


def from_gradients(gradients: np.ndarray, *, least_gain: float = 1e-12) -> np.ndarray:
    r"""The picture of mean zero whose Sobel derivatives are nearest to those given.

    .. math:: \min_f \sum_i \|(\mathrm{Sobel}\, f)_i - g_i\|^2

    Args:
        gradients: g, ``(H, W, 2)`` or ``(H, W, C, 2)``, as :func:`sobel` returns.
        least_gain: share of the filter's largest gain below which a component of the picture counts
            as not determined, and is left out. Sobel's filter hardly sees a checkerboard, which
            gradients that belong to no picture therefore evoke; 0.02 leaves it out.
    """
    gradients = _checked(gradients)
    if gradients.shape[-1] != 2:
        raise ValueError(f"gradients have two components, last, got shape {gradients.shape}")
    projected, squares = 0.0, 0.0
    for axis in AXES:
        factor = _slope(gradients.shape, axis) * _smoothing(gradients.shape, 1 - axis)
        factor = _beside(factor, gradients.ndim - 1)
        projected = projected + factor * _sines(gradients[..., axis], axis)
        squares = squares + factor**2
    seen = squares > least_gain**2 * squares.max()
    return idctn(_quotient(projected, np.where(seen, squares, 0)), axes=AXES, norm="ortho")


def from_laplacian(laplacian: np.ndarray) -> np.ndarray:
    r"""The picture f of mean zero with :math:`\Delta f = g - \bar g` on the pixel grid.

    Args:
        laplacian: g, ``(H, W)`` or ``(H, W, C)``, as :func:`laplace` returns.
    """
    laplacian = _checked(laplacian)
    eigenvalues = sum(_smoothing(laplacian.shape, axis) - 4 for axis in AXES)
    cosines = dct(dct(laplacian, axis=0, norm="ortho"), axis=1, norm="ortho")
    return idctn(_quotient(cosines, _beside(eigenvalues, laplacian.ndim)), axes=AXES, norm="ortho")


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the derivatives hold values that are not finite numbers")
    return values


def _angles(shape: tuple[int, ...], axis: int) -> np.ndarray:
    angles = np.pi * np.arange(shape[axis]) / shape[axis]
    return angles[:, None] if axis == 0 else angles[None, :]


def _smoothing(shape: tuple[int, ...], axis: int) -> np.ndarray:
    return 2 + 2 * np.cos(_angles(shape, axis))


def _slope(shape: tuple[int, ...], axis: int) -> np.ndarray:
    return -2 * np.sin(_angles(shape, axis))


def _beside(factor: np.ndarray, ndim: int) -> np.ndarray:
    """``(H, W)`` factors to stand beside ``(H, W)`` or ``(H, W, C)``."""
    return factor.reshape(*factor.shape, *[1] * (ndim - 2))


def _sines(slopes: np.ndarray, axis: int) -> np.ndarray:
    """Sine coefficients along ``axis``, cosine along the other; sine k stands at place k."""
    sines = np.roll(dst(slopes, axis=axis, norm="ortho"), 1, axis=axis)  # sine N is out of reach
    return dct(sines, axis=1 - axis, norm="ortho")


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, zero where the denominator is: those components are not determined."""
    zero = np.abs(denominator) < 1e-14
    return np.where(zero, 0.0, numerator / np.where(zero, 1.0, denominator))
