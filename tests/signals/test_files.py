"""Every reader enters the file it reads, under a name that holds no user's."""

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import trimesh
from PIL import Image

from inrkit import paths
from inrkit.measure.perceptual import lpips
from inrkit.signals import files, image, locate, mesh, point_cloud, sound, video


@pytest.fixture(autouse=True)
def nothing_read(monkeypatch):
    monkeypatch.setattr(files, "_read", {})


def a_video(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def weights(path):
    np.savez(path, a=np.ones(2))


READERS = {
    "a.png": (image, lambda path: Image.new("L", (4, 4), 7).save(path)),
    "a.wav": (sound, lambda path: soundfile.write(path, np.sin(np.arange(99.0)), 8000)),
    "a.mp4": (video, a_video),
    "a.ply": (mesh, lambda path: trimesh.creation.box().export(path)),
    "a.xyz": (point_cloud, lambda path: np.savetxt(path, np.random.rand(5, 6))),
    "a.npz": (lpips, weights),
}


@pytest.mark.parametrize("name", READERS)
def test_readers_enter_their_files(tmp_path, name, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    read, write = READERS[name]
    path = tmp_path / name
    write(path)
    found = read(path)
    sum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert files.files() == [{"name": name, "sha256": sum}]
    assert getattr(found, "sha256", sum) == sum


def test_items_are_entered_by_their_names():
    image("camera")
    image("camera", size=8)
    sum = hashlib.sha256(locate("camera").read_bytes()).hexdigest()
    assert files.files() == [{"name": "camera", "sha256": sum}]


def test_names_are_below_the_project_or_the_users_folder(tmp_path, monkeypatch):
    project, home, other = (tmp_path / name for name in ("home/project", "home", "other"))
    for folder in (project, other):
        folder.mkdir(parents=True)
    monkeypatch.setattr(paths, "ROOT", project)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(project)
    places = {
        "a": "a", "./b/../a": "a", str(project / "a"): "a", "../a": "~/a", str(home / "a"): "~/a",
        str(other / "a"): str(other / "a"), "../../other/a": str(other / "a"),
    }  # fmt: skip
    for at in (project, home, other):
        (at / "a").write_text("a")
    (project / "b").mkdir()
    for given, name in places.items():
        files._read.clear()
        files.note(Path(given))
        assert [entry["name"] for entry in files.files()] == [name]
        assert files.located(name).samefile(given)


def test_a_file_that_changes_while_it_is_used_is_entered_twice(tmp_path):
    path = tmp_path / "a"
    for text in ("1", "2", "2"):
        path.write_text(text)
        files.note(path)
    assert len(files.files()) == 2
