"""The parts of the book that are written from records: cards, verdicts, banners, API pages."""

import ast
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import yaml

from inrkit import paths
from inrkit.companion import claims
from inrkit.companion.records import DIGEST
from inrkit.companion.store import METRICS, RUN

NBSP = "\u00a0"  # keeps a number and its unit on one line
PICTURES = (".svg", ".webp")  # of a record's figures; others are played
LAYERS = (
    "calculus", "solvers", "fields", "signals", "training", "measure", "render", "companion"
)  # fmt: skip


def banner(id: str, run: Mapping[str, Any]) -> str:
    """What the run of a notebook was, as MyST, for the top of its page."""
    what = {
        "paper": "Recorded run with the paper profile",
        "quick": "Quick run, sized for two cores and a minute",
        "smoke": "Smoke run, sized for tests: its numbers mean nothing",
    }[run["profile"]]
    machine = [run["device"]["name"], f"PyTorch {run['versions']['torch']}", _commit(run)]
    if run["device"]["kind"] == "cpu":
        machine.insert(1, _count(run["threads"], "thread"))
    data = ", ".join(map(_used, run["data"]))
    lines = [
        f"**{what}** · {run['scale']} scale · {_spent(run)} · {_day(run['start'])}",
        " · ".join(filter(None, machine)),
        f"Data: {data}" if data else "",
        "Not as in the paper: " + "; ".join(run["notes"]) if run["notes"] else "",
        f"Download: {_downloads(id)}",
    ]
    return "\n\n".join((f":::{{div}} run-banner {run['profile']}", *filter(None, lines), ":::"))


def _spent(run: Mapping[str, Any]) -> str:
    """How long it took; fits that an earlier run had made count, too."""
    training = run.get("training_seconds") or 0
    if training > run["seconds"]:
        return f"{_duration(training)} of training, resumed"
    return _duration(run["seconds"])


def _downloads(id: str) -> str:
    """Links to the notebook as stored, and to the record that this page shows."""
    files = {"notebook": f"{Path(id).name}.ipynb", "numbers": METRICS, "run record": RUN}
    return ", ".join(
        f"{{download}}`{label} </_records/{id}/{file}>`" for label, file in files.items()
    )


def _used(item: Mapping[str, Any]) -> str:
    share = "" if item["n"] == item["of"] else f" ({item['n']} of {item['of']})"
    return item["name"] + share


def _commit(run: Mapping[str, Any]) -> str:
    if not run.get("commit"):
        return ""
    return f"commit {run['commit'][:7]}" + ("" if run["clean"] else " with changes")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _day(moment: str) -> str:
    day = datetime.fromisoformat(moment)
    return f"{day.day} {day:%B %Y}".replace(" ", NBSP)


