"""Whatever goes wrong that one can foresee is one sentence on stderr, with its exit status."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inrkit import paths
from inrkit.companion.errors import told

SETS = [["data", "list"], ["data", "check"], ["data", "fetch", "skimage"]]
READERS = {  # of each table
    "registry.csv": SETS,
    "claims.csv": [["score"], ["score", "--json"], ["verify"]],
    "tables.csv": [["score"], ["verify"]],
    "statements.csv": [["score"]],
    "reasons.csv": [["score"]],
}
BREAKS = {
    "missing": None,
    "empty": lambda lines: [],
    "without rows": lambda lines: lines[:1],
    "binary": lambda lines: [b"\x89PNG\r\n\x1a\n\xff\xfe"],
    "with another column": lambda lines: [lines[0].replace(b",", b",extra,", 1), *lines[1:]],
    "without a column": lambda lines: [lines[0].partition(b",")[2], *lines[1:]],
    "with a value too many": lambda lines: [*lines, lines[-1] + b",one,more"],
    "with a row twice": lambda lines: [*lines, lines[-1]],
    "with half a row": lambda lines: [*lines, b"half"],
    "with an open quotation": lambda lines: [*lines, b'"half' + lines[-1]],
    "with semicolons": lambda lines: [line.replace(b",", b";") for line in lines],
}


def refused(done, status, *said):
    """One line on stderr that says it all."""
    assert done.exit_code == status, (done.exit_code, done.stderr, done.exception)
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("inrkit: ")
    assert all(words in done.stderr for words in said), done.stderr


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("name", READERS)
def test_a_broken_table(copied, name, how):
    path = copied.root / "data" / name
    lines = path.read_bytes().splitlines()
    path.unlink()
    if BREAKS[how] is not None:
        path.write_bytes(b"\n".join(BREAKS[how](lines)))
    for command in READERS[name]:
        refused(copied.inrkit(*command), 2, f"data/{name}")


@pytest.mark.parametrize(
    ("name", "column", "value", "said"),
    [
        ("registry.csv", "bytes", "many", "whole number"),
        ("registry.csv", "bytes", "-1", "whole number"),
        ("claims.csv", "value", "about 3", "finite number is expected, got 'about 3'"),
        ("claims.csv", "value", "nan", "finite number"),
        ("claims.csv", "spread", "x", "finite number"),
        ("claims.csv", "items", "1.5", "whole number"),
        ("statements.csv", "least", "few", "whole number"),
        ("statements.csv", "rule", "gap(", "not an expression"),
        ("statements.csv", "rule", "value(1) > 'a'", "number to compare with"),
        ("statements.csv", "rule", "gap('mse') > 1", "other arguments of gap"),
    ],
)
def test_a_broken_value(copied, name, column, value, said):
    import pandas as pd

    path = copied.root / "data" / name
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    row = 0
    if column == "rule":  # decided only where there is a record
        table.loc[0, "notebook"] = "spder/a"
    table.loc[row, column] = value
    table.to_csv(path, index=False)
    command = ["data", "list"] if name == "registry.csv" else ["score"]
    refused(copied.inrkit(*command), 2, said)


RECORDS = {
    "no JSON": ("run.json", lambda text: "{"),
    "binary": ("run.json", lambda text: b"\xff\xfe"),
    "a list": ("run.json", lambda text: "[]"),
    "a word for a number": ("run.json", lambda text: text.replace('"seconds": ', '"seconds": "x')),
    "without parameters": ("run.json", lambda text: text.replace('"parameters"', '"parameter"')),
    "no table": ("metrics.csv", lambda text: ""),
    "a binary table": ("metrics.csv", lambda text: b"\x00\xff\xfe\x01"),
    "words for numbers": ("metrics.csv", lambda text: text.replace("0.5", "half")),
    "lines of any length": ("metrics.csv", lambda text: text + "a,b\n" + "c," * 40),
    "an old table": ("metrics.csv", lambda text: text.replace("item", "thing")),
}


@pytest.mark.parametrize("how", RECORDS)
def test_a_broken_record(copied, how):
    name, change = RECORDS[how]
    path = copied.record("spder/a") / name
    made = change(path.read_text())
    if how == "a word for a number":
        run = json.loads(path.read_text())
        made = json.dumps({**run, "seconds": "many"})
    path.write_bytes(made if isinstance(made, bytes) else made.encode())
    refused(copied.inrkit("score"), 2, f"results/quick/spder/a/{name} cannot be read", "--force")
    if name == "run.json":
        refused(copied.inrkit("list"), 2, "run.json cannot be read")
    done = copied.inrkit("verify")
    assert done.exit_code == 1 and done.stderr.startswith("results/quick/spder/a: ")
    assert "Traceback" not in done.stderr


NOTEBOOKS = {
    "no JSON": b"{",
    "nothing": b"",
    "binary": b"\x89PNG\xff",
    "a list": b"[]",
    "an object": b"{}",
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "a cell without a type": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}',
    "a number for cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}',
}


@pytest.mark.parametrize("how", NOTEBOOKS)
def test_a_broken_notebook(copied, how):
    (copied.root / "notebooks/spder/a.ipynb").write_bytes(NOTEBOOKS[how])
    for command in (["list"], ["run"], ["run", "--profile", "paper"], ["score"]):
        refused(copied.inrkit(*command), 2, "notebooks/spder/a.ipynb cannot be read as a notebook")


def test_broken_parameters_and_metadata(copied):
    copied.notebook("spder/a", parameters="%matplotlib inline\nsteps = 3")
    refused(copied.inrkit("run"), 2, "notebooks/spder/a.ipynb", "plain assignments")
    path = copied.notebook("spder/a")
    content = json.loads(path.read_text())
    content["metadata"]["inrkit"] = "records"
    path.write_text(json.dumps(content))
    refused(copied.inrkit("run"), 2, "metadata.inrkit")


PROFILES = {
    "steps: [": "a.smoke.yml is not valid YAML: line 1",
    "steps: 1\nsteps: 2": "stands twice",
    "just words": "one `name: value` a line",
    "- steps": "one `name: value` a line",
    "step: 1": "no parameter 'step' (did you mean 'steps'?)",
    "steps:": "steps is a whole number, 1 or more; got nothing",
    "steps: {a: 1}": "steps is a whole number",
    "steps: 2024-01-01": "got '2024-01-01'",
    "steps: \t1": "",
    "\x01": "not valid YAML",
}


@pytest.mark.parametrize("text", [text for text in PROFILES if PROFILES[text]])
def test_a_broken_profile(copied, text):
    (copied.root / "notebooks/spder/a.smoke.yml").write_text(text)
    refused(copied.inrkit("run", "--profile", "smoke"), 2, PROFILES[text])


def test_a_binary_profile(copied):
    (copied.root / "notebooks/spder/a.smoke.yml").write_bytes(b"\xff\xfe\x00")
    refused(copied.inrkit("run", "--profile", "smoke"), 2, "not text in UTF-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nobody/knows"], "no notebook 'nobody/knows'"),
        (["run", "../spder/a"], "no notebook"),
        (["run", ""], "no notebook ''"),
        (["run", "--profile", ""], "known are quick, paper, smoke"),
        (["run", "--jobs", "0"], "1 or more"),
        (["run", "--jobs", "-2"], "1 or more"),
        (["run", "--device", "tpu"], "no device 'tpu'; known are cpu"),
        (["run", "--device", "cuda:x"], "no device 'cuda:x'"),
        (["run", "--device", "cuda:99"], "'cuda:99' is not here"),
        (["run", "--device", ""], "device is text; got nothing"),
        (["run", "-p", "device=7"], "no device '7'"),
        (["run", "-p", "=3"], "name=value"),
        (["run", "-p", ""], "name=value"),
        (["run", "-p", "steps=3", "-p", "steps=4"], "steps twice"),
        (["data", "fetch", "skimag"], "did you mean 'skimage'"),
        (["data", "fetch", ""], "no data set ''"),
    ],
)
def test_a_bad_argument(copied, arguments, said):
    copied.notebook("spder/a", parameters='device = "cpu"\nsteps = 3')
    shutil.rmtree(copied.root / "results")
    refused(copied.inrkit(*arguments), 2, said)
    assert not (copied.root / "results").exists()


@pytest.mark.parametrize("arguments", [["run", "--jobs", "x"], ["runn"], ["run", "--jbos"]])
def test_a_word_that_the_command_line_does_not_know(copied, arguments):
    done = copied.inrkit(*arguments)
    assert done.exit_code == 2 and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["list"], ["score"], ["verify"], ["run", "-p", "steps=9"]])
def test_results_that_are_a_plain_file(copied, command):
    shutil.rmtree(copied.root / "results")
    (copied.root / "results").write_text("")
    refused(copied.inrkit(*command), 1, "results", "a plain file stands where a folder is needed")


@pytest.mark.parametrize("command", [["list"], ["run"], ["lab"]])
def test_a_project_without_its_notebooks(bare, command):
    refused(bare.inrkit(*command), 2, "there are no notebooks", "restore")


@pytest.mark.parametrize("command", [*SETS, ["score"]])
def test_a_project_without_its_tables(bare, command):
    refused(bare.inrkit(*command), 2, "data/", "is missing", "restore")


KINDS = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO]


@pytest.mark.parametrize("number", KINDS, ids=errno.errorcode.get)
def test_what_the_system_refuses(copied, monkeypatch, number):
    """Wherever it strikes: making folders, opening, writing."""

    def fail(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    for method in ("mkdir", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, fail)
            refused(copied.inrkit("run", "-p", "steps=7"), 1, "results/.partial/quick/spder/a")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        refused(copied.inrkit("data", "list"), 1, "data/registry.csv")


def test_a_full_disk_fails_the_notebooks_that_it_meets(copied, monkeypatch):
    copied.notebook("spder/b")

    def fail(path, *_, **__):
        number = errno.ENOSPC if "spder/a" in str(path) else errno.EROFS
        raise OSError(number, "", str(path))

    monkeypatch.setattr(Path, "write_text", fail)
    done = copied.inrkit("run", "--keep-going", "--jobs", "1", "-p", "steps=7")
    said = sorted(done.stderr.strip().splitlines())
    assert done.exit_code == 1 and len(said) == 2
    assert "spder/a" in said[0] and "the disk is full" in said[0] and "read-only" in said[1]


@pytest.mark.parametrize("command", [["list"], ["score"], ["verify"]])
def test_an_interruption(copied, monkeypatch, command):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("inrkit.companion.store.recover", stop)
    refused(copied.inrkit(*command), 130, "inrkit: stopped")


BOOKS = {
    None: "book/_toc.yml is missing",
    b"root: [": "book/_toc.yml is not valid YAML: line 1",
    b"\xff": "book/_toc.yml is not valid YAML",
    b"- a": "book/_toc.yml holds names with values",
    b"root: intro\nparts: []": "is missing",
}


@pytest.mark.parametrize("toc", BOOKS)
def test_a_broken_book(copied, toc):
    (copied.root / "book").mkdir()
    if toc is not None:
        (copied.root / "book/_toc.yml").write_bytes(toc)
    done = copied.inrkit("book")
    assert done.exit_code in (1, 2) and done.stderr.count("\n") == 1, done.exception
    assert toc == list(BOOKS)[-1] or BOOKS[toc] in done.stderr


def test_an_executed_notebook_that_is_broken(copied):
    (copied.root / "book").mkdir()
    (copied.root / "book/_toc.yml").write_text("root: spder/a\n")
    (copied.record("spder/a") / "notebook.ipynb").write_text("{")
    refused(copied.inrkit("book"), 2, "results/quick/spder/a/notebook.ipynb cannot be read")


def test_a_bug_keeps_its_traceback(copied, monkeypatch):
    def fail(*_):
        raise KeyError("a bug")

    monkeypatch.setattr("inrkit.companion.store.recover", fail)
    done = copied.inrkit("list")
    assert isinstance(done.exception, KeyError)
    assert told(ValueError("a bug")) is told(OSError("a bug")) is None
    assert told(ModuleNotFoundError("", name="inrkit.nothing")) is None


def test_a_missing_library(copied, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel.kernelspec", None)
    monkeypatch.delitem(sys.modules, "inrkit.companion.kernels", raising=False)
    monkeypatch.delitem(sys.modules, "inrkit.companion.runner", raising=False)
    import inrkit.companion

    for name in ("kernels", "runner"):
        monkeypatch.delattr(inrkit.companion, name, raising=False)
    refused(copied.inrkit("run"), 1, "ipykernel", "not installed", "pip install -e '.[notebooks]'")


PROCESSES = """
import json, os, resource, sys
from pathlib import Path
from inrkit import paths
from inrkit.companion import cli, runner

