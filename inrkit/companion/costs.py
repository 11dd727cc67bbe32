"""What fits cost: the benchmarks' records, and the workloads of the papers."""

import json
from typing import Any

import pandas as pd

from inrkit import paths

FACTOR = 6  # a forward and a backward pass are three products a weight, of two operations each
PEAKS = {  # operations per second of an H200, from its data sheet, dense
    "float32": 67e12,
    "TF32": 494e12,
    "bfloat16": 989e12,
}


def benchmarks(kind: str) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """What ``make bench`` recorded on a kind of device, and the circumstances of each section.

    Args:
        kind: "cpu" or "cuda"; the table is empty where nothing was recorded.
    """
    table, notes = (paths.BENCH / f"{kind}.{suffix}" for suffix in ("csv", "json"))
    if not table.exists():
        return pd.DataFrame(columns=["section", "case", "metric", "value"]), {}
    return pd.read_csv(table), json.loads(notes.read_text(encoding="utf-8"))


def number(table: pd.DataFrame, case: str, metric: str) -> float:
    """The value of one row of a benchmark."""
    return float(table[table.case.eq(case) & table.metric.eq(metric)].value.iloc[0])


def bounds(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a bound, and whether it holds; a ratio named a speed must not be less."""
    rows = table[table.bound.notna()].copy() if "bound" in table else table.assign(bound=0)[:0]
    least = rows.metric.str.startswith("speed")
    rows["holds"] = (least & rows.value.ge(rows.bound)) | (~least & rows.value.le(rows.bound))
    return rows


def workloads() -> pd.DataFrame:
    """The papers' training workloads at full size, with ``weights`` and the operations of all fits.

    A step costs 6 operations a weight and point, times ``passes`` where derivatives or solvers
    multiply the work; activations and encodings are left out.
    """
    table = pd.read_csv(paths.WORKLOADS)
    ends = table.in_features + table.out_features
    table["weights"] = table.width * (ends + table.hidden_matrices * table.width)
    table["each"] = FACTOR * table.weights * table.points * table.steps * table.passes
    table["operations"] = table.each * table.fits
    return table


def rate(table: pd.DataFrame, case: str = "SIREN", weights: int = 197_376, points: int = 65_536):
    """Operations per second of training steps, from the steps per second of a benchmark.

    The defaults are the benchmark's network, 2 -> 4 x 256 -> 1 (its weights without the biases), on
    256 x 256 pixels.
    """
    return number(table, case, "steps") * FACTOR * weights * points
