"""What a run depends on, as one hash: the notebook's code, the package behind it, parameters.

Prose is left out, and so are docstrings and comments of the package: correcting a sentence
repeats no training.
"""

import ast
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from inrkit import paths
from inrkit.companion import store
from inrkit.companion.notebooks import Notebook
from inrkit.companion.store import Place

PACKAGE = "inrkit"
PARSING = Lock()  # ast in two threads at once fails now and then in Python 3.11
RECORDER = ("companion/__init__.py", "companion/records.py")  # writes numbers down, makes none
UNUSED = 30 * 24 * 3600  # seconds after which a checkpoint that no run took up is removed


def fingerprint(notebook: Notebook, parameters: Mapping[str, Any]) -> str:
    """SHA-256 (16 hexadecimal digits) of the code cells, the modules they reach, the parameters.

    A notebook that reads records also depends on all of them, the benchmarks' too, on the claims
    and the workloads.
    """
    cells = code_cells(notebook)
    parts = [*cells, json.dumps(parameters, sort_keys=True, default=str)]
    with PARSING:
        parts += [normalized(path) for path in reached("\n".join(cells))]
    if notebook.reads_records:
        tables = [paths.CLAIMS, paths.REASONS, paths.WORKLOADS, *sorted(paths.BENCH.glob("*"))]
        parts += [path.read_text(encoding="utf-8", errors="backslashreplace") for path in tables]
        parts += _records(notebook.id)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def checkpoints(place: Place) -> Path:
    """Folder of the checkpoints of a notebook's fits; those long unused are removed."""
    for path in place.checkpoints.rglob("*.pt"):
        if time.time() - path.stat().st_atime > UNUSED:
            path.unlink()
    return place.checkpoints


def code_cells(notebook: Notebook) -> list[str]:
    """Sources of the code cells."""
    return [cell.source for cell in notebook.content.cells if cell.cell_type == "code"]


def reached(source: str) -> list[Path]:
    """Files of the package that ``source`` imports, directly or through one another."""
    found: set[Path] = set()
    waiting = list(_imports(_without_magics(source), package=""))
    while waiting:
        for path in _files(waiting.pop()):
            if path not in found and not path.as_posix().endswith(RECORDER):
                found.add(path)
                parent = path.parent.relative_to(paths.ROOT)
                waiting += _imports(path.read_text(encoding="utf-8"), ".".join(parent.parts))
    return sorted(found)


def _imports(source: str, package: str) -> Iterator[str]:
    """Dotted names below the package that ``source``, a module of ``package``, imports."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # the run itself will say where
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*above, node.module or ""] if node.level else [node.module or ""])
            names = [f"{base.rstrip('.')}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE)


def _files(name: str) -> Iterator[Path]:
    """Files that importing a dotted name runs; its last parts may be a class, not a module."""
    path = paths.ROOT
    for part in name.split("."):
        path = path / part
        candidates = (path / "__init__.py", path.with_suffix(".py"))
        yield from (candidate for candidate in candidates if candidate.is_file())


def _without_magics(source: str) -> str:
    return re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE)


def normalized(path: Path) -> str:
    """A module's source without comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        )
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _records(reader: str) -> Iterator[str]:
    """Contents of every record that a notebook which reads records can see, its own left out."""
    for profile in store.READ:
        for id, folder in store.records(profile).items():
            if id != reader:
                for name in (store.METRICS, store.RUN):
                    yield f"{profile}/{id}/{name}\n{(folder / name).read_text(encoding='utf-8')}"
