"""Item rows: one number for each independent item (picture, clip, scan, mask) and seed.

A table of measurements has the columns ``claim, model``, any settings, and ``metric, item, seed,
value, unit``. Means, spreads and intervals are computed from it here, and nowhere else.
"""

from collections.abc import Iterable

import pandas as pd

from inrkit.measure.intervals import Interval, interval, paired_interval

FIRST, LAST = ("claim", "model"), ("metric", "item", "seed", "value", "unit")
TEXT = ("claim", "model", "metric", "item", "unit")


def table(rows: list[dict]) -> pd.DataFrame:
    """Rows as a table, its columns in their order."""
    found = pd.DataFrame(rows, columns=None if rows else [*FIRST, *LAST], dtype=object)
    ordered = found[[*FIRST, *settings(found), *LAST]]
    return ordered.astype({"seed": "Int64", "value": float})


def settings(table: pd.DataFrame) -> list[str]:
    """Names of the columns that are settings."""
    return [name for name in table.columns if name not in (*FIRST, *LAST)]


def groups(table: pd.DataFrame) -> Iterable[tuple[dict, pd.DataFrame]]:
    """The rows of each quantity: one claim, model, metric, unit and settings."""
    keys = [*FIRST, *settings(table), "metric", "unit"]
    for values, rows in table.groupby(keys, dropna=False, sort=False):
        yield dict(zip(keys, values, strict=True)), rows


def units(rows: pd.DataFrame, *wholes: pd.DataFrame) -> pd.Series:
    """Independent values of one quantity: one an item (over seeds), or, of one item, one a seed.

    Points, frames and views of one fit are no items: their mean is one value.

    Args:
        rows: of the quantity.
        wholes: the quantities of which these rows are a part; where one has several items, so have
            these, even if only one is left.
    """
    several = any(whole["item"].nunique(dropna=False) > 1 for whole in (rows, *wholes))
    by = "item" if several else "seed"
    return rows.groupby(by, dropna=False)["value"].mean()


def summary(rows: pd.DataFrame) -> Interval:
    """Mean, standard deviation and 95% interval of one quantity over its independent values."""
    return interval(units(rows))


def paired(first: pd.DataFrame, second: pd.DataFrame, *, logarithmic: bool = False) -> Interval:
    """95% interval of first - second over the items and seeds that both have; n = 0 if none.

    Args:
        first, second: rows of two quantities.
        logarithmic: for losses: in decades.
    """
    both = first.merge(second, on=["item", "seed"], suffixes=("", "_other"))
    if both.empty:
        nothing = float("nan")
        return Interval(nothing, nothing, nothing, nothing, 0)
    gaps = [
        paired_interval([one], [other], logarithmic=logarithmic).mean
        for one, other in zip(both["value"], both["value_other"], strict=True)
    ]
    return interval(units(both.assign(value=gaps), first, second))


def summarized(table: pd.DataFrame) -> pd.DataFrame:
    """One row a quantity: mean, std, low, high and n in place of the single values."""
    rows = []
    for about, values in groups(table):
        over = summary(values)
        spread = {"mean": over.mean, "std": over.std, "low": over.low, "high": over.high}
        rows.append({**about, **spread, "n": over.n})
    return pd.DataFrame(rows)
