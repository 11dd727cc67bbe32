"""The command line: each command is a function call away from a notebook."""

import errno
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from inrkit import paths
from inrkit.companion.errors import CompanionError, InputError, suggestion, told

INTERRUPTED = 130  # exit status by convention: 128 + SIGINT


class Group(TyperGroup):
    """Prints a foreseeable failure as one sentence, without a traceback.

    It exits with 2 for bad input, 1 for a failed run, 130 where it was interrupted. That the reader
    of a pipe has gone is not worth a sentence.
    """

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _sentences():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _sentences():
            found = super().invoke(ctx)
            sys.stdout.flush()
            return found


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        typer.echo(f"inrkit: {str(error) or 'stopped'}", err=True)
        raise typer.Exit(INTERRUPTED) from error
    except OSError as error:
        if error.filename is None:
            _let_go_of_output()
        gone = error.errno == errno.EPIPE
        raise (typer.Exit(1) if gone else _exit(error)) from error
    except Exception as error:
        raise _exit(error) from error


def _exit(error: Exception) -> Exception:
    """Say what went wrong; what nobody foresaw is raised as it is."""
    known = told(error)
    if known is None:
        return error
    typer.echo(f"inrkit: {known[0]}", err=True)
    return typer.Exit(known[1])


def _let_go_of_output() -> None:
    """What cannot be written (a closed pipe, a full disk) is not tried again at exit."""
    if sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class InProject(TyperCommand):
    """A command that works on the project, and says so elsewhere before anything else."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except typer.BadParameter:  # of arguments that are missing or wrong
            paths.project()
            raise

    def invoke(self, ctx: Any) -> Any:
        paths.project()
        return super().invoke(ctx)


app = typer.Typer(
    cls=Group,
    help="A reproducible companion to five papers on implicit neural representations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Data sets: source, licence, checksum.", no_args_is_help=True)
app.add_typer(data, name="data")
in_project = partial(app.command, cls=InProject)

Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


@in_project("list")
def list_(as_json: Json = False) -> None:
    """The notebooks, and which of them have a record."""
    from inrkit.companion import notebooks, store

    store.recover()
    seconds = {
        profile: {
            id: store.read_run(path)["seconds"] for id, path in store.records(profile).items()
        }
        for profile in ("quick", "paper")
    }
    rows = [
        {
            "id": n.id,
            "title": n.title,
            **{profile: seconds[profile].get(n.id) for profile in seconds},
        }
        for n in notebooks.discover()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    typer.echo(f"{'notebook':32}{'quick':>10}{'paper':>10}  title")
    for row in rows:
        quick, paper = (_seconds(row[profile]) for profile in ("quick", "paper"))
        typer.echo(f"{row['id']:32}{quick:>10}{paper:>10}  {row['title']}")


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.1f} s"


@in_project()
def run(
    ids: Annotated[
        list[str] | None, typer.Argument(help="paper/topic, or paper; default: all.")
    ] = None,
    profile: Annotated[str, typer.Option(help="quick, paper or smoke.")] = "quick",
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Override a parameter.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...")] = None,
    jobs: Annotated[int | None, typer.Option(help="Notebooks at once, one thread each.")] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a failure.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run even if unchanged, and train anew.")
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="What the records wait for, in data/queue.csv.")
    ] = False,
    budget: Annotated[str, typer.Option(help="Time for the queue: 90m, 1h30m, ...")] = "",
) -> None:
    """Run notebooks and record what they measure; an interrupted run resumes."""
    from inrkit.companion import runner

    if queue:
        if ids or parameter or force or profile not in ("quick", "paper"):
            raise InputError("--queue takes --budget, --device and --jobs alone")
        _run_queue(budget, device, jobs)
        return
    if budget:
        raise InputError("a budget is for --queue")
    try:
        outcomes = runner.run(
            ids or (),
            profile=profile,
            overrides=_overrides(parameter or ()),
            device=device,
            jobs=jobs,
            keep_going=keep_going,
            force=force,
            report=_report,
        )
    except KeyboardInterrupt:
        again = "the same command without --force" if force else "the same command"
        raise KeyboardInterrupt(f"stopped; {again} resumes") from None
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _run_queue(budget: str, device: str | None, jobs: int | None) -> None:
    from inrkit.companion import queue

    limit = {"budget": queue.seconds(budget)} if budget else {}
    try:
        outcomes = queue.run(device=device, jobs=jobs, report=_report, **limit)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command resumes") from None
    left = queue.left()
    hours = sum(entry.hours for entry in left)
    typer.echo(f"{len(left)} rows of the queue are left, about {hours:.1f} core hours")
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@in_project("queue")
def queue_(as_json: Json = False) -> None:
    """What the records wait for: done or not, core hours, the statements that it settles."""
    from inrkit.companion import queue

    left = queue.left()
    rows = [
        {
            "notebook": entry.id,
            "parameters": dict(entry.parameters),
            "done": entry not in left,
            "hours": entry.hours,
            "settles": entry.settles,
            "why": entry.why,
        }
        for entry in queue.entries()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        mark = "done" if row["done"] else f"{row['hours']:.1f} h"
        typer.echo(f"{mark:>7}  {row['notebook']:30} {' '.join(row['settles']):32} {row['why']}")
    typer.echo(f"{sum(entry.hours for entry in left):7.1f} core hours are left")


@in_project()
def pack(
    file: Annotated[Path, typer.Argument(help="The archive to write, NAME.tar.xz.")],
    checkpoints: Annotated[bool, typer.Option(help="Those of unfinished runs, too.")] = False,
) -> None:
    """Pack the records of the paper profile into one archive."""
    from inrkit.companion import archives

    typer.echo(f"{file}: {archives.pack(file, checkpoints=checkpoints)}")


@in_project()
def unpack(
    file: Annotated[Path, typer.Argument(help="What inrkit pack has written.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also in place of records with more items, or later ones."),
    ] = False,
) -> None:
    """Take over the records of an archive, each if it is whole."""
    from inrkit.companion import archives

    for line in archives.unpack(file, force=force):
        typer.echo(line)


def _report(outcome: Any) -> None:
    from tqdm import tqdm

    if outcome.error:
        tqdm.write(f"inrkit: {outcome.error}", file=sys.stderr)
    elif outcome.status == "kept":
        tqdm.write(f"{outcome.id}: unchanged, kept ({_shown(outcome.folder)})")
    else:
        tqdm.write(f"{outcome.id}: {outcome.seconds:.1f} s ({_shown(outcome.folder)})")


def _shown(path: Path) -> str:
    return paths.shown(path)


def _overrides(given: Iterable[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"-p takes name=value, got {text!r}")
        if name in found:
            raise InputError(f"-p gives the parameter {name} twice")
        found[name] = value
    return found


@in_project()
def score(as_json: Json = False) -> None:
    """The papers' statements, then their numbers, beside what was measured."""
    from inrkit.companion import measured, scorecard, statements, verdicts

    records = measured.records()
    stated, table = scorecard.stated(records), scorecard.scorecard(records)
    if as_json:
        content = {"statements": stated, "numbers": table, "pairs": scorecard.pairs(records)}
        typer.echo(json.dumps(
            {key: json.loads(part.to_json(orient="records")) for key, part in content.items()},
            indent=1, ensure_ascii=False,
        ))  # fmt: skip
        return
    counted = table[table["counts"]]
    typer.echo(f"{len(stated)} statements")
    typer.echo(scorecard.summary(stated, "answer", statements.ANSWERS).to_string())
    apart = len(table) - len(counted)
    typer.echo(f"\n{len(counted)} numbers; repeated, quoted and set apart are {apart} more")
    for column in ("scale", "size", "order"):
        answers = getattr(verdicts, f"{column.upper()}S")
        typer.echo(f"\n{column}\n{scorecard.summary(counted, column, answers).to_string()}")


