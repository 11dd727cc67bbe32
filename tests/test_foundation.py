"""Rules that the whole tree keeps."""

import ast
import re
import tomllib

import nbformat
import pytest
import yaml

from inrkit import paths
from inrkit.companion import book
from inrkit.companion.notebooks import PROFILES, assignments, tagged

LAYERS = ["calculus", "solvers", "fields", "signals", "training", "measure", "render", "companion"]
SOURCES = sorted((paths.ROOT / "inrkit").rglob("*.py"))
NOTEBOOKS = sorted(paths.NOTEBOOKS.rglob("*.ipynb"))
LOCK = (paths.ROOT / "requirements.lock").read_text(encoding="utf-8")
TOC = yaml.safe_load((paths.BOOK / "_toc.yml").read_text(encoding="utf-8"))


def name(path):
    return path.relative_to(paths.ROOT).as_posix()


def canonical(project):
    return re.sub(r"[-_.]+", "-", project).lower()


def locked():
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    return {canonical(project): version for project, version in (x.split("==") for x in lines)}


def imported(source):
    """Top-level and inrkit's own modules that a source file imports, as dotted names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_run_in_one_direction(path):
    own = path.relative_to(paths.ROOT / "inrkit").parts[0]
    if own not in LAYERS:
        return
    targets = {n.split(".")[1] for n in imported(path.read_text()) if n.startswith("inrkit.")}
    assert targets & set(LAYERS) <= set(LAYERS[: LAYERS.index(own) + 1])


def test_there_is_no_folder_outside_the_order():
    folders = {path.parent.name for path in (paths.ROOT / "inrkit").glob("*/__init__.py")}
    assert folders <= set(LAYERS)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            prose = len((ast.get_docstring(node, clean=False) or "").splitlines())
            assert node.end_lineno - node.lineno + 1 - prose <= 60, node.name


def test_the_lock_covers_what_the_project_declares():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    declared = sum(project["optional-dependencies"].values(), project["dependencies"])
    names = {canonical(re.match(r"[\w.-]+", line).group()) for line in declared} - {"inrkit"}
    assert names <= set(locked())
    assert "setuptools" in locked()  # the project itself is installed without build isolation


def test_the_lock_is_exact_and_portable():
    for line in LOCK.splitlines():
        assert re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line), line
    assert not any(project.startswith(("nvidia", "triton")) for project in locked())


def test_style_is_checked_before_commits_by_the_locked_versions():
    (local,) = yaml.safe_load((paths.ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    needed = {line for hook in local["hooks"] for line in hook["additional_dependencies"]}
    assert needed and needed <= set(LOCK.splitlines())


def test_the_conda_environment_is_in_step_with_the_lock():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text())
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    python, pip, packages = environment["dependencies"]
    assert python == f"python{project['requires-python']}" and pip == "pip"
    assert packages == {"pip": ["-r requirements.lock", "-e ."]}


def test_each_notebook_is_in_the_contents():
    listed = set(book.notebooks(TOC))
    stored = {name(path).removeprefix("notebooks/").removesuffix(".ipynb") for path in NOTEBOOKS}
    assert listed == stored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebooks_are_stored_clean(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    long = [c.source for c in code if len(c.source.splitlines()) > 25]
    assert [s for s in long if s != tagged(nbformat.read(path, as_version=4), "parameters")] == []
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebooks_declare_the_common_parameters(path):
    declared = assignments(tagged(nbformat.read(path, as_version=4), "parameters"))
    assert {"device", "seed", "n_items"} <= set(declared)
    for profile in set(PROFILES) - {"quick"}:
        overrides = path.with_name(f"{path.stem}.{profile}.yml")
        changed = yaml.safe_load(overrides.read_text(encoding="utf-8")) or {}
        assert set(changed) <= set(declared), overrides.name


def test_no_function_is_written_in_two_notebooks():
    """What two notebooks need belongs to the package."""
    bodies = [body for path in NOTEBOOKS for body in functions(path)]
    assert sorted({body for body in bodies if bodies.count(body) > 1}) == []


def functions(path):
    """Code of the functions that a notebook defines, without regard to names and comments."""
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    found = (n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.FunctionDef))
    return {"\n".join(map(ast.unparse, node.body)) for node in found}
