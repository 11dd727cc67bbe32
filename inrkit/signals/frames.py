"""Frames of a video file as a player shows them: upright, at even times, with square pixels."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

LOCAL = {"protocol_whitelist": "file"}  # a playlist opens nothing from elsewhere
NOT_FILMED = {"tty", "bin", "xbin", "adf", "idf"}  # text, which FFmpeg draws as pictures
HDR = {16, 18}  # transfer functions PQ and HLG
WIDE = {9, 11, 12}  # primaries of BT.2020 and P3
JITTER = 0.05  # of a frame: times nearer than that to even ones, or than a tick, are even
OFTEN = 10  # times as many frames as there are, at most, show all those at uneven times
WIDEST = 10  # ratio of a pixel's sides


@dataclass(frozen=True)
class Clock:
    """When frames are shown.

    Attributes:
        rate: frames a second.
        start: time of the first one, in seconds.
        even: frames to be shown, where their own times are uneven; 0 where they are not.
    """

    rate: float
    start: float = 0.0
    even: int = 0


def read(path: Path) -> tuple[Iterator[np.ndarray], float]:
    """Frames ``(H, W, 3)``, uint8, one after the other, and how many there are in a second."""
    with _opened(path) as stream:
        clock = _clock(stream, path)
    return _decoded(path, clock), clock.rate


@contextmanager
def _opened(path: Path) -> Iterator[av.VideoStream]:
    try:
        with av.open(path, options=LOCAL) as container:
            covers = av.stream.Disposition.attached_pic
            streams = [s for s in container.streams.video if not s.disposition & covers]
            if not streams or container.format.name in NOT_FILMED:
                raise NoVideo(f"{path} holds no video")
            _check(path, streams[0])
            yield streams[0]
    except NoVideo:
        raise
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise NoVideo(f"{path} cannot be read as a video (MP4, WebM, ...): {reason}") from error


def _check(path: Path, stream: av.VideoStream) -> None:
    """Refuse what FFmpeg would show a part of, in silence."""
    gif = stream.container.format.name == "gif"
    if gif and not path.read_bytes()[-64:].rstrip(b"\0\r\n").endswith(b";"):
        raise NoVideo(f"{path} is cut short: a GIF ends with a semicolon")
    if stream.metadata.get("alpha_mode") == "1":
        raise NoVideo(
            f"{path} is a WebM with transparency, which is not read: lay it over a background"
        )


class NoVideo(ValueError):
    """A file is no video, or one that is not read."""


def _clock(stream: av.VideoStream, path: Path) -> Clock:
    """From the times of all packets, without decoding them."""
    packets = [p for p in stream.container.demux(stream) if p.size]
    if not packets:
        raise NoVideo(f"{path} is a video without frames")
    if len(packets) < stream.frames:
        raise NoVideo(
            f"{path} is cut short: it holds {len(packets)} of {stream.frames} frames of its video"
        )
    decoded = [p.dts for p in packets if p.dts is not None]
    if any(later < sooner for sooner, later in pairwise(decoded)):
        raise NoVideo(f"{path} is several videos one after the other: their times begin anew")
    rate = stream.average_rate or stream.base_rate
    shown = sorted((p.pts, p.duration or 0) for p in packets if p.pts is not None)
    ticks = np.array([pts for pts, _ in shown])
    if len(shown) < len(packets) or len(shown) == 1:  # a bare stream has no times, one frame no gap
        rate = stream.codec_context.framerate or rate  # a bare stream's own, before FFmpeg's guess
        if not rate:
            raise NoVideo(f"{path} does not say how fast its frames are to be shown")
        return Clock(float(rate))
    tick = float(stream.time_base)
    gap = tick * int(ticks[-1] - ticks[0]) / (len(ticks) - 1)
    if tick * (int(ticks[-1]) + shown[-1][1]) + 2.5 * gap < _told(stream):
        raise NoVideo(f"{path} is cut short: its video ends before the time that its header says")
    mean = (len(ticks) - 1) / (tick * max(int(ticks[-1] - ticks[0]), 1))
    for each in (float(rate or mean), mean):
        late = np.abs((ticks - ticks[0]) * tick - np.arange(len(ticks)) / each)
        if late.max() <= tick + JITTER / each:
            return Clock(each)
    gaps = np.diff(ticks)
    shortest = int(gaps[gaps > 0].min(initial=2**62))
    last = shown[-1][1] or shortest
    total = Fraction(int(ticks[-1] - ticks[0]) + last) * stream.time_base
    step = shortest * stream.time_base
    if total > OFTEN * len(shown) * step:
        step = total / len(shown)
    even = max(round(total / step), 1)
    return Clock(float(1 / step), float(ticks[0] * stream.time_base), even)


def _told(stream: av.VideoStream) -> float:
    """When a Matroska or WebM file says that a stream ends, in seconds; 0 where it does not."""
    found = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if not found:
        return 0.0
    hours, minutes, seconds = map(float, found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _decoded(path: Path, clock: Clock) -> Iterator[np.ndarray]:
    with _opened(path) as stream:
        frames = _whole(stream.container.decode(stream), path)
        for frame in _evenly(frames, clock) if clock.even else frames:
            yield _picture(frame, stream.sample_aspect_ratio, path)


def _whole(frames: Iterable[av.VideoFrame], path: Path) -> Iterator[av.VideoFrame]:
    """The frames, if the decoder finds nothing wrong with them."""
    for frame in frames:
        if frame.is_corrupt:
            raise NoVideo(f"{path} is damaged: its decoder finds errors in it")
        yield frame


def _evenly(frames: Iterable[av.VideoFrame], clock: Clock) -> Iterator[av.VideoFrame]:
    """At each even time the last frame that has come."""
    shown, k = None, 0
    for frame in frames:
        arrives = (frame.time - clock.start) * clock.rate - 1e-3
        while shown is not None and k < min(arrives, clock.even):
            yield shown
            k += 1
        shown = frame
    while shown is not None and k < clock.even:
        yield shown
        k += 1


def _picture(frame: av.VideoFrame, aspect: Fraction | None, path: Path) -> np.ndarray:
    """Pixels in sRGB, over white, square, and turned as the file says."""
    if frame.color_trc in HDR:
        raise NoVideo(
            f"{path} is a video of high dynamic range (PQ or HLG), which 8 bits do not hold: "
            "convert it to standard range (BT.709) first"
        )
    if frame.color_primaries in WIDE:
        raise NoVideo(
            f"{path} is a video of a wide gamut (BT.2020 or P3), which is not read: convert it to "
            "BT.709 first"
        )
    size, aspect = {}, aspect or 1
    if not 1 / WIDEST <= aspect <= WIDEST:
        raise NoVideo(f"{path} has pixels {float(aspect):g} times as wide as high")
    if aspect > 1:
        size = {"width": round(frame.width * aspect), "height": frame.height}
    elif aspect < 1:
        size = {"width": frame.width, "height": round(frame.height / aspect)}
    clear = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)
    pixels = frame.to_ndarray(format="rgba" if clear else "rgb24", **size)
    if clear:
        opaque = pixels[..., 3:] / 255
        pixels = np.rint(pixels[..., :3] * opaque + 255 * (1 - opaque)).astype(np.uint8)
    return _upright(pixels, frame, path)


def _upright(pixels: np.ndarray, frame: av.VideoFrame, path: Path) -> np.ndarray:
    r"""Turned or mirrored by the display matrix, which takes (x, y) to (a x + c y, b x + d y)."""
    for data in frame.side_data:
        if data.type.name != "DISPLAYMATRIX":
            continue
        a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5] / 2**16
        if (b, c) == (0, 0) and abs(a) == abs(d) == 1:
            return pixels[:: int(d), :: int(a)]
        if (a, d) == (0, 0) and abs(b) == abs(c) == 1:
            return pixels.swapaxes(0, 1)[:: int(b), :: int(c)]
        raise NoVideo(
            f"{path} is to be shown turned by {frame.rotation} degrees: only quarter turns are read"
        )
    return pixels
