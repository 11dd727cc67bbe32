"""Where a record's numbers come from: the code that trained its fits, and the files that it read.

A notebook's process keeps both in journals (:mod:`inrkit.training.journal` and
:mod:`inrkit.signals.files`), which are only there if it has trained or read.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inrkit import paths
from inrkit.companion import machine

ORIGIN = "INRKIT_ORIGIN"  # environment variable: what the journal of fits is told


def environment(commit: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What a process that trains is told of its code: commit, whether clean, and versions."""
    told = {**(commit or machine.commit()), "versions": machine.versions()}
    return {ORIGIN: json.dumps(told)}


def tell(commit: Mapping[str, Any]) -> None:
    """Tell it this process, where no runner did."""
    for name, value in environment(commit).items():
        os.environ.setdefault(name, value)


def fits() -> list[dict[str, Any]]:
    """The fits of this process, as :func:`inrkit.training.journal.fits` lists them."""
    journal = sys.modules.get("inrkit.training.journal")
    return journal.fits() if journal else []


def files() -> list[dict[str, str]]:
    """The files that this process has read, modules beside the notebooks too: name and SHA-256."""
    journal = sys.modules.get("inrkit.signals.files")
    return [*(journal.files() if journal else []), *_helpers()]


def _helpers() -> Iterator[dict[str, str]]:
    named = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for path in sorted(Path(name) for name in named if isinstance(name, str)):
        if path.is_relative_to(paths.NOTEBOOKS) and path.is_file():
            sum = hashlib.sha256(path.read_bytes()).hexdigest()
            yield {"name": paths.shown(path), "sha256": sum}


def is_same(entry: Mapping[str, str]) -> bool:
    """Whether a file is what it was; one of the data registry is checked whenever it is read."""
    from inrkit.signals import files, registry  # slow to import

    item = registry.find(entry["name"])
    if item is not None:
        return item.sha256 == entry["sha256"]
    path = files.located(entry["name"])
    return path.is_file() and files.sha256(path) == entry["sha256"]
