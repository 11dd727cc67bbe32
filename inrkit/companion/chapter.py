"""A chapter: an executed notebook made a page, with its banner and its table of claims."""

import ast
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell, new_output

from inrkit.companion import claims, verdicts
from inrkit.companion.kernels import INJECTED
from inrkit.companion.measured import Answers, Measured, judge
from inrkit.companion.notebooks import select
from inrkit.companion.records import DIGEST
from inrkit.companion.store import METRICS, RUN

MARKUP = re.compile(r"""[!"#$&'*<>\[\\\]^`{|}~]|(?<!\w)_|_(?!\w)""")  # of HTML and MyST
NBSP = "\u00a0"  # keeps a number and its unit on one line
CHANGED = (
    "The chapter's code has changed since this run: code, words and figures below are those of the "
    "run, its table of claims is computed by today's rules."
)
TABLE = "record.verdicts()"  # a cell whose output is computed when the book is built


def banner(record: Measured, changed: bool = False) -> str:
    """What the run of a notebook was, as MyST, for the top of its page.

    Args:
        record: of the run.
        changed: whether the notebook's code is another by now.
    """
    id, run = record.id, record.run
    what = {
        "paper": "Recorded run with the paper profile",
        "quick": "Quick run, sized for two cores and a minute",
        "smoke": "Smoke run, sized for tests: its numbers mean nothing",
    }[run["profile"]]
    machine = [text(run["device"]["name"]), f"PyTorch {run['versions']['torch']}", _commit(run)]
    if run["device"]["kind"] == "cpu":
        machine.insert(1, _count(run["threads"], "thread"))
    lines = [
        " · ".join(
            filter(
                None,
                [
                    f"**{what}**",
                    _scale(record),
                    _spent(run),
                    _day(run["start"]),
                ],
            )
        ),
        " · ".join(filter(None, machine)),
        _sample(record),
        _earlier(run),
        CHANGED if changed else "",
        "Remarks: " + "; ".join(map(text, run["notes"])) if run["notes"] else "",
        _differences(record) if record.measures else "",
        f"Download: {_downloads(id)}",
    ]
    return "\n\n".join((f":::{{div}} run-banner {run['profile']}", *filter(None, lines), ":::"))


def _scale(record: Measured) -> str:
    """The scale of the run; where deviations touch some models only, it says so."""
    if not record.measures:
        return ""
    some = record.deviations and record.scale() != verdicts.REDUCED
    return f"{record.scale()} scale" + (", reduced for some models" if some else "")


def _sample(record: Measured) -> str:
    """Which data, how many items, which seeds."""
    data = ", ".join(map(_used, record.run["data"][:12]))
    more = len(record.run["data"]) - 12
    names = record.table["item"].replace("", None).nunique()
    seeds = sorted(record.table["seed"].dropna().unique())
    said = [f"Data: {data}" + (f" and {more} more" if more > 0 else "") if data else ""]
    said += [f"items: {names}" if names else "", f"seeds: {_ranges(seeds)}" if seeds else ""]
    return " · ".join(filter(None, said))


