"""What makes a run outdated, and what does not."""

import os
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from inrkit.companion.fingerprint import checkpoints, fingerprint, reached
from inrkit.companion.notebooks import Notebook, select
from inrkit.companion.store import Place

FILES = {
    "inrkit/__init__.py": "",
    "inrkit/fields/__init__.py": "from inrkit.fields.layers import Layer",
    "inrkit/fields/layers.py": '"""Layers."""\nfrom ..calculus import jet\nclass Layer:\n    a = 1',
    "inrkit/calculus/__init__.py": "",
    "inrkit/calculus/jet.py": "def push():\n    import inrkit.calculus.rules as r",
    "inrkit/calculus/rules.py": "SINE = 1",
    "inrkit/measure/__init__.py": "",
    "inrkit/measure/metrics.py": "x = 1",
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name, source in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.setattr("inrkit.paths.ROOT", tmp_path)
    monkeypatch.setattr("inrkit.paths.NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def mark(root, source="from inrkit.fields import Layer", prose="# Title", **parameters):
    content = new_notebook(cells=[new_markdown_cell(prose), new_code_cell(source)])
    path = root / "notebooks/a/b.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, path)
    return fingerprint(Notebook("a/b", path), parameters)


def test_imports_are_followed(root):
    found = {str(path.relative_to(root)) for path in reached("%time 1\nimport inrkit.fields as f")}
    assert found == {name for name in FILES if "measure" not in name}


@pytest.mark.parametrize(
    ("name", "source", "changes"),
    [
        ("inrkit/calculus/rules.py", "SINE = 2", True),  # three imports away
        ("inrkit/calculus/rules.py", '"""Rules."""\n\nSINE = 1  # sine', False),
        ("inrkit/measure/metrics.py", "x = 2", False),  # not imported
    ],
)
def test_package_code(root, name, source, changes):
    before = mark(root)
    (root / name).write_text(source)
    assert (mark(root) != before) is changes


def test_notebook_code_and_parameters_but_not_prose(root):
    before = mark(root, steps=1)
    assert mark(root, steps=1, prose="# Another title") == before
    assert mark(root, steps=2) != before
    assert mark(root, "from inrkit.fields import Layer  # why", steps=1) != before


def test_checkpoints_that_no_run_took_up_for_long_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("inrkit.paths.RESULTS", tmp_path)
    place = Place("a/b", "quick")
    folder = checkpoints(place)
    (folder / "older").mkdir(parents=True)
    names = ("used.pt", "unused.pt", "older/unused.pt")
    for name in names:
        (folder / name).write_text(name)
        written = time.time() - 90 * 24 * 3600
        os.utime(folder / name, (written + ("un" not in name) * 85 * 24 * 3600, written))
    assert checkpoints(place) == folder
    assert [name for name in names if (folder / name).exists()] == ["used.pt"]


def test_selection_by_part(root):
    mark(root)
    assert [notebook.id for notebook in select(["a"])] == ["a/b"]
