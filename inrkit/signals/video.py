"""Videos as signals: from a data set, a file, or an array; 8-bit on the device."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

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
    source: str | Path | np.ndarray,
    *,
    frames: int | None = None,
    factor: int = 1,
    rate: float | None = None,
) -> Video:
    r"""A video as a signal; pixels :math:`p \in \{0, \dots, 255\}` become :math:`2p/255 - 1`.

    Frames are decoded one after the other, and reduced as they come.

    Args:
        source: name of an item ("bikes"), path of a file (all that FFmpeg reads), or array
            ``(T, H, W, 3)`` of uint8, or of floats in [0, 1].
        frames: keep so many from the beginning; all by default, or where there are fewer.
        factor: each pixel is the mean of a square of ``factor`` x ``factor``; rows and columns that
            fill no square are cut off.
        rate: frames a second of an array; a file has its own.

    Raises:
        ValueError: the source is missing, not a video, holds no frames, or is smaller than a square
            of ``factor``; an array has other numbers, or comes without a rate.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"frames is a number of frames, at least 1, got {frames}")
    if factor < 1 or factor != int(factor):
        raise ValueError(f"factor is a whole number of pixels, at least 1, got {factor}")
    name, decoded, rate, sha256 = _read(source, rate)
    reduced = [_reduced(frame, factor, name) for frame in islice(decoded, frames)]
    if not reduced:
        raise ValueError(f"{name} is a video without frames")
    return Video(name, torch.stack(reduced), float(rate), sha256)


def _read(
    source: str | Path | np.ndarray, rate: float | None
) -> tuple[str, Iterator[np.ndarray], float, str]:
    """Name, frames, their rate, and SHA-256."""
    if isinstance(source, np.ndarray):
        if rate is None:
            raise ValueError("an array does not say how fast it is to be shown: give its rate")
        sha256 = hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()
        return "array", iter(_checked(source)), rate, sha256
    if rate is not None:
        raise ValueError("a file says itself how fast it is to be shown: give no rate")
    name, path, sha256 = opened(source, "a video file")
    return name, _decoded(path), _rate(path), sha256


def _checked(pixels: np.ndarray) -> np.ndarray:
    """An array's frames as uint8."""
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.size == 0:
        raise ValueError(
            f"a video is (T, H, W, 3) with at least one frame and pixel, the array is "
            f"{pixels.shape}"
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


def _rate(path: Path) -> float:
    """Frames a second of a file that holds a video."""
    try:
        with av.open(path) as container:
            streams = container.streams.video
            rate = streams[0].average_rate if streams else None
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a video (MP4, WebM, ...): {error}") from error
    if not streams:
        raise ValueError(f"{path} holds no video")
    if not rate:
        raise ValueError(f"{path} is a video without frames")
    return float(rate)


def _decoded(path: Path) -> Iterator[np.ndarray]:
    """Frames of a file, ``(H, W, 3)``, uint8, one after the other."""
    try:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a video (MP4, WebM, ...): {error}") from error


def _reduced(frame: np.ndarray, factor: int, name: str) -> Tensor:
    """A frame's squares of ``factor`` x ``factor`` pixels averaged and rounded."""
    if min(frame.shape[:2]) < factor:
        raise ValueError(f"a frame of {name} has {frame.shape[:2]} pixels, less than {factor}")
    pixels = torch.from_numpy(np.ascontiguousarray(frame))
    if factor == 1:
        return pixels
    means = avg_pool2d(pixels.permute(2, 0, 1).float(), factor)
    return means.round().to(torch.uint8).permute(1, 2, 0).contiguous()
