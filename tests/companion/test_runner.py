"""Runs from start to record, through the command line, each in a project of its own."""

import hashlib
import json
import signal
import subprocess
import time

import nbformat
from PIL import Image

NUMBER = 'record.add("mse", steps)'


def run_json(project, id, profile="quick"):
    return json.loads((project.record(id, profile) / "run.json").read_text())


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_a_run_is_recorded_kept_and_repeated_when_something_changes(project):
    path = project.notebook("spder/a", "import os", NUMBER)
    first = project.inrkit("run", "spder/a")
    assert first.exit_code == 0, first.stderr
    assert "results/quick/spder/a" in first.stdout
    assert "encryption" not in first.stderr  # of ipykernel 7
    folder = project.record("spder/a")
    names = {path.name for path in folder.iterdir()}
    assert names == {"metrics.csv", "run.json", "figures", "notebook.ipynb"}
    assert run_json(project, "spder/a")["parameters"] == {"steps": 3, "n_items": 1}
    assert str(project.root) not in (folder / "notebook.ipynb").read_text()
    before = contents(folder)
    assert "unchanged, kept" in project.inrkit("run", "spder/a").stdout
    assert contents(folder) == before

    content = nbformat.read(path, as_version=4)
    content.cells[0].source = "# A better title"  # prose is brought up to date without a run
    nbformat.write(content, path)
    assert "kept" in project.inrkit("run").stdout
    executed = nbformat.read(folder / "notebook.ipynb", as_version=4)
    assert executed.cells[0].source == "# A better title"
    assert run_json(project, "spder/a")["start"] == json.loads(before_run(before))["start"]

    changed = project.inrkit("run", "spder/a", "-p", "steps=1e1")
    assert "unchanged" not in changed.stdout
    assert run_json(project, "spder/a")["parameters"]["steps"] == 10
    assert "0 with problems" in project.inrkit("verify").stdout


def before_run(before):
    return next(value for path, value in before.items() if path.name == "run.json")


def test_package_code_and_profiles(project):
    module = project.root / "inrkit/calculus/test_only.py"
    module.write_text("factor = 2")
    source = "from inrkit.calculus.test_only import factor\nrecord.add('mse', factor * steps)"
    path = project.notebook("spder/a", source)
    path.with_name("a.smoke.yml").write_text("steps: 1\n")
    assert project.inrkit("run", "--profile", "smoke").exit_code == 0
    assert "2.0" in (project.record("spder/a", "smoke") / "metrics.csv").read_text()
    module.write_text("factor = 7")
    again = project.inrkit("run", "--profile", "smoke")
    assert "unchanged" not in again.stdout
    assert "7.0" in (project.record("spder/a", "smoke") / "metrics.csv").read_text()


SLOW = """
import time
path = record.checkpoint(f"counter-{steps}")
first = int(path.read_text()) if path.exists() else 0
for step in range(first, steps):
    time.sleep(0.05)
    path.write_text(str(step + 1))
record.add("mse", steps - first)
"""


def test_a_kill_leaves_the_old_record_whole_and_the_next_run_resumes(project):
    project.notebook("spder/a", SLOW)
    assert project.inrkit("run").exit_code == 0
    before = contents(project.record("spder/a"))
    process = project.start("run", "-p", "steps=100")
    counter = None
    while counter is None or int(counter.read_text() or 0) < 20:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
        found = (project.root / "results/.checkpoints").rglob("counter-100.pt")
        counter = next(found, None)
    process.kill()
    process.wait()
    assert contents(project.record("spder/a")) == before
    resumed = project.inrkit("run", "-p", "steps=100")
    assert resumed.exit_code == 0, resumed.stderr
    table = (project.record("spder/a") / "metrics.csv").read_text().splitlines()
    done = dict(zip(table[0].split(","), table[1].split(","), strict=True))
    assert float(done["value"]) <= 80  # steps done in the second attempt
    run = run_json(project, "spder/a")
    assert run["attempts"] == 2 and run["seconds"] > 100 * 0.05


