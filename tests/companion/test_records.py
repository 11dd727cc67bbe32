"""Records as a notebook makes them, read back with the csv and json modules."""

import csv
import hashlib
import json
import shutil
import time
from datetime import datetime
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from inrkit import paths
from inrkit.companion import CompanionError, Record, machine, measured, records
from inrkit.fields import SIREN
from inrkit.render import sound_player
from inrkit.signals import image, registry
from inrkit.training import Regression, fit


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr("inrkit.paths.RESULTS", tmp_path)
    return Record("spder/test", metrics=["psnr"])


def under_runner(folder, monkeypatch, **context):
    stated = {"id": "spder/test", "profile": "paper", "overrides": {}, "parameters": {}, **context}
    (folder / "context.json").write_text(json.dumps(stated))
    monkeypatch.setenv("INRKIT_RECORD", str(folder))
    return Record("spder/test", metrics=["psnr"])


def test_metrics_are_tidy(record):
    record.add("psnr", [36.6, 35.0], item=["cat", "a, b"], model="SIREN", claim="spder-034",
               reading="last", seed=0, step=500)  # fmt: skip
    record.add("psnr", np.float32(30), model="ReLU", image="x")
    record.add("psnr", np.array([1.0, 2.0]), model="tanh", seed=range(2))
    record.save()
    with (record.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = ["claim", "model", "reading", "step", "image",
               "metric", "item", "seed", "value", "unit"]  # fmt: skip
    assert list(rows[0]) == columns
    assert rows[0]["unit"] == "dB"  # the claim's own
    assert [float(row["value"]) for row in rows] == [36.6, 35.0, 30.0, 1.0, 2.0]
    assert [row["item"] for row in rows] == ["cat", "a, b", "", "", ""]
    assert [row["seed"] for row in rows] == ["0", "0", "", "0", "1"]
    assert (rows[0]["step"], rows[2]["step"], rows[2]["image"]) == ("500", "", "x")
    short = record.summary()
    assert list(short["n"]) == [2, 1, 2] and list(short["mean"]) == [35.8, 30.0, 1.5]


@pytest.mark.parametrize(
    ("metric", "value", "more", "said"),
    [
        ("ssim", 1.0, {}, "not promised"),
        ("psnr", float("nan"), {}, "finite"),
        ("psnr", [1.0, float("inf")], {"item": ["a", "b"]}, "finite"),
        ("psnr", 1.0, {"spread": 2.0}, "spread: no setting"),
        ("psnr", 1.0, {"n": 4}, "n: no setting"),
        ("psnr", [1.0, 2.0], {"item": ["a", "b", "c"]}, "2 values for 3 items"),
        ("psnr", [1.0, 2.0], {"seed": [1, 2, 3]}, "2 values for 3 seeds"),
        ("psnr", [1.0, 2.0], {"item": "a"}, "recorded already"),
        ("psnr", 1.0, {"claim": "spder-034", "reading": "lowest"}, "the last value of a fit"),
        ("psnr", "many", {}, "number"),
        ("psnr", 1.0, {"claim": "spder-999"}, "no claim 'spder-999'"),
        ("psnr", 1.0, {"claim": "spder-034", "unit": "%"}, "is in dB"),
    ],
)
def test_bad_numbers_end_in_a_sentence(record, metric, value, more, said):
    with pytest.raises(CompanionError, match=said) as caught:
        record.add(metric, value, **more)
    assert "\n" not in str(caught.value)


def test_one_quantity_answers_a_claim(record):
    about = {"claim": "spder-034", "reading": "last", "model": "SIREN"}
    record.add("psnr", 1.0, item="cat", **about)
    record.add("psnr", 2.0, item="camera", **about)
    with pytest.raises(CompanionError, match="recorded already"):
        record.add("psnr", 2.0, item="camera", **about)
    with pytest.raises(CompanionError, match="one quantity answers a claim"):
        record.add("psnr", 2.0, item="coins", step=100, **about)


def test_a_promised_metric_must_come(record):
    with pytest.raises(CompanionError, match="never recorded: psnr"):
        record.save()


def test_figures_are_small_text_or_pictures(record):
    curve, axes = plt.subplots()
    axes.plot([0, 1])
    axes.set_title("readable words")
    record.figure(curve, "curve")
    svg = (record.folder / "figures/curve.svg").read_text()
    assert "readable words" in svg and len(svg) < 30_000
    pixels, axes = plt.subplots()
    axes.imshow(np.random.default_rng(0).random((99, 99)))
    record.figure(pixels, "pixels", raster=True)
    assert Image.open(record.folder / "figures/pixels.webp").format == "WEBP"
    assert not plt.get_fignums()
    record.add("psnr", 1.0)
    record.save()
    run = json.loads((record.folder / "run.json").read_text())
    assert run["figures"] == ["curve.svg", "pixels.webp"]


def test_sounds_and_videos_are_kept_beside_the_figures(record):
    player = sound_player(np.sin(np.arange(800) / 9), 8000, label="a tone")
    record.media(player, "tone")
    assert (record.folder / "figures/tone.flac").read_bytes() == player.data
    with pytest.raises(CompanionError, match="tone.flac already"):
        record.media(player, "tone")
    record.add("psnr", 1.0)
    record.save()
    assert json.loads((record.folder / "run.json").read_text())["figures"] == ["tone.flac"]


def test_the_same_figure_is_the_same_file(record):
    for name in ("a", "b"):
        figure, axes = plt.subplots()
        axes.plot([1, 2, 1])
        record.figure(figure, name)
    first, second = (record.folder / f"figures/{name}.svg" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def sum_of(sums):
    """The sum of a data set: of its items' sums, joined."""
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def test_circumstances(record):
    signal = SimpleNamespace(name="mine", sha256="ab")
    record.used(signal)
    record.used("camera")
    record.used(registry.dataset("skimage", 2), of=800)
    record.note("centre crops")
    record.add("psnr", 1.0)
    record.save()
    run = json.loads((record.folder / "run.json").read_text())
    sums = {item.name: item.sha256 for item in registry.items("skimage")}
    assert run["data"] == [
        {"name": "mine", "sha256": "ab", "n": 1, "of": 1},
        {"name": "camera", "sha256": sums["camera"], "n": 1, "of": 1},
        {"name": "skimage", "sha256": sum_of(list(sums.values())[:2]), "n": 2, "of": 800},
    ]
    assert (run["profile"], run["notes"]) == ("interactive", ["centre crops"])
    assert run["device"]["kind"] == "cpu" and run["device"]["name"]
    assert run["peak_memory_mib"]["process"] > 10
    assert run["seconds"] >= 0 and run["start"].endswith("+00:00")


def test_data_is_noted_once_each_with_the_sum_that_is_known(record):
    signal = SimpleNamespace(name="mine", sha256="ab")
    for _ in range(2):
        record.used(signal)
    record.used(signal, sha256="cd")  # of what was made of it
    record.used("camera", sha256="ef")
    record.used("nobody's", n=3)  # no fewer in all than were used
    assert record.data == [
        {"name": "mine", "sha256": "ab", "n": 1, "of": 1},
        {"name": "mine", "sha256": "cd", "n": 1, "of": 1},
        {"name": "camera", "sha256": "ef", "n": 1, "of": 1},
        {"name": "nobody's", "sha256": None, "n": 3, "of": 3},
    ]
    assert record.so_far().run["data"] == record.data and not record.so_far().partial
    record.used("nobody's", n=3, of=4)
    assert record.so_far().partial


def test_a_run_that_goes_on_counts_from_its_start(tmp_path, monkeypatch):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/of_before.svg").touch()
    started = time.time() - 50
    context = {"started": started, "spent": 1000.0, "attempts": 3, "fingerprint": "abc"}
    record = under_runner(tmp_path, monkeypatch, overrides={"steps": 3}, **context)
    record.add("psnr", 1.0)
    record.save(training_seconds=12.5)
    run = json.loads((tmp_path / "run.json").read_text())
    assert 1050 <= run["seconds"] < 1150 and run["training_seconds"] == 12.5
    assert datetime.fromisoformat(run["start"]).timestamp() == int(started)
    found = [run[name] for name in ("id", "profile", "overrides", "attempts", "fingerprint")]
    assert found == ["spder/test", "paper", {"steps": 3}, 3, "abc"]
    assert run["metrics"] == ["psnr"] and not list((tmp_path / "figures").iterdir())


def test_the_cell_of_a_number_is_the_first_that_records_it(record, monkeypatch):
    for count, settings in enumerate([{}, {"step": 2}, {"claim": "spder-034"}], start=4):
        monkeypatch.setattr(records, "get_ipython", lambda n=count: SimpleNamespace(
            execution_count=n))  # fmt: skip
        record.add("psnr", 1.0, **settings)
    assert record.cells == {"psnr": 4, "spder-034": 6}


def notebook(folder, monkeypatch, paper="", **about):
    """A notebook spder/test with parameters, in place of the project's."""
    cell = new_code_cell("steps = 3\nn_items = 1\nchunk = 8", metadata={"tags": ["parameters"]})
    content = new_notebook(cells=[cell])
    content.metadata["inrkit"] = about
    path = folder / "notebooks/spder/test.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(content, path)
    path.with_name("test.paper.yml").write_text(paper)
    monkeypatch.setattr(paths, "NOTEBOOKS", folder / "notebooks")


CROPS = {"what": "pictures", "paper": "resized", "here": "crops", "unless": {"n_items": 7}}


@pytest.mark.parametrize(
    ("about", "parameters", "deviations"),
    [
        ({}, {"steps": 500, "n_items": 1, "chunk": 8}, []),
        ({}, {"steps": 500, "n_items": 4, "chunk": 8}, []),
        ({}, {"steps": 100, "n_items": 1, "chunk": 8}, [("steps", 500, 100, ())]),
        ({}, {"steps": 500, "n_items": 1, "chunk": 9}, [("chunk", 8, 9, ())]),
        ({"cost": ["chunk"]}, {"steps": 500, "n_items": 1, "chunk": 9}, []),
        ({"counts": ["chunk"]}, {"steps": 500, "n_items": 1, "chunk": 9}, []),
        ({"touches": {"steps": ["SIREN"]}}, {"steps": 1, "n_items": 1, "chunk": 8},
         [("steps", 500, 1, ("SIREN",))]),
        ({"deviations": [CROPS]}, {"steps": 500, "n_items": 1, "chunk": 8},
         [("pictures", "resized", "crops", ())]),
        ({"deviations": [CROPS]}, {"steps": 500, "n_items": 7, "chunk": 8}, []),
        ({"deviations": [{**CROPS, "when": {"steps": [1, 2]}, "models": ["SIREN"]}]},
         {"steps": 2, "n_items": 1, "chunk": 8},
         [("steps", 500, 2, ()), ("pictures", "resized", "crops", ("SIREN",))]),
        ({}, {"steps": 500}, [("chunk", 8, "not a parameter of that run", ())]),
    ],
)  # fmt: skip
def test_deviations_are_computed(tmp_path, monkeypatch, about, parameters, deviations):
    notebook(tmp_path, monkeypatch, paper="steps: 500 # Table 1", **about)
    found = measured.deviations("spder/test", parameters)
    assert [(d.what, d.paper, d.here, d.models) for d in found] == deviations


def test_a_record_without_its_notebook_is_reduced():
    (one,) = measured.deviations("spder/gone", {})
    assert one.what == "notebook"


def test_verdicts_of_this_notebook(tmp_path, monkeypatch):
    notebook(tmp_path, monkeypatch)
    parameters = {"steps": 3, "n_items": 5, "chunk": 8}
    record = under_runner(tmp_path, monkeypatch, parameters=parameters)
    names = list("abcde")
    record.add("psnr", [36.0, 36.1, 36.2, 36.1, 36.0], item=names, reading="last",
               claim="spder-034", model="SIREN")  # fmt: skip
    record.add("psnr", [10.0] * 5, item=names, reading="last", claim="spder-036", model="SPDER")
    table = record.verdicts().data
    assert list(table["scale"]) == ["subset", "subset"] and list(table["n"]) == [5, 5]
    assert list(table["size"]) == ["agrees", "worse"]
    assert list(table["order"]) == ["reversed", "reversed"]  # the paper has SPDER far above SIREN
    assert list(table["ours"]) == ["36.08 ± 0.084 dB", "10 ± 0 dB"]
    assert list(table["claim"]) == ["spder-034", "spder-036"]
    record.add("psnr", 1.0, model="of no claim")
    assert len(record.verdicts().data) == 2


def test_verdicts_know_the_parameters_of_the_run(tmp_path, monkeypatch):
    notebook(tmp_path, monkeypatch)
    parameters = {"steps": 2, "n_items": 5, "chunk": 8}
    record = under_runner(tmp_path, monkeypatch, parameters=parameters)
    record.add("psnr", 36.0, reading="last", claim="spder-034", model="SIREN")
    assert list(record.verdicts().data.loc[0, ["scale", "size", "order"]]) == ["reduced", "—", "—"]


def test_a_record_that_reads_others_measures_nothing(tmp_path, monkeypatch):
    for number, about in enumerate([{}, {"reads": "records"}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        notebook(folder, monkeypatch, **about)
        record = under_runner(folder, monkeypatch, parameters={"steps": 3})
        record.add("psnr", 1.0)
        record.save()
        found = measured.read("spder/test", folder)
        assert found.measures == (not about) and list(found.table["value"]) == [1.0]
        assert [d.what for d in found.deviations] == ["chunk"]  # steps is as declared


def test_a_record_names_its_fits_and_the_files_that_were_read(record, tmp_path):
    path = tmp_path / "own.png"
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(path)
    signal = image(str(path))
    fit(SIREN(2, 1, width=4), Regression(signal.coords, signal.values), steps=2, progress=False,
        checkpoint=record.checkpoint("its fit"))  # fmt: skip
    record.add("psnr", 1.0)
    record.save()
    run = json.loads((record.folder / "run.json").read_text())
    (one,) = (entry for entry in run["fits"] if entry["name"] == "its fit")
    assert one["steps"] == 2 and one["commit"] == run["commit"]
    sums = [entry["sha256"] for entry in run["files"] if entry["name"].endswith("own.png")]
    assert sums == [hashlib.sha256(path.read_bytes()).hexdigest()]
    assert run["cells"] == {"psnr": 0}


def test_another_notebooks_record(tmp_path, monkeypatch):
    with pytest.raises(CompanionError, match="opens the record 'spder/test'"):
        under_runner(tmp_path, monkeypatch, id="siren/other")


def test_what_the_registry_does_not_know():
    assert records.registered("nobody's") is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_and_whether_the_tree_is_clean(tmp_path, monkeypatch):
    monkeypatch.setattr("inrkit.paths.ROOT", tmp_path)
    assert machine.commit() == {"commit": None, "clean": None}
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    (tmp_path / "file").touch()
    for arguments in (("init",), ("add", "file"), (*identity, "commit", "-m", "first")):
        machine._git(*arguments)
    assert machine.commit() == {"commit": machine._git("log", "-1", "--format=%H"), "clean": True}
    (tmp_path / "results").mkdir()
    (tmp_path / "results/new").touch()
    assert machine.commit()["clean"]  # records are no source
    (tmp_path / "file").write_text("changed")
    assert machine.commit()["clean"] is False
