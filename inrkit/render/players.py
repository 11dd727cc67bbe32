"""Sounds and videos to be played in the page, with no file but the page itself."""

import io
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from math import ceil

import av
import numpy as np
import soundfile
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from inrkit.measure.metrics import as_array


@dataclass(frozen=True)
class Player:
    """An encoded sound or video; a notebook shows it with controls.

    Attributes:
        data: the file's bytes.
        mime: its type, "audio/flac" or "video/mp4".
        suffix: of its name, "flac" or "mp4".
        label: caption, read out to those who do not see it.
    """

    data: bytes = field(repr=False)
    mime: str
    suffix: str
    label: str

    def _repr_html_(self) -> str:
        """The element as HTML, the file in its address."""
        source = f"data:{self.mime};base64,{b64encode(self.data).decode()}"
        label = escape(self.label)
        kind = self.mime.partition("/")[0]
        how = "controls" if kind == "audio" else "controls loop muted playsinline"
        return (
            f'<figure class="player" style="margin: 0 0 0.8rem">'
            f"<figcaption>{label}</figcaption>"
            f'<{kind} {how} aria-label="{label}" style="width: 100%; max-width: 40rem" '
            f'src="{source}"></{kind}></figure>'
        )


def sound_player(samples: ArrayLike | Tensor, rate: int, *, label: str = "sound") -> Player:
    """A sound as 16-bit FLAC, which Chromium, Firefox and Safari play.

    FLAC loses nothing but the rounding to :math:`2^{-15}`, a mean squared error of 8e-11: the noise
    of a fit stays as it is. Loudness is left alone, too, so that sounds can be compared; what lies
    outside [-1, 1] is clipped.

    Args:
        samples: pressures in [-1, 1], ``(n,)`` or ``(n, 1)``.
        rate: samples a second.
        label: caption.
    """
    samples = as_array(samples)
    if samples.ndim == 2 and samples.shape[1] == 1:
        samples = samples[:, 0]
    if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError(f"a sound is finite numbers (n,) or (n, 1), got {samples.shape}")
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return Player(file.getvalue(), "audio/flac", "flac", label)


BT601 = 6  # the conversion from RGB that FFmpeg uses unless told, by its number in H.264
QUALITY = "23"  # libx264's rate factor: 18 looks the same as the original, 28 is poor


def video_player(frames: ArrayLike | Tensor, rate: float, *, label: str = "video") -> Player:
    """A video as H.264, which Chromium, Firefox and Safari play.

    The codec halves the colours' resolution and needs even sizes: the last row or column is
    repeated where one is missing.

    Args:
        frames: ``(T, H, W, 3)``, uint8.
        rate: frames a second.
        label: caption.
    """
    frames = _frames(frames)
    _, height, width, _ = frames.shape
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = BT601  # said, so that no browser has to guess
        stream.options = {"crf": QUALITY, "preset": "medium"}
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return Player(file.getvalue(), "video/mp4", "mp4", label)


def tiles(
    clips: Mapping[str, ArrayLike | Tensor], *, columns: int = 1, zoom: int = 1
) -> np.ndarray:
    """Videos of one size as one video, each under its label.

    Args:
        clips: label -> frames ``(T, H, W, 3)``, uint8.
        columns: tiles a row.
        zoom: screen pixels a pixel, so that small videos are not blurred by the browser.

    Returns:
        frames, ``(T, H', W', 3)``, uint8.
    """
    if not clips:
        raise ValueError("tiles needs at least one video")
    videos = [_frames(frames) for frames in clips.values()]
    if len({video.shape for video in videos}) > 1:
        raise ValueError(f"tiles are of one size, got {[video.shape for video in videos]}")
    labelled = [
        _labelled(label, video.repeat(zoom, axis=1).repeat(zoom, axis=2))
        for label, video in zip(clips, videos, strict=True)
    ]
    blank = np.full_like(labelled[0], 255)
    labelled += [blank] * (-len(labelled) % columns)
    rows = [
        np.concatenate(labelled[i * columns : (i + 1) * columns], axis=2)
        for i in range(ceil(len(labelled) / columns))
    ]
    return np.concatenate(rows, axis=1)


def _frames(frames: ArrayLike | Tensor) -> np.ndarray:
    frames = frames.cpu().numpy() if isinstance(frames, Tensor) else np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.size == 0 or frames.dtype != np.uint8:
        raise ValueError(f"frames are (T, H, W, 3) of uint8, got {frames.shape} of {frames.dtype}")
    return frames


def _labelled(label: str, frames: np.ndarray) -> np.ndarray:
    """The frames below a strip with their label, in letters a thirtieth of the width or larger."""
    width = frames.shape[2]
    size = max(width // 30, 11)
    strip = Image.new("RGB", (width, round(1.6 * size)), "white")
    font = ImageFont.load_default(size)
    ImageDraw.Draw(strip).text((size // 2, strip.height // 2), label, "black", font, anchor="lm")
    strips = np.broadcast_to(np.asarray(strip), (len(frames), strip.height, width, 3))
    return np.concatenate([strips, frames], axis=1)
