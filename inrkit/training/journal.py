"""The fits of a process, made or taken up, and the code that each comes from.

Who starts a process may tell it by the environment variable ``INRKIT_ORIGIN`` what it is: JSON with
the commit, whether the working tree was clean, and versions. A checkpoint keeps that of all the
processes that trained it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

ORIGIN = "INRKIT_ORIGIN"
Part = dict[str, Any]  # what one process did of a fit: its origin, and seconds


@dataclass
class Parts:
    """What was done of a fit: by other processes, as a checkpoint tells, and by this one."""

    earlier: list[Part] = field(default_factory=list)
    now: list[Part] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Spent in all of it."""
        return sum(part["seconds"] for part in (*self.earlier, *self.now))

    @property
    def all(self) -> list[Part]:
        """Its parts, one an origin."""
        total: dict[str, Part] = {}
        for part in (*self.earlier, *self.now):
            origin = {key: value for key, value in part.items() if key != "seconds"}
            same = total.setdefault(json.dumps(origin), {**origin, "seconds": 0.0})
            same["seconds"] += part["seconds"]
        return list(total.values())


_fits: dict[tuple[str, int], Parts] = {}  # by name and number of steps


def part(seconds: float) -> Part:
    """This process's part of a fit."""
    return {**json.loads(os.environ.get(ORIGIN, "{}")), "seconds": seconds}


def note(name: str, steps: int, parts: Parts) -> None:
    """Enter a finished fit; it takes the place of one of the same name and number of steps."""
    _fits[name, steps] = parts


def fits() -> list[dict[str, Any]]:
    """The fits of this process, each named by its checkpoint where it has one.

    ``seconds`` are those of all processes, ``seconds_here`` those of this one. ``commit`` and
    ``clean`` tell the code that trained it (several, where a stopped one went on with another), and
    ``versions`` those with which it was finished; None where nobody told.
    """
    return [_entry(name, steps, parts) for (name, steps), parts in _fits.items()]


def _entry(name: str, steps: int, parts: Parts) -> dict[str, Any]:
    told = [part for part in parts.all if part.get("commit")]
    return {
        "name": name,
        "steps": steps,
        "seconds": round(parts.seconds, 2),
        "seconds_here": round(Parts(now=parts.now).seconds, 2),
        "commit": ", ".join(dict.fromkeys(part["commit"] for part in told)) or None,
        "clean": all(part["clean"] for part in told) if told else None,
        "versions": told[-1]["versions"] if told else None,
    }


@contextmanager
def together() -> Iterator[Parts]:
    """Fits within the block are not entered: they are parts of what is handed over."""
    before, whole = dict(_fits), Parts()
    _fits.clear()
    try:
        yield whole
        for parts in _fits.values():
            whole.earlier += parts.earlier
            whole.now += parts.now
    finally:
        _fits.clear()
        _fits.update(before)