def test_a_forced_run_that_is_stopped_goes_on_without_force(project):
    project.notebook("spder/a", SLOW, parameters="steps = 120\nn_items = 1")
    project.notebook("spder/b", NUMBER)
    assert project.inrkit("run", "--jobs", "1").exit_code == 0
    begun = {id: run_json(project, id)["start"] for id in ("spder/a", "spder/b")}
    process = project.start("run", "--force", "--jobs", "1")
    counter = project.root / "results/.checkpoints/quick/spder/a/counter-120.pt"
    while not 5 <= int((counter.exists() and counter.read_text()) or 0) < 120:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.strip() == "inrkit: stopped; the same command without --force resumes"
    assert {id: run_json(project, id)["start"] for id in begun} == begun  # the old ones are there
    resumed = project.inrkit("run", "--jobs", "1")
    assert resumed.exit_code == 0 and "kept" not in resumed.stdout
    first = (project.record("spder/a") / "metrics.csv").read_text().splitlines()
    assert float(dict(zip(*(line.split(",") for line in first[:2]), strict=True))["value"]) <= 115
    assert all(run_json(project, id)["start"] != begun[id] for id in begun)
    assert project.inrkit("run").stdout.count("unchanged, kept") == 2


def test_force_forgets_the_fits(project):
    project.notebook("spder/a", SLOW)
    for arguments, done in (((), 3), (("--force",), 3), (("-p", "n_items=2"), 0)):
        assert project.inrkit("run", *arguments).exit_code == 0
        table = (project.record("spder/a") / "metrics.csv").read_text().splitlines()
        assert float(dict(zip(*(x.split(",") for x in table[:2]), strict=True))["value"]) == done


OWN = """
import os
from PIL import Image
from inrkit.companion import provenance, records
from inrkit.signals import image
circumstances = records.Record._circumstances
records.Record._circumstances = lambda self: {
    **circumstances(self), "files": provenance.files(), "fits": provenance.fits(),
}
record.add("mse", image(source).values.mean())
"""


def test_a_picture_replaced_under_its_name_is_another(project):
    picture = project.root / "own.png"

    def drawn(grey):
        Image.new("L", (4, 4), grey).save(picture)
        return hashlib.sha256(picture.read_bytes()).hexdigest()

    first = drawn(10)
    project.notebook("spder/a", OWN, parameters="source = '../../own.png'\nn_items = 1")
    assert project.inrkit("run").exit_code == 0
    assert run_json(project, "spder/a")["files"] == [{"name": "own.png", "sha256": first}]
    assert "unchanged, kept" in project.inrkit("run").stdout
    second = drawn(200)
    again = project.inrkit("run")
    assert again.exit_code == 0 and "unchanged" not in again.stdout
    assert run_json(project, "spder/a")["files"] == [{"name": "own.png", "sha256": second}]
    picture.unlink()
    assert "own.png is neither" in project.inrkit("run").stderr


def test_a_module_beside_the_notebook_is_followed(project):
    path = project.notebook("spder/a", "import helper\nrecord.add('mse', helper.factor * steps)")
    helper = path.with_name("helper.py")
    for factor in (2, 5):
        helper.write_text(f"factor = {factor}  # {'x' * factor}")
        assert "unchanged" not in project.inrkit("run").stdout
        assert f",{3.0 * factor}," in (project.record("spder/a") / "metrics.csv").read_text()
        (entry,) = run_json(project, "spder/a")["files"]
        assert entry["name"] == "notebooks/spder/helper.py"
        assert "unchanged, kept" in project.inrkit("run").stdout


FITTED = (
    OWN.replace("image(source).values.mean()", "steps")
    + """
from inrkit.fields import SIREN
from inrkit.training import Regression, fit
import torch
torch.manual_seed(0)
x = torch.rand(9, 2)
fit(SIREN(2, 1, width=4), Regression(x, x[:, :1]), steps=steps, name="a fit",
    checkpoint=record.checkpoint("one"), progress=False)
"""
)


