import numpy as np
import pytest

from inrkit.measure import amplitude_spectrum, bandwidth, layer_spectrum, radial_average


def test_a_cosine_has_its_amplitude_at_both_of_its_frequencies():
    k = np.arange(64)
    spectrum = amplitude_spectrum(0.7 * np.cos(2 * np.pi * 5 * k / 64) + 0.2)
    expected = np.zeros(64)
    expected[[5, 59]], expected[0] = 0.7, 0.4
    np.testing.assert_allclose(spectrum, expected, atol=1e-14)


def test_parseval_over_two_axes():
    image = np.random.default_rng(0).normal(size=(3, 8, 6))
    spectrum = amplitude_spectrum(image, axes=(1, 2))
    np.testing.assert_allclose(
        np.square(spectrum / 2).sum((1, 2)), np.square(image).mean((1, 2)), rtol=1e-12
    )


def test_layer_spectrum_is_in_cycles_per_unit():
    n, frequency = 257, 4.0
    x = np.linspace(-1, 1, n)[:-1]  # one point less, so that whole periods fit
    values = np.stack([np.sin(2 * np.pi * frequency * x), 0 * x], axis=-1)
    spectrum = layer_spectrum(values, length=2 - 2 / 256)
    peak = np.argmax(spectrum.amplitudes)
    assert spectrum.frequencies[peak] == pytest.approx(frequency)
    assert spectrum.amplitudes[peak] == pytest.approx(np.sqrt(1 / 2))


def test_bandwidth_holds_the_share_of_the_energy():
    n = 512
    x = np.linspace(-1, 1, n, endpoint=False)
    values = 3 * np.sin(2 * np.pi * 4 * x) + np.sin(2 * np.pi * 20 * x) + 100
    spectrum = layer_spectrum(values[:, None], length=2 - 2 / n)
    assert bandwidth(spectrum, share=0.89) == pytest.approx(4)
    assert bandwidth(spectrum, share=0.91) == pytest.approx(20)
    for weaker, expected in ((0.12, 20), (0.09, 4)):  # 1.4% and 0.8% of the energy: on either side
        tones = np.sin(2 * np.pi * 4 * x) + weaker * np.sin(2 * np.pi * 20 * x)
        spectrum = layer_spectrum(tones[:, None], length=2 - 2 / n)
        assert bandwidth(spectrum) == pytest.approx(expected)


def test_radial_average_of_a_ring_is_the_ring():
    rows, columns = np.meshgrid(*[np.fft.fftfreq(n) * n for n in (16, 12)], indexing="ij")
    radius = np.rint(np.hypot(rows, columns))
    np.testing.assert_allclose(radial_average(radius**2), np.arange(7) ** 2)
