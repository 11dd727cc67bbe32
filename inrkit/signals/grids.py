"""Regular grids of coordinates, and signals sampled on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


def grid(
    shape: Sequence[int],
    *,
    low: float = -1.0,
    high: float = 1.0,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Coordinates of a regular grid on :math:`[\text{low}, \text{high}]^d`, end points included.

    Point :math:`(i_1, \dots, i_d)` lies at :math:`\text{low} + (\text{high} - \text{low})\,
    i_k / (N_k - 1)` along axis k; the last axis runs fastest, so that an image is (row, column).

    Args:
        shape: number of points :math:`N_k` along each of the d axes.

    Returns:
        coordinates, ``(prod(shape), d)``.
    """
    if len(shape) == 0 or min(shape) < 1:
        raise ValueError(f"a grid needs at least one point along every axis, got {tuple(shape)}")
    axes = [torch.linspace(low, high, n, device=device, dtype=dtype) for n in shape]
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
