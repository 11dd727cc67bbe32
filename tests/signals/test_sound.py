import hashlib

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import periodogram

from inrkit.signals import DataError, Sound, grid, sound
from inrkit.signals.prelude import NOTES, pitch

RATE = 8000


def tone(frequency, rate, seconds=0.5, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def samples_of(signal):
    return signal.values[:, 0].double().numpy()


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [("wav", "PCM_16", 2**-15), ("wav", "FLOAT", 1e-7), ("flac", "PCM_24", 2**-23)],
)
def test_files_come_back_divided_by_their_peak(tmp_path, suffix, subtype, step):
    path = tmp_path / f"tone.{suffix}"
    written = tone(440, RATE, amplitude=0.25)
    soundfile.write(path, written, RATE, subtype=subtype)
    signal = sound(path)
    np.testing.assert_allclose(samples_of(signal), written / written.max(), atol=10 * step)
    assert isinstance(signal, Sound) and signal.to("cpu").rate == signal.rate == RATE
    assert signal.shape == (len(written),) and signal.name == path.name
    assert signal.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    torch.testing.assert_close(signal.coords, grid((len(written),)))
    np.testing.assert_allclose(signal.seconds[[0, 80]], [0, 0.01])


def test_channels_are_averaged_and_silence_stays_at_zero():
    left, right = tone(200, RATE) + 0.5, 0.3 * tone(310, RATE)
    both = np.stack([left, right], axis=1)
    signal = sound(both, rate=RATE)
    mean = both.mean(1)
    np.testing.assert_allclose(samples_of(signal), mean / np.abs(mean).max(), atol=1e-7)
    assert signal.values.abs().max() == 1


@pytest.mark.parametrize("sign", [1, -1])
def test_the_peak_may_lie_below_zero(sign):
    samples = sign * np.array([0.1, -0.4, 0.25])
    expected = sign * np.array([0.25, -1, 0.625])
    np.testing.assert_allclose(samples_of(sound(samples, rate=RATE)), expected, atol=1e-7)


def test_only_the_beginning_is_kept():
    signal = sound(tone(440, RATE), rate=RATE, seconds=0.1)
    np.testing.assert_allclose(
        samples_of(signal), samples_of(sound(tone(440, RATE, 0.1), rate=RATE))
    )
    assert sound(tone(440, RATE), rate=RATE, seconds=9).shape == (4000,)


@pytest.mark.parametrize("rate", [4000, 11025, 44100])
def test_a_resampled_tone_is_the_tone_at_the_new_rate(tmp_path, rate):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(440, RATE), RATE, subtype="DOUBLE")
    signal = sound(path, rate=rate)
    assert signal.rate == rate
    found, n = samples_of(signal), len(signal.values)
    inner = slice(n // 4, -n // 4)  # the filter's ends apart
    expected = tone(440, rate, n / rate)[inner]
    np.testing.assert_allclose(found[inner] / np.abs(found[inner]).max(), expected, atol=0.01)


def test_what_a_lower_rate_cannot_hold_is_filtered_out(tmp_path):
    path = tmp_path / "two.wav"
    soundfile.write(path, tone(300, RATE) + tone(3000, RATE), RATE, subtype="DOUBLE")
    signal = sound(path, rate=4000)
    frequencies, power = periodogram(samples_of(signal), 4000, "hann")
    folded = power[np.abs(frequencies - 1000) < 20].max()  # where 3,000 Hz would come back
    assert folded < 1e-6 * power.max()


def test_the_prelude_is_the_same_music_at_any_rate():
    fast, slow = sound("bach_prelude", rate=16000), sound("bach_prelude", rate=8000)
    assert fast.shape == (112000,) and slow.shape == (56000,)
    assert sound("bach_prelude", rate=8000).sha256 == slow.sha256
    overlap = np.corrcoef(samples_of(fast)[::2], samples_of(slow))[0, 1]
    assert overlap > 0.98  # but for the harmonics between 4 and 8 kHz


@pytest.mark.parametrize(("i", "hertz"), [(0, 98.0), (1, 146.83), (2, 246.94), (3, 220.0)])
def test_the_prelude_sounds_its_notes(i, hertz):
    """Frequencies as tuners list them: G2, D3, B3, A3."""
    assert pitch(NOTES[i]) == pytest.approx(hertz, abs=0.01)
    played = sound("bach_prelude", rate=RATE)
    first = round((0.03 + 0.205 * i + 0.06) * RATE)
    part = samples_of(played)[first : first + round(0.13 * RATE)]
    frequencies, power = periodogram(part, RATE, "hann", nfft=2**15)
    harmonics = [power[np.abs(frequencies - k * hertz) < 6].max() for k in (1, 2, 3, 4)]
    between = [power[np.abs(frequencies - (k + 0.5) * hertz) < 6].max() for k in (1, 2, 3)]
    assert max(harmonics) > 5 * max(between)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(0), "is empty"),
        (np.zeros(8), "is silent"),
        (np.array([0.5, np.nan]), "not finite"),
        (np.array([0.5, np.inf]), "not finite"),
        (np.zeros((2, 2, 2)), "a sound is"),
        (np.zeros(2, complex), "complex128"),
    ],
)
def test_what_is_not_a_sound_is_refused_in_a_sentence(array, message):
    with pytest.raises(ValueError, match=message) as caught:
        sound(array, rate=RATE)
    assert "\n" not in str(caught.value)


def test_bad_files_are_named(tmp_path):
    words, nothing, header = (tmp_path / name for name in ("words.wav", "nothing.wav", "no.wav"))
    words.write_text("no sound at all")
    nothing.write_bytes(b"")
    soundfile.write(header, np.zeros(0), RATE)
    unread = "cannot be read as a sound"
    for path, message in ((words, unread), (nothing, unread), (header, "is empty")):
        with pytest.raises(ValueError, match=f"{path.name} {message}") as caught:
            sound(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="nowhere.wav is neither"):
        sound("nowhere.wav")


def test_bad_settings_are_refused():
    for settings, message in (
        ({"seconds": 0}, "above 0"),
        ({"rate": 0}, "at least 1"),
        ({"rate": 0.5}, "whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            sound("bach_prelude", **settings)
    with pytest.raises(ValueError, match="give its rate"):
        sound(np.ones(3))


def test_a_set_that_is_not_here_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("INRKIT_DATA", str(tmp_path))
    monkeypatch.setattr("inrkit.signals.registry._downloads", lambda: tmp_path)
    with pytest.raises(DataError, match="siren_audio is not here"):
        sound("siren_audio/gt_bach")
