"""A project of its own for each test: the package as it is, claims, and tiny notebooks."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

from inrkit import paths
from inrkit.companion.cli import app

RECORD = 'from inrkit.companion import Record\nrecord = Record("{id}", metrics=["mse"])'


@dataclass
class Project:
    root: Path

    def notebook(
        self, id, *cells, parameters="steps = 3\nn_items = 1", reads=None, title="A title"
    ):
        """Write a notebook: heading, parameters, record, ``cells``, save; without outputs."""
        first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        code = [RECORD.format(id=id), *cells, "record.save()"]
        content = new_notebook(cells=[new_markdown_cell(f"# {title}"), first])
        content.cells += [new_code_cell(source) for source in code]
        content.metadata["kernelspec"] = {
            "name": "some-other-kernel",
            "display_name": "gone",
            "language": "python",
        }
        if reads:
            content.metadata["inrkit"] = {"reads": reads}
        path = self.root / "notebooks" / f"{id}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(content, path)
        return path

    def inrkit(self, *arguments):
        """The command line, in this process (:meth:`start` has it in one of its own)."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(paths, "ROOT", self.root)
            patch.setattr(paths, "NOTEBOOKS", self.root / "notebooks")
            patch.setattr(paths, "RESULTS", self.root / "results")
            for name in ("CLAIMS", "TABLES", "STATEMENTS", "REASONS", "REGISTRY", "QUEUE"):
                patch.setattr(paths, name, self.root / "data" / f"{name.lower()}.csv")
            patch.setattr(paths, "BOOK", self.root / "book")
            patch.setattr("inrkit.signals.registry.REGISTRY", paths.REGISTRY)
            return CliRunner().invoke(app, arguments)

    def start(self, *arguments):
        """``python -m inrkit`` in the project's folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "inrkit", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def record(self, id, profile="quick"):
        return self.root / "results" / profile / id


def make_project(root):
    """A project in an empty folder, with the package as it is."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(paths.ROOT / "inrkit", root / "inrkit", ignore=skip)
    shutil.copytree(paths.ROOT / "data", root / "data")
    (root / "notebooks").mkdir()
    shutil.copy(paths.ROOT / "_config.yml", root)
    return Project(root)


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A project with the record of one real run; read it, do not change it."""
    project = make_project(tmp_path_factory.mktemp("recorded"))
    figure = "import matplotlib.pyplot as plt\nrecord.figure(plt.figure(), 'empty')"
    numbers = 'record.add("mse", 0.5, claim="spder-018", reading="lowest")'
    project.notebook("spder/a", figure, numbers, title="An experiment")
    done = project.inrkit("run", "-p", "steps=4")
    assert done.exit_code == 0, done.stderr
    return project


@pytest.fixture
def copied(recorded, tmp_path):
    """That project's notebooks, tables and record, to be broken."""
    for name in ("data", "notebooks", "results"):
        shutil.copytree(recorded.root / name, tmp_path / name)
    return Project(tmp_path)


@pytest.fixture
def bare(tmp_path):
    """A project's folder with nothing in it."""
    return Project(tmp_path)
