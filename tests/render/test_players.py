"""What a player holds, decoded again, and what its element says."""

import io
import re
from base64 import b64decode

import av
import numpy as np
import pytest
import soundfile
import torch

from inrkit.render import sound_player, tiles, video_player

RATE = 8000


def bars(frames=6, height=32, width=48):
    """A bright bar that moves over a dark ground, in colour."""
    clip = np.full((frames, height, width, 3), (40, 60, 90), np.uint8)
    for t in range(frames):
        clip[t, :, 6 * t : 6 * t + 8] = (230, 180, 60)
    return clip


def decoded(player):
    with av.open(io.BytesIO(player.data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.stack(frames), float(container.streams.video[0].average_rate)


def test_a_sound_comes_back_to_sixteen_bits_and_as_loud_as_it_was():
    samples = 0.01 * np.sin(np.arange(4000) / 7)
    player = sound_player(torch.from_numpy(samples)[:, None], RATE)
    found, rate = soundfile.read(io.BytesIO(player.data))
    np.testing.assert_allclose(found, samples, atol=2**-15)
    assert (rate, player.mime, player.suffix) == (RATE, "audio/flac", "flac")


def test_a_sound_beyond_its_range_is_clipped():
    found, _ = soundfile.read(io.BytesIO(sound_player([2.0, -2.0, 0.5], RATE).data))
    np.testing.assert_allclose(found, [1, -1, 0.5], atol=2**-14)


def test_a_video_comes_back_nearly_as_it_was():
    clip = bars()
    found, rate = decoded(video_player(clip, 12.5))
    assert (found.shape, rate) == (clip.shape, 12.5)
    assert np.abs(found.astype(int) - clip).mean() < 6  # colours at half the resolution
    inside = found[2, 8:24, 14:18].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(inside, (230, 180, 60), atol=12)


@pytest.mark.parametrize(("height", "width"), [(31, 48), (32, 47), (31, 47)])
def test_odd_sizes_gain_a_row_or_column(height, width):
    found, _ = decoded(video_player(bars(height=height, width=width), 25))
    assert found.shape[1:3] == (32, 48)


def test_tiles_keep_every_pixel_under_a_label():
    first, second, third = bars(), bars()[::-1], 255 - bars()
    sheet = tiles({"one": first, "two": second, "three": third}, columns=2, zoom=2)
    frames, height, width, _ = sheet.shape
    strip = height // 2 - 64
    assert (frames, width) == (6, 192) and strip > 10
    for (row, column), clip in (((0, 0), first), ((0, 1), second), ((1, 0), third)):
        top = row * (strip + 64) + strip
        tile = sheet[:, top : top + 64, column * 96 : (column + 1) * 96]
        np.testing.assert_array_equal(tile[:, ::2, ::2], clip)
        np.testing.assert_array_equal(tile[:, 1::2, 1::2], clip)
    labels = [sheet[0, :strip, :96], sheet[0, :strip, 96:]]
    assert all(label.min() < 100 for label in labels)  # dark letters on white
    assert not np.array_equal(*labels)
    assert (sheet[:, height // 2 :, 96:] == 255).all()  # no fourth clip


def test_the_element_holds_the_file_and_says_what_it_is():
    for player, tag in (
        (sound_player(np.zeros(9), RATE, label='ReLU <"5">'), "audio"),
        (video_player(bars(), 25, label='ReLU <"5">'), "video"),
    ):
        html = player._repr_html_()
        assert f"<{tag} controls" in html and "ReLU &lt;&quot;5&quot;&gt;" in html
        assert 'aria-label="ReLU &lt;' in html and "max-width" in html
        ((mime, data),) = re.findall(r'src="data:([^;]+);base64,([^"]+)"', html)
        assert (mime, b64decode(data)) == (player.mime, player.data)
        assert str(player.data) not in repr(player)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((3, 2)), np.array([0, np.nan])])
def test_what_is_no_sound_is_refused(samples):
    with pytest.raises(ValueError, match="a sound is finite numbers"):
        sound_player(samples, RATE)


@pytest.mark.parametrize("frames", [np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8)])
def test_what_are_no_frames_is_refused(frames):
    with pytest.raises(ValueError, match="frames are"):
        video_player(frames, 25)


def test_tiles_of_two_sizes_or_none_are_refused():
    with pytest.raises(ValueError, match="of one size"):
        tiles({"a": bars(), "b": bars(height=16)})
    with pytest.raises(ValueError, match="at least one"):
        tiles({})
