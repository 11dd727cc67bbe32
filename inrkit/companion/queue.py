"""The queue: which runs the records wait for, one after the other until a budget is spent.

``data/queue.csv`` has a row for each, first things first. A notebook keeps a checkpoint of every
fit, named after what is computed; so what was stopped goes on where it was, and the row that asks
for ten items repeats none of the three that an earlier row has recorded.
"""

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inrkit import paths, tables
from inrkit.companion import notebooks, runner, statements, store
from inrkit.companion.errors import InputError
from inrkit.companion.notebooks import Notebook

MARGIN = 3.0  # seconds in which what runs is stopped
UNITS = {"h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Entry:
    """A row of the queue.

    Attributes:
        id: of the notebook.
        parameters: what differs from its paper profile.
        hours: core hours that it is expected to take.
        why: what it settles.
    """

    id: str
    parameters: Mapping[str, Any]
    hours: float
    why: str

    @cached_property
    def notebook(self) -> Notebook:
        (found,) = notebooks.select([self.id])
        return found

    @property
    def wanted(self) -> dict[str, Any]:
        """All parameters."""
        return {**self.notebook.defaults, **self.notebook.changes("paper", self.parameters)}

    def job(self, place: Mapping[str, Any], *, one_thread: bool) -> runner.Job:
        """The run that it asks for, at some place."""
        given = {**self.parameters, **place}
        changes = self.notebook.changes("paper", given)
        return runner.Job(self.notebook, "paper", tuple(given), changes, one_thread)

    @property
    def settles(self) -> list[str]:
        """The statements that are decided by this notebook, by id."""
        return [s.id for s in statements.statements() if self.id in s.notebooks]

    def is_answered(self) -> bool:
        """Whether the record does: as many items or more, all else alike but cost and place."""
        record = store.Place(self.id, "paper").record
        if not (record / store.RUN).exists() or (record / store.SUMMARY).exists():
            return False
        here, about = store.read_run(record)["parameters"], self.notebook.about
        cost, counts = {"device", *about.get("cost", ())}, {"n_items", *about.get("counts", ())}
        return all(
            _covers(here.get(name), value) if name in counts else here.get(name) == value
            for name, value in self.wanted.items()
            if name not in cost
        )


def _covers(here: Any, wanted: Any) -> bool:
    """Whether a count, or each of several, is as large."""
    if isinstance(wanted, Mapping):
        return isinstance(here, Mapping) and all(_covers(here.get(k), wanted[k]) for k in wanted)
    numbers = all(isinstance(x, int | float) for x in (here, wanted))
    return here >= wanted if numbers else here == wanted


def entries() -> list[Entry]:
    """The rows, in their order.

    Raises:
        TableError: the table is broken.
        InputError: a row names an unknown notebook, or a parameter that it does not take.
    """
    kinds = {"notebook": str, "parameters": _checked, "hours": tables.number, "why": str}
    rows = tables.rows(paths.QUEUE, kinds, key=("notebook", "parameters"))
    found = [
        Entry(row["notebook"], json.loads(row["parameters"]), row["hours"], row["why"])
        for row in rows
    ]
    for entry in found:
        _ = entry.wanted  # raises what is wrong with it
    return found


def left() -> list[Entry]:
    """The rows that wait: those after the last one of their notebook that the record answers."""
    found = entries()
    answered = {entry.id: i for i, entry in enumerate(found) if entry.is_answered()}
    return [entry for i, entry in enumerate(found) if i > answered.get(entry.id, -1)]


def _checked(text: str) -> str:
    try:
        if isinstance(json.loads(text), dict):
            return text
    except ValueError:
        pass
    raise ValueError(f'parameters are JSON such as {{"n_items": 5}}, got {text!r}')


def seconds(budget: str) -> float:
    """A time such as 90m, 1h30m or 45s.

    Raises:
        InputError: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", budget)
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(map("".join, parts)) != budget or not total > 0:
        raise InputError(f"a budget is a time such as 90m, 1h30m or 45s, got {budget!r}")
    return total


def run(
    *,
    budget: float = math.inf,
    device: str | None = None,
    jobs: int | None = None,
    report: Callable[[runner.Outcome], None] = lambda outcome: None,
) -> list[runner.Outcome]:
    """Work through the queue, until it or the budget ends; what failed is not tried again.

    Args:
        budget: seconds; what runs at their end is stopped before, and resumes next time.
        device: where; the notebook's own unless given.
        jobs: notebooks at once; by default one a core, on a GPU one.
        report: called with each outcome as it comes.
    """
    until = time.monotonic() + budget - MARGIN
    if device is not None:
        runner.check_device(device)
    jobs = runner.at_once(jobs, len(entries()), {device})
    place = {} if device is None else {"device": device}
    outcomes: list[runner.Outcome] = []
    tried: list[Entry] = []
    while time.monotonic() < until:
        batch: dict[str, Entry] = {}  # of each notebook the first row that is left
        for entry in left():
            if entry not in tried:
                batch.setdefault(entry.id, entry)
        if not batch:
            break
        tried += batch.values()
        work = [entry.job(place, one_thread=jobs > 1) for entry in batch.values()]
        outcomes += runner.together(work, jobs, True, report, until)
    return outcomes
