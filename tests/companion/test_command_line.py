"""The command line: what a person types, reads, and gets wrong."""

import json
import subprocess
import sys

import pytest

from inrkit import paths
from inrkit.companion import claims, statements


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "spder/aa"], "did you mean 'spder/a'?"),
        (["run", "-p", "step=1"], "did you mean 'steps'?"),
        (["run", "-p", "steps=many"], "steps is a whole number, 1 or more; got 'many'"),
        (["run", "-p", "steps"], "name=value"),
        (["run", "--profile", "fast"], "known are quick, paper, smoke"),
        (["run", "--device", "cpu"], "no parameter 'device'"),
        (["run", "--jobs", "0"], "1 or more"),
        (["run", "--profile", "smoke"], "steps is a whole number, 1 or more; got '1e-4'"),
        (["data", "fetch", "nothing"], "no data set 'nothing'"),
    ],
)
def test_bad_input_is_one_sentence(project, arguments, said):
    path = project.notebook("spder/a")
    path.with_name("a.smoke.yml").write_text("steps: 1e-4\n")
    done = project.inrkit(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (project.root / "results").exists()


def test_unreadable_files_are_one_sentence(project):
    path = project.notebook("spder/a")
    path.write_text("{")
    done = project.inrkit("list")
    assert done.exit_code == 2 and "cannot be read as a notebook" in done.stderr
    record = project.record("spder/a")
    record.mkdir(parents=True)
    (record / "run.json").write_text("{")
    done = project.inrkit("score")
    assert done.exit_code == 2 and "run.json cannot be read" in done.stderr


def test_list(recorded):
    listed = json.loads(recorded.inrkit("list", "--json").stdout)
    found = [(row["id"], row["title"], row["paper"]) for row in listed]
    assert found == [("spder/a", "An experiment", None)]
    assert listed[0]["quick"] > 0
    assert "An experiment" in recorded.inrkit("list").stdout


def test_score(recorded):
    found = json.loads(recorded.inrkit("score", "--json").stdout)
    rows = {row["id"]: row for row in found["numbers"]}
    row = rows["spder-018"]
    assert (row["ours"], row["n"], row["notebook"]) == (0.5, 1, "spder/a")
    assert (row["scale"], row["size"], row["order"]) == ("reduced", "", "") and row["hardware"]
    assert len(rows) == len(claims.claims()) and rows["spder-017"]["ours"] is None
    assert rows["spder-017"]["scale"] == "not measured"
    assert len(found["statements"]) == len(statements.statements()) and found["pairs"] == []
    shown = recorded.inrkit("score").stdout
    assert shown.index("statements") < shown.index("scale") < shown.index("size")


def test_data(recorded):
    sets = json.loads(recorded.inrkit("data", "list", "--json").stdout)
    assert "skimage" in [row["set"] for row in sets]
    assert all(row["licence"] and row["files"] for row in sets)


def test_the_module_is_the_command():
    shown = subprocess.run(
        [sys.executable, "-m", "inrkit", "--help"], cwd=paths.ROOT, capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("list", "run", "score", "verify", "book", "lab"))
