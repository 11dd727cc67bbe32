import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

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
        (np.zeros((2, 3, 4, 5)), "move the channels to the end"),
        (np.full((1, 2, 2, 3), np.nan), "lie in"),
        (np.full((1, 2, 2, 3), 255.0), "span 255 to 255"),
        (np.zeros((1, 2, 2, 3), np.int64), "int64"),
        (np.ma.masked_less(np.zeros((1, 2, 2, 3), np.uint8), 1), "behind a mask"),
        (torch.zeros(1, 2, 2, 3).to_sparse(), "no plain numbers"),
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
        ({"frames": 1.5}, "whole number"),
        ({"frames": float("nan")}, "whole number"),
        ({"factor": float("inf")}, "whole number"),
        ({"factor": "two"}, "whole number"),
        ({"rate": 0}, "above 0"),
        ({"rate": -25}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
        ({"rate": float("inf")}, "above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            video(CLIP, **{"rate": 25, **settings})
    for source in (None, 7, [CLIP], b"a.mp4"):
        with pytest.raises(TypeError, match="a video is a name, a path"):
            video(source, rate=25)
    with pytest.raises(ValueError, match="behind a mask"):
        video(np.ma.masked_less(CLIP, 1), rate=25)
    with pytest.raises(ValueError, match="give no rate"):
        video("bikes", rate=25)


def test_a_tensor_is_an_array():
    tensor = torch.from_numpy(CLIP)
    assert torch.equal(video(tensor, rate=25).pixels, tensor)
    assert torch.equal(video((tensor / 255).requires_grad_(), rate=25).pixels, tensor)


def encode(path, planes, codec, form, *, times=None, turn=None, aspect=None, **tags):
    """A file whose frames have these planes, shown at these milliseconds."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=10, options={"qp": "0"})
        stream.pix_fmt = form
        first = av.VideoFrame.from_ndarray(planes[0], format=form)
        stream.width, stream.height = first.width, first.height
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(**turn)
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for k, each in enumerate(planes):
            frame = av.VideoFrame.from_ndarray(each, format=form)
            frame.pts, frame.time_base = 100 * k if times is None else times[k], Fraction(1, 1000)
            for name, value in tags.items():
                setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("kind", ["mkv", "mp4", "avi"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_files_that_are_cut_short_are_refused(kind, share, tmp_path):
    path = tmp_path / f"cut.{kind}"
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    if kind == "mkv":
        encode(path, frames, "libx264rgb", "rgb24")
    else:
        write_mpeg(path, frames)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=f"cut.{kind} (is cut short|cannot be read)"):
        video(path)


def test_what_is_damaged_or_joined_is_refused(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    path = tmp_path / "a.ts"
    write_video(path, frames)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b"\xff" * 900 + whole[middle + 900 :])
    with pytest.raises(ValueError, match=r"a\.ts (is damaged|is cut short|cannot be read)"):
        video(path)
    path.write_bytes(2 * whole)
    with pytest.raises(ValueError, match="several videos one after the other"):
        video(path)


def test_a_bare_stream_has_its_own_rate(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "a.h264", frames, rate=10)
    assert video(tmp_path / "a.h264").rate == 10


def test_the_transparency_of_a_webm_is_refused(tmp_path):
    planes = np.full((3, 48, 32), 128, np.uint8)
    path = encode(tmp_path / "a.webm", planes, "libvpx-vp9", "yuv420p")
    assert video(path).shape == (3, 32, 32)
    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuva420p"
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 4), 90, np.uint8), format="rgba")
        container.mux(stream.encode(frame.reformat(format="yuva420p")))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="WebM with transparency"):
        video(path)


def test_a_playlist_opens_nothing_from_elsewhere(tmp_path):
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:9,", "http://127.0.0.1:9/x.ts"]
    (tmp_path / "list.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    with pytest.raises(ValueError, match="list.m3u8 (cannot be read|holds no video)"):
        video(tmp_path / "list.m3u8")


TURNS = {
    "90": ({"degrees": 90}, lambda x: np.rot90(x, 1, (1, 2))),
    "180": ({"degrees": 180}, lambda x: np.rot90(x, 2, (1, 2))),
    "270": ({"degrees": 270}, lambda x: np.rot90(x, 3, (1, 2))),
    "mirrored": ({"degrees": 0, "hflip": True}, lambda x: x[:, :, ::-1]),
    "upside down": ({"degrees": 0, "vflip": True}, lambda x: x[:, ::-1]),
}


@pytest.mark.parametrize("name", TURNS)
def test_frames_stand_as_the_display_matrix_says(name, tmp_path):
    turn, expected = TURNS[name]
    path = encode(tmp_path / "phone.mp4", CLIP, "libx264rgb", "rgb24", turn=turn)
    np.testing.assert_array_equal(video(path).pixels.numpy(), expected(CLIP))


def test_frames_that_stand_aslant_are_refused(tmp_path):
    path = encode(tmp_path / "a.mp4", CLIP, "libx264rgb", "rgb24", turn={"degrees": 45})
    with pytest.raises(ValueError, match="a.mp4 is to be shown turned by 45 degrees"):
        video(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("start", [0, 700])
def test_frames_at_uneven_times_are_shown_at_even_ones(suffix, start, tmp_path):
    times = [start + t for t in (0, 100, 500, 600, 900)]
    path = encode(tmp_path / f"vfr.{suffix}", CLIP, "libx264rgb", "rgb24", times=times)
    clip = video(path)
    assert clip.rate == pytest.approx(10) and len(clip) >= 10
    last = [0, 1, 1, 1, 1, 2, 3, 3, 3, 4]
    np.testing.assert_array_equal(clip.pixels.numpy()[:10], CLIP[last])
    np.testing.assert_array_equal(video(path, frames=6).pixels.numpy(), CLIP[last[:6]])


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_times_that_are_rounded_are_even(fps, tmp_path):
    times = [round(1000 * k / fps) for k in range(5)]
    clip = video(encode(tmp_path / "a.mkv", CLIP, "libx264rgb", "rgb24", times=times))
    np.testing.assert_array_equal(clip.pixels.numpy(), CLIP)
    assert clip.rate == pytest.approx(fps, rel=0.02)


@pytest.mark.parametrize(("aspect", "size"), [((2, 1), (16, 32)), ((1, 2), (32, 16))])
def test_pixels_that_are_not_square_become_square(aspect, size, tmp_path):
    even = np.full((2, 16, 16, 3), 90, np.uint8)
    even[:, :, 8:], even[:, 8:] = 200, 40
    path = encode(tmp_path / "a.mkv", even, "libx264rgb", "rgb24", aspect=Fraction(*aspect))
    clip = video(path)
    assert clip.shape == (2, *size)
    quarters = clip.pixels[0, 3 :: size[0] - 7, 3 :: size[1] - 7, 0]
    np.testing.assert_allclose(quarters.numpy(), [[90, 200], [40, 40]], atol=1)


def primaries(y, u, v, matrix, full):
    """Red, green, blue of one colour by the defining equations of BT.601 and BT.709."""
    kr, kb = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}[matrix]
    y, u, v = (y / 255, (u - 128) / 255, (v - 128) / 255) if full else (
        (y - 16) / 219, (u - 128) / 224, (v - 128) / 224)  # fmt: skip
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return 255 * np.array([r, (y - kr * r - kb * b) / (1 - kr - kb), b])


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "10 bits"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", ["601", "709"])
def test_colours_follow_the_files_matrix_range_and_depth(matrix, full, deep, tmp_path):
    yuv = (100, 90, 160)
    form, kind, scale = ("yuv420p10le", np.uint16, 4) if deep else ("yuv420p", np.uint8, 1)
    frame = av.VideoFrame(16, 16, form)
    for plane, x in zip(frame.planes, yuv, strict=True):
        plane.update(np.full(plane.buffer_size // kind().itemsize, scale * x, kind).tobytes())
    path, tags = tmp_path / "a.mkv", {"colorspace": {"601": 5, "709": 1}[matrix]}
    tags["color_range"] = 2 if full else 1
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = form
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = video(path).pixels[0].float().mean((0, 1)).numpy()
    np.testing.assert_allclose(found, primaries(*yuv, matrix, full), atol=3)


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_high_dynamic_range_is_refused(transfer, tmp_path):
    path = encode(tmp_path / "a.mkv", CLIP, "libx264rgb", "rgb24", color_trc=transfer)
    with pytest.raises(ValueError, match="high dynamic range"):
        video(path)


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (3, 2)])
def test_odd_sizes_come_back(size, tmp_path):
    odd = np.random.default_rng(1).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    with av.open(tmp_path / "a.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = size
        stream.pix_fmt = "bgr0"
        for pixels in odd:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    np.testing.assert_array_equal(video(tmp_path / "a.mkv").pixels.numpy(), odd)


def test_a_gif_has_its_own_times_and_lies_over_white(tmp_path):
    shown = [Image.new("RGBA", (10, 8), (0, 0, 0, 0)) for _ in range(3)]
    for i, picture in enumerate(shown):
        picture.paste((255, 0, 0, 255), (3 * i, 0, 3 * i + 3, 8))
    shown[0].save(tmp_path / "a.gif", save_all=True, append_images=shown[1:],
                  duration=[100, 300, 100], disposal=2)  # fmt: skip
    clip = video(tmp_path / "a.gif")
    expected = np.full((3, 8, 10, 3), 255, np.uint8)
    for i in range(3):
        expected[i, :, 3 * i : 3 * i + 3] = [255, 0, 0]
    assert clip.rate == pytest.approx(10)
    np.testing.assert_array_equal(clip.pixels.numpy(), expected[[0, 1, 1, 1, 2]])


def test_a_gif_that_is_cut_between_frames_is_refused(tmp_path):
    shown = [Image.new("L", (10, 8), 60 * i) for i in range(4)]
    shown[0].save(tmp_path / "a.gif", save_all=True, append_images=shown[1:], duration=100)
    data = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ValueError, match="a.gif is cut short"):
        video(tmp_path / "a.gif")


def test_what_is_no_film_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no film but a text\n" * 20)
    for name in ("notes.txt", "song.mp3"):
        if name == "song.mp3":
            with av.open(tmp_path / name, "w") as container:
                stream = container.add_stream("mp3", rate=44100, layout="mono")
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), "fltp", "mono")
                frame.sample_rate = 44100
                container.mux(stream.encode(frame))
                container.mux(stream.encode())
        with pytest.raises(ValueError, match=f"{name} (holds no video|cannot be read)"):
            video(tmp_path / name)


@bounded(max_examples=40)
@given(
    st.sampled_from(["u1", "i2", "f4", "f8", "f2", "?", "c8"]).flatmap(
        lambda kind: arrays(kind, array_shapes(min_dims=2, max_dims=5, min_side=0, max_side=4))
    )
)
def test_any_array_is_a_video_or_refused(array):
    try:
        clip = video(array, rate=25)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert clip.pixels.shape == array.shape


@bounded(max_examples=40)
@given(
    st.sampled_from(["mkv", "mp4", "gif", "avi", ""]), st.binary(max_size=40),
    st.floats(0, 1), st.booleans(),
)  # fmt: skip
def test_any_bytes_are_a_video_or_refused(tmp_path_factory, kind, noise, at, keep):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    if kind == "gif":
        first, *rest = [Image.fromarray(pixels) for pixels in CLIP]
        first.save(path, save_all=True, append_images=rest)
    elif kind:
        whole = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
        if kind == "avi":
            write_mpeg(path, whole)
        else:
            encode(path, whole, "libx264rgb", "rgb24")
    data = path.read_bytes() if kind else noise
    at = int(at * len(data))
    path.write_bytes(data[:at] + noise + (data[at + len(noise) :] if keep else b""))
    try:
        clip = video(path, frames=20)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert len(clip) > 0 and clip.rate > 0


def write_mpeg(path, frames):
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = frames.shape[1:3]
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
