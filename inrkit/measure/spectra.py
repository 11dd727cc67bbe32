"""Amplitude spectra of signals, images and activations."""

from dataclasses import dataclass

import numpy as np

from inrkit.measure.metrics import as_array


def amplitude_spectrum(signal, *, axes: tuple[int, ...] | None = None) -> np.ndarray:
    r"""Fourier amplitudes :math:`\frac{2}{N} |\sum_k s_k e^{-i 2\pi n k / N}|` (SPDER, Eq. 6).

    Over several axes N is the product of their lengths (A.11, Eq. 18, has 1/MN). A cosine of
    amplitude a has a at its two frequencies; the mean m of the signal appears as 2|m|. The order is
    that of ``numpy.fft.fftn``, frequency zero first.
    """
    signal = as_array(signal)
    axes = tuple(range(signal.ndim)) if axes is None else axes
    return 2 * np.abs(np.fft.fftn(signal, axes=axes, norm="forward"))


@dataclass(frozen=True)
class LineSpectrum:
    """Amplitudes (frequencies,) along a line at frequencies in cycles per unit of the input."""

    frequencies: np.ndarray
    amplitudes: np.ndarray


def layer_spectrum(activations, *, length: float = 2.0) -> LineSpectrum:
    """Spectrum of one layer along an input line, root mean square over its neurons.

    Args:
        activations: ``(n, neurons)`` at n evenly spaced points (SIREN, Suppl. 1.4).
        length: of the line, 2 from -1 to 1; the points include both ends.
    """
    activations = as_array(activations)
    n = len(activations)
    amplitudes = 2 * np.abs(np.fft.rfft(activations, axis=0, norm="forward"))
    frequencies = np.fft.rfftfreq(n, d=length / (n - 1))
    return LineSpectrum(frequencies, np.sqrt(np.square(amplitudes).mean(-1)))


def bandwidth(spectrum: LineSpectrum, *, share: float = 0.99) -> float:
    """Frequency below which this share of the energy lies, the mean (frequency zero) left out."""
    energy = np.cumsum(np.square(spectrum.amplitudes[1:]))
    index = np.searchsorted(energy, share * energy[-1])
    return float(spectrum.frequencies[1:][index])


def radial_average(amplitudes) -> np.ndarray:
    """Mean amplitude of an image's spectrum at each whole radius, in cycles an image.

    Args:
        amplitudes: ``(H, W)`` in the order of ``numpy.fft.fftn``; radii reach min(H, W) // 2.
    """
    amplitudes = as_array(amplitudes)
    rows, columns = (np.fft.fftfreq(n) * n for n in amplitudes.shape)
    radius = np.rint(np.hypot(rows[:, None], columns)).astype(int).ravel()
    sums = np.bincount(radius, weights=amplitudes.ravel())
    return (sums / np.bincount(radius))[: min(amplitudes.shape) // 2 + 1]