paths.ROOT = Path(sys.argv[1])
paths.NOTEBOOKS, paths.RESULTS = paths.ROOT / "notebooks", paths.ROOT / "results"
reader, closed = os.pipe()
os.close(reader)
full = os.open("/dev/full" if Path("/dev/full").exists() else os.devnull, os.O_WRONLY)
quiet = os.open(os.devnull, os.O_WRONLY)
cases = {
    "closed": (closed, resource.RLIM_INFINITY, ["list"]),
    "closed help": (closed, resource.RLIM_INFINITY, ["--help"]),
    "full": (full, resource.RLIM_INFINITY, ["list"]),
    "full help": (full, resource.RLIM_INFINITY, ["--help"]),
    "limit": (quiet, 40, ["run", "-p", "steps=8"]),
}
found = {}
for name, (output, limit, command) in cases.items():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(output, 1)
        os.dup2(writer, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        cli.app(command, prog_name="inrkit")
    os.close(writer)
    said = open(reader).read()
    found[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said
print(json.dumps(found))
"""


def python(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(paths.ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, cwd=paths.ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_output_that_cannot_be_written_and_a_limit_on_files(copied):
    found = json.loads(python(PROCESSES, str(copied.root)))
    assert found["closed"] == found["closed help"] == [1, ""]
    if Path("/dev/full").exists():
        for name in ("full", "full help"):
            status, said = found[name]
            assert status == 1 and said.startswith("inrkit: the disk is full"), said
            assert len(said.splitlines()) == 1
    status, said = found["limit"]
    assert status == 1 and "limit on file sizes" in said and len(said.splitlines()) == 1, said


def test_without_fcntl_the_commands_start():
    """As on Windows, which also lacks the module resource."""
    missing = "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None"
    call = "from inrkit.companion.cli import app; app(['list'], prog_name='inrkit')"
    assert "spder/audio" in python(f"{missing}; import inrkit.companion.runner; {call}")
