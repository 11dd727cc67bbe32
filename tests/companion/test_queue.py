"""The queue of records: what is next, growth, budgets, kills; archives of records."""

import csv
import json
import os
import shutil
import tarfile
import time

import pandas as pd
import pytest

from inrkit.companion import queue

FITS = """
import torch
from inrkit.fields import SIREN
from inrkit.training import Regression, fit
x = torch.linspace(-1, 1, 16)[:, None]
for item in range(n_items):
    torch.manual_seed(item)
    found = fit(SIREN(1, 1, width=8), Regression(x, torch.sin((item + 1) * x)), steps=steps,
                checkpoint=record.checkpoint(str(item)), progress=False)
    record.add("mse", found.losses[-1], model="SIREN", item=str(item))
"""


@pytest.fixture
def waiting(project):
    """A project with a queue of rows ``(notebook, parameters)``."""

    def write(*rows):
        with (project.root / "data" / "queue.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["notebook", "parameters", "hours", "why"])
            table.writerows([id, json.dumps(p), 1.5, "numbers"] for id, p in rows)

    def notebook(id, *cells, **settings):
        path = project.notebook(id, *cells, **settings)
        path.with_name(f"{path.stem}.paper.yml").write_text("steps: 5 # the paper's\n")

    project.queue, project.paper = write, notebook
    project.paper("spder/a", FITS)
    return project


def metrics(project, id="spder/a"):
    return pd.read_csv(project.record(id, "paper") / "metrics.csv")


def test_the_projects_own_queue_is_whole():
    found = queue.entries()
    assert len(found) > 20
    for entry in found:
        assert entry.hours > 0 and entry.why and set(entry.parameters) <= set(entry.wanted)


def test_a_record_grows_without_repeating_a_fit(waiting):
    rows = ("spder/a", {"n_items": 1}), ("spder/a", {"n_items": 3})
    waiting.queue(rows[0])
    assert waiting.inrkit("run", "--queue", "--jobs", "1").exit_code == 0
    kept = waiting.root / "results" / ".checkpoints" / "paper" / "spder" / "a"
    (first,) = kept.glob("*.pt")
    written = first.stat().st_mtime_ns
    waiting.queue(*rows)
    listed = json.loads(waiting.inrkit("queue", "--json").stdout)
    assert [row["done"] for row in listed] == [True, False]
    done = waiting.inrkit("run", "--queue", "--jobs", "1")
    assert done.exit_code == 0 and "0 rows of the queue are left" in done.stdout, done.output
    assert len(list(kept.glob("*.pt"))) == 3
    assert first.stat().st_mtime_ns == written  # not trained again
    grown = metrics(waiting)

    shutil.rmtree(waiting.root / "results")
    done = waiting.inrkit("run", "spder/a", "--profile", "paper", "-p", "n_items=3")
    assert done.exit_code == 0, done.output
    pd.testing.assert_frame_equal(metrics(waiting), grown, check_exact=True)


def test_what_is_recorded_is_done_and_more_items_do_as_well(waiting):
    waiting.queue(("spder/a", {"n_items": 2}), ("spder/a", {"n_items": 2, "steps": 6}))
    waiting.inrkit("run", "spder/a", "--profile", "paper", "-p", "n_items=3")
    listed = json.loads(waiting.inrkit("queue", "--json").stdout)
    assert [row["done"] for row in listed] == [True, False]
    assert "1.5 core hours are left" in waiting.inrkit("queue").stdout


def test_a_row_is_not_run_again_after_a_later_one_of_its_notebook(waiting):
    waiting.queue(("spder/a", {"steps": 4}), ("spder/a", {"steps": 6}))
    assert waiting.inrkit("run", "--queue", "--jobs", "1").exit_code == 0
    again = waiting.inrkit("run", "--queue")
    assert again.stdout == "0 rows of the queue are left, about 0.0 core hours\n"


def test_a_failure_is_said_and_the_rest_is_run(waiting):
    waiting.paper("spder/b", "raise ValueError('no such luck')")
    waiting.queue(("spder/b", {}), ("spder/a", {}))
    done = waiting.inrkit("run", "--queue", "--jobs", "1")
    assert done.exit_code == 1 and "no such luck" in done.stderr
    assert "1 rows of the queue are left, about 1.5 core hours" in done.stdout
    assert len(metrics(waiting)) == 1


def test_a_budget_ends_what_runs(waiting):
    waiting.paper("spder/b", "import time\ntime.sleep(600)")
    waiting.queue(("spder/b", {}), ("spder/a", {}))
    done = waiting.inrkit("run", "--queue", "--budget", "8s", "--jobs", "1")
    assert done.exit_code == 0 and "2 rows of the queue are left" in done.stdout, done.output


def test_a_kill_changes_no_number(waiting):
    stops = "if item == 2 and not Path('go').exists():"
    wait = f"    {stops}\n        Path('go').touch()\n        time.sleep(600)\n"
    patient = FITS.replace("    torch.manual_seed", f"{wait}    torch.manual_seed")
    patient = f"import time\nfrom pathlib import Path\n{patient}"
    waiting.paper("spder/a", patient, parameters="steps = 3\nn_items = 3")
    waiting.queue(("spder/a", {}))
    flag = waiting.root / "notebooks" / "spder" / "go"
    process = waiting.start("run", "--queue", "--jobs", "1")
    while not flag.exists() and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    process.wait()
    done = waiting.inrkit("run", "--queue", "--jobs", "1")
    assert done.exit_code == 0, done.output
    resumed = metrics(waiting)
    shutil.rmtree(waiting.root / "results")
    assert waiting.inrkit("run", "--queue", "--jobs", "1").exit_code == 0
    pd.testing.assert_frame_equal(metrics(waiting), resumed, check_exact=True)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("spder/a,{},1,x\nspder/a,{},1,x\n", "several rows"),
        ("spder/none,{},1,x\n", "spder/none"),
        ('spder/a,"{""stepz"": 1}",1,x\n', "no parameter 'stepz'"),
        ("spder/a,steps=3,1,x\n", "parameters are JSON"),
        ("spder/a,{},soon,x\n", "a finite number"),
    ],
)
def test_a_wrong_row_is_refused(waiting, rows, said):
    (waiting.root / "data" / "queue.csv").write_text(f"notebook,parameters,hours,why\n{rows}")
    for command in (["queue"], ["run", "--queue"]):
        done = waiting.inrkit(*command)
        assert done.exit_code == 2 and said in done.stderr


