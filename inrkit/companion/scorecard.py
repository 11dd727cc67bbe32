"""All statements and all printed numbers of the papers, beside what was measured."""

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import pandas as pd

from inrkit import paths, tables
from inrkit.companion import claims, measured, statements, verdicts
from inrkit.companion.claims import Claim
from inrkit.companion.measured import Answers, Measured


def scorecard(records: Mapping[str, Measured] | None = None) -> pd.DataFrame:
    """One row a claim, in the order of ``data/claims.csv``.

    Columns: those of the claim (``claimed`` is its value), ``counts``, ``ours, std, low, high, n``,
    ``deviation, deviation_unit``, the three answers ``scale, size, order``, and ``profile,
    hardware, start, notebook, reason``. Records of the profile "paper" win over those of "quick".

    Args:
        records: by notebook id; all that there are by default.
    """
    records = measured.records() if records is None else records
    known = _reasons()
    rows = []
    for claim in claims.claims().values():
        record = next((r for r in records.values() if len(r.rows(claim))), None)
        row = _row(claim, record, measured.judge(claim, record))
        rows.append({**row, "reason": _reason(claim, row, known)})
    return pd.DataFrame(rows)


def _row(claim: Claim, record: Measured | None, found: Answers) -> dict[str, Any]:
    over, run = found.over, record.run if record else {}
    gap = (None, "") if over is None else claims.deviation(claim, over.mean)
    return {
        "id": claim.id, "paper": claim.paper, "source": claim.source,
        "experiment": claim.experiment, "setting": claim.setting, "metric": claim.metric,
        "unit": claim.unit, "claimed": claim.value, "claimed_spread": claim.spread,
        "items": claim.items, "reading": claim.reading, "same_as": claim.same_as,
        "quoted_from": claim.quoted_from, "apart": claim.apart, "counts": claim.counts,
        "ours": over and over.mean, "std": over and over.std, "low": over and over.low,
        "high": over and over.high, "n": over and over.n,
        "deviation": gap[0], "deviation_unit": gap[1],
        "scale": found.scale, "size": found.size, "order": found.order,
        "profile": run.get("profile", ""), "hardware": run.get("device", {}).get("name", ""),
        "start": run.get("start", ""), "notebook": record.id if record else "",
    }  # fmt: skip


def _reasons() -> list[dict[str, str]]:
    """Why claims did not come out as printed: ``data/reasons.csv``, first match wins."""
    return tables.rows(paths.REASONS, {"pattern": str, "reason": str}, key=("pattern",))


def _reason(claim: Claim, row: Mapping[str, Any], known: list[dict[str, str]]) -> str:
    if row["size"] == verdicts.AGREES:
        return ""
    group = f"{claim.paper}: {claim.experiment}"
    names = (claim.id, group, f"{group}: {claim.model}")
    for entry in known:
        if any(fnmatch(name, entry["pattern"]) for name in names):
            return entry["reason"]
    return "no chapter measures it yet" if row["scale"] == verdicts.NOT_MEASURED else ""


def pairs(records: Mapping[str, Measured] | None = None) -> pd.DataFrame:
    """Every pair that the papers rank and a record measured, with its interval and answer.

    Columns ``id, model, rival, mean, low, high, n, decades, order``; ``decades`` where the interval
    is of decimal logarithms, as for losses.
    """
    records = measured.records() if records is None else records
    rows = []
    for claim in claims.claims().values():
        record = next((r for r in records.values() if len(r.rows(claim))), None)
        for rival, gap, decades, answer in measured.judge(claim, record).pairs:
            ends = {"mean": gap.mean, "low": gap.low, "high": gap.high, "n": gap.n}
            rows.append({"id": claim.id, "model": claim.model, "rival": rival, **ends,
                         "decades": decades, "order": answer})  # fmt: skip
    names = ["id", "model", "rival", "mean", "low", "high", "n", "decades", "order"]
    return pd.DataFrame(rows, columns=names)


def stated(records: Mapping[str, Measured] | None = None) -> pd.DataFrame:
    """One row a statement, in the order of ``data/statements.csv``, with the answer and why."""
    records = measured.records() if records is None else records
    return pd.DataFrame([
        {
            "id": found.statement.id,
            "paper": found.statement.paper,
            "section": found.statement.section,
            "statement": found.statement.statement,
            "criterion": found.statement.criterion,
            "answer": found.answer,
            "evidence": "; ".join(found.evidence),
            "reason": found.reason,
            "notebook": found.statement.notebook,
        }
        for found in statements.findings(records)
    ])  # fmt: skip


def summary(table: pd.DataFrame, column: str, answers: tuple[str, ...]) -> pd.DataFrame:
    """Numbers of rows by paper (rows) and answer (columns), with totals.

    Args:
        table: of :func:`scorecard` (its rows that count) or of :func:`stated`.
        column: "answer", "scale", "size" or "order".
        answers: the columns, in their order; rows with another answer are in no column.
    """
    counts = pd.crosstab(table["paper"], table[column], margins=True, margins_name="all")
    papers = [*dict.fromkeys(table["paper"]), "all"]
    return counts.reindex(index=papers, columns=list(answers), fill_value=0)