def test_a_record_can_tell_which_commit_its_fits_come_from(project):
    def commit():
        git = ["git", "-C", str(project.root), "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "inrkit", "notebooks", "data", "_config.yml"], check=True)
        subprocess.run([*git, "commit", "-qm", "a"], check=True)

    path = project.notebook("spder/a", FITTED)
    commit()
    assert project.inrkit("run").exit_code == 0
    first = run_json(project, "spder/a")
    (entry,) = first["fits"]
    assert (entry["name"], entry["steps"], entry["commit"]) == ("one", 3, first["commit"])
    assert entry["clean"] is first["clean"] is True and entry["versions"] == first["versions"]
    assert entry["seconds"] == entry["seconds_here"]
    project.notebook("spder/a", FITTED, "a_figure_more = 1")
    commit()
    assert project.inrkit("run").exit_code == 0
    second = run_json(project, "spder/a")
    assert second["commit"] != first["commit"]
    assert second["fits"] == [{**entry, "seconds_here": 0}]
    path.unlink()


def test_a_kill_between_the_two_renames_is_mended(project):
    project.notebook("spder/a", NUMBER)
    project.inrkit("run")
    record = project.record("spder/a")
    before = contents(record)
    record.rename(project.root / "results/.partial/quick/spder/a/previous")
    assert "1 records, 0 with problems" in project.inrkit("verify").stdout
    assert contents(record) == before


def test_two_at_once_and_the_reader_of_records_last(project):
    seen = "import pathlib, os\nrecord.add('mse', int(os.environ['OMP_NUM_THREADS']))"
    project.notebook("spder/a", seen)
    project.notebook("spder/b", seen)
    reader = "from inrkit.companion import store\nrecord.add('mse', len(store.records('quick')))"
    project.notebook("beyond/scorecard", reader, reads="records")
    done = project.inrkit("run", "--jobs", "2")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith("beyond/scorecard")
    table = (project.record("beyond/scorecard") / "metrics.csv").read_text()
    assert ",2.0," in table  # both others were there
    kept = project.inrkit("run")
    assert kept.stdout.count("unchanged, kept") == 3
    project.notebook("spder/a", seen, "pass")
    changed = project.inrkit("run")
    assert changed.stdout.count("unchanged, kept") == 1  # b alone


def test_a_failure_names_notebook_cell_and_error(project):
    project.notebook("spder/a", "raise ValueError('no such image')", parameters="steps = 1")
    project.notebook("spder/b", NUMBER)
    failed = project.inrkit("run", "--keep-going", "-p", "steps=2")
    assert failed.exit_code == 1
    assert failed.stderr.strip() == "inrkit: spder/a, code cell 3: ValueError: no such image"
    assert project.record("spder/b").exists() and not project.record("spder/a").exists()


def test_a_dead_kernel_and_a_forgotten_save(project):
    project.notebook("spder/a", "import os; os._exit(1)")
    path = project.notebook("spder/b", NUMBER)
    content = nbformat.read(path, as_version=4)
    content.cells.pop()
    nbformat.write(content, path)
    failed = project.inrkit("run", "--keep-going", "--jobs", "2")
    lines = sorted(failed.stderr.strip().splitlines())
    assert failed.exit_code == 1 and len(lines) == 2
    assert "spder/a, code cell 3: the kernel died" in lines[0]
    assert "spder/b: metrics.csv is missing" in lines[1]


def test_a_run_of_the_same_notebook_is_kept_out(project):
    project.notebook("spder/a", SLOW)
    process = project.start("run", "-p", "steps=100")
    while not list((project.root / "results/.partial").rglob("context.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    second = project.inrkit("run")
    process.kill()
    process.wait()
    assert second.exit_code == 1 and "being run by another process" in second.stderr
