"""Every answer recomputed from the committed files, by pandas and SciPy alone."""

import ast
import json
from functools import partial as partial_

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from inrkit import paths
from inrkit.companion import measured, scorecard

NEUTRAL = {"device", "seed", "n_items"}


@pytest.fixture(scope="module")
def claims():
    table = pd.read_csv(paths.CLAIMS, keep_default_na=False, na_values={"spread": "", "items": ""})
    over = pd.read_csv(paths.TABLES, keep_default_na=False)[["paper", "source", "spread_of"]]
    return table.merge(over, on=["paper", "source"], how="left").set_index("id", drop=False)


@pytest.fixture(scope="module")
def recorded():
    """For each notebook: rows, parameters and what differs from the paper's settings."""
    found = {}
    for path in sorted((paths.RESULTS / "paper").glob("*/*/metrics.csv")):
        id = "/".join(path.parts[-3:-1])
        rows = pd.read_csv(path, keep_default_na=False, na_values={"seed": "", "value": ""})
        run = json.loads(path.with_name("run.json").read_text())
        differs = list(differences(id, json.loads(json.dumps(run["parameters"]))))
        found[id] = rows, differs, any(d["n"] < d["of"] for d in run["data"])
    return found


def differences(id, ran):
    path = paths.NOTEBOOKS / f"{id}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    about = notebook.metadata.get("inrkit", {})
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    own = {}
    for line in ast.parse(cell.source).body:
        if isinstance(line.targets[0], ast.Name):
            own[line.targets[0].id] = ast.literal_eval(line.value)
    own |= yaml.safe_load(path.with_suffix(".paper.yml").read_text()) or {}
    for name, value in own.items():
        if name in NEUTRAL or name in about.get("cost", []) + about.get("counts", []):
            continue
        if name not in ran or json.loads(json.dumps(value)) != ran[name]:
            yield about.get("touches", {}).get(name, [])
    now = json.loads(json.dumps({**own, **ran}))
    for entry in about.get("deviations", []):

        def is_so(conditions):
            return all(
                now.get(name) in (value if isinstance(value, list) else [value])
                for name, value in conditions.items()
            )  # fmt: skip

        unless = entry.get("unless", {})
        if is_so(entry.get("when", {})) and not (unless and is_so(unless)):
            yield entry.get("models", [])


def independent(rows):
    return rows.groupby("item" if rows["item"].nunique() > 1 else "seed", dropna=False)[
        "value"
    ].mean()


def ends(values):
    n, mean = len(values), np.mean(values)
    if n < 2:
        return np.nan, np.nan
    if n < 20 or np.ptp(values) == 0:
        half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
        return mean - half, mean + half
    return stats.bootstrap(
        (np.asarray(values),), np.mean, rng=np.random.default_rng(0)
    ).confidence_interval


def size(claim, mean, n, scale):
    least = 5 if np.isnan(claim["items"]) else min(5, claim["items"])
    if scale == "reduced" or n < least:
        return ""
    half = max(0.05 * abs(claim["value"]), 1e-6)
    if claim["spread"] > 0:
        k = claim["items"] if claim["items"] > 1 else 1e9
        std = claim["spread"] * (np.sqrt(k) if claim["spread_of"] == "standard error" else 1)
        half = stats.t.ppf(0.975, k - 1) * std * np.sqrt(1 / k + 1 / n)
    if abs(mean - claim["value"]) <= half:
        return "agrees"
    if not claim["better"]:
        return "differs"
    return "better" if (mean > claim["value"]) == (claim["better"] == "higher") else "worse"


def side(values, sign):
    if len(values) < 5:
        return "undecided"
    low, high = ends(np.asarray(values) * sign)
    return "holds" if low > 0 else "reversed" if high < 0 else "undecided"


def orders(claims, claim, rows, others):
    kind = 1 if "ratio" in claim["metric"] else 0 if "difference" in claim["metric"] else None
    if kind is not None:
        values = independent(rows)
        values = np.log10(values) if kind and (values > 0).all() else values - kind
        return [side(values, np.sign(claim["value"] - kind))] if claim["value"] != kind else []
    rest = str(claim["setting"]).partition(";")[2].strip()
    found = []
    for rival in claims.to_dict("records"):
        same = all(rival[k] == claim[k] for k in ("paper", "source", "metric"))
        same &= str(rival["setting"]).partition(";")[2].strip() == rest
        if not same or rival["value"] == claim["value"] or not claim["better"]:
            continue
        theirs = others(rival)
        if theirs.empty or claim["apart"] or rival["apart"]:
            continue
        both = rows.merge(theirs, on=["item", "seed"])
        pair = both[["value_x", "value_y"]].to_numpy(float)
        positive = min(rows["value"].min(), theirs["value"].min()) > 0
        if claim["better"] == "lower" and not claim["metric"].startswith("rank") and positive:
            pair = np.log10(pair)
        gap = both.assign(value=pair[:, 0] - pair[:, 1])
        found.append(side(independent(gap), np.sign(claim["value"] - rival["value"])))
    return found


def test_all_answers(claims, recorded):
    ours = scorecard.scorecard(measured.records(("paper",))).set_index("id")
    assert list(ours.index) == list(claims.index)
    count = 0
    for id, claim in claims.iterrows():

        def names(of):
            first = of["same_as"]
            again = first and claims["metric"][first] == of["metric"]
            return [of["id"], first] if again else [of["id"]]

        def answer(of, where=None):
            for name in names(of):
                for rows, *_ in recorded.values() if where is None else [where]:
                    hit = rows[rows["claim"].eq(name)]
                    if of["reading"]:
                        read = hit["reading"] if "reading" in hit else hit["claim"] * 0
                        hit = hit[read.replace("", "last").eq(of["reading"])]
                    if len(hit):
                        return hit
            return pd.DataFrame(columns=["item", "seed", "value"])

        home = next((r for r in recorded.values() if len(answer(claim, r))), None)
        if home is None:
            assert ours["scale"][id] == "not measured" and ours["size"][id] == "", id
            continue
        rows, (_, differs, partial) = answer(claim), home
        values = independent(rows)
        model = rows["model"].iloc[0]
        named = {model, *model.split(" - "), *model.split(" / ")}
        touched = any(not models or named & set(models) for models in differs)
        fewer = partial if np.isnan(claim["items"]) else len(values) < claim["items"]
        scale = "reduced" if touched else "subset" if fewer else "full"
        pairs = orders(claims, claim, rows, partial_(answer, where=home))
        order = "" if not pairs else "reversed" if "reversed" in pairs else (
            "holds" if set(pairs) == {"holds"} else "undecided"
        )  # fmt: skip
        assert ours["ours"][id] == pytest.approx(values.mean()), id
        assert (ours["n"][id], ours["scale"][id]) == (len(values), scale), id
        assert ours["size"][id] == size(claim, values.mean(), len(values), scale), id
        assert ours["order"][id] == order, id
        count += 1
    assert count > 100
