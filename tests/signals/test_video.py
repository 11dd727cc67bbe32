import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from inrkit.fields import SIREN
from inrkit.signals import grid, locate, video
from inrkit.training import Minibatch, fit

CLIP = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)


def write_video(path, frames, codec="libx264rgb", rate=30):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.options = {"qp": "0"}  # lossless
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def write_audio(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_a_lossless_file_comes_back_to_the_bit(tmp_path):
    path = tmp_path / "clip.mkv"
    write_video(path, CLIP, rate=Fraction(30000, 1001))
    clip = video(path)
    np.testing.assert_array_equal(clip.pixels.numpy(), CLIP)
    assert clip.rate == pytest.approx(30000 / 1001, abs=0.01)
    assert (clip.name, clip.shape, len(clip)) == ("clip.mkv", (5, 6, 8), 5)
    assert clip.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "frames", "size", "rate"),
    [("bikes", 250, (272, 640), 25), ("bigbuckbunny", 132, (720, 1280), 25)],
)
def test_embedded_videos_are_what_the_papers_use(name, frames, size, rate):
    with av.open(locate(name)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate) == (frames, rate)
        decoded = container.decode(video=0)
        expected = [next(decoded).to_ndarray(format="rgb24") for _ in range(3)]
    clip = video(name, frames=3)
    assert clip.shape == (3, *size)
    np.testing.assert_array_equal(clip.pixels.numpy(), expected)


def test_reduction_is_the_mean_of_squares():
    clip = video(CLIP[:, :, :7], factor=2, rate=25)  # the seventh column fills no square
    squares = CLIP[:, :, :6].reshape(5, 3, 2, 3, 2, 3).mean((2, 4))
    assert clip.shape == (5, 3, 3)
    assert np.abs(clip.pixels.numpy() - squares).max() <= 0.5


def test_floating_frames_become_the_nearest_of_256():
    clip = video(CLIP / 255, rate=25)
    np.testing.assert_array_equal(clip.pixels.numpy(), CLIP)


def test_frames_have_the_coordinates_of_the_whole_grid():
    clip = video(CLIP, rate=25)
    coords = torch.cat([clip.frame_coords(t) for t in range(5)])
    torch.testing.assert_close(coords, grid((5, 6, 8)), atol=3e-7, rtol=0)
    values = torch.cat([clip.frame(t) for t in range(5)])
    expected = CLIP.reshape(-1, 3) * (2 / 255) - 1
    np.testing.assert_allclose(values.numpy(), expected, atol=3e-7)
    torch.testing.assert_close(clip.frame_coords(-1), clip.frame_coords(4))
    with pytest.raises(IndexError):
        clip.frame_coords(5)


def test_samples_are_pixels_at_their_places():
    clip = video(CLIP, rate=25)
    torch.manual_seed(0)
    coords, values = clip.sample(2000)
    steps = (coords.double().numpy() + 1) / 2 * [4, 5, 7]
    places = np.rint(steps).astype(int)
    np.testing.assert_allclose(steps, places, atol=1e-5)
    expected = CLIP[tuple(places.T)] * (2 / 255) - 1
    np.testing.assert_allclose(values.numpy(), expected, atol=3e-7)
    counts = np.bincount(np.ravel_multi_index(tuple(places.T), (5, 6, 8)), minlength=240)
    assert counts.min() > 0  # each place has a chance of 1.00 - 240 exp(-2000 / 240)


def test_a_single_frame_lies_at_the_first_time():
    clip = video(CLIP[:1], rate=25)
    assert set(clip.sample(50)[0][:, 0].tolist()) == {-1.0}
    torch.testing.assert_close(clip.frame_coords(0), grid((1, 6, 8)))


def test_a_field_is_fitted_to_random_pixels():
    ramp = np.broadcast_to(np.linspace(0, 1, 8)[:, None, None, None], (8, 8, 8, 3))
    clip = video(ramp.copy(), rate=25)
    torch.manual_seed(0)
    result = fit(SIREN(3, 3, width=32, hidden_layers=2), Minibatch(clip, 64), steps=200, lr=1e-3,
                 progress=False)  # fmt: skip
    found = result.model(clip.frame_coords(6)).detach()
    assert (found - clip.frame(6)).square().mean() < 0.01 < clip.frame(6).square().mean()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_captured_sample_draws_anew_at_every_replay():
    clip = video(CLIP, rate=25).to("cuda")
    clip.sample(100)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        coords, values = clip.sample(100)
    drawn = []
    for _ in range(2):
        graph.replay()
        places = ((coords.cpu().double() + 1) / 2 * torch.tensor([4, 5, 7])).round().long()
        expected = torch.from_numpy(CLIP)[tuple(places.T)] * (2 / 255) - 1
        torch.testing.assert_close(values.cpu(), expected)
        drawn.append(coords.clone())
    assert not torch.equal(*drawn)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4, 4, 3)), "at least one frame"),
        (np.zeros((4, 4, 3)), r"a video is \(T, H, W, 3\)"),
        (np.zeros((2, 4, 4, 1)), "a video is"),
        (np.full((1, 2, 2, 3), np.nan), "lie in"),
        (np.full((1, 2, 2, 3), 255.0), "span 255 to 255"),
        (np.zeros((1, 2, 2, 3), np.int64), "int64"),
    ],
)
def test_what_is_not_a_video_is_refused_in_a_sentence(array, message):
    with pytest.raises(ValueError, match=message) as caught:
        video(array, rate=25)
    assert "\n" not in str(caught.value)


def test_bad_files_are_named(tmp_path):
    words, nothing, mute, cut = (tmp_path / f"{x}.mp4" for x in ("words", "nothing", "mute", "cut"))
    words.write_text("no frame at all")
    nothing.write_bytes(b"")
    write_audio(mute)
    cut.write_bytes(locate("bikes").read_bytes()[:400])
    for path, message in (
        (words, "cannot be read as a video"),
        (nothing, "cannot be read as a video"),
        (mute, "holds no video"),
        (cut, "cannot be read as a video"),
    ):
        with pytest.raises(ValueError, match=f"{path.name} {message}") as caught:
            video(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="nowhere.mp4 is neither"):
        video("nowhere.mp4")


def test_bad_settings_are_refused(tmp_path):
    for settings, message in (
        ({"frames": 0}, "at least 1"),
        ({"factor": 0}, "at least 1"),
        ({"factor": 1.5}, "whole number"),
        ({"factor": 7}, "less than 7"),
        ({"rate": None}, "give its rate"),
    ):
        with pytest.raises(ValueError, match=message):
            video(CLIP, **{"rate": 25, **settings})
    with pytest.raises(ValueError, match="give no rate"):
        video("bikes", rate=25)
