"""A good record passes; each way of breaking it is found."""

import shutil

import nbformat
import pytest

from inrkit.companion.verify import verify


@pytest.fixture
def folder(recorded, tmp_path, monkeypatch):
    """A copy of the good record to break."""
    copy = tmp_path / "quick/spder/a"
    shutil.copytree(recorded.record("spder/a"), copy)
    monkeypatch.setattr("inrkit.paths.RESULTS", tmp_path)
    return copy


def problems(folder):
    return verify()["quick/spder/a"]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_good_record(folder):
    assert problems(folder) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("metrics.csv", "0.5", "0.4", "not the file that the executed notebook wrote"),
        ("metrics.csv", "0.5", "inf", "not a finite number"),
        ("metrics.csv", "spder-018", "spder-999", "claim spder-999 is unknown"),
        ("metrics.csv", "spder-018", "spder-034", "claim spder-034 is in dB, its number is not"),
        ("metrics.csv", "0.5", "", "not a finite number"),
        ("metrics.csv", ",mse,", ",msE,", "metric mse is missing"),
        ("run.json", '"steps": 4', '"steps": 5', "parameters are not those"),
        ("run.json", '"id": "spder/a"', '"id": "spder/b"', "belongs to spder/b"),
        ("run.json", '"seconds"', '"second"', "lacks seconds"),
        ("run.json", "{", "", "cannot be read"),
        ("notebook.ipynb", "steps = 4", "steps = 6", "parameters are not those"),
    ],
)
def test_tampering_is_found(folder, name, old, new, said):
    edit(folder / name, old, new)
    assert any(said in problem for problem in problems(folder))


def test_a_claim_that_two_quantities_answer_is_found(folder):
    path = folder / "metrics.csv"
    head, row = path.read_text().splitlines()
    path.write_text("\n".join([head, row, row.replace("lowest", "last")]))
    assert "claim spder-018 is answered by several quantities" in problems(folder)


@pytest.mark.parametrize("name", ["metrics.csv", "notebook.ipynb", "figures/empty.svg"])
def test_missing_files_are_found(folder, name):
    (folder / name).unlink()
    found = problems(folder)
    assert any("missing" in problem and name.rpartition("/")[2] in problem for problem in found)


def test_an_error_in_the_notebook_is_found(folder):
    path = folder / "notebook.ipynb"
    content = nbformat.read(path, as_version=4)
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])
    content.cells[-1].outputs.append(error)
    nbformat.write(content, path)
    assert problems(folder) == ["ValueError in the executed notebook"]


def test_the_command_fails_on_a_bad_record(recorded):
    copy = recorded.record("spder/c")
    shutil.copytree(recorded.record("spder/a"), copy)
    done = recorded.inrkit("verify")
    shutil.rmtree(copy)
    assert done.exit_code == 1
    assert done.stderr.strip() == "results/quick/spder/c: run.json belongs to spder/a"
