import hashlib

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
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
        (np.ones(2, bool), "bool"),
        (np.array(["a", "b"]), "<U1"),
        (np.array(0.5), r"is \(\)"),
        (np.eye(2), "equally long"),
        (np.ones((80, 90)), "at most 64 channels"),
        (np.full(9, 128, np.uint8), "is silent"),
        (np.zeros((2, 0)), "is empty"),
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
        ({"rate": -1}, "at least 1"),
        ({"rate": float("nan")}, "whole number"),
        ({"rate": float("inf")}, "at most"),
        ({"rate": "fast"}, "whole number"),
        ({"rate": True}, "whole number"),
        ({"seconds": float("nan")}, "above 0"),
        ({"seconds": float("inf")}, "above 0"),
        ({"seconds": "one"}, "above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            sound("bach_prelude", **settings)
    with pytest.raises(ValueError, match="give its rate"):
        sound(np.ones(3))
    for source in (None, 7, [0.1, 0.2], b"a.wav"):
        with pytest.raises(TypeError, match="a sound is a name, a path"):
            sound(source, rate=RATE)


@pytest.mark.parametrize(
    "hidden", [np.ma.masked_less(np.linspace(-1, 1, 9), 0), torch.ones(9).to_sparse()]
)
def test_numbers_that_cannot_be_had_are_refused(hidden):
    with pytest.raises(ValueError, match="hides some of its numbers|no plain numbers"):
        sound(hidden, rate=RATE)


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16"])
def test_files_that_can_only_be_read_from_the_front_are_read(tmp_path, subtype):
    wave = tone(300, 8000, 0.2, 0.5)
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype=subtype)
    values = samples_of(sound(tmp_path / "a.wav"))[: len(wave)]
    assert np.corrcoef(values, wave)[0, 1] > 0.9


def test_a_set_that_is_not_here_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("INRKIT_DATA", str(tmp_path))
    monkeypatch.setattr("inrkit.signals.registry._downloads", lambda: tmp_path)
    with pytest.raises(DataError, match="siren_audio is not here"):
        sound("siren_audio/gt_bach")


WAVE = np.stack([tone(300, RATE, 0.1, 0.5), tone(470, RATE, 0.1, 0.2)], axis=1)
MEAN = WAVE.mean(1) / np.abs(WAVE.mean(1)).max()
LAYOUTS = {
    "soundfile": WAVE, "librosa": WAVE.T, "torchaudio": torch.from_numpy(WAVE.T).float(),
    "a tensor that is trained": torch.from_numpy(WAVE).requires_grad_(),
    "bfloat16": torch.from_numpy(WAVE.mean(1)).bfloat16(), "float16": WAVE.astype(np.float16),
    "float32": WAVE.astype(np.float32), "int8": np.rint(100 * WAVE).astype(np.int8),
    "int16": np.rint(2**15 * WAVE).astype(np.int16), "int32": np.rint(2**31 * WAVE).astype("i4"),
    "uint8": np.rint(128 + 200 * WAVE).astype(np.uint8),
    "uint16": np.rint(2**15 * (1 + WAVE)).astype(np.uint16), "huge": 1.7e308 * (1.9 * WAVE),
    "one row": WAVE.mean(1)[None], "one column": WAVE.mean(1)[:, None],
    "big-endian": WAVE.astype(">f4"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_arrays_of_every_layout_and_type_are_the_same_sound(name):
    coarse = {"int8": 0.02, "uint8": 0.01, "bfloat16": 0.01, "float16": 1e-3}.get(name, 1e-4)
    signal = sound(LAYOUTS[name], rate=RATE)
    assert signal.shape == (800,)
    np.testing.assert_allclose(samples_of(signal), MEAN, atol=coarse)


def test_the_most_negative_integer_is_the_peak():
    samples = np.array([-32768, 16384], np.int16)
    np.testing.assert_array_equal(samples_of(sound(samples, rate=RATE)), [-1, 0.5])


FORMATS = [
    ("WAV", "PCM_U8", 0.04), ("WAV", "PCM_16", 2e-4), ("WAV", "PCM_24", 1e-6),
    ("WAV", "ULAW", 0.05), ("WAV", "PCM_32", 1e-6), ("WAV", "FLOAT", 1e-6),
    ("WAVEX", "PCM_24", 1e-6),
    ("FLAC", "PCM_S8", 0.04), ("FLAC", "PCM_16", 2e-4), ("FLAC", "PCM_24", 1e-6),
    ("OGG", "VORBIS", 0.1), ("AIFF", "PCM_16", 2e-4), ("MP3", "MPEG_LAYER_III", None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "subtype", "step"), FORMATS)
def test_files_of_every_kind_are_the_same_sound(tmp_path, kind, subtype, step):
    path = tmp_path / "file"
    soundfile.write(path, WAVE, RATE, format=kind, subtype=subtype)
    signal = sound(path)
    assert signal.rate == RATE and signal.shape == (800,)
    if step is None:  # a codec that keeps the tones but not the samples
        frequencies, power = periodogram(samples_of(signal), RATE)
        assert abs(frequencies[power.argmax()] - 300) < 20
    else:
        np.testing.assert_allclose(samples_of(signal), MEAN, atol=step)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_files_that_are_cut_short_are_refused(tmp_path, kind, share):
    path = tmp_path / f"cut.{kind.lower()}"
    soundfile.write(path, np.tile(WAVE, (4, 1)), RATE, format=kind)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="cut short|cannot be read|is empty") as caught:
        sound(path)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_a_stream_need_not_say_how_long_it_is(tmp_path):
    path = tmp_path / "stream.wav"
    soundfile.write(path, WAVE, RATE)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff" * 4
    path.write_bytes(data)
    assert sound(path).shape == (800,)


@bounded(max_examples=60)
@given(
    st.sampled_from(["u1", "i2", "i4", "f4", "f8", "f2", "?", "c8", "u8"]).flatmap(
        lambda kind: arrays(kind, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=70))
    )
)
def test_any_array_is_a_sound_or_refused(array):
    try:
        signal = sound(array, rate=RATE)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert signal.values.abs().max() == 1 and len(signal.values) == max(array.shape)


@bounded(max_examples=60)
@given(
    st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "AIFF", ""]), st.binary(max_size=50),
    st.integers(0, 120), st.booleans(),
)  # fmt: skip
def test_any_bytes_are_a_sound_or_refused(tmp_path_factory, kind, noise, at, keep):
    path = tmp_path_factory.getbasetemp() / "any"
    if kind:
        soundfile.write(path, WAVE, RATE, format=kind)
    data = path.read_bytes() if kind else noise
    path.write_bytes(data[:at] + noise + (data[at + len(noise) :] if keep else b""))
    try:
        signal = sound(path)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert signal.values.isfinite().all() and signal.values.abs().max() == 1


def test_a_file_tells_channels_from_samples(tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(path, np.array([[0.25, 0.5, 0.75], [0.1, 0.2, 0.0]]), 8000, subtype="DOUBLE")
    assert sound(path).values[:, 0].tolist() == pytest.approx([1, 0.2])
