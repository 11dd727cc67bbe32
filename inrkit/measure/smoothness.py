"""How well fields stand for pictures where derivatives are taken: at the pixels and between."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor, nn

from inrkit.calculus import partials
from inrkit.fields import evaluate, unstack
from inrkit.measure.metrics import as_array, psnr
from inrkit.signals import grid


@dataclass(frozen=True)
class PictureQuality:
    """Three numbers for each of N fields; see :func:`picture_quality`.

    Attributes:
        at_pixels: PSNR in dB, ``(N,)``.
        between: PSNR in dB between the pixels, ``(N,)``.
        roughness: 1 where a field bends as its picture does, ``(N,)``.
    """

    at_pixels: np.ndarray
    between: np.ndarray
    roughness: np.ndarray


def picture_quality(
    fields: nn.Module, pictures: Tensor, shape: tuple[int, int], *, group: int = 16
) -> PictureQuality:
    r"""Quality of a stack of fields, each fitted to a picture on :math:`[-1, 1]^2`.

    Between the pixels the target is a cubic spline of the picture (:func:`between_pixels`).
    Roughness is

    .. math:: R = \sqrt{\frac{\operatorname{mean} \sum_{|\alpha| = 2} \frac{2}{\alpha!}
              (h^\alpha D^\alpha \Phi)^2}{\operatorname{mean} \sum_{|\alpha| = 2}
              \frac{2}{\alpha!} (\delta^\alpha y)^2}}

    with derivatives at the pixels, h the distances between them, and :math:`\delta` the
    differences of neighbouring pixels. A field can go through all pixels and swing between them:
    then PSNR at the pixels is high, R far above 1, and derivatives mean nothing.

    Args:
        fields: stack of N.
        pictures: y, ``(N, n, c)`` in [-1, 1], on the same device.
        shape: rows and columns, whose product is n.
        group: fields at a time.

    Returns:
        one number a field; R is infinite for a picture without second differences.
    """
    coords = grid(shape, device=pictures.device, dtype=pictures.dtype)
    square = coords.reshape(*shape, 2)
    middles = ((square[1:, 1:] + square[:-1, :-1]) / 2).reshape(-1, 2)
    values, inside, bends = [], [], []
    for first in range(0, len(pictures), group):
        part = unstack(fields, slice(first, first + group))
        with torch.no_grad():
            found = partials(part, coords, 2)
        values.append(found.values[0])
        inside.append(evaluate(part, middles))
        bends.append(_bending(dict(zip(found.indices, found.values, strict=True)), shape))
    square = as_array(pictures).reshape(len(pictures), *shape, -1)
    between = between_pixels(square).reshape(len(pictures), len(middles), -1)
    psnrs = [
        psnr(torch.cat(found), target, data_range=2, axes=(-2, -1))
        for found, target in ((values, pictures), (inside, between))
    ]
    with np.errstate(divide="ignore"):
        roughness = np.sqrt(np.concatenate(bends) / second_differences(square))
    return PictureQuality(*psnrs, roughness)


def _bending(found: dict, shape: tuple[int, int]) -> np.ndarray:
    """Mean square of the Hessian of each field, in units of the pixels, ``(N,)``."""
    h = [2 / (n - 1) for n in shape]
    squares = 0.0
    for a, b in ((2, 0), (1, 1), (0, 2)):
        scaled = as_array(found[a, b]) * h[0] ** a * h[1] ** b
        squares = squares + (1 + (a == b)) * np.square(scaled).mean((-2, -1))
    return squares


def second_differences(pictures) -> np.ndarray:
    r"""Mean square of :math:`(\delta_{20} y, \sqrt2\,\delta_{11} y, \delta_{02} y)`, ``(N,)``.

    Args:
        pictures: y, ``(N, H, W, c)``.
    """
    y = as_array(pictures)
    once = np.diff(y, axis=1)
    terms = (np.diff(once, axis=1), np.diff(once, axis=2), np.diff(y, n=2, axis=2))
    mean = [np.square(term).mean((1, 2, 3)) for term in terms]
    return mean[0] + 2 * mean[1] + mean[2]


def between_pixels(pictures) -> np.ndarray:
    """Pictures amid each four pixels, by the cubic spline through all (SciPy, not-a-knot).

    Args:
        pictures: ``(N, H, W, c)``, at least 4 x 4 pixels.

    Returns:
        ``(N, H - 1, W - 1, c)``.
    """
    y = as_array(pictures)
    if y.ndim != 4 or min(y.shape[1:3]) < 4:
        raise ValueError(f"a cubic spline needs at least 4 x 4 pixels, got {y.shape[1:3]}")
    for axis in (1, 2):
        places = np.arange(y.shape[axis])
        y = make_interp_spline(places, y, k=3, axis=axis)(places[:-1] + 0.5)
    return y
