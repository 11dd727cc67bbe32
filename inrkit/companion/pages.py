"""The parts of the book that are written from records: cards, statements, counts, API pages."""

import ast
import shutil
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from inrkit import paths
from inrkit.companion import parameters, verdicts
from inrkit.companion.chapter import css, said
from inrkit.companion.errors import InputError
from inrkit.companion.scorecard import summary
from inrkit.companion.statements import Finding

ANSWERS = {"scale": verdicts.SCALES, "size": verdicts.SIZES, "order": verdicts.ORDERS}
PICTURES = (".svg", ".webp")  # of a record's figures; others are played
LAYERS = (
    "calculus", "solvers", "fields", "signals", "training", "measure", "render", "companion"
)  # fmt: skip


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
    return yaml_of(paths.BOOK / "papers.yml", list)


def yaml_of(file: Path, kind: type) -> Any:
    """What a YAML file of the book holds: a list, or names with values."""
    name = paths.shown(file)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{name} is missing: {paths.RESTORE}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not valid YAML: {parameters.said(error)}") from error
    if not isinstance(content, kind):
        raise InputError(f"{name} holds {'a list' if kind is list else 'names with values'}")
    return content


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


def bars(counts: pd.DataFrame) -> str:
    """One bar a paper, as HTML, from a summary of answers (rows: papers, columns: answers)."""
    titles = {paper["key"]: paper["title"] for paper in _papers()}
    rows = [_bar(title, counts.loc[key]) for key, title in titles.items() if key in counts.index]
    key = "".join(f'<span><b class="{css(v)}"></b>{v}</span>' for v in counts.columns)
    body = "\n".join(rows)
    return f'<div class="verdicts">\n{body}\n</div>\n<div class="verdict-key">{key}</div>\n'


def _bar(title: str, counts: pd.Series) -> str:
    total = counts.sum()
    pieces = "".join(
        f'<i class="{css(name)}" style="width:{100 * count / max(total, 1):.2f}%"></i>'
        for name, count in counts.items()
    )
    label = ", ".join(f"{count} {name}" for name, count in counts.items())
    return (
        f'<div class="paper"><strong>{escape(title)}</strong>'
        f'<div class="bar" role="img" aria-label="{label}" title="{label}">{pieces}</div>'
        f'<span class="counts">{counts.iloc[0]} of {total} {counts.index[0]}</span></div>'
    )


def stated(findings: Iterable[Finding], root: str, known: Iterable[str]) -> str:
    """Statements with their answers, as HTML; what each rests on is folded below it.

    Args:
        findings: of the statements to show.
        root: of the book, as seen from the page: ``""`` or ``"../"``.
        known: ids of the notebooks that are pages.
    """
    known = set(known)
    return "\n".join(_statement(found, root, known) for found in findings) + "\n"


def _statement(found: Finding, root: str, known: set[str]) -> str:
    one = found.statement
    pages = ", ".join(
        f'<a href="{root}{id}.html">{id}</a>' if id in known else escape(id) for id in one.notebooks
    )
    parts = [f"<li><b>Criterion.</b> {escape(one.criterion)}</li>"]
    parts += [f"<li><b>Measured.</b> {escape(seen)}</li>" for seen in found.evidence]
    parts += [f"<li><b>Why not more.</b> {escape(found.reason)}</li>"] * bool(found.reason)
    parts += [f"<li><b>Rule.</b> <code>{escape(one.rule)}</code></li>"] * bool(one.rule)
    parts.append(f"<li><b>Chapter.</b> {pages}</li>")
    return (
        f'<div class="statement {css(found.answer)}" id="{escape(one.id)}"><p>{said(found.answer)} '
        f"{escape(one.statement)} <small>{escape(one.section)}</small></p>"
        f"<details><summary>how it is decided</summary><ul>{''.join(parts)}</ul></details></div>"
    )


def three_answers(table: pd.DataFrame) -> str:
    """Numbers that count, by paper and answer, as Markdown.

    Args:
        table: the scorecard.
    """
    counted = table[table["counts"]]
    titles = {paper["key"]: paper["title"] for paper in _papers()} | {"all": "all"}
    parts = []
    for column, answers in ANSWERS.items():
        counts = summary(counted, column, answers)
        lines = [f"| {column} | " + " | ".join(answers) + " |", "| --- |" + " --- |" * len(answers)]
        lines += [
            f"| {titles[key]} | " + " | ".join(str(n) for n in row) + " |"
            for key, row in zip(counts.index, counts.to_numpy(), strict=True)
        ]
        parts.append("\n".join(lines))
    apart = len(table) - len(counted)
    total = f"{len(counted)} numbers; {apart} more are repeated, quoted or set apart."
    return "\n\n".join([total, *parts])


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