def _duration(seconds: float) -> str:
    """Seconds as people say them: 8.2 s, 12 min 30 s, 3 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if seconds < 60:
        said = f"{seconds:.1f} s"
    else:
        said = f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
    return said.replace(" ", NBSP)


def notebook(id: str, content: nbformat.NotebookNode, run: Mapping[str, Any]) -> None:
    """Make an executed notebook a page, in place.

    The banner goes below the title, the injected parameters are folded, and the digest of the
    numbers, which only ``inrkit verify`` reads, is dropped.
    """
    for cell in content.cells:
        tags = cell.metadata.setdefault("tags", [])
        if "injected-parameters" in tags:
            tags.append("hide-input")
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(DIGEST, None)
    title, _, rest = content.cells[0].source.partition("\n")
    content.cells[0].source = f"{title}\n\n{banner(id, run)}\n\n{rest}"


def cards(listed: Iterable[str], records: Mapping[str, Path], stage: Path) -> str:
    """One card a paper, with a figure where there is a record, as MyST."""
    papers, listed = _papers(), set(listed)
    ready = [paper for paper in papers if f"{paper['key']}/index" in listed]
    waiting = [paper for paper in papers if paper not in ready]
    rows = [(2, [_card(paper, records, stage) for paper in ready])]
    rows += [(3, [_card(paper, {}, None) for paper in waiting])]
    return "\n\n".join(
        f"`````{{grid}} 1 1 {columns} {columns}\n:gutter: 3\n\n" + "\n\n".join(items) + "\n`````"
        for columns, items in rows
        if items
    )


def _papers() -> list[dict[str, Any]]:
    return yaml.safe_load((paths.BOOK / "papers.yml").read_text(encoding="utf-8"))


def _card(paper: Mapping[str, Any], records: Mapping[str, Path], stage: Path | None) -> str:
    options = []
    if stage is not None:
        options = [f":link: {paper['key']}/index", ":link-type: doc"]
        figure = next(filter(None, (_figure(name, records) for name in paper["figures"])), None)
        if figure is not None:
            image = stage / "_generated" / f"{paper['key']}{figure.suffix}"
            shutil.copyfile(figure, image)
            options += [f":img-top: _generated/{image.name}", f":img-alt: {paper['title']}"]
    return "\n".join(
        (
            f"````{{grid-item-card}} {paper['title']}",
            *options,
            "",
            f"{{.byline}}\n{paper['byline']}",
            "",
            paper["text"],
            "````",
        )
    )


def _figure(name: str, records: Mapping[str, Path]) -> Path | None:
    """The figure ``paper/topic/stem``, or the first of ``paper/topic``, if it is recorded."""
    paper, topic, *stem = name.split("/")
    record = records.get(f"{paper}/{topic}")
    found = (record / "figures").glob(f"{stem[0] if stem else '*'}.*") if record else ()
    return min((path for path in found if path.suffix in PICTURES), default=None)


def verdicts(summary: pd.DataFrame) -> str:
    """Bars of the verdicts on each paper's claims, as HTML, from the scorecard's summary."""
    titles = {paper["key"]: paper["title"] for paper in _papers()}
    rows = [_bar(title, summary.loc[key]) for key, title in titles.items() if key in summary.index]
    key = "".join(f'<span><b class="{_css(v)}"></b>{v}</span>' for v in claims.VERDICTS)
    body = "\n".join(rows)
    return f'<div class="verdicts">\n{body}\n</div>\n<div class="verdict-key">{key}</div>\n'


def _bar(title: str, counts: pd.Series) -> str:
    total, decided = counts["all"], counts["all"] - counts[claims.NOT_RUN]
    pieces = "".join(
        f'<i class="{_css(name)}" style="width:{100 * counts[name] / total:.2f}%"></i>'
        for name in claims.VERDICTS
    )
    label = ", ".join(f"{counts[name]} {name}" for name in claims.VERDICTS)
    return (
        f'<div class="paper"><strong>{escape(title)}</strong>'
        f'<div class="bar" role="img" aria-label="{label}" title="{label}">{pieces}</div>'
        f'<span class="counts">{decided} of {total} decided</span></div>'
    )


def _css(verdict: str) -> str:
    return "v-" + verdict.replace(" ", "-")


def api(stage: Path) -> list[str]:
    """Write a page for each folder of the package; names of the pages, in the order of imports."""
    package = paths.ROOT / "inrkit"
    found = {path.parent.name: path for path in package.glob("*/__init__.py")}
    layers = [name for name in LAYERS if name in found] + sorted(set(found) - set(LAYERS))
    table = ["| Folder | |", "| --- | --- |"]
    for layer in layers:
        modules = sorted(p.stem for p in found[layer].parent.glob("*.py") if p.stem[0] != "_")
        parts = [f"# {layer.capitalize()}", _automodule(f"inrkit.{layer}", ":no-members:")]
        for module in modules:
            parts += [f"## `{module}`", _automodule(f"inrkit.{layer}.{module}")]
        (stage / "api" / f"{layer}.md").write_text("\n\n".join(parts), encoding="utf-8")
        summary = _summary(found[layer])
        table.append(f"| [`inrkit.{layer}`](/api/{layer}.md) | {summary} |")
    (stage / "_generated" / "layers.md").write_text("\n".join(table), encoding="utf-8")
    return [f"api/{layer}" for layer in layers]


def _automodule(name: str, *options: str) -> str:
    lines = (f".. automodule:: {name}", *(f"   {option}" for option in options))
    return "\n".join(("```{eval-rst}", *lines, "```"))


def _summary(module: Path) -> str:
    """First line of a module's docstring, with RST literals as Markdown's."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("``", "`")
