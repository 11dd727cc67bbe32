"""Sounds as signals: from a data set, a file, an array, or played here; scaled to [-1, 1]."""

import hashlib
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

from inrkit.signals.grids import Signal, grid
from inrkit.signals.prelude import bach_prelude
from inrkit.signals.registry import opened

PLAYED = {"bach_prelude": bach_prelude}  # sounds that no file holds: called with a rate
RATE = 44_100  # samples a second, as on a compact disc


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
    source: str | Path | np.ndarray,
    *,
    seconds: float | None = None,
    rate: int | None = None,
) -> Sound:
    r"""A sound as a signal: one channel, the mean of all, divided by its own peak.

    .. math:: a_i = s_i / \max_j |s_j|

    This is how SIREN (Suppl. 8.1) brings waveforms to [-1, 1]: silence stays at 0. Its domain
    [-100, 100] is ``100 * signal.coords``.

    Args:
        source: name of an item ("siren_audio/gt_bach"), path of a file (WAV, FLAC, and all else
            that libsndfile reads), array ``(n,)`` or ``(n, channels)``, or "bach_prelude": the
            opening of Bach's first cello suite, played by :mod:`inrkit.signals.prelude`.
        seconds: keep so much of the beginning; all of it by default, or where it is shorter.
        rate: samples a second to resample to, by a polyphase filter. An array's own rate.

    Raises:
        ValueError: the source is missing, not a sound, empty, silent, or holds samples that are not
            finite numbers; an array comes without a rate.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds is a time above 0, got {seconds}")
    if rate is not None and (rate != int(rate) or rate < 1):
        raise ValueError(f"rate is a whole number of samples a second, at least 1, got {rate}")
    name, samples, own_rate, sha256 = _read(source, rate)
    samples = _mono(samples, name)
    if seconds is not None:
        samples = samples[: max(round(seconds * own_rate), 1)]
    rate = int(rate or own_rate)
    if rate != own_rate:
        shared = gcd(rate, own_rate)
        samples = resample_poly(samples, rate // shared, own_rate // shared)
    peak = np.abs(samples).max()
    if peak == 0:
        raise ValueError(f"{name} is silent: its samples are all 0, which no peak can scale")
    values = torch.from_numpy(samples / peak).float().unsqueeze(-1)
    return Sound(name, grid(values.shape[:1]), values, tuple(values.shape[:1]), sha256, rate)


def _read(source: str | Path | np.ndarray, rate: int | None) -> tuple[str, np.ndarray, int, str]:
    """Name, samples as stored, their rate, and SHA-256."""
    if isinstance(source, np.ndarray):
        if rate is None:
            raise ValueError("an array does not say how fast it was sampled: give its rate")
        return "array", source, int(rate), _sum(source)
    if source in PLAYED:
        samples = PLAYED[source](rate or RATE)
        return source, samples, rate or RATE, _sum(samples)
    name, path, sha256 = opened(source, "a sound file")
    try:
        samples, own_rate = soundfile.read(path, dtype="float64")
    except (soundfile.SoundFileError, TypeError) as error:  # a raw file's format is not known
        raise ValueError(f"{path} cannot be read as a sound (WAV, FLAC, ...): {error}") from error
    return name, samples, own_rate, sha256


def _sum(samples: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()


def _mono(samples: np.ndarray, name: str) -> np.ndarray:
    """The mean of all channels as float64 ``(n,)``."""
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi":
        raise ValueError(
            f"a sound is (n,) or (n, channels) of integers or floats, {name} is {samples.shape} "
            f"of {samples.dtype}"
        )
    if samples.size == 0:
        raise ValueError(f"{name} is empty: it holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} holds samples that are not finite numbers")
    samples = samples.astype(np.float64)
    return samples if samples.ndim == 1 else samples.mean(axis=1)
