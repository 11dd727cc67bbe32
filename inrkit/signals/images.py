"""Images as signals: from a data set, a file, or an array, scaled to [-1, 1]."""

import hashlib
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from skimage.color import rgb2gray, rgba2rgb
from skimage.util import img_as_float64
from torch.nn.functional import interpolate

from inrkit.signals.grids import Signal, grid
from inrkit.signals.registry import opened


def image(
    source: str | Path | np.ndarray,
    *,
    size: int | None = None,
    grey: bool = True,
    channel: int | None = None,
) -> Signal:
    r"""An image as a signal: (row, column) coordinates and values, both on [-1, 1].

    Integer pixels :math:`p \in \{0, \dots, 255\}` become :math:`2p/255 - 1` (the inverse of SPDER,
    Eq. 19); floating-point pixels are taken to lie in [0, 1]. Transparency is laid over white.

    Args:
        source: name of an item ("camera", "div2k_valid_256/0801"), path of a file, or array
            ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)``.
        size: cut the central square, then resize it to ``size`` x ``size`` pixels, bilinearly and
            with anti-aliasing (as torchvision's Resize, which SPDER A.9 names).
        grey: one channel, the luminance 0.2125 R + 0.7154 G + 0.0721 B; else the image's own
            channels.
        channel: keep this channel alone instead (SPDER A.9.2 takes "one channel").

    Raises:
        ValueError: the source is missing, unreadable or not an image.
    """
    name, pixels, sha256 = _read(source)
    pixels = _channels(_floats(pixels, name), grey, channel)
    if size is not None:
        pixels = _resized(_central_square(pixels), size)
    values = torch.from_numpy(2 * pixels - 1).float().reshape(-1, pixels.shape[-1])
    return Signal(name, grid(pixels.shape[:2]), values, pixels.shape[:2], sha256)


def _read(source: str | Path | np.ndarray) -> tuple[str, np.ndarray, str]:
    """Name, pixels as stored, and SHA-256."""
    if isinstance(source, np.ndarray):
        return "array", source, hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()
    name, path, sha256 = opened(source, "an image file")
    try:
        pixels = imageio.imread(path, plugin="pillow", index=0, rotate=True)  # as its EXIF says
    except Exception as error:  # Pillow's plugins raise nearly anything on a damaged file
        raise ValueError(f"{path} cannot be read as an image (PNG, JPEG, ...): {error}") from error
    return name, pixels, sha256


def _floats(pixels: np.ndarray, name: str) -> np.ndarray:
    """Pixels as ``(H, W, C)`` floats in [0, 1]."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or pixels.size == 0:
        raise ValueError(
            f"an image is (H, W) or (H, W, C) with 1, 3 or 4 channels and at least one pixel, "
            f"{name} is {pixels.shape}"
        )
    if pixels.dtype.kind not in "buf":
        raise ValueError(f"pixels are unsigned, floating or boolean, {name} has {pixels.dtype}")
    pixels = img_as_float64(pixels) if pixels.dtype.kind != "f" else pixels.astype(np.float64)
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"floating-point pixels lie in [0, 1], those of {name} span "
            f"{pixels.min():g} to {pixels.max():g}"
        )
    return pixels


def _channels(pixels: np.ndarray, grey: bool, channel: int | None) -> np.ndarray:
    if pixels.shape[-1] == 4:
        pixels = rgba2rgb(pixels)
    if channel is not None:
        if not 0 <= channel < pixels.shape[-1]:
            raise ValueError(f"there is no channel {channel} among {pixels.shape[-1]}")
        return pixels[..., [channel]]
    if grey and pixels.shape[-1] == 3:
        return rgb2gray(pixels)[..., None]
    return pixels


def _central_square(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    if size < 1:
        raise ValueError(f"size is a number of pixels, at least 1, got {size}")
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    batch = interpolate(batch, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return batch[0].permute(1, 2, 0).numpy()
