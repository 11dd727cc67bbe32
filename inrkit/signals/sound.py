"""Sounds as signals: from a data set, a file, an array, or played here; scaled to [-1, 1]."""

import hashlib
import re
from dataclasses import dataclass
from math import gcd
from numbers import Real
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

from inrkit.signals import given
from inrkit.signals.grids import Signal, grid
from inrkit.signals.prelude import bach_prelude
from inrkit.signals.registry import opened

PLAYED = {"bach_prelude": bach_prelude}  # sounds that no file holds: called with a rate
RATE = 44_100  # samples a second, as on a compact disc
FASTEST = 10_000_000  # samples a second
CHANNELS = 64  # that a sound has at most
UNKNOWN = 2**31 - 2**16  # bytes from which on a header of a stream does not say how long it is


@dataclass(frozen=True, eq=False)
class Sound(Signal):
    """A sound: times ``(n, 1)`` on [-1, 1] and pressures ``(n, 1)`` in [-1, 1].

    Attributes:
        rate: samples a second.
    """

    rate: int

    @property
    def seconds(self) -> np.ndarray:
        """When each sample was taken, ``(n,)``, from 0."""
        return np.arange(len(self.values)) / self.rate


def sound(
    source: str | Path | np.ndarray | torch.Tensor,
    *,
    seconds: float | None = None,
    rate: int | None = None,
) -> Sound:
    r"""A sound as a signal: one channel, the mean of all, divided by its own peak.

    .. math:: a_i = s_i / \max_j |s_j|

    This is how SIREN (Suppl. 8.1) brings waveforms to [-1, 1]: silence stays at 0. Its domain
    [-100, 100] is ``100 * signal.coords``. Silence is 0 in floats and signed integers, and the
    middle of the range, 128 of 8 bits, in unsigned ones.

    Args:
        source: name of an item ("siren_audio/gt_bach"), path of a file (WAV, FLAC, OGG, MP3, and
            all else that libsndfile reads), array or tensor ``(n,)``, ``(n, channels)`` as
            soundfile gives it, or ``(channels, n)`` as librosa and torchaudio do: the longer axis
            is time. Or "bach_prelude": the opening of Bach's first cello suite, played by
            :mod:`inrkit.signals.prelude`.
        seconds: keep so much of the beginning; all of it by default, or where it is shorter.
        rate: samples a second to resample to, by a polyphase filter. An array's own rate.

    Raises:
        ValueError: the source is missing, not a sound, cut short, empty, silent, holds samples that
            are not finite numbers, or has axes of the same length; an array comes without a rate.
        TypeError: the source is no name, path, array or tensor.
    """
    if seconds is not None and not (_number(seconds) and 0 < seconds < float("inf")):
        raise ValueError(f"seconds is a time above 0, got {seconds}")
    if rate is not None and not (_number(rate) and 1 <= rate <= FASTEST and rate == int(rate)):
        raise ValueError(
            f"rate is a whole number of samples a second, at least 1 and at most {FASTEST:,}, got "
            f"{rate}"
        )
    name, samples, own_rate, sha256 = _read(source, None if rate is None else int(rate))
    samples = _mono(samples, name)
    if seconds is not None:
        samples = samples[: max(round(min(seconds * own_rate, len(samples))), 1)]
    rate = int(rate or own_rate)
    if rate != own_rate:
        shared = gcd(rate, own_rate)
        samples = resample_poly(samples, rate // shared, own_rate // shared)
    peak = np.abs(samples).max()
    if peak == 0:
        raise ValueError(f"{name} is silent: its samples are all 0, which no peak can scale")
    values = torch.from_numpy(samples / peak).float().unsqueeze(-1)
    return Sound(name, grid(values.shape[:1]), values, tuple(values.shape[:1]), sha256, rate)


def _number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _read(source, rate: int | None) -> tuple[str, np.ndarray, int, str]:
    """Name, samples as stored, their rate, and SHA-256."""
    if not isinstance(source, str | Path | np.ndarray | torch.Tensor):
        raise TypeError(
            f"a sound is a name, a path, an array or a tensor, got {type(source).__name__}"
        )
    if found := given.array(source, "a sound"):
        if rate is None:
            raise ValueError("an array does not say how fast it was sampled: give its rate")
        return "array", found[0], rate, found[1]
    if source in PLAYED:
        samples = PLAYED[source](rate or RATE)
        return source, samples, rate or RATE, _sum(samples)
    name, path, sha256 = opened(source, "a sound file")
    try:
        with soundfile.SoundFile(path) as file:
            frames = -1 if file.seekable() else file.frames  # as GSM and ADPCM are not
            samples, own_rate = file.read(frames, dtype="float64"), file.samplerate
            promised, header = file.frames, file.extra_info
    except (soundfile.SoundFileError, TypeError) as error:  # a raw file's format is not known
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be read as a sound (WAV, FLAC, OGG, MP3, ...): {reason}; what "
            "holds a sound in another form, such as M4A, can be converted to WAV"
        ) from error
    if len(samples) < promised or _cut(header):
        raise ValueError(f"{path} is cut short: it holds fewer samples than its header says")
    samples = samples.mean(axis=1) if samples.ndim > 1 else samples  # a file tells which axis
    return name, samples, own_rate, sha256


def _cut(header: str) -> bool:
    """Whether libsndfile's account of a WAV or AIFF file says that its end is missing."""
    for says, has in re.findall(r"(?m)^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", header):
        if int(has) < int(says) < UNKNOWN:
            return True
    return False


def _sum(samples: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()


def _mono(samples: np.ndarray, name: str) -> np.ndarray:
    """The mean of all channels as float64 ``(n,)``."""
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
        raise ValueError(
            f"a sound is (n,), (n, channels) or (channels, n) of integers or floats, {name} is "
            f"{samples.shape} of {samples.dtype}"
        )
    if samples.size == 0:
        raise ValueError(f"{name} is empty: it holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} holds samples that are not finite numbers")
    unsigned = samples.dtype.kind == "u"
    middle = 2.0 ** (8 * samples.dtype.itemsize - 1) if unsigned else 0.0
    samples = samples.astype(np.float64) - middle
    return samples if samples.ndim == 1 else _channels(samples, name).mean(axis=1)


def _channels(samples: np.ndarray, name: str) -> np.ndarray:
    """``(n, channels)``, whichever axis is time."""
    few, many = sorted(samples.shape)
    if few == many > 1:
        raise ValueError(
            f"{name} is {samples.shape}: time and channels are equally long, give the channels' "
            "mean (n,)"
        )
    if few > CHANNELS:
        raise ValueError(f"{name} is {samples.shape}: a sound has at most {CHANNELS} channels")
    samples = samples if samples.shape[1] == few else samples.T
    peak = np.abs(samples).max()
    return samples / peak if peak > 1e300 else samples  # such that no sum overflows
