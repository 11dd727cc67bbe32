"""Figures of sounds: waveforms with their errors, and spectrograms."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import spectrogram

from inrkit.measure.metrics import as_array
from inrkit.render.plots import VERMILLION, WIDTH, look

COLUMNS = 400  # bins that a waveform is drawn in, about a screen's pixels
DEPTH = 80  # dB that a spectrogram spans


def envelope(samples: np.ndarray, bins: int = COLUMNS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bins of a waveform that has more samples than a figure has pixels.

    Args:
        samples: ``(n,)``, at least as many as bins.
        bins: number of bins, equally long to within a sample.

    Returns:
        position of each bin's middle as a fraction of the whole, its minimum, and its maximum.
    """
    ends = np.linspace(0, len(samples), bins + 1).round().astype(int)
    low = np.minimum.reduceat(samples, ends[:-1])
    high = np.maximum.reduceat(samples, ends[:-1])
    return (ends[:-1] + ends[1:]) / (2 * len(samples)), low, high


def waveforms(target: Sequence, fits: Mapping[str, Sequence], *, rate: float) -> Figure:
    """Each fit over the sound that it was fitted to, and its error beside it.

    Args:
        target: the sound, ``(n,)`` in [-1, 1].
        fits: model -> samples ``(n,)``.
        rate: samples a second.
    """
    target = as_array(target).ravel()
    size = (WIDTH, 1.05 * len(fits) + 0.6)
    figure, axes = plt.subplots(len(fits), 2, figsize=size, squeeze=False, sharex=True, sharey=True)
    for (name, samples), (left, right) in zip(fits.items(), axes, strict=True):
        samples = as_array(samples).ravel()
        _draw(left, target, rate, "#bbbbbb")
        _draw(left, samples, rate, look(name)["color"])
        _draw(right, samples - target, rate, VERMILLION)
        left.set_title(name, fontsize=9, loc="left")
        right.set_title(f"{name}: error", fontsize=9, loc="left")
        left.set(ylim=(-1.05, 1.05), yticks=(-1, 0, 1))
    for ax in axes[-1]:
        ax.set(xlabel="time, s", xlim=(0, len(target) / rate))
    figure.supylabel("pressure, 1 = peak of the sound", fontsize=10)
    return figure


def _draw(ax: Axes, samples: np.ndarray, rate: float, colour: str) -> None:
    positions, low, high = envelope(samples, min(COLUMNS, len(samples)))
    seconds = positions * len(samples) / rate
    ax.fill_between(seconds, low, high, color=colour, lw=0.6)


def spectrograms(
    sounds: Mapping[str, Sequence], *, rate: int, top: float | None = None, columns: int = 2
) -> Figure:
    """Power of each sound over time and frequency, all on one scale of decibels.

    Windows are Hann's, 46 ms long to the nearest power of two, and overlap by half; 0 dB is the
    greatest power of the first sound.

    Args:
        sounds: name -> samples ``(n,)``, of one length; the first gives the scale.
        rate: samples a second.
        top: highest frequency shown, in Hz; half the rate by default.
        columns: panels a row.
    """
    samples = [as_array(values).ravel() for values in sounds.values()]
    window = min(2 ** round(np.log2(0.046 * rate)), len(samples[0]))
    powers = []
    for values in samples:
        frequencies, seconds, power = spectrogram(
            values, rate, "hann", window, window // 2, detrend=False
        )
        powers.append(power)
    rows = -(-len(samples) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 1.5 * rows + 0.5), squeeze=False, sharex=True, sharey=True
    )
    shown = frequencies <= (top or rate / 2)
    reference = powers[0].max()
    for ax, name, power in zip(axes.flat, sounds, powers, strict=False):
        level = 10 * np.log10(np.maximum(power[shown] / reference, 10 ** (-DEPTH / 10)))
        image = ax.pcolormesh(
            seconds, frequencies[shown] / 1000, level, vmin=-DEPTH, vmax=0, cmap="magma",
            shading="nearest", rasterized=True,
        )  # fmt: skip
        ax.set_title(name, fontsize=9, loc="left")
        ax.grid(False)
    for i, ax in enumerate(axes.flat):
        if i >= len(samples):
            ax.set_axis_off()
        elif i + columns >= len(samples):  # nothing below it
            ax.tick_params(labelbottom=True)
    figure.supxlabel("time, s", fontsize=10)
    figure.supylabel("frequency, kHz", fontsize=10)
    figure.colorbar(image, ax=axes, label="power, dB", fraction=0.05, pad=0.02)
    return figure
