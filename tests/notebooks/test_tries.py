"""Every "Try this" works: applied in the smoke profile it runs, and its numbers change.

``make test`` takes another sample each day; with INRKIT_TRIES=all every one is tried.
"""

import os
import re
import shutil
from datetime import date
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
import trimesh
from PIL import Image
from typer.testing import CliRunner

from inrkit import paths
from inrkit.companion import notebooks, runner, store
from inrkit.companion.cli import app

TRIES = [
    pytest.param(notebook.id, index, marks=pytest.mark.xdist_group(notebook.id))
    for notebook in notebooks.discover()
    for index in range(len(notebook.about.get("tries", ())))
]
SHARE = 12  # one in so many is tried on a day
TODAY = date.today().toordinal()
CHOSEN = [
    case for i, case in enumerate(TRIES)
    if os.environ.get("INRKIT_TRIES") == "all" or i % SHARE == TODAY % SHARE
]  # fmt: skip


@pytest.mark.parametrize("notebook", notebooks.discover(), ids=lambda notebook: notebook.id)
def test_every_try_this_says_what_it_changes(notebook):
    prose = "\n".join(c.source for c in notebook.content.cells if c.cell_type == "markdown")
    bullets = re.findall(r"^- ", prose.partition("## Try this")[2], re.MULTILINE)
    tries = notebook.about.get("tries", ())
    assert bullets and len(bullets) == len(tries)
    for each in tries:
        assert set(each) <= {"parameters", "patch", "command"} and any(each.values())


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Files such as a reader has: a picture, a sound, a mesh that is not watertight, an array."""
    folder = tmp_path_factory.mktemp("own files")
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(smooth).resize((70, 50)).save(folder / "picture.png")
    time = np.arange(16_000) / 8000
    soundfile.write(folder / "sound.wav", 0.4 * np.sin(600 * time**2), 8000)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=2.0)
    ball.export(folder / "closed.ply")
    ball.update_faces(np.arange(len(ball.faces)) > 5)  # a hole
    ball.export(folder / "mesh.ply")
    np.save(folder / "array.npy", np.linspace(0, 1, 64))
    files = {"picture": "picture.png", "sound": "sound.wav", "mesh": "mesh.ply",
             "closed_mesh": "closed.ply", "array": "array.npy"}  # fmt: skip
    return {name: str(folder / file) for name, file in files.items()}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """Numbers of a notebook's plain smoke run, made once."""
    found = {}

    def numbers(id):
        if id not in found:
            found[id] = _run(id, {}, tmp_path_factory.mktemp("plain"), paths.NOTEBOOKS)
        return found[id]

    return numbers


def _run(id, parameters, results, source):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RESULTS", results)
        patch.setattr(paths, "NOTEBOOKS", source)
        (outcome,) = runner.run([id], profile="smoke", overrides=parameters)
    assert outcome.status == "ran", outcome.error
    return store.read_metrics(outcome.folder).drop(columns=["seed"]).to_csv(index=False)


def _filled(value, own):
    """A value with ``{picture}`` and the like replaced by paths."""
    if isinstance(value, str):
        for name, path in own.items():
            value = value.replace("{" + name + "}", path)
        return value
    if isinstance(value, list):
        return [_filled(one, own) for one in value]
    if isinstance(value, dict):
        return {_filled(key, own): _filled(one, own) for key, one in value.items()}
    return value


def _patched(id, changes, folder, own):
    """The notebook with pieces of its code cells replaced, in a folder of notebooks of its own."""
    home = folder / "notebooks" / id.split("/")[0]
    shutil.copytree(paths.NOTEBOOKS / id.split("/")[0], home)
    path = folder / "notebooks" / f"{id}.ipynb"
    content = nbformat.read(path, as_version=4)
    for old, new in changes:
        cells = [c for c in content.cells if c.cell_type == "code" and old in c.source]
        assert len(cells) == 1, f"{old!r} stands in {len(cells)} cells"
        cells[0].source = cells[0].source.replace(old, _filled(new, own))
    nbformat.write(content, path)
    return folder / "notebooks"


@pytest.mark.parametrize(("id", "index"), CHOSEN)
def test_a_try_runs_and_changes_the_numbers(id, index, own, untouched, tmp_path):
    (notebook,) = notebooks.select([id])
    each = notebook.about["tries"][index]
    if "command" in each:
        done = CliRunner().invoke(app, each["command"])
        assert done.exit_code == 0 and done.stdout, done.stderr
        return
    source = paths.NOTEBOOKS
    if each.get("patch"):
        source = _patched(id, each["patch"], tmp_path, own)
    parameters = _filled(each.get("parameters", {}), own)
    folder = Path(own["picture"]).parent
    beside = {path: path.read_bytes() for path in folder.iterdir()}
    changed = _run(id, parameters, tmp_path / "results", source)
    assert changed != untouched(id)
    assert {path: path.read_bytes() for path in folder.iterdir()} == beside