@in_project()
def verify() -> None:
    """Check that every record is complete and agrees with its executed notebook."""
    from inrkit.companion.verify import verify as check

    found = check()
    if not found:
        raise CompanionError(
            f"there are no records in {_shown(paths.RESULTS)}: inrkit run makes them"
        )
    for name, problems in found.items():
        for problem in problems:
            typer.echo(f"results/{name}: {problem}", err=True)
    bad = sum(map(bool, found.values()))
    typer.echo(f"{len(found)} records, {bad} with problems")
    if bad:
        raise typer.Exit(1)


@in_project()
def book() -> None:
    """Build the book from the records."""
    from inrkit.companion import book as builder

    typer.echo(f"book: {builder.build()}")


@in_project()
def lab() -> None:
    """Open the notebooks in JupyterLab."""
    if not paths.NOTEBOOKS.is_dir():
        raise InputError(f"there are no notebooks in {paths.NOTEBOOKS}: {paths.RESTORE}")
    if importlib.util.find_spec("jupyterlab") is None:
        raise CompanionError(f"JupyterLab is not installed: {paths.install('book')} brings it")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={paths.NOTEBOOKS}"]
    os.execv(sys.executable, command)


@data.command("list")
def data_list(as_json: Json = False) -> None:
    """The data sets: number of files, size, licence, source."""
    from inrkit.signals import registry

    groups = {name: registry.items(name) for name in registry.sets()}
    rows = [
        {
            "set": name,
            "files": len(items),
            "bytes": sum(item.bytes for item in items),
            "licence": ", ".join(dict.fromkeys(item.licence for item in items)),
            "source": ", ".join(dict.fromkeys(item.source for item in items)),
        }
        for name, items in groups.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        size = f"{row['bytes'] / 2**20:.1f} MiB"
        typer.echo(f"{row['set']:20}{row['files']:>6} files{size:>12}  {row['licence'][:60]}")


@data.command()
def fetch(name: Annotated[str, typer.Argument(help="A data set (inrkit data list).")]) -> None:
    """Download a data set and check it."""
    from inrkit.signals import registry

    if name not in registry.sets():
        known = ", ".join(registry.sets())
        raise InputError(f"there is no data set {name!r}{suggestion(name, registry.sets())}; "
                         f"known are {known}")  # fmt: skip
    try:
        files = registry.fetch(name)
    except registry.DataError as error:  # a sentence already
        raise CompanionError(str(error)) from error
    typer.echo(f"{len(files)} files of {name} are here and checked")


@data.command()
def check() -> None:
    """Check the files that are here against their checksums."""
    from inrkit.signals import registry

    reports = registry.check()
    for report in reports:
        typer.echo(f"{report.set:20}{report.present:>6} here{report.missing:>6} not here")
    corrupt = [path for report in reports for path in report.corrupt]
    if corrupt:
        raise CompanionError(f"not the registered files (wrong SHA-256): {', '.join(corrupt)}")
