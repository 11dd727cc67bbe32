"""What a notebook measured: numbers, figures, and under which circumstances."""

import hashlib
import io
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython import get_ipython
from IPython.display import HTML, SVG, display

from inrkit import paths
from inrkit.companion import claims, items, machine, provenance, store
from inrkit.companion.errors import CompanionError
from inrkit.companion.measured import LAST, Measured, deviations, judge
from inrkit.companion.names import Names

FOLDER = "INRKIT_RECORD"  # environment variable: the folder that the runner prepared
DIGEST = "application/vnd.inrkit.metrics+json"


class Record:
    """The record of a notebook: ``metrics.csv``, ``run.json`` and ``figures/`` (players, too).

    The runner says by an environment variable in which folder the record grows. Without it
    (JupyterLab, bare papermill) the record goes to ``results/interactive/<id>/``.

    Args:
        id: the notebook's own, ``<paper>/<topic>``.
        metrics: every metric that the notebook promises; :meth:`save` insists on them.
    """

    def __init__(self, id: str, *, metrics: list[str]):
        self.id, self.metrics = id, list(metrics)
        self.started = time.time()
        self.rows: list[dict[str, Any]] = []
        self.data: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.figures: list[str] = []
        self.figure_names, self.checkpoint_names = Names(), Names()
        self.keys: set[tuple] = set()  # of the rows
        self.cells: dict[str, int] = {}  # which code cell recorded a claim or metric
        given = os.environ.get(FOLDER)
        self.folder = Path(given) if given else paths.RESULTS / "interactive" / id
        context = self.folder / store.CONTEXT
        self.context = (
            json.loads(context.read_text(encoding="utf-8")) if given else _interactive(id)
        )
        if self.context["id"] != id:
            raise CompanionError(
                f"the notebook {self.context['id']} opens the record {id!r}: give its own id"
            )
        self.commit = machine.commit()  # of the code as the run begins
        provenance.tell(self.commit)
        shutil.rmtree(self.folder / store.FIGURES, ignore_errors=True)
        (self.folder / store.FIGURES).mkdir(parents=True)

    def checkpoint(self, name: str) -> Path:
        """A path for a fit's checkpoint: a stopped run goes on, an equal fit is not repeated."""
        folder = Path(self.context["checkpoints"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.checkpoint_names(name)}.pt"

    def used(self, source: Any, *, sha256: str | None = None, n: int = 1, of: int = 1) -> None:
        """Note which data was used: a signal, a selection of a data set, or a name.

        Args:
            source: has ``name`` and ``sha256`` (a signal), or ``set``, ``of`` and a length (a
                selection), or is the name of an item or of a data set.
            sha256: of the data; looked up in the registry where a name is given without it.
            n: how many items were used, ``of`` how many the data set has in the paper.
        """
        if hasattr(source, "set"):
            name, n, of = source.set, len(source), max(of, source.of)
        else:
            name = getattr(source, "name", source)
            sha256 = sha256 or getattr(source, "sha256", None)
        sha256 = sha256 or registered(name, n)
        entry = {"name": name, "sha256": sha256, "n": int(n), "of": int(max(n, of))}
        if entry not in self.data:
            self.data.append(entry)

    def note(self, text: str) -> None:
        """A remark on the run, such as "one fit diverged".

        What differs from the paper's settings is no remark: see
        :attr:`~inrkit.companion.notebooks.Notebook.about`.
        """
        self.notes.append(text)

    def add(
        self,
        metric: str,
        value: Any,
        *,
        model: str = "",
        claim: str = "",
        item: Any = "",
        seed: Any = None,
        unit: str = "",
        **settings: Any,
    ) -> None:
        """Record a number, or one for each of several items or seeds.

        ``record.add("psnr", [31.2, 28.9], item=["cat", "camera"], seed=0, model="SIREN")``

        Means, spreads and intervals are computed from these rows and never recorded. An item is
        independent of the others: a picture, a clip, a scan, a mask. Points, frames and views of
        one fit are none; their mean is one value of that fit.

        Args:
            metric: one of those promised.
            value: a finite number, or as many as there are items or seeds.
            model: what was measured.
            claim: id of the paper's number that these values answer, if there is one.
            item: name, or a name a value; empty where there is a single one.
            seed: of the run, or one a value; none where nothing is random.
            unit: taken from the claim where not given.
            **settings: each becomes a column of ``metrics.csv``.

        Raises:
            CompanionError: the metric was not promised, a number is not finite, items and seeds do
                not fit the values, a row is there twice, or the claim is unknown, answered by two
                quantities, in another unit or another reading.
        """
        if metric not in self.metrics:
            raise CompanionError(
                f"metric {metric!r} is not promised; promised are {', '.join(self.metrics)}"
            )
        taken = set(settings) & {*items.FIRST, *items.LAST, "n", "spread"}
        if taken:
            raise CompanionError(f"{', '.join(sorted(taken))}: no setting; give item and seed")
        values = [_finite(metric, one) for one in _listed(value)]
        names = [str(one) for one in _repeated(item, len(values), metric, "items")]
        seeds = _repeated(seed, len(values), metric, "seeds")
        about = {"claim": claim, "model": str(model), **settings, "metric": metric}
        if claim:
            unit = self._checked_unit(about, unit)
        for one, name, start in zip(values, names, seeds, strict=True):
            row = {**about, "item": name, "seed": None if start is None else int(start),
                   "value": one, "unit": unit}  # fmt: skip
            key = tuple((k, str(v)) for k, v in row.items() if k != "value")
            if key in self.keys:
                raise CompanionError(
                    f"{metric} of {model or 'no model'}, item {name!r}, seed {start} is recorded "
                    "already: give items, seeds or settings that tell the two apart"
                )
            self.keys.add(key)
            self.rows.append(row)
        self.cells.setdefault(claim or metric, getattr(get_ipython(), "execution_count", 0))

    def _checked_unit(self, about: dict[str, Any], unit: str) -> str:
        id = about["claim"]
        known = claims.claims().get(id)
        if known is None:
            raise CompanionError(f"there is no claim {id!r} in data/claims.csv")
        others = ({k: row.get(k) for k in about} for row in self.rows if row["claim"] == id)
        if any(other != about for other in others):
            raise CompanionError(f"claim {id} has its number already: one quantity answers a claim")
        if unit and known.unit and unit != known.unit:
            raise CompanionError(f"claim {id} is in {known.unit}, the number in {unit}")
        reading = about.get("reading", LAST)
        if known.reading and reading != known.reading:
            raise CompanionError(f"claim {id} is the {known.reading} value of a fit, not {reading}")
        return unit or known.unit

    def figure(self, figure: Any, name: str, *, raster: bool = False) -> None:
        """Save a Matplotlib figure as ``figures/<name>.svg`` and show it.

        Args:
            figure: a ``matplotlib.figure.Figure``; closed afterwards.
            name: file name without suffix.
            raster: WebP instead of SVG, for pictures and where marks are many.
        """
        import matplotlib.pyplot as plt

        path = self._new(name, "webp" if raster else "svg")
        style = {"svg.fonttype": "none", "svg.hashsalt": "inrkit"}  # text as text; same file twice
        with plt.rc_context(style):
            if raster:
                image = io.BytesIO()
                options = {"quality": 88, "method": 6}
                figure.savefig(image, format="webp", dpi=160, bbox_inches="tight",
                               pil_kwargs=options)  # fmt: skip
                path.write_bytes(image.getvalue())
            else:
                figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
        self.figures.append(path.name)
        display(_embedded(path, name) if raster else SVG(filename=str(path)))

    def _new(self, name: str, suffix: str) -> Path:
        file = f"{self.figure_names(name)}.{suffix}"
        if file in self.figures:
            raise CompanionError(f"there is a figure {file} already: give each its own name")
        return self.folder / store.FIGURES / file

    def media(self, player: Any, name: str) -> None:
        """Save a sound or video as ``figures/<name>.<suffix>`` and show it with controls.

        Args:
            player: an :class:`inrkit.render.Player`.
            name: file name without suffix.
        """
        path = self._new(name, player.suffix)
        path.write_bytes(player.data)
        self.figures.append(path.name)
        display(player)

    def so_far(self) -> Measured:
        """What is recorded so far, as its judges see it."""
        parameters, run = self.context["parameters"], {"data": self.data}
        return Measured(self.id, items.table(self.rows), run, deviations(self.id, parameters))

    def summary(self) -> pd.DataFrame:
        """Mean, standard deviation, 95% interval and n of each quantity recorded so far."""
        return items.summarized(items.table(self.rows))

    def verdicts(self) -> Any:
        """The claims that this notebook answers, beside its numbers, for display."""
        return judged(self.so_far()).style.hide(axis="index").format(escape="html")

    def save(self, *, training_seconds: float | None = None) -> None:
        """Write the record to ``self.folder``; the notebook's last cell.

        Args:
            training_seconds: spent in training alone, where the notebook trains.

        Raises:
            CompanionError: a promised metric was never added.
        """
        missing = [name for name in self.metrics if all(r["metric"] != name for r in self.rows)]
        if missing:
            raise CompanionError(f"promised, but never recorded: {', '.join(missing)}")
        text = items.table(self.rows).to_csv(index=False, lineterminator="\n")
        (self.folder / store.METRICS).write_text(text, encoding="utf-8")
        run = {**self._circumstances(), "training_seconds": training_seconds}
        store.write_json(self.folder / store.RUN, run)
        counts = f"numbers: {len(self.rows)}, figures: {len(self.figures)}"
        digest = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        display({DIGEST: digest, "text/plain": f"recorded {counts}"}, raw=True)

    def _circumstances(self) -> dict[str, Any]:
        context = self.context
        started = context.get("started", self.started)
        return {
            "id": self.id,
            "profile": context["profile"],
            "parameters": context["parameters"],
            "overrides": context["overrides"],
            "device": machine.device(context["parameters"].get("device")),
            "threads": machine.threads(),
            "versions": machine.versions(),
            **self.commit,
            "start": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - started + context.get("spent", 0.0), 2),
            "attempts": context.get("attempts", 1),
            "peak_memory_mib": machine.peak_memory(),
            "data": self.data,
            "notes": self.notes,
            "metrics": self.metrics,
            "cells": self.cells,
            "fits": provenance.fits(),
            "files": provenance.files(),
            "figures": self.figures,
            "fingerprint": context.get("fingerprint"),
        }