def _ranges(numbers: Sequence[int]) -> str:
    """0, 1, 2, 5 as ``0 to 2, 5``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs)


def _earlier(run: Mapping[str, Any]) -> str:
    """Fits that an earlier commit made, and what an early record lacks."""
    fits = run.get("fits", ())
    made = {commit[:7] for fit in fits for commit in (fit["commit"] or "").split(", ")}
    others = sorted(made - {"", (run.get("commit") or "")[:7]})
    return f"Some of its {len(fits)} fits were made at {', '.join(others)}" if others else ""


def _differences(record: Measured) -> str:
    """Every deviation from the paper's own settings: setting, paper, here."""
    if not record.deviations:
        return "No setting differs from the paper's, where it states one."
    rows = "".join(
        f"<tr><td>{text(one.what)}{_for(one.models)}</td><td>{_short(one.paper)}</td>"
        f"<td>{_short(one.here)}</td></tr>"
        for one in record.deviations
    )
    count = _count(len(record.deviations), "setting")
    return (
        f"<details{' open' if len(record.deviations) < 7 else ''}><summary>{count} not as in the "
        "paper</summary><table class='settings'><thead><tr><th>setting</th><th>paper</th>"
        f"<th>here</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _for(models: Sequence[str]) -> str:
    return f" <small>({text(', '.join(models))})</small>" if models else ""


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "<br>".join(f"{text(k)}: {_short(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return text(", ".join(map(str, value))) or "none"
    return text("none" if value is None else value)


def text(value: Any) -> str:
    """Anyone's words on one line, in characters that mean themselves in Markdown and in HTML."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(str(value).split()))


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
    return text(item["name"]) + share


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


def notebook(content: nbformat.NotebookNode, record: Measured) -> None:
    """Make an executed notebook a page, in place.

    The banner goes below the title; the parameters cell shows what ran; the table of claims is
    computed anew from the record, as the scorecard is; cells that recorded a number get an anchor.
    """
    parameters, cells = record.run["parameters"], []
    changed = _code(content) != _code(select([record.id])[0].content)
    recorded = set(record.run.get("cells", {}).values())
    for cell in content.cells:
        tags = cell.metadata.setdefault("tags", [])
        if INJECTED in tags:
            continue
        if "parameters" in tags:
            cell.source = as_ran(cell.source, parameters)
        if cell.cell_type == "code":
            if cell.get("execution_count") in recorded:
                cells.append(new_markdown_cell(f'<a id="cell-{cell.execution_count}"></a>'))
            for output in cell.get("outputs", []):
                output.get("data", {}).pop(DIGEST, None)
            if cell.source.strip() == TABLE:
                cell.outputs = [new_output("display_data", data={"text/html": claimed(record)})]
        cells.append(cell)
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{banner(record, changed)}\n\n{rest}"
    content.cells = cells


def _code(content: nbformat.NotebookNode) -> list[str]:
    """The code of a notebook as it is stored, executed or not."""
    cells = (cell for cell in content.cells if cell.cell_type == "code")
    return [cell.source for cell in cells if INJECTED not in cell.metadata.get("tags", [])]


def as_ran(source: str, parameters: Mapping[str, Any]) -> str:
    """A cell of parameters with the values that ran in place of the defaults."""
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id in parameters:
            value, last = node.value, node.value.end_lineno - 1
            rest = lines[last][value.end_col_offset :]
            start = lines[value.lineno - 1][: value.col_offset]
            lines[value.lineno - 1 : last + 1] = [f"{start}{parameters[target.id]!r}{rest}"]
    return "\n".join(lines)


def claimed(record: Measured) -> str:
    """The claims that a record answers, as HTML: each with its pairs, items and cell."""
    known = [claims.claims()[id] for id in dict.fromkeys(record.table["claim"]) if id]
    judged = [(claim, judge(claim, record)) for claim in known]
    rows = [_claim(claim, found, record) for claim, found in judged if found.over]
    head = "".join(f"<th>{name}</th>" for name in (
        "claim", "setting", "paper", "ours", "n", "scale", "size", "order"
    ))  # fmt: skip
    body = "".join(rows)
    return f'<table class="answers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _claim(claim: claims.Claim, found: Answers, record: Measured) -> str:
    kind = claim.metric + (f", {claim.reading}" if claim.reading else "")
    values = (
        escape(claims.show(claim.value, claim.spread, claim.unit)),
        escape(claims.show(found.over.mean, found.over.std, claim.unit)),
    )
    about = f"{escape(claim.setting)}<br><small>{escape(kind)}</small>{_why(claim, found)}"
    cells = [_linked(claim.id, record), about, *values, str(found.over.n)]
    cells += [said(found.scale), said(found.size), said(found.order)]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _linked(id: str, record: Measured) -> str:
    """A claim's id; it leads to the cell that recorded it, where the record says which."""
    cell = record.run.get("cells", {}).get(id)
    shown = f'<a href="#cell-{cell}">{escape(id)}</a>' if cell else escape(id)
    return f'<span id="{escape(id)}">{shown}</span>'


def _why(claim: claims.Claim, found: Answers) -> str:
    """What the answers rest on, folded: what is accepted, and each rival's interval."""
    said = []
    if found.scale in (verdicts.FULL, verdicts.SUBSET) and not claim.apart:
        low, high = verdicts.accepted(claim, found.over.n)
        rule = "the prediction interval" if claim.spread else "5% around the printed number"
        said.append(f"agrees from {low:.4g} to {high:.4g} ({rule})")
    for rival, gap, decades, answer in found.pairs:
        unit = " decades" if decades else f" {escape(claim.unit)}".rstrip()
        ends = "" if gap.n < 2 else f" [{gap.low:.3g}, {gap.high:.3g}]"
        said.append(f"minus {escape(rival)}: {gap.mean:.3g}{ends}{unit}, n = {gap.n}: {answer}")
    said += [f"apart: {escape(claim.apart)}"] * bool(claim.apart)
    items = "".join(f"<li>{one}</li>" for one in said)
    return f"<details><summary>why</summary><ul>{items}</ul></details>" if said else ""


def said(answer: str) -> str:
    """An answer as a label, as HTML."""
    return f'<span class="said {css(answer)}">{answer}</span>' if answer else "—"


def css(answer: str) -> str:
    """Class of an answer."""
    return "v-" + answer.replace(" ", "-")
