"""Images as signals: from a data set, a file, a picture or an array, scaled to [-1, 1]."""

import hashlib
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2gray
from torch import Tensor
from torch.nn.functional import interpolate

from inrkit.signals import given
from inrkit.signals.grids import Signal, grid
from inrkit.signals.pixels import Pixels, of_array, of_file, of_object
from inrkit.signals.registry import find, opened

BAND = 2**20  # pixels that are floats at a time


def image(
    source: str | PathLike | np.ndarray | Tensor | Image.Image,
    *,
    size: int | None = None,
    grey: bool = True,
    channel: int | None = None,
    centres: bool = False,
) -> Signal:
    r"""An image as a signal: (row, column) coordinates and values, both on [-1, 1].

    Pixels :math:`p \in \{0, \dots, m\}`, m = 255 or 65,535, become :math:`2p/m - 1` (for 255 the
    inverse of SPDER, Eq. 19), so that 16 bits stay 16; floating-point pixels lie in [0, 1].

    What a file means: colours become sRGB, by its colour profile (ICC, perceptual intent) or a
    PNG's gAMA; those of a data set's item stay as stored, as the papers read them. CMYK without a
    profile is (1 - c)(1 - k); a JPEG's is inverted, as Adobe writes it. A palette is looked up.
    Transparency, be it a channel, of a palette or one colour, is laid over white, in sRGB. The
    picture is turned as its EXIF orientation says. Of several frames or pages the first is read.

    Args:
        source: name of an item ("camera", "div2k_valid_256/0801"), path of a file, picture of
            Pillow's (its current frame), array ``(H, W)`` or ``(H, W, C)``, or tensor ``(H, W)`` or
            ``(C, H, W)`` as torchvision has it. C is 1 for grey, 2 with alpha, 3 for RGB, 4 with
            alpha.
        size: cut the central square, then resize it to ``size`` x ``size`` pixels, bilinearly and
            with anti-aliasing (as torchvision's Resize, which SPDER A.9 names). A JPEG of more than
            2**24 pixels is decoded at 1/2, 1/4 or 1/8, as long as 4 ``size`` are left.
        grey: one channel, the luminance 0.2125 R + 0.7154 G + 0.0721 B; else the image's own
            channels, one for grey or three.
        channel: keep this channel alone instead (SPDER A.9.2 takes "one channel").
        centres: whether coordinates are those of pixels' centres instead of reaching both ends, as
            :func:`~inrkit.signals.grid` has it. ``size`` averages over pixels' areas in any case.

    Raises:
        ValueError: the source is missing, unreadable, not an image, or means something that is
            not known.
    """
    size = None if size is None else given.whole("size", size, "pixels")
    name, pixels, sha256 = _read(source, size)
    height, width = pixels.shape
    rows, columns = _central_square(height, width) if size else (slice(0, height), slice(0, width))
    step = max(BAND // (columns.stop - columns.start), 1)
    bands = []
    for top in range(rows.start, rows.stop, step):
        band = _channels(pixels(slice(top, min(top + step, rows.stop)), columns), grey, channel)
        bands.append(_resized(band, len(band), size) if size else _scaled(band))
    values = np.concatenate(bands)
    values = _scaled(_resized(values, size, size)) if size else values
    shape = values.shape[:2]
    coords = grid(shape, centres=centres)
    return Signal(name, coords, torch.from_numpy(values).flatten(0, 1), shape, sha256)


def _read(source, size: int | None) -> tuple[str, Pixels, str]:
    """Name, pixels, and SHA-256."""
    if isinstance(source, Image.Image):
        name = Path(getattr(source, "filename", "") or "picture").name
        pixels, data = of_object(source, name)
        return name, pixels, hashlib.sha256(data).hexdigest()
    found = given.array(source, "an image")
    if found is not None:
        array, sha256 = found
        array = _channels_last(array) if isinstance(source, Tensor) else array
        return "array", of_array(array, "the array"), sha256
    name, path, sha256 = opened(source, "an image file")
    return name, of_file(path, name, side=size, managed=find(str(source)) is None), sha256


def _channels_last(array: np.ndarray) -> np.ndarray:
    """A tensor ``(C, H, W)`` as ``(H, W, C)``."""
    if array.ndim != 3:
        return array
    if array.shape[0] > 4 or array.shape[-1] <= 4:
        raise ValueError(
            f"a tensor's channels come first, (C, H, W) with C up to 4 and W above 4, this one is "
            f"{array.shape}: move them, or give an array (H, W, C)"
        )
    return np.moveaxis(array, 0, -1)


def _channels(pixels: np.ndarray, grey: bool, channel: int | None) -> np.ndarray:
    if channel is not None:
        if channel not in range(pixels.shape[-1]):
            raise ValueError(f"there is no channel {channel} among {pixels.shape[-1]}")
        return pixels[..., [int(channel)]]
    if grey and pixels.shape[-1] == 3:
        return rgb2gray(pixels)[..., None]
    return pixels


def _central_square(height: int, width: int) -> tuple[slice, slice]:
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinearly, with anti-aliasing; along one axis and then the other it is the same."""
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    batch = interpolate(
        batch, (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return batch[0].permute(1, 2, 0).numpy()


def _scaled(pixels: np.ndarray) -> np.ndarray:
    return (2 * pixels - 1).astype(np.float32)
