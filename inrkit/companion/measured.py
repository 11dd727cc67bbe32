"""What the records say, for those who judge it: item rows, with the deviations of each run."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from inrkit import paths
from inrkit.companion import claims, items, store, verdicts
from inrkit.companion.claims import Claim
from inrkit.companion.notebooks import Notebook
from inrkit.companion.verdicts import Deviation
from inrkit.measure.intervals import Interval, interval


@dataclass(frozen=True)
class Measured:
    """A record as its judges see it.

    Attributes:
        id: of the notebook.
        table: item rows.
        run: ``run.json``.
        deviations: from the paper's own settings.
    """

    id: str
    table: pd.DataFrame
    run: Mapping[str, Any]
    deviations: tuple[Deviation, ...]

    @cached_property
    def partial(self) -> bool:
        """Whether it used part of the paper's data."""
        return any(entry["n"] < entry["of"] for entry in self.run["data"])

    def scale(self, model: str = "", n: int = 1, items: int | None = None) -> str:
        """How near the numbers of a model are to the paper's settings."""
        return verdicts.scale(self.deviations, model, n, items, self.partial)

    def rows(self, claim: Claim) -> pd.DataFrame:
        """The rows that answer a claim, or those that answer the one that it repeats."""
        own = self.table[self.table["claim"].eq(claim.id)]
        return own if len(own) or not claim.same_as else self.table[
            self.table["claim"].eq(claim.same_as)
        ]  # fmt: skip


def records(profiles: Iterable[str] = store.READ) -> dict[str, Measured]:
    """Every record, by notebook id; of several profiles the first that has one."""
    store.recover()
    found: dict[str, Measured] = {}
    for profile in profiles:
        for id, folder in store.records(profile).items():
            if id not in found:
                found[id] = read(id, folder)
    return found


def read(id: str, folder: Path) -> Measured:
    """One record."""
    run = store.read_run(folder)
    return Measured(id, store.read_metrics(folder), run, deviations(id, run["parameters"]))


def deviations(id: str, parameters: Mapping[str, Any]) -> tuple[Deviation, ...]:
    """In what a run with these parameters differs from the paper's own settings."""
    path = paths.NOTEBOOKS / f"{id}.ipynb"
    if not path.exists():
        return (Deviation("notebook", "in the project", "not here any more"),)
    return Notebook(id, path).deviations(parameters)


@dataclass(frozen=True)
class Answers:
    """The three answers for one claim, with what they rest on.

    Attributes:
        over: our mean with its interval; None where nothing was measured.
        scale, size, order: see :mod:`inrkit.companion.verdicts`.
        pairs: for each rival that the paper ranks: its model, the paired interval, the answer.
    """

    over: Interval | None
    scale: str
    size: str
    order: str
    pairs: tuple[tuple[str, Interval, str], ...] = ()


UNMEASURED = Answers(None, verdicts.NOT_MEASURED, verdicts.NONE, verdicts.NONE)


def judge(claim: Claim, record: Measured | None) -> Answers:
    """The three answers that a record gives for a claim."""
    rows = None if record is None else record.rows(claim)
    if rows is None or rows.empty:
        return UNMEASURED
    over = items.summary(rows)
    scale = record.scale(rows["model"].iloc[0], over.n, claim.items)
    pairs = tuple(_pairs(claim, record, rows))
    order = verdicts.together([answer for *_, answer in pairs])
    size = verdicts.size(claim, over.mean, over.n, scale)
    return Answers(over, scale, size, order, pairs)


def _pairs(claim: Claim, record: Measured, rows: pd.DataFrame):
    """Every rival that the paper ranks against a claim and the record measured, too.

    A lone ratio or difference is ranked against 1 or 0.
    """
    neutral = 1.0 if "ratio" in claim.metric else 0.0 if "difference" in claim.metric else None
    if neutral is not None:
        values = items.units(rows)
        gaps = values.map(math.log10) if neutral and values.min() > 0 else values - neutral
        if claim.value != neutral:
            over = interval(gaps)
            yield str(neutral), over, verdicts.order(claim.value - neutral, over)
        return
    if not claim.better:
        return
    for rival in claims.claims().values():
        if rival.id == claim.id or rival.group != claim.group or rival.value == claim.value:
            continue
        others = record.rows(rival)
        if others.empty or claim.apart or rival.apart:
            continue
        loss = claim.better == "lower" and min(rows["value"].min(), others["value"].min()) > 0
        gap = items.paired(rows, others, logarithmic=loss)
        yield rival.model, gap, verdicts.order(claim.value - rival.value, gap)
