import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from inrkit.render import spectrograms, style, waveforms
from inrkit.render.waves import envelope

RATE = 8000
TIMES = np.arange(RATE) / RATE


@pytest.fixture(autouse=True)
def plain_backend():
    matplotlib.use("Agg")
    with plt.rc_context():
        style()
        yield
    plt.close("all")


def test_an_envelope_holds_every_extreme():
    samples = np.random.default_rng(0).normal(size=1003)
    positions, low, high = envelope(samples, 10)
    ends = np.linspace(0, 1003, 11).round().astype(int)
    parts = [samples[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    np.testing.assert_array_equal(low, [part.min() for part in parts])
    np.testing.assert_array_equal(high, [part.max() for part in parts])
    np.testing.assert_allclose(positions, np.arange(0.05, 1, 0.1), atol=1e-3)


def test_waveforms_show_each_fit_and_its_error():
    target = np.sin(2 * np.pi * 50 * TIMES)
    figure = waveforms(target, {"SIREN": target, "ReLU": 0 * target}, rate=RATE)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["SIREN", "SIREN: error", "ReLU", "ReLU: error"]
    heights = [ax.collections[-1].get_paths()[0].vertices[:, 1] for ax in figure.axes]
    assert [np.abs(h).max().round(2) for h in heights] == [1, 0, 0, 1]
    assert figure.axes[-1].get_xlim() == (0, 1)
    assert figure.axes[-1].get_xlabel() == "time, s"


def test_spectrograms_show_a_tone_at_its_frequency_on_one_scale():
    loud = np.sin(2 * np.pi * 1000 * TIMES)
    sounds = {"loud": loud, "quiet": 0.1 * loud, "higher": np.sin(2 * np.pi * 3000 * TIMES)}
    figure = spectrograms(sounds, rate=RATE)
    meshes = [ax.collections[0] for ax in figure.axes if ax.get_title("left") in sounds]
    levels = [mesh.get_array().reshape(-1, mesh.get_coordinates().shape[1] - 1) for mesh in meshes]
    kilohertz = np.linspace(0, RATE / 2000, len(levels[0]))
    peaks = [kilohertz[level.mean(1).argmax()] for level in levels]
    np.testing.assert_allclose(peaks, [1, 1, 3], atol=0.02)
    middle = [level.max(0)[3] for level in levels]
    np.testing.assert_allclose(middle, [0, -20, 0], atol=0.5)  # a tenth of the pressure


def test_spectrograms_end_where_they_are_told():
    figure = spectrograms({"noise": np.random.default_rng(0).normal(size=RATE)}, rate=RATE, top=500)
    (low, high) = figure.axes[0].get_ylim()
    assert 0.45 < high < 0.6 and low < 0.05
