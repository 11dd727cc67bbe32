r"""How near a reconstruction is to its target: error, structure, and amplitude spectrum.

All take tensors or arrays and compute in float64. ``axes`` are those of one item; the others are
kept, so that ``(*signals, n, c)`` with ``axes=(-2, -1)`` gives one number a signal. By default
everything is one item.
"""

import numpy as np
import skimage.metrics
from numpy.typing import ArrayLike
from torch import Tensor

Axes = tuple[int, ...] | None


def as_array(values: ArrayLike | Tensor) -> np.ndarray:
    """The values as a float64 array on the CPU."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _pair(prediction: ArrayLike | Tensor, target: ArrayLike | Tensor):
    prediction, target = as_array(prediction), as_array(target)
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target have one shape, got {prediction.shape} and {target.shape}"
        )
    return prediction, target


def mse(prediction, target, *, axes: Axes = None) -> np.ndarray:
    r"""Mean squared error :math:`\frac{1}{N} \sum_i (\hat y_i - y_i)^2`."""
    prediction, target = _pair(prediction, target)
    return np.square(prediction - target).mean(axis=axes)


def relative_error(prediction, target, *, axes: Axes = None) -> np.ndarray:
    r"""Relative error :math:`\|\hat y - y\|_2 / \|y\|_2`: 1 for a prediction of zero."""
    prediction, target = _pair(prediction, target)
    return np.sqrt(np.square(prediction - target).sum(axis=axes) / np.square(target).sum(axis=axes))


def psnr_from_mse(mse, *, data_range: float) -> np.ndarray:
    r"""Peak signal-to-noise ratio :math:`10 \log_{10}(R^2 / \mathrm{MSE})` in dB.

    SPDER, Eq. 22; with values on [-1, 1] the range R is 2 (Eq. 23). An MSE of zero gives infinity.
    """
    if data_range <= 0:
        raise ValueError(f"data_range is the distance from lowest to highest, got {data_range}")
    with np.errstate(divide="ignore"):
        return 10 * np.log10(data_range**2 / as_array(mse))


def psnr(prediction, target, *, data_range: float, axes: Axes = None) -> np.ndarray:
    """Peak signal-to-noise ratio in dB; see :func:`psnr_from_mse`."""
    return psnr_from_mse(mse(prediction, target, axes=axes), data_range=data_range)


def ssim(prediction, target, *, data_range: float) -> float:
    """Structural similarity of two images ``(H, W)`` or ``(H, W, C)``, by scikit-image.

    Windows are 7 x 7 and uniform; the mean is over pixels and channels.
    """
    prediction, target = _pair(prediction, target)
    if prediction.ndim not in (2, 3) or min(prediction.shape[:2]) < 7:
        raise ValueError(f"SSIM needs images of at least 7 x 7 pixels, got {prediction.shape}")
    channel_axis = -1 if prediction.ndim == 3 else None
    return float(
        skimage.metrics.structural_similarity(
            prediction, target, data_range=data_range, channel_axis=channel_axis
        )
    )


def to_8bit(values, *, low=-1.0, high=1.0) -> np.ndarray:
    r"""Pixels :math:`p = 255\,(y - y_{low}) / (y_{high} - y_{low})`, rounded and clipped.

    SPDER, Eq. 19, on [-1, 1]; with the values' own minimum and maximum it is Eq. 20.
    """
    values = as_array(values)
    return np.clip(np.rint((values - low) * 255 / (high - low)), 0, 255).astype(np.uint8)


def exact_8bit_share(prediction, target, *, minmax: bool = False, axes: Axes = None) -> np.ndarray:
    """Share of pixels that are the same integer in 0 to 255 as the target's (SPDER, A.13).

    Args:
        prediction, target: values on [-1, 1].
        minmax: stretch prediction and target each to its own minimum and maximum first (Eq. 20)
            instead of using [-1, 1] for both (Eq. 19).
    """
    pair = _pair(prediction, target)
    low, high = -1.0, 1.0
    pixels = []
    for values in pair:
        if minmax:
            low, high = values.min(axis=axes, keepdims=True), values.max(axis=axes, keepdims=True)
        pixels.append(to_8bit(values, low=low, high=high))
    return (pixels[0] == pixels[1]).mean(axis=axes)


def amplitude_correlation(prediction, target, *, axes: Axes = None) -> np.ndarray:
    r"""Similarity of two amplitude spectra, :math:`\rho_{AG}` (SPDER, Eq. 5).

    .. math:: \rho_{AG} = \frac{\sum_n A_n G_n}{\sqrt{\sum_n A_n^2} \sqrt{\sum_n G_n^2}}

    with the "zero-centred magnitudes" :math:`A_n = |\hat y_n| - \overline{|\hat y|}` of the
    discrete Fourier transform over ``axes``: the correlation coefficient of the two spectra, 1 if
    they agree up to a factor. The scale of the transform (2/N in Eq. 6, 1/MN in Eq. 18) cancels.

    The term at frequency zero counts: for an image of mean far from zero it outweighs the rest.
    The words could also mean a signal with its mean taken off first; of the readings, the one here
    comes nearest to the paper's Table 1 for photographs blurred until they have its errors.
    """
    prediction, target = _pair(prediction, target)
    spectra = []
    for values in (prediction, target):
        amplitudes = np.abs(np.fft.fftn(values, axes=axes))
        spectra.append(amplitudes - amplitudes.mean(axis=axes, keepdims=True))
    A, G = spectra
    norms = np.sqrt(np.square(A).sum(axis=axes) * np.square(G).sum(axis=axes))
    with np.errstate(invalid="ignore"):  # a flat spectrum has no direction: not a number
        return (A * G).sum(axis=axes) / norms


def correlation(first, second) -> float:
    """Pearson's correlation of all values; 0 where either does not vary."""
    first, second = _pair(first, second)
    first, second = first - first.mean(), second - second.mean()
    norms = np.sqrt(np.square(first).sum() * np.square(second).sum())
    return float((first * second).sum() / norms) if norms > 0 else 0.0


def affine_fit(prediction, target) -> np.ndarray:
    """The prediction times a factor plus a constant, such that its mean squared error is least.

    What derivatives cannot tell, or only up to their scale, is thereby taken from the target.
    """
    prediction, target = _pair(prediction, target)
    centred = prediction - prediction.mean()
    square = np.square(centred).sum()
    factor = (centred * target).sum() / square if square > 0 else 0.0
    return factor * centred + target.mean()