def registered(name: str, n: int = 1) -> str | None:
    """SHA-256 of an item in the data registry; of a data set, that of its first n items' sums."""
    from inrkit.signals import registry  # imports PyTorch, which not every record needs

    item = registry.find(name)
    if item is not None:
        return item.sha256
    if name not in registry.sets():
        return None
    sums = "".join(item.sha256 for item in registry.items(name)[:n])
    return hashlib.sha256(sums.encode()).hexdigest()


def _interactive(id: str) -> dict[str, Any]:
    """The circumstances of a run without the runner: parameters as they stand in the notebook."""
    import __main__
    from inrkit.companion.fingerprint import checkpoints
    from inrkit.companion.notebooks import Notebook

    path = paths.NOTEBOOKS / f"{id}.ipynb"
    declared = Notebook(id, path).defaults if path.exists() else {}
    parameters = {name: getattr(__main__, name, value) for name, value in declared.items()}
    kept = str(checkpoints(store.Place(id, "interactive")))
    return {"id": id, "profile": "interactive", "overrides": {}, "parameters": parameters,
            "checkpoints": kept}  # fmt: skip


def judged(record: Measured) -> pd.DataFrame:
    """Table of the claims that a record answers: the paper's number, ours, and three answers."""
    table = []
    for id in dict.fromkeys(record.table["claim"]):
        claim = claims.claims().get(id)
        if claim is None:
            continue
        found = judge(claim, record)
        table.append({
            "claim": claim.id,
            "setting": claim.setting,
            "metric": claim.metric,
            "paper": claims.show(claim.value, claim.spread, claim.unit),
            "ours": claims.show(found.over.mean, found.over.std, claim.unit),
            "n": found.over.n,
            "scale": found.scale,
            "size": found.size or "—",
            "order": found.order or "—",
        })  # fmt: skip
    return pd.DataFrame(table)


def _listed(value: Any) -> list[Any]:
    """A single value, or those of a sequence, array or tensor, in a list."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _repeated(value: Any, n: int, metric: str, what: str) -> list[Any]:
    """One for each of ``n`` values: as given, or a single one for all."""
    given = _listed(value)
    if len(given) == 1:
        return given * n
    if len(given) != n:
        raise CompanionError(f"{metric}: {n} values for {len(given)} {what}")
    return given


def _finite(metric: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise CompanionError(f"{metric}: a number is expected, got {value!r}") from None
    if not math.isfinite(number):
        raise CompanionError(f"{metric}: a finite number is expected, got {number}")
    return number


def _embedded(path: Path, name: str) -> HTML:
    """The picture as part of the page: notebooks have no output type for WebP."""
    from base64 import b64encode

    data = b64encode(path.read_bytes()).decode()
    return HTML(f'<img alt="{escape(name)}" src="data:image/webp;base64,{data}">')
