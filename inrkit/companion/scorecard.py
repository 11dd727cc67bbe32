"""All claims beside what was measured."""

import csv
from fnmatch import fnmatch
from typing import Any

import pandas as pd

from inrkit import paths
from inrkit.companion import claims, store
from inrkit.companion.claims import Claim


def scorecard() -> pd.DataFrame:
    """One row a claim, in the order of ``data/claims.csv``.

    Columns: ``id, paper, source, experiment, setting, metric, unit, claimed, claimed_spread, ours,
    spread, n, deviation, deviation_unit, verdict, scale, profile, hardware, start, notebook,
    reason``. Records of the profile "paper" win over those of "quick".
    """
    measured = measurements()
    values = {id: row["ours"] for id, row in measured.items()}
    table = pd.DataFrame(
        [_row(claim, measured.get(claim.id), values) for claim in claims.claims().values()]
    )
    known = _reasons()
    return table.assign(reason=[_reason(row, known) for row in table.itertuples()])


def _reasons() -> list[dict[str, str]]:
    """Why claims did not come out as printed: ``data/reasons.csv``, first match wins."""
    with paths.REASONS.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _reason(row: Any, known: list[dict[str, str]]) -> str:
    if row.verdict == claims.REPRODUCED:
        return ""
    model = row.setting.partition(";")[0].strip()
    names = (row.id, f"{row.paper}: {row.experiment}", f"{row.paper}: {row.experiment}: {model}")
    for entry in known:
        if any(fnmatch(name, entry["pattern"]) for name in names):
            return entry["reason"]
    if row.verdict == claims.NOT_RUN:
        return "at reduced settings only" if row.notebook else "no chapter measures it yet"
    return "at reduced settings" if row.scale == claims.REDUCED else ""


def measurements() -> dict[str, dict[str, Any]]:
    """For each claim that a record answers: the number, and where it was measured."""
    store.recover()
    found: dict[str, dict[str, Any]] = {}
    for profile in store.READ:
        for id, folder in store.records(profile).items():
            run, table = store.read_run(folder), store.read_metrics(folder)
            for row in table[table["claim"] != ""].to_dict("records"):
                found.setdefault(row["claim"], {
                    "ours": row["value"],
                    "spread": None if pd.isna(row["spread"]) else row["spread"],
                    "n": row["n"],
                    "scale": run["scale"],
                    "profile": profile,
                    "hardware": run["device"]["name"],
                    "start": run["start"],
                    "notebook": id,
                })  # fmt: skip
    return found


def _row(claim: Claim, ours: dict[str, Any] | None, values: dict[str, float]) -> dict[str, Any]:
    stated = {
        "id": claim.id,
        "paper": claim.paper,
        "source": claim.source,
        "experiment": claim.experiment,
        "setting": claim.setting,
        "metric": claim.metric,
        "unit": claim.unit,
        "claimed": claim.value,
        "claimed_spread": claim.spread,
    }
    if ours is None:
        return {**stated, "ours": None, "spread": None, "n": None, "deviation": None,
                "deviation_unit": "", "verdict": claims.NOT_RUN, "scale": "", "profile": "",
                "hardware": "", "start": "", "notebook": ""}  # fmt: skip
    gap, gap_unit = claims.deviation(claim, ours["ours"])
    group = claims.peers(claim, values)
    said = claims.verdict(claim, ours["ours"], ours["spread"], ours["scale"], group)
    return {**stated, **ours, "deviation": gap, "deviation_unit": gap_unit, "verdict": said}


def summary(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Numbers of claims by paper (rows) and verdict (columns), with totals."""
    table = scorecard() if table is None else table
    counts = pd.crosstab(table["paper"], table["verdict"], margins=True, margins_name="all")
    papers = [*dict.fromkeys(table["paper"]), "all"]
    return counts.reindex(index=papers, columns=[*claims.VERDICTS, "all"], fill_value=0)
