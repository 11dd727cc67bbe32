"""Where records lie, and how a finished run takes the place of an older one.

A run works in ``results/.partial/<profile>/<paper>/<topic>/<fingerprint>``. Once complete, the old
record is moved aside, the new one is renamed into its place, and the old one is deleted. A kill at
any moment leaves either of them whole; :func:`recover` puts it where it belongs.

Checkpoints of fits lie apart, in ``results/.checkpoints/<profile>/<paper>/<topic>``. Each is named
after all that determines its fit, code included, so that a stopped run goes on where it was, and a
run with another figure or one image more repeats no fit.
"""

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from inrkit import paths
from inrkit.companion import items
from inrkit.companion.errors import CompanionError, InputError, brief

METRICS, RUN, NOTEBOOK = "metrics.csv", "run.json", "notebook.ipynb"
SUMMARY = "summary.csv"  # what a run before item rows wrote
CONTEXT, PROGRESS, FIGURES = "context.json", "progress.json", "figures"
NEEDED = {  # of run.json, by those who read records
    "id": str, "profile": str, "parameters": dict, "device": dict, "versions": dict, "start": str,
    "seconds": int | float, "data": list, "notes": list, "metrics": list, "figures": list,
}  # fmt: skip
READ = ("paper", "quick")  # profiles whose records the scorecard reads, the first wins


@dataclass(frozen=True)
class Place:
    """Where the record of a notebook and a profile lies, and where its run works."""

    id: str
    profile: str

    @property
    def record(self) -> Path:
        """The complete record."""
        return paths.RESULTS / self.profile / self.id

    @property
    def partial(self) -> Path:
        """Folder of unfinished runs."""
        return paths.RESULTS / ".partial" / self.profile / self.id

    @property
    def previous(self) -> Path:
        """Where the old record waits while the new one takes its place."""
        return self.partial / "previous"

    def is_begun(self, fingerprint: str) -> bool:
        """Whether a run with this fingerprint was begun, and is not in the record's place yet."""
        return (self.partial / fingerprint).is_dir()

    def working(self, fingerprint: str) -> Path:
        """Folder of the unfinished run with this fingerprint; all others are removed."""
        for outdated in self.partial.iterdir():
            if outdated.is_dir() and outdated.name not in (fingerprint, self.previous.name):
                shutil.rmtree(outdated)
        return self.partial / fingerprint

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints of its fits."""
        return paths.RESULTS / ".checkpoints" / self.profile / self.id

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second run of the same notebook and profile out."""
        self.partial.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(self.partial / "lock").acquire(blocking=False)
        except Timeout:
            raise CompanionError(
                f"{self.id} ({self.profile}) is being run by another process; wait for it"
            ) from None
        with held:
            yield

    def publish(self, working: Path) -> None:
        """Put a complete run in the record's place. The caller holds the lock."""
        (working / PROGRESS).unlink(missing_ok=True)
        (working / CONTEXT).unlink(missing_ok=True)  # from here on the run counts as complete
        self.record.parent.mkdir(parents=True, exist_ok=True)
        if self.record.exists():
            self.record.rename(self.previous)
        working.rename(self.record)
        shutil.rmtree(self.previous, ignore_errors=True)

    def recover(self) -> None:
        """Mend what a kill during :meth:`publish` left. The caller holds the lock."""
        if self.previous.exists():
            if self.record.exists():
                shutil.rmtree(self.previous)
            else:
                self.previous.rename(self.record)


def is_complete(working: Path) -> bool:
    """Whether a run in its working folder had finished, and only its renaming is missing."""
    return (working / RUN).exists() and not (working / CONTEXT).exists()


def recover() -> None:
    """Mend every record that a kill left moved aside, unless a run is at work on it."""
    if paths.RESULTS.exists() and not paths.RESULTS.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(paths.RESULTS))
    for previous in (paths.RESULTS / ".partial").glob("*/*/*/previous"):
        profile, paper, topic = previous.parts[-4:-1]
        place = Place(f"{paper}/{topic}", profile)
        try:
            with place.locked():
                place.recover()
        except CompanionError:  # a run is putting it in place right now
            continue


def records(profile: str) -> dict[str, Path]:
    """Folders of the complete records of a profile, by notebook id."""
    found = sorted((paths.RESULTS / profile).glob(f"*/*/{RUN}"))
    return {"/".join(path.parts[-3:-1]): path.parent for path in found}


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json`` of a record.

    Raises:
        InputError: it cannot be read, or what its readers need is not in it.
    """
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise _damaged(folder / RUN, brief(error)) from error
    if not isinstance(run, dict):
        raise _damaged(folder / RUN, "it holds no names with values")
    wrong = [name for name, kind in NEEDED.items() if not isinstance(run.get(name), kind)]
    if wrong:
        lacking = [name for name in wrong if name not in run]
        said = f"it lacks {', '.join(lacking)}" if lacking else f"{', '.join(wrong)}: wrong kind"
        raise _damaged(folder / RUN, said)
    return run


def read_metrics(folder: Path) -> pd.DataFrame:
    """``metrics.csv`` of a record: item rows; text columns hold empty strings, not NaN.

    Raises:
        InputError: it cannot be read, or has no item rows, as in records of early versions.
    """
    text = dict.fromkeys(items.TEXT, str)
    try:
        table = pd.read_csv(folder / METRICS, dtype={**text, "seed": "Int64"},
                            keep_default_na=False, na_values=[""])  # fmt: skip
    except (FileNotFoundError, ValueError, TypeError) as error:  # pandas raises them all
        raise _damaged(folder / METRICS, brief(error)) from error
    lacking = {*items.FIRST, *items.LAST} - set(table)
    if lacking:
        raise _damaged(folder / METRICS, f"no columns {', '.join(sorted(lacking))}")
    if len(table) and not pd.api.types.is_numeric_dtype(table["value"]):
        raise _damaged(folder / METRICS, "a value is no number")
    if not table["value"].map(math.isfinite).all():
        raise _damaged(folder / METRICS, "a value is not a finite number")
    return table.fillna(dict.fromkeys(items.TEXT, ""))


def _damaged(path: Path, why: str) -> InputError:
    name = paths.shown(path)
    return InputError(f"{name} cannot be read ({why}): run its notebook again with --force")


def write_json(path: Path, content: Any) -> None:
    """JSON, indented, for people too."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
