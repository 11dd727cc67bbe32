"""Learnt perceptual distance of images, by a network that was trained to see."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inrkit.measure.metrics import as_array
from inrkit.signals import DataError, files, locate

WEIGHTS = "lpips_alex/lpips_alex"  # item of the data registry
MEAN = (-0.030, -0.088, -0.188)  # of the pictures that the network was trained on, on [-1, 1]
DEVIATION = (0.458, 0.448, 0.450)
STRIDES, PADDINGS, POOLED = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), (1, 2)  # of AlexNet's convolutions
SMALLEST = 31  # pixels a side that leave the third convolution something to see


@dataclass(frozen=True, eq=False)
class LPIPS:
    r"""Learned perceptual image patch similarity (Zhang et al. 2018, Eq. 1), version 0.1, AlexNet.

    .. math:: d(x, y) = \sum_{l=1}^{5} \frac{1}{H_l W_l} \sum_{h, w}
              \bigl\| \sqrt{w_l} \odot (\hat x^l_{hw} - \hat y^l_{hw}) \bigr\|_2^2

    Here :math:`\hat x^l` are the activations of the l-th convolution, each pixel's of unit length.
    Lower is nearer; 0 for equal images.

    Attributes:
        arrays: kernels ``conv1_w`` ... ``conv5_w`` ``(out, in, h, w)``, biases ``conv1_b`` ... and
            channel weights ``lin1_w`` ...
    """

    arrays: dict[str, Tensor]

    def __call__(self, prediction, target) -> float:
        """Distance of two colour images ``(H, W, 3)`` on [0, 1].

        Raises:
            ValueError: shapes differ, or they are no colour images of at least 31 x 31 pixels.
        """
        pair = np.stack(_checked(as_array(prediction), as_array(target)))
        pixels = 2 * torch.from_numpy(pair).float().permute(0, 3, 1, 2) - 1
        total = 0.0
        with torch.no_grad():
            for weights, features in zip(self._heads(), self.features(pixels), strict=True):
                unit = features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
                total += (weights * (unit[0] - unit[1]).square()).sum(0).mean().item()
        return total

    def _heads(self) -> list[Tensor]:
        return [self.arrays[f"lin{i}_w"].reshape(-1, 1, 1) for i in range(1, 6)]

    def features(self, pixels: Tensor) -> list[Tensor]:
        """AlexNet's five rectified convolutions of ``(n, 3, H, W)`` on [-1, 1]."""
        mean, deviation = (pixels.new_tensor(v).reshape(3, 1, 1) for v in (MEAN, DEVIATION))
        x, found = (pixels - mean) / deviation, []
        for i, (stride, padding) in enumerate(zip(STRIDES, PADDINGS, strict=True)):
            if i in POOLED:
                x = functional.max_pool2d(x, 3, 2)
            kernel, bias = self.arrays[f"conv{i + 1}_w"], self.arrays[f"conv{i + 1}_b"]
            x = torch.relu(functional.conv2d(x, kernel, bias, stride, padding))
            found.append(x)
        return found


def _checked(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    small = first.ndim != 3 or first.shape[-1] != 3 or min(first.shape[:2]) < SMALLEST
    if small or first.shape != second.shape:
        raise ValueError(
            f"LPIPS needs two colour images (H, W, 3) of one shape and at least {SMALLEST} x "
            f"{SMALLEST} pixels, got {first.shape} and {second.shape}"
        )
    return first, second


def lpips(path: Path | None = None) -> LPIPS | None:
    """The metric with the weights of the data registry; None where these are not here.

    Args:
        path: of other weights in the same form (npz).
    """
    try:
        if path is None:
            path = locate(WEIGHTS)
        else:
            files.note(path)
    except DataError:
        return None
    with np.load(path) as arrays:
        return LPIPS({name: torch.from_numpy(arrays[name]) for name in arrays.files})
