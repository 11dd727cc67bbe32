"""Is a record complete, and does it agree with the notebook that was executed?"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from inrkit.companion import claims, items, store
from inrkit.companion.notebooks import PROFILES, assignments, tagged
from inrkit.companion.records import DIGEST

REQUIRED = (
    "id", "profile", "parameters", "overrides", "device", "threads", "versions", "commit",
    "clean", "start", "seconds", "peak_memory_mib", "data", "notes", "metrics", "figures",
    "fingerprint",
)  # fmt: skip


def verify() -> dict[str, list[str]]:
    """Problems of every record, by ``<profile>/<paper>/<topic>``: none, if it is good."""
    store.recover()
    return {
        f"{profile}/{id}": problems(folder, id)
        for profile in PROFILES
        for id, folder in store.records(profile).items()
    }


def problems(folder: Path, id: str) -> list[str]:
    """What is wrong with one record, a sentence each."""
    absent = [
        name for name in (store.METRICS, store.RUN, store.NOTEBOOK) if not (folder / name).is_file()
    ]
    if absent:
        return [f"{name} is missing" for name in absent]
    try:
        run = store.read_run(folder)
        executed = nbformat.read(folder / store.NOTEBOOK, as_version=4)
        table = store.read_metrics(folder)
    except Exception as error:  # three file formats, each with its own errors
        return [f"a file of the record cannot be read: {error}"]
    lacking = [key for key in REQUIRED if key not in run]
    if lacking:
        return [f"{store.RUN} lacks {', '.join(lacking)}"]
    found = [] if run["id"] == id else [f"{store.RUN} belongs to {run['id']}"]
    return [
        *found,
        *_numbers(table, run["metrics"]),
        *_summaries(folder, table),
        *_figures(folder, run["figures"]),
        *_notebook(executed, folder, run),
    ]


def _numbers(table: Any, promised: list[str]) -> list[str]:
    found = [f"metric {name} is missing" for name in promised if name not in set(table["metric"])]
    for row in table.itertuples():
        if not isinstance(row.value, int | float) or not math.isfinite(row.value):
            found.append(f"{row.metric} is not a finite number: {row.value}")
    for id, rows in table[table["claim"].ne("")].groupby("claim"):
        known = claims.claims().get(id)
        if known is None:
            found.append(f"claim {id} is unknown")
        elif known.unit and set(rows["unit"]) != {known.unit}:
            found.append(f"claim {id} is in {known.unit}, its number is not")
        if len(list(items.groups(rows))) > 1:
            found.append(f"claim {id} is answered by several quantities")
    keys = [name for name in table.columns if name != "value"]
    if table.duplicated(keys).any():
        found.append("an item and seed of one quantity has two rows")
    return found


def _summaries(folder: Path, table: Any) -> list[str]:
    """Whether item rows give what an early run summarized in its place."""
    if not (folder / store.SUMMARY).exists():
        return []
    old = pd.read_csv(folder / store.SUMMARY, dtype=dict.fromkeys(("claim", "model", "unit"), str))
    apart = ("value", "unit", "seed", "spread", "n")
    keys = {name: name if name in table else "item" for name in old if name not in apart}
    missed = []
    for row in old.to_dict("records"):
        rows = table
        for name, now in keys.items():  # what is an item now was a setting
            same = rows[now].astype(str).eq(str(row[name]))
            empty = rows[now].isna() | rows[now].eq("")
            rows = rows[empty if pd.isna(row[name]) else same]
        over = items.summary(rows) if len(rows) else None
        good = over is not None and math.isclose(over.mean, row["value"], rel_tol=1e-4)
        if good and not pd.isna(row["spread"]) and over.n > 1:
            good = math.isclose(over.std, row["spread"], rel_tol=1e-2)
        if not good:
            missed.append(f"{store.SUMMARY}: {row['metric']} of {row['model']} does not follow "
                          f"from the item rows")  # fmt: skip
    return missed


def _figures(folder: Path, named: list[str]) -> list[str]:
    paths = [folder / store.FIGURES / name for name in named]
    return [
        f"figure {path.name} is missing or empty"
        for path in paths
        if not path.is_file() or path.stat().st_size == 0
    ]


def _notebook(executed: Any, folder: Path, run: dict[str, Any]) -> list[str]:
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    found = [f"{o.ename} in the executed notebook" for o in outputs if o.output_type == "error"]
    ran = {
        **assignments(tagged(executed, "parameters")),
        **assignments(tagged(executed, "injected-parameters")),
    }
    if json.loads(json.dumps(ran)) != run["parameters"]:  # JSON has no tuples
        found.append(f"the executed notebook's parameters are not those of {store.RUN}")
    shown = [o.data[DIGEST]["sha256"] for o in outputs if DIGEST in o.get("data", {})]
    early = folder / store.SUMMARY  # of a run before item rows
    written = early if early.exists() else folder / store.METRICS
    if shown != [hashlib.sha256(written.read_bytes()).hexdigest()]:
        found.append(f"{written.name} is not the file that the executed notebook wrote")
    return found
