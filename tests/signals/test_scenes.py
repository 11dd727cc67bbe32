"""Scenes of Blender's form and nerfstudio's: cameras by projecting points, pictures, refusals."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from inrkit.signals import Camera, blender_views, scenes
from inrkit.signals.registry import Item

POSE = [[0, 0, 1, 3], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]  # at x = 3, looking at 0


def scene(folder, name="transforms.json", n=4, size=(4, 6), suffix="", **info):
    """A file of n frames, and pictures whose red is ten times their number."""
    (folder / "images").mkdir(exist_ok=True)
    for i in range(n):
        pixels = np.full((*size, 4), [10 * i, 0, 0, 255], np.uint8)
        pixels[-1, :, 3] = 0
        imageio.imwrite(folder / f"images/r_{i}.png", pixels)
    frames = [{"file_path": f"./images/r_{i}{suffix}", "transform_matrix": POSE} for i in range(n)]
    (folder / name).write_text(json.dumps({"camera_angle_x": 1.0, **info, "frames": frames}))
    return folder


def numbers(found):
    return [round(255 * float(picture[0, 0, 0]) / 10) for picture in found.pictures()]


def test_a_blender_scene_is_read_over_white(tmp_path, monkeypatch):
    pose = [[0, 0, 1, 3], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    frames = [{"file_path": f"./train/r_{i}", "transform_matrix": pose} for i in (0, 2, 10)]
    info = {"camera_angle_x": np.pi / 2, "frames": frames}
    (tmp_path / "transforms_train").write_text(json.dumps(info))
    for i in (0, 2, 10):
        pixels = np.zeros((4, 4, 4), np.uint8)
        pixels[:2] = [25 * i, 0, 0, 255]  # the upper half opaque, the lower transparent
        imageio.imwrite(tmp_path / f"r_{i}.png", pixels)
    known = [Item("s", f"s/train/r_{i}", "", "", "", "", "", 0) for i in (10, 0, 2)]
    monkeypatch.setattr(scenes, "sets", lambda: ("s",))
    monkeypatch.setattr(scenes, "items", lambda _: known)
    monkeypatch.setattr(scenes, "locate", lambda name: tmp_path / (
        name.split("/")[-1] + (".png" if "r_" in name else "")))  # fmt: skip
    found = blender_views("s", "train", 2, size=2, scale=0.5)
    first, last = found.pictures()
    np.testing.assert_allclose(first, [[[0, 0, 0]] * 2, [[1, 1, 1]] * 2])
    np.testing.assert_allclose(last[0, 0], [250 / 255, 0, 0], rtol=1e-6)
    camera = found.cameras[0]
    assert camera.focal == pytest.approx(1) and camera.pose[:, 3].tolist() == [1.5, 0, 0]
    with pytest.raises(ValueError, match="n lies in 1 to 3"):
        blender_views("s", "train", 4)


def test_a_folder_of_ones_own_is_read(tmp_path):
    scene(tmp_path, "transforms_train.json", n=4)
    scene(tmp_path, "transforms_test.json", n=2)
    train, test = (blender_views(tmp_path, split, 2) for split in ("train", "test"))
    assert numbers(train) == [0, 3] and numbers(test) == [0, 1]
    assert train.name == tmp_path.stem and train.cameras[0].shape == (4, 6)
    np.testing.assert_array_equal(train.pictures()[0][-1], np.ones((6, 3)))  # clear, over white
    torch.testing.assert_close(train.cameras[0].pose[:, 3], torch.tensor([2.0, 0, 0]))
    assert train.cameras[0].focal == pytest.approx(3 / np.tan(0.5))
    small = blender_views(str(tmp_path), "train", 1, size=3)
    assert small.cameras[0].shape == (2, 3)
    assert small.cameras[0].focal == pytest.approx(1.5 / np.tan(0.5))


def test_one_file_for_all_says_which_are_the_tests_or_every_eighth_is(tmp_path):
    scene(tmp_path, n=10, suffix=".png")
    assert numbers(blender_views(tmp_path, "test", 2)) == [0, 8]
    assert numbers(blender_views(tmp_path / "transforms.json", "train", 8)) == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        9,
    ]
    scene(tmp_path, n=4, test_filenames=["./images/r_2"])
    assert numbers(blender_views(tmp_path, "test", 1)) == [2]
    with pytest.raises(ValueError, match="n lies in 1 to 3"):
        blender_views(tmp_path, "train", 4)


def test_grey_and_opaque_pictures_are_read(tmp_path):
    scene(tmp_path, n=1)
    for pixels in (np.full((4, 6), 51, np.uint8), np.full((4, 6, 3), 51, np.uint8)):
        imageio.imwrite(tmp_path / "images/r_0.png", pixels)
        found = blender_views(tmp_path, "test", 1).pictures()[0]
        np.testing.assert_allclose(found, np.full((4, 6, 3), 0.2), atol=1e-6)


@pytest.mark.parametrize("factor", [1, 2], ids=["as calibrated", "half as large"])
@pytest.mark.parametrize("size", [None, 3])
def test_points_on_a_ray_are_projected_onto_its_pixel(tmp_path, factor, size):
    """By the pinhole equations, u = cx + fx x / z and v = cy + fy y / z."""
    given = {"fl_x": 8.0, "fl_y": 5.0, "cx": 2.5, "cy": 2.25, "w": 6, "h": 4}
    scene(tmp_path, **{name: factor * x for name, x in given.items()})
    found = blender_views(tmp_path, "train", 1, size=size, scale=1)
    x = found.rays.at(torch.full((len(found.rays), 1), 1.7))[:, 0]
    right, up, depth = x[:, 1], x[:, 2], 3 - x[:, 0]
    share = (size or 6) / 6
    u = share * (2.5 + 8.0 * right / depth)
    v = share * (2.25 - 5.0 * up / depth)
    height, width = found.cameras[0].shape
    rows, columns = np.indices((height, width)).reshape(2, -1) + 0.5
    torch.testing.assert_close(u, torch.tensor(columns, dtype=torch.float32), atol=1e-4, rtol=0)
    torch.testing.assert_close(v, torch.tensor(rows, dtype=torch.float32), atol=1e-4, rtol=0)


def test_a_centred_lens_is_the_camera_without_a_word_of_it():
    pose = torch.tensor(POSE, dtype=torch.float32)[:3]
    plain, said = Camera(pose, 7.0, (4, 6)), Camera(pose, 7.0, (4, 6), 7.0, (3.0, 2.0))
    assert torch.equal(plain.rays().directions, said.rays().directions)


MIRROR = [[0, 0, 1, 3], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k1": 0.1}, "distorts"),
        ({"camera_model": "OPENCV_FISHEYE"}, "distorts"),
        ({"camera_angle_x": 0}, "no focal length"),
        ({"camera_angle_x": 3.2}, "no focal length"),
        ({"camera_angle_x": "wide"}, "no focal length"),
        ({"fl_x": -1}, "no focal length"),
        ({"fl_x": float("nan")}, "no focal length"),
        ({"w": 5, "h": 4}, "another shape"),
        ({"frames": None}, "no file of a scene"),
        ({"frames": [1]}, "no file of a scene"),
        ({"frames": [{"file_path": "images/r_9", "transform_matrix": POSE}]}, "no picture"),
        ({"frames": [{"file_path": "images/r_0"}]}, "no transform_matrix"),
        ({"frames": [{"file_path": "images/r_0", "transform_matrix": [[1, 2]]}]}, "no pose"),
        ({"frames": [{"file_path": "images/r_0", "transform_matrix": "a"}]}, "no transform_matrix"),
        ({"frames": [{"file_path": "images/r_0", "transform_matrix": MIRROR}]}, "mirrors"),
    ],
)
def test_what_is_no_scene_is_refused_in_a_sentence(tmp_path, change, message):
    scene(tmp_path, "transforms_train.json")
    info = json.loads((tmp_path / "transforms_train.json").read_text())
    (tmp_path / "transforms_train.json").write_text(json.dumps({**info, **change}))
    with pytest.raises(ValueError, match=message) as caught:
        blender_views(tmp_path, "train", 1)
    assert "\n" not in str(caught.value)


def test_places_without_a_scene_are_named(tmp_path):
    for place, message in ((tmp_path, "holds neither"), (tmp_path / "no", "neither a data set")):
        with pytest.raises(ValueError, match=message):
            blender_views(place, "train", 1)
    scene(tmp_path)
    for settings, message in (
        ({"split": "val"}, "split is"),
        ({"n": 0}, "n lies in"),
        ({"n": 1.5}, "n lies in"),
        ({"size": 4}, "size divides"),
        ({"size": 0}, "size divides"),
        ({"scale": -1}, "scale is"),
        ({"scale": float("nan")}, "scale is"),
    ):
        with pytest.raises(ValueError, match=message):
            blender_views(tmp_path, **{"split": "train", "n": 1, **settings})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["file_path", "fl_x", "w", "k1"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@bounded(max_examples=50)
@given(st.sampled_from(["frames", "fl_x", "fl_y", "cx", "w", "h", "k1", "camera_angle_x",
                        "camera_model", "test_filenames", "transform_matrix"]), JSON)  # fmt: skip
def test_any_json_is_a_scene_or_refused(tmp_path_factory, name, value):
    folder = scene(tmp_path_factory.getbasetemp(), n=2)
    info = json.loads((folder / "transforms.json").read_text())
    (info["frames"][1] if name == "transform_matrix" else info)[name] = value
    (folder / "transforms.json").write_text(json.dumps(info))
    try:
        found = blender_views(folder, "train", 1)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert found.rays.directions.isfinite().all()
