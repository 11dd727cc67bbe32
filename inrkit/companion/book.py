"""The book: pages and executed notebooks staged into one folder, built, and made self-contained."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import yaml

from inrkit import paths
from inrkit.companion import chapter, measured, pages, scorecard, statements, store
from inrkit.companion.errors import CompanionError
from inrkit.companion.notebooks import read


def build(
    out: Path | None = None, *, strict: bool = True, profiles: Sequence[str] = store.READ
) -> Path:
    """Build the book from the records; the path of its first page.

    Args:
        out: folder in which ``_build/`` is made, the project's root by default.
        strict: a warning or a notebook without a record is an error. Otherwise warnings are
            printed, and notebooks without a record are left out.
        profiles: whose records are shown, the first that has one.

    Raises:
        CompanionError: a record is missing or the build gave warnings.
    """
    if find_spec("jupyter_book") is None:
        raise CompanionError(f"Jupyter Book is not installed: {paths.install('book')} brings it")
    target = (paths.ROOT if out is None else Path(out).resolve()) / "_build"
    staged = stage(target / "stage", strict=strict, profiles=profiles)
    html = target / "html"
    shutil.rmtree(html, ignore_errors=True)
    _jupyter_book(staged, target.parent, strict)
    return html / "index.html"


def stage(folder: Path, *, strict: bool = True, profiles: Sequence[str] = store.READ) -> Path:
    """Lay out everything that the book is built from in ``folder``, which is made anew."""
    toc = pages.yaml_of(paths.BOOK / "_toc.yml", dict)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(paths.BOOK, folder)
    (folder / "_generated").mkdir()
    records = {id: _record(id, profiles) for id in notebooks(toc)}
    missing = [id for id, record in records.items() if record is None]
    if missing and strict:
        raise CompanionError(
            f"no record of {', '.join(missing)} in the profiles {', '.join(profiles)}; "
            f"make one with: inrkit run {' '.join(missing)}"
        )
    records = {id: record for id, record in records.items() if record is not None}
    for id, record in records.items():
        _stage_notebook(folder, id, record)
    _drop(toc, missing)
    _section(toc, "api/index")["sections"] = [{"file": name} for name in pages.api(folder)]
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False), encoding="utf-8")
    for name, text in _generated(toc, records, folder).items():
        (folder / "_generated" / f"{name}.md").write_text(text, encoding="utf-8")
    return folder


def _generated(toc: dict[str, Any], records: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """Pieces that pages include, by name: cards, the statements of each paper, counts."""
    judged = measured.records()
    findings = statements.findings(judged)
    counts = scorecard.summary(scorecard.stated(judged), "answer", statements.ANSWERS)
    papers = dict.fromkeys(found.statement.paper for found in findings)
    return {
        "cards": pages.cards(_files(toc), records, folder),
        "bars": pages.bars(counts),
        "numbers": pages.three_answers(scorecard.scorecard(judged)),
        **{
            f"statements-{paper}": pages.stated(
                [found for found in findings if found.statement.paper == paper], "../", records
            )
            for paper in papers
        },
    }


def notebooks(toc: dict[str, Any]) -> list[str]:
    """Ids of the notebooks that a table of contents lists."""
    return [file for file in _files(toc) if not (paths.BOOK / f"{file}.md").exists()]


def _entries(node: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Every list of entries below a node of the table of contents."""
    for key in ("parts", "chapters", "sections"):
        if key in node:
            yield node[key]
            for child in node[key]:
                yield from _entries(child)


def _files(toc: dict[str, Any]) -> list[str]:
    return [toc["root"]] + [
        entry["file"] for entries in _entries(toc) for entry in entries if "file" in entry
    ]


def _section(toc: dict[str, Any], file: str) -> dict[str, Any]:
    return next(e for entries in _entries(toc) for e in entries if e.get("file") == file)


def _drop(toc: dict[str, Any], files: list[str]) -> None:
    for entries in list(_entries(toc)):
        entries[:] = [entry for entry in entries if entry.get("file") not in files]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]


def _record(id: str, profiles: Sequence[str]) -> Path | None:
    """Folder of the first profile's complete record of a notebook."""
    folders = (paths.RESULTS / profile / id for profile in profiles)
    return next((folder for folder in folders if (folder / store.NOTEBOOK).exists()), None)


def _stage_notebook(folder: Path, id: str, record: Path) -> None:
    content = read(record / store.NOTEBOOK)
    chapter.notebook(content, measured.read(id, record))
    page = folder / f"{id}.ipynb"
    page.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, page)
    downloads = folder / "_records" / id
    downloads.mkdir(parents=True)
    shutil.copyfile(paths.NOTEBOOKS / f"{id}.ipynb", downloads / page.name)
    for name in (store.METRICS, store.RUN):
        shutil.copyfile(record / name, downloads / name)


def _jupyter_book(staged: Path, out: Path, strict: bool) -> None:
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(staged), "--config", str(paths.ROOT / "_config.yml"), "--path-output", str(out)]
    command += ["-W", "-n", "--keep-going"] if strict else []
    done = subprocess.run(
        command,
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = re.sub(r"\x1b\[[\d;]*m", "", done.stderr).splitlines()  # without colours
    said = [line for line in lines if "WARNING" in line or "ERROR" in line]
    if done.returncode != 0:
        detail = "\n".join(said) or done.stdout[-2000:] + done.stderr[-2000:]
        raise CompanionError(f"the book was not built:\n{detail}")
    for line in said:
        print(line, file=sys.stderr)
