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

LAST = "last"  # the reading of a fit that is meant where none is named


@dataclass(frozen=True)
class Measured:
    """A record as its judges see it.

    Attributes:
        id: of the notebook.
        table: item rows.
        run: ``run.json``.
        deviations: from the paper's own settings.
        measures: whether it measures something of a paper's, and does not only read records.
    """

    id: str
    table: pd.DataFrame
    run: Mapping[str, Any]
    deviations: tuple[Deviation, ...]
    measures: bool = True

    @cached_property
    def partial(self) -> bool:
        """Whether it used part of the paper's data."""
        return any(entry["n"] < entry["of"] for entry in self.run["data"])

    @cached_property
    def answered(self) -> frozenset[str]:
        """Ids of the claims that have rows."""
        return frozenset(self.table["claim"]) - {""}

    def scale(self, model: str = "", n: int = 1, items: int | None = None) -> str:
        """How near the numbers of a model are to the paper's settings."""
        return verdicts.scale(self.deviations, model, n, items, self.partial)

    def rows(self, claim: Claim) -> pd.DataFrame:
        """The rows that answer a claim, or those of the claim whose number it prints again.

        Where the claim is a certain reading of a fit, no other reading answers it; a row that names
        none is the last.
        """
        table = self.table
        if not self.answered & {claim.id, claim.same_as}:
            return table[:0]
        if claim.reading and "reading" in table:
            table = table[table["reading"].fillna(LAST).eq(claim.reading)]
        elif claim.reading not in ("", LAST):
            table = table[:0]
        own = table[table["claim"].eq(claim.id)]
        first = claims.claims().get(claim.same_as)
        if own.empty and first is not None and first.metric == claim.metric:
            return table[table["claim"].eq(first.id)]
        return own


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
    run, notebook = store.read_run(folder), _notebook(id)
    differences = deviations(id, run["parameters"])
    measures = notebook is None or not notebook.reads_records
    return Measured(id, store.read_metrics(folder), run, differences, measures)


def deviations(id: str, parameters: Mapping[str, Any]) -> tuple[Deviation, ...]:
    """In what a run with these parameters differs from the paper's own settings."""
    notebook = _notebook(id)
    if notebook is None:
        return (Deviation("notebook", "in the project", "not here any more"),)
    return notebook.deviations(parameters)


def _notebook(id: str) -> Notebook | None:
    path = paths.NOTEBOOKS / f"{id}.ipynb"
    return Notebook(id, path) if path.exists() else None


@dataclass(frozen=True)
class Answers:
    """The three answers for one claim, with what they rest on.

    Attributes:
        over: our mean with its interval; None where nothing was measured.
        scale, size, order: see :mod:`inrkit.companion.verdicts`.
        pairs: for each rival that the paper ranks: its model, the paired interval, whether that is
            of logarithms, the answer.
    """

    over: Interval | None
    scale: str
    size: str
    order: str
    pairs: tuple[tuple[str, Interval, bool, str], ...] = ()


UNMEASURED = Answers(None, verdicts.NOT_MEASURED, verdicts.NONE, verdicts.NONE)


def judge(claim: Claim, record: Measured | None) -> Answers:
    """The three answers that a record gives for a claim; what stands apart has a scale alone."""
    rows = None if record is None else record.rows(claim)
    if rows is None or rows.empty:
        return UNMEASURED
    over = items.summary(rows)
    scale = record.scale(rows["model"].iloc[0], over.n, claim.items)
    if claim.apart:
        return Answers(over, scale, verdicts.NONE, verdicts.NONE)
    pairs = tuple(_pairs(claim, record, rows))
    order = verdicts.together([answer for *_, answer in pairs])
    size = verdicts.size(claim, over.mean, over.n, scale)
    return Answers(over, scale, size, order, pairs)


def _pairs(claim: Claim, record: Measured, rows: pd.DataFrame):
    """Every rival that the paper ranks against a claim and the record measured, too.

    A lone ratio or difference is ranked against 1 or 0.
    """
    words = claim.metric.split()
    neutral = 1.0 if "ratio" in words else 0.0 if "difference" in words else None
    if neutral is not None:
        values = items.units(rows)
        decades = neutral == 1 and values.min() > 0
        if claim.value != neutral:
            over = interval(values.map(math.log10) if decades else values - neutral)
            yield str(neutral), over, decades, verdicts.order(claim.value - neutral, over)
        return
    if not claim.better:
        return
    for rival in claims.claims().values():
        if rival.id == claim.id or rival.group != claim.group or rival.value == claim.value:
            continue
        others = record.rows(rival)
        if others.empty or rival.apart or rival.model == claim.model:
            continue
        loss = claim.is_loss and min(rows["value"].min(), others["value"].min()) > 0
        gap = items.paired(rows, others, logarithmic=loss)
        yield rival.model, gap, loss, verdicts.order(claim.value - rival.value, gap)
