"""Regular grids of coordinates, and signals sampled on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from torch import Tensor


def grid(
    shape: Sequence[int],
    *,
    low: float = -1.0,
    high: float = 1.0,
    centres: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Coordinates of a regular grid on :math:`[\text{low}, \text{high}]^d`.

    Along axis k, point :math:`(i_1, \dots, i_d)` lies at

    .. math:: \text{low} + (\text{high} - \text{low})\, \frac{i_k}{N_k - 1}
              \qquad \text{or} \qquad
              \text{low} + (\text{high} - \text{low})\, \frac{i_k + 1/2}{N_k}:

    end points included, as in SIREN's code, or with ``centres`` in the middle of N equal parts, as
    pixels are in many other programs (``align_corners=False``). The last axis runs fastest, so that
    an image is (row, column). A single point lies at the lower end, or in the middle.

    Args:
        shape: number of points :math:`N_k` along each of the d axes.
        low: where each axis begins.
        high: where it ends.
        centres: whether points lie at the centres of pixels.

    Returns:
        coordinates, ``(prod(shape), d)``.

    Raises:
        ValueError: an axis has no points, or its ends are not finite.
    """
    if len(shape) == 0 or min(shape) < 1:
        raise ValueError(f"a grid needs at least one point along every axis, got {tuple(shape)}")
    if not (isfinite(low) and isfinite(high)):
        raise ValueError(f"a grid lies between finite ends, got {low} and {high}")
    inset = [(high - low) / (2 * n) if centres else 0 for n in shape]
    axes = [
        torch.linspace(low + d, high - d, n, device=device, dtype=dtype)
        for n, d in zip(shape, inset, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))


@dataclass(frozen=True, eq=False)
class Signal:
    """A signal sampled on a grid: what a field is fitted to.

    Attributes:
        name: item of a data set, file name, or "array".
        coords: ``(n, d)`` on [-1, 1], in the order of ``shape``.
        values: ``(n, c)`` in [-1, 1].
        shape: points along each of the d axes; n is their product.
        sha256: of the file that the signal was read from, or of the array's bytes in C order.
    """

    name: str
    coords: Tensor
    values: Tensor
    shape: tuple[int, ...]
    sha256: str

    def to(self, device: torch.device | str) -> "Signal":
        """The same signal with coordinates and values on ``device``."""
        return replace(self, coords=self.coords.to(device), values=self.values.to(device))

    def image(self, values: Tensor | None = None) -> np.ndarray:
        """Values in [-1, 1] as an array ``(*shape, c)`` in [0, 1], clipped, for display and SSIM.

        Args:
            values: what a field gives at ``coords``, ``(n, c)``; the signal's own by default.
        """
        values = self.values if values is None else values
        array = values.detach().cpu().double().numpy().reshape(*self.shape, -1)
        return np.clip((array + 1) / 2, 0, 1)