@pytest.mark.parametrize(
    "given", [["spder/a"], ["-p", "steps=3"], ["--force"], ["--profile", "smoke"],
              ["--budget", "soon"], ["--budget", "0s"], ["--device", "tpu"],
              ["--jobs", "0"], ["--jobs", "-1"]]
)  # fmt: skip
def test_settings_that_a_queue_does_not_take_are_refused(waiting, given):
    waiting.queue(("spder/a", {}))
    assert waiting.inrkit("run", "--queue", *given).exit_code == 2
    assert waiting.inrkit("run", "--budget", "3m").exit_code == 2


def test_records_are_packed_and_taken_over(waiting, tmp_path):
    here, archive = waiting.record("spder/a", "paper"), tmp_path / "a.tar.xz"
    assert waiting.inrkit("pack", str(archive)).exit_code == 2  # nothing is recorded
    for n, file in ((1, "one.tar.xz"), (2, "two.tar.xz")):
        waiting.inrkit("run", "spder/a", "--profile", "paper", "-p", f"n_items={n}")
        assert waiting.inrkit("pack", "--checkpoints", str(tmp_path / file)).exit_code == 0
    two = (here / "metrics.csv").read_bytes()
    done = waiting.inrkit("unpack", str(tmp_path / "one.tar.xz"))
    assert "left out, the record here has 2 items" in done.stdout and "it has 1" in done.stdout
    assert (here / "metrics.csv").read_bytes() == two
    done = waiting.inrkit("unpack", "--force", str(tmp_path / "one.tar.xz"))
    assert "spder/a: taken" in done.stdout and len(metrics(waiting)) == 1
    shutil.rmtree(waiting.root / "results")
    assert waiting.inrkit("unpack", str(tmp_path / "two.tar.xz")).exit_code == 0
    assert (here / "metrics.csv").read_bytes() == two
    assert len(list((waiting.root / "results" / ".checkpoints").rglob("*.pt"))) == 2
    assert waiting.inrkit("verify").exit_code == 0
    again = waiting.inrkit("unpack", str(tmp_path / "two.tar.xz"))
    assert "left out, the record here has 2 items" in again.stdout  # the same one


def test_checkpoints_alone_are_packed_and_taken_over(waiting, tmp_path):
    waiting.inrkit("run", "spder/a", "--profile", "paper")
    shutil.rmtree(waiting.record("spder/a", "paper"))
    file = str(tmp_path / "a.tar.xz")
    assert "0 records, 1 checkpoints" in waiting.inrkit("pack", "--checkpoints", file).stdout
    shutil.rmtree(waiting.root / "results")
    done = waiting.inrkit("unpack", file)
    assert (done.exit_code, done.stdout) == (0, "checkpoints: 1\n")
    assert len(list((waiting.root / "results" / ".checkpoints").rglob("*.pt"))) == 1


def test_a_broken_archive_changes_nothing(waiting, tmp_path):
    waiting.inrkit("run", "spder/a", "--profile", "paper")
    whole, bad = tmp_path / "a.tar.xz", tmp_path / "bad.tar.xz"
    waiting.inrkit("pack", str(whole))
    before = (waiting.record("spder/a", "paper") / "metrics.csv").read_bytes()
    data = whole.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    for wrong in (data[:-400], flipped, b"no archive", b""):
        bad.write_bytes(wrong)
        assert waiting.inrkit("unpack", str(bad)).exit_code == 2
    assert waiting.inrkit("unpack", str(tmp_path / "none.tar.xz")).exit_code == 2
    with tarfile.open(bad, "w:xz") as archive:
        archive.add(whole, "../escaped")
    assert waiting.inrkit("unpack", str(bad)).exit_code == 2
    assert not (waiting.root / "escaped").exists()
    with tarfile.open(whole) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    with (tmp_path / "out" / "paper" / "spder" / "a" / "metrics.csv").open("a") as file:
        file.write(before.splitlines()[-1].decode().replace("SIREN", "FINER") + os.linesep)
    with tarfile.open(bad, "w:xz") as archive:
        archive.add(tmp_path / "out" / "paper", "paper")
    done = waiting.inrkit("unpack", str(bad))
    assert "left out, metrics.csv is not the file" in done.stdout
    assert (waiting.record("spder/a", "paper") / "metrics.csv").read_bytes() == before
    assert sorted(p.name for p in (waiting.root / "results").iterdir()) == [
        ".checkpoints", ".partial", "paper"
    ]  # fmt: skip
