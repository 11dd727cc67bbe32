"""Parameters: each value is read as the kind that the notebook gives, or refused by name."""

import json
import os

import nbformat
import pytest
import yaml

from inrkit.companion import notebooks
from inrkit.companion.errors import InputError
from inrkit.companion.notebooks import Notebook

CELL = """\
device = "cpu"
seed = 0
steps = 300  # of training
lr = 1e-4
offset = -1.5
draw = True
picture = "camera"
pictures = ["camera", "cat"]
rates = [1e-4, 1e-3]
widths = [8, 16]
sizes = [[1, 16], [1, 32]]
n_train = {"shapes": 150}
field_rates = {"SIREN": 1e-3}
searched = {"SIREN": [1e-3]}
chunk = None
louder = None  # null for none
frames = 25  # from the beginning; null for all
fine = 12
leave_out = []
kind: str = "Gabor"
clips = ["bach"]
heard = "bach"
"""
TRIES = [
    {"parameters": {"fine": 0}},
    {"parameters": {"pictures": ["{picture}"]}},
    {"parameters": {"clips": ["{sound}"], "heard": "sound.wav"}},
]
PAPER = "chunk: 65536\nclips: esc10\nn_train: 12\nleave_out: [a]\n"


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    cell = nbformat.v4.new_code_cell(CELL, metadata={"tags": ["parameters"]})
    content = nbformat.v4.new_notebook(cells=[cell], metadata={"inrkit": {"tries": TRIES}})
    nbformat.write(content, folder / "a.ipynb")
    (folder / "a.paper.yml").write_text(PAPER)
    return Notebook("spder/a", folder / "a.ipynb")


