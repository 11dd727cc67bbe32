"""Where things are: the package's own, and those of the project's folder.

The project's folder is the nearest one, from the working directory upwards, that has the package
and the notebooks; failing that, the one in which this package lies (an editable installation).
Outside of it the library works as anywhere else, and asking for anything of the project's is
refused in one sentence.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
MARKS = ("_config.yml", "inrkit", "notebooks")  # what a project's folder has
RESTORE = "restore it, as with git checkout"  # what a project's folder must have and has not


class NoProject(Exception):
    """What was asked for is in the project's folder, and there is none here."""


def _project() -> Path | None:
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        here = PACKAGE.parent
    folders = (here, *here.parents, PACKAGE.parent)
    return next((f for f in folders if all(os.path.exists(f / mark) for mark in MARKS)), None)


ROOT = _project()
DATA = PACKAGE / "data" if (PACKAGE / "data").is_dir() else PACKAGE.parent / "data"
REGISTRY = DATA / "registry.csv"  # a wheel has it within the package
PROJECT = {
    "CLAIMS": "data/claims.csv",
    "TABLES": "data/tables.csv",
    "STATEMENTS": "data/statements.csv",
    "REASONS": "data/reasons.csv",
    "WORKLOADS": "data/workloads.csv",
    "QUEUE": "data/queue.csv",
    "RESULTS": "results",
    "BENCH": "results/bench",
    "NOTEBOOKS": "notebooks",
    "BOOK": "book",
}
if ROOT is not None:
    globals().update({name: ROOT / place for name, place in PROJECT.items()})


def project() -> Path:
    """The project's folder.

    Raises:
        NoProject: there is none here.
    """
    if ROOT is None:
        raise NoProject(
            "this needs inrkit's project folder, with its notebooks, claims and records, and "
            "neither the working directory nor a folder above it is one: clone inrkit's "
            "repository, or unpack its archive, and go there"
        )
    return ROOT


def __getattr__(name: str) -> Path:
    """The project's places, outside of its folder."""
    if name not in PROJECT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return project() / PROJECT[name]


def shown(path: Path) -> str:
    """A path as people read it: below the project's folder without that folder."""
    inside = ROOT is not None and path.is_relative_to(ROOT)
    return path.relative_to(ROOT).as_posix() if inside else str(path)


def install(extra: str) -> str:
    """The command that brings the packages of an extra, whether a new one or one that is broken."""
    return f"pip install 'inrkit[{extra}]'" if ROOT is None else f"pip install -e '.[{extra}]'"
