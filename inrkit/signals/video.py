"""Videos as signals: from a data set, a file, or an array; 8-bit on the device."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from numbers import Real
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from inrkit.signals import given
from inrkit.signals.frames import read
from inrkit.signals.grids import grid
from inrkit.signals.registry import opened


@dataclass(frozen=True, eq=False)
class Video:
    """A video: what a field of (time, row, column) is fitted to, kept as 8-bit pixels.

    Attributes:
        name: item of a data set, file name, or "array".
        pixels: ``(T, H, W, 3)``, uint8.
        rate: frames a second.
        sha256: of the file that the video was read from, or of the array's bytes in C order.
    """

    name: str
    pixels: Tensor
    rate: float
    sha256: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows and columns (T, H, W)."""
        return tuple(self.pixels.shape[:3])

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device | str) -> "Video":
        """The same video with its pixels on ``device``."""
        return replace(self, pixels=self.pixels.to(device))

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """Pixels drawn at random from all frames, with replacement.

        Nothing waits for the device, and no more than these pixels are ever floats.

        Returns:
            coordinates (time, row, column) ``(n, 3)`` and values ``(n, 3)``, both on [-1, 1], end
            points included.
        """
        T, H, W = self.shape
        index = torch.randint(T * H * W, (n,), device=self.pixels.device)
        places = (index // (H * W), index // W % H, index % W)
        axes = [_place(i, size) for i, size in zip(places, self.shape, strict=True)]
        return torch.stack(axes, dim=-1), _values(self.pixels.reshape(-1, 3)[index])

    def frame_coords(self, t: int) -> Tensor:
        """Coordinates of frame ``t``, ``(H * W, 3)``, columns fastest."""
        T, H, W = self.shape
        plane = grid((H, W), device=self.pixels.device)
        time = _place(torch.full_like(plane[:, :1], range(T)[t]), T)
        return torch.cat([time, plane], dim=-1)

    def frame(self, t: int) -> Tensor:
        """Values of frame ``t`` on [-1, 1], ``(H * W, 3)``, in the order of its coordinates."""
        return _values(self.pixels[t].reshape(-1, 3))


def _place(index: Tensor, size: int) -> Tensor:
    """Of ``size`` points on [-1, 1], those with these indices."""
    return index * (2 / max(size - 1, 1)) - 1


def _values(pixels: Tensor) -> Tensor:
    return pixels * (2 / 255) - 1


def video(
    source: str | Path | np.ndarray | Tensor,
    *,
    frames: int | None = None,
    factor: int = 1,
    rate: float | None = None,
) -> Video:
    r"""A video as a signal; pixels :math:`p \in \{0, \dots, 255\}` become :math:`2p/255 - 1`.

    Frames are decoded one after the other, and reduced as they come. They are as a player shows
    them: turned as the display matrix says; colours by the file's own matrix and range (BT.601
    where it names none, as in FFmpeg) in 8 bits; transparency over white; pixels that are not
    square made so, by stretching their shorter side. Frames at uneven times are shown at even ones,
    k / rate, each time the last one that has come; the step is the shortest between two frames, so
    that all are seen, or where that gave ten times as many frames as there are, the mean.

    Args:
        source: name of an item ("bikes"), path of a file (all that FFmpeg reads, GIF too), or array
            or tensor ``(T, H, W, 3)`` of uint8, or of floats in [0, 1].
        frames: keep so many from the beginning; all by default, or where there are fewer.
        factor: each pixel is the mean of a square of ``factor`` x ``factor``; rows and columns that
            fill no square are cut off.
        rate: frames a second of an array; a file has its own.

    Raises:
        ValueError: the source is missing, not a video, cut short, holds no frames, frames of
            several sizes or of high dynamic range, or is smaller than a square of ``factor``; an
            array has other numbers, or comes without a rate.
        TypeError: the source is no name, path, array or tensor.
    """
    if frames is not None and not _whole(frames):
        raise ValueError(f"frames is a whole number of frames, at least 1, got {frames}")
    if not _whole(factor):
        raise ValueError(f"factor is a whole number of pixels, at least 1, got {factor}")
    name, decoded, rate, sha256 = _read(source, rate)
    kept = islice(decoded, None if frames is None else int(frames))
    reduced = [_reduced(frame, int(factor), name) for frame in kept]
    if not reduced:
        raise ValueError(f"{name} is a video without frames")
    sizes = dict.fromkeys(tuple(frame.shape[:2]) for frame in reduced)
    if len(sizes) > 1:
        raise ValueError(f"frames of {name} have several sizes: {', '.join(map(str, sizes))}")
    return Video(name, torch.stack(reduced), float(rate), sha256)


def _whole(value) -> bool:
    return (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and 1 <= value < float("inf")
        and value == int(value)
    )


def _read(source, rate: float | None) -> tuple[str, Iterator[np.ndarray], float, str]:
    """Name, frames, their rate, and SHA-256."""
    if not isinstance(source, str | Path | np.ndarray | Tensor):
        raise TypeError(
            f"a video is a name, a path, an array or a tensor, got {type(source).__name__}"
        )
    if found := given.array(source, "a video"):
        if rate is None:
            raise ValueError("an array does not say how fast it is to be shown: give its rate")
        if isinstance(rate, bool) or not (isinstance(rate, Real) and 0 < rate < float("inf")):
            raise ValueError(f"rate is a number of frames a second above 0, got {rate}")
        return "array", iter(_checked(found[0])), rate, found[1]
    if rate is not None:
        raise ValueError("a file says itself how fast it is to be shown: give no rate")
    name, path, sha256 = opened(source, "a video file")
    return name, *read(path), sha256


def _checked(pixels: np.ndarray) -> np.ndarray:
    """An array's frames as uint8."""
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.size == 0:
        raise ValueError(
            f"a video is (T, H, W, 3) with at least one frame and pixel, the array is "
            f"{pixels.shape}" + (": move the channels to the end" if 3 in pixels.shape[:-1] else "")
        )
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f":
        raise ValueError(f"pixels are uint8 or floating, the array has {pixels.dtype}")
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"floating-point pixels lie in [0, 1], those of the array span {pixels.min():g} to "
            f"{pixels.max():g}"
        )
    return np.rint(255 * pixels).astype(np.uint8)


def _reduced(frame: np.ndarray, factor: int, name: str) -> Tensor:
    """A frame's squares of ``factor`` x ``factor`` pixels averaged and rounded."""
    if min(frame.shape[:2]) < factor:
        raise ValueError(f"a frame of {name} has {frame.shape[:2]} pixels, less than {factor}")
    pixels = torch.from_numpy(np.ascontiguousarray(frame))
    if factor == 1:
        return pixels
    means = avg_pool2d(pixels.permute(2, 0, 1).float(), factor)
    return means.round().to(torch.uint8).permute(1, 2, 0).contiguous()