GOOD = [
    ("steps", "1e3", 1000), ("steps", "1000.0", 1000), ("steps", "010", 10),
    ("steps", "1_000", 1000),
    ("lr", "5.0e-3", 0.005), ("lr", "1e-5", 1e-5), ("lr", "0", 0), ("lr", "1", 1),
    ("offset", "-3", -3), ("seed", "0", 0), ("fine", "0", 0),
    ("draw", "false", False), ("draw", "True", True), ("draw", "off", False),
    ("picture", "2024-01-01", "2024-01-01"), ("picture", "007", "007"), ("picture", "yes", "yes"),
    ("picture", "a: b #c", "a: b #c"), ("picture", "'on'", "on"), ("kind", "1e3", "1e3"),
    ("pictures", "camera", ["camera"]), ("pictures", "[camera, 1]", ["camera", "1"]),
    ("pictures", '["my cat", null]', ["my cat", "null"]),
    ("rates", "[1e-3, 2e-3]", [0.001, 0.002]), ("rates", "0.001,0.002", [0.001, 0.002]),
    ("rates", "1e-3", [0.001]), ("rates", "[]", []), ("widths", "[1e1, 4]", [10, 4]),
    ("sizes", "[[1, 8], [4, 1e1]]", [[1, 8], [4, 10]]),
    ("n_train", '{"mnist": 5000, "cifar10_subset": 2e3}', {"mnist": 5000, "cifar10_subset": 2000}),
    ("n_train", '{"mnist":5000}', {"mnist": 5000}), ("n_train", "20", 20),
    ("field_rates", "SIREN: 1e-3, FINER: 2e-3", {"SIREN": 0.001, "FINER": 0.002}),
    ("searched", "{SIREN: [1e-3, 1e-4]}", {"SIREN": [0.001, 0.0001]}),
    ("searched", "{SIREN: 1e-3}", {"SIREN": [0.001]}),
    ("chunk", "null", None), ("chunk", "1e4", 10000), ("frames", "none", None),
    ("frames", "30", 30), ("louder", "2.5", 2.5), ("louder", "null", None),
    ("leave_out", "[camera]", ["camera"]), ("clips", "esc10", "esc10"),
    ("picture", "x" * 5000, "x" * 5000), ("louder", "'very'", "very"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_value_is_read_as_its_kind(notebook, name, text, value):
    found = notebook.changes("quick", {name: text})[name]
    assert found == value and type(found) is type(value)
    assert json.dumps(found) == json.dumps(value)


@pytest.mark.parametrize(("name", "value"), [case[::2] for case in GOOD])
def test_values_of_python_stay_as_they_are(notebook, name, value):
    assert json.dumps(notebook.changes("quick", {name: value})[name]) == json.dumps(value)


BAD = [
    ("steps", ["1.5", "-3", "0", "", "  ", "true", "null", "many", "2024-01-01", "1e400", "nan",
               "1:30", "[3]", "{a: 1}", "0x10", "1e-3", True, 2.5, None, [3], 1e300],
     "a whole number, 1 or more"),
    ("seed", ["-1", "1.5"], "a whole number, 0 or more"), ("fine", ["-1"], "0 or more"),
    ("lr", ["", "nan", "inf", "1e-400", "-1e-3", "fast", "true", "1e-3,1e-4", [1e-3], None],
      "a number"),
    ("draw", ["none", "Flase", "", "1", "0", "null", 1, "tru e"], "true or false"),
    ("picture", ["", 5, None, ["camera"], True], "text"),
    ("pictures", ["", "[a, ]b", "[", "[a, '']", "{a: b}", [1], None], "a list, each of it text"),
    ("rates", ["[1e-3, x]", "0.1;0.2", "[[1]]", "[-1]", ["x"], "{a: 1}"], "a list, each of it"),
    ("widths", ["[8, 1.5]", "[0]", "8 16"], "whole number, 1 or more"),
    ("sizes", ["[1, 16]", "1, 16", "8", [1, 16], "[" * 5000], "a list, each of it a list"),
    ("n_train", ["{mnist: many}", "{mnist: 1.5}", "{mnist}", "[5]", "{a: 1, a: 2}"], "pairs name"),
    ("field_rates", ["0.1", "{SIREN: [1]}", ["SIREN"]], "pairs name: value, each value a number"),
    ("chunk", ["1.5", "0", "many", ""], "a whole number, 1 or more or null"),
    ("frames", ["0", "all"], "or null"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "accepted"), BAD, ids=[case[0] for case in BAD])
def test_anything_else_is_refused_by_name(notebook, name, values, accepted):
    for value in values:
        with pytest.raises(InputError) as caught:
            notebook.changes("quick", {name: value})
        said = str(caught.value)
        assert said.startswith(f"spder/a: parameter {name} is ") and accepted in said
        assert "\n" not in said and len(said) < 300


def test_profiles_are_read_as_yaml_would_read_them():
    """In all of the project's notebooks; so are their tries and their defaults, as text."""
    for notebook in notebooks.discover():
        for profile in ("paper", "smoke"):
            file = notebook.path.with_name(f"{notebook.path.stem}.{profile}.yml")
            read = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            assert json.dumps(notebook.changes(profile, {})) == json.dumps(read)
        for each in notebook.about.get("tries", ()):
            given = each.get("parameters", {})
            assert json.dumps(notebook.changes("quick", given)) == json.dumps(given)
        typed = {
            k: v if isinstance(v, str) else json.dumps(v) for k, v in notebook.defaults.items()
        }
        assert json.dumps(notebook.changes("quick", typed)) == json.dumps(notebook.defaults)


def test_paths_are_seen_from_the_folder_of_the_user(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("mine", "camera", "coins", "Gabor", "sub.png"):
        (tmp_path / name).write_text("")
    here = os.getcwd()

    def placed(name, value):
        return notebook.changes("quick", {name: value})[name]

    assert placed("picture", "own.png") == f"{here}/own.png"  # whether it is there or not
    assert placed("picture", "../own") == os.path.abspath("../own")
    assert placed("picture", "mine") == f"{here}/mine"
    assert placed("picture", "~/x.png") == f"{tmp_path}/x.png"
    assert placed("picture", "/x.png") == "/x.png"
    assert placed("picture", "~nobody9/x.png") == f"{here}/~nobody9/x.png"
    assert placed("pictures", "sub.png, camera") == [f"{here}/sub.png", "camera"]
    assert placed("clips", "[a/b.wav]") == [f"{here}/a/b.wav"]
    for name, value in (  # items, words, labels, and parameters that take no files
        ("picture", "camera"), ("picture", "coins"), ("picture", "unknown"), ("kind", "Gabor"),
        ("heard", "own.wav"), ("kind", "a.b"), ("clips", "esc10"),
    ):  # fmt: skip
        assert placed(name, value) == value
    (notebook.path.with_name("a.smoke.yml")).write_text("picture: beside.png")
    assert notebook.changes("smoke", {}) == {"picture": "beside.png"}  # seen from the notebook's
