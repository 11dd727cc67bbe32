"""What a notebook measured: numbers, figures, and under which circumstances."""

import csv
import hashlib
import io
import json
import math
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML, SVG, display

from inrkit import paths
from inrkit.companion import claims, machine, store
from inrkit.companion.errors import CompanionError

FOLDER = "INRKIT_RECORD"  # environment variable: the folder that the runner prepared
DIGEST = "application/vnd.inrkit.metrics+json"
KEEPS_SCALE = {"n_items", "seed", "device"}  # overrides that leave the paper's settings as they are
FIRST, LAST = ["claim", "model"], ["metric", "value", "spread", "n", "seed", "unit"]


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
        given = os.environ.get(FOLDER)
        self.folder = Path(given) if given else paths.RESULTS / "interactive" / id
        context = self.folder / store.CONTEXT
        self.context = json.loads(context.read_text()) if given else _interactive(id)
        if self.context["id"] != id:
            raise CompanionError(
                f"the notebook {self.context['id']} opens the record {id!r}: give its own id"
            )
        self.commit = machine.commit()  # of the code as the run begins
        shutil.rmtree(self.folder / store.FIGURES, ignore_errors=True)
        (self.folder / store.FIGURES).mkdir(parents=True)

    def checkpoint(self, name: str) -> Path:
        """A path for a fit's checkpoint: a stopped run goes on, an equal fit is not repeated."""
        folder = Path(self.context["checkpoints"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name.replace('/', '-')}.pt"

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
        """Say in what else the run differs from the paper's: "centre crops, not resized"."""
        self.notes.append(text)

    def add(
        self,
        metric: str,
        value: float,
        *,
        model: str = "",
        claim: str = "",
        spread: float | None = None,
        n: int = 1,
        seed: int | None = None,
        unit: str = "",
        **settings: Any,
    ) -> None:
        """Record a number.

        Args:
            metric: one of those promised.
            value: a finite number; the mean where ``n`` > 1.
            model: what was measured.
            claim: id of the paper's number that this one answers, if there is one.
            spread: standard deviation over the ``n`` items or seeds.
            n: number of items or seeds behind the mean.
            seed: of the run, where there is a single one.
            unit: taken from the claim where not given.
            **settings: each becomes a column of ``metrics.csv``.

        Raises:
            CompanionError: the metric was not promised, a number is not finite, the claim is
                unknown, answered twice or in another unit.
        """
        if metric not in self.metrics:
            raise CompanionError(
                f"metric {metric!r} is not promised; promised are {', '.join(self.metrics)}"
            )
        value, spread = _finite(metric, value), _finite(metric, spread)
        if claim:
            unit = self._checked_unit(claim, unit)
        self.rows.append(
            {
                "claim": claim,
                "model": model,
                **settings,
                "metric": metric,
                "value": value,
                "spread": spread,
                "n": int(n),
                "seed": seed,
                "unit": unit,
            }  # fmt: skip
        )

    def _checked_unit(self, claim: str, unit: str) -> str:
        known = claims.claims().get(claim)
        if known is None:
            raise CompanionError(f"there is no claim {claim!r} in data/claims.csv")
        if any(row["claim"] == claim for row in self.rows):
            raise CompanionError(f"claim {claim} has its number already: one row answers a claim")
        if unit and known.unit and unit != known.unit:
            raise CompanionError(f"claim {claim} is in {known.unit}, the number in {unit}")
        return unit or known.unit

    def figure(self, figure: Any, name: str, *, raster: bool = False) -> None:
        """Save a Matplotlib figure as ``figures/<name>.svg`` and show it.

        Args:
            figure: a ``matplotlib.figure.Figure``; closed afterwards.
            name: file name without suffix.
            raster: WebP instead of SVG, for pictures and where marks are many.
        """
        import matplotlib.pyplot as plt

        path = self._new(f"{name}.{'webp' if raster else 'svg'}")
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

    def _new(self, name: str) -> Path:
        if name in self.figures:
            raise CompanionError(f"there is a figure {name} already: give each its own name")
        return self.folder / store.FIGURES / name

    def media(self, player: Any, name: str) -> None:
        """Save a sound or video as ``figures/<name>.<suffix>`` and show it with controls.

        Args:
            player: an :class:`inrkit.render.Player`.
            name: file name without suffix.
        """
        path = self._new(f"{name}.{player.suffix}")
        path.write_bytes(player.data)
        self.figures.append(path.name)
        display(player)

    def scale(self) -> str:
        """How near the run is to the paper's: "full", "subset" (of the data) or "reduced".

        Only the profile "paper", with nothing overridden but ``n_items``, ``seed`` and ``device``,
        has the paper's own settings.
        """
        if self.context["profile"] != "paper" or set(self.context["overrides"]) - KEEPS_SCALE:
            return claims.REDUCED
        partial = any(entry["n"] < entry["of"] for entry in self.data)
        return claims.SUBSET if partial else claims.FULL

    def verdicts(self) -> Any:
        """Table paper / ours / verdict of the claims that this notebook answered, for display."""
        known = claims.claims()
        answered = [row for row in self.rows if row["claim"]]
        measured = {row["claim"]: row["value"] for row in answered}
        table = []
        for row in answered:
            claim, value, spread = known[row["claim"]], row["value"], row["spread"]
            group = claims.peers(claim, measured)
            table.append({
                "claim": claim.id,
                "setting": claim.setting,
                "metric": claim.metric,
                "paper": claims.show(claim.value, claim.spread, claim.unit),
                "ours": claims.show(value, spread, claim.unit),
                "deviation": claims.show_deviation(claim, value),
                "verdict": claims.verdict(claim, value, spread, self.scale(), group),
            })  # fmt: skip
        return pd.DataFrame(table).style.hide(axis="index")

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
        settings = dict.fromkeys(key for row in self.rows for key in row)
        columns = [*FIRST, *(key for key in settings if key not in FIRST + LAST), *LAST]
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        text = table.getvalue()
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
            "scale": self.scale(),
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


def _finite(metric: str, value: Any) -> float | None:
    if value is None:
        return None
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
    return HTML(f'<img alt="{name}" src="data:image/webp;base64,{data}">')
