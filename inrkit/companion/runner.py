"""Notebooks run: what changed, as many at once as there are cores, resumed where they stopped."""

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inrkit import paths
from inrkit.companion import (
    fingerprint,
    kernels,
    machine,
    notebooks,
    provenance,
    records,
    store,
    verify,
)  # fmt: skip
from inrkit.companion.errors import CompanionError, InputError, told
from inrkit.companion.notebooks import Notebook
from inrkit.companion.store import Place

POLL = 0.3  # seconds between two looks at the running notebooks


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook: ``ran``, ``kept`` (unchanged) or ``failed`` with ``error``."""

    id: str
    status: str
    folder: Path
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Job:
    """One notebook in one profile, with what is changed of its parameters."""

    notebook: Notebook
    profile: str
    overrides: Sequence[str]  # names of parameters
    changes: Mapping[str, Any]
    one_thread: bool

    @property
    def place(self) -> Place:
        return Place(self.notebook.id, self.profile)

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.notebook.defaults, **self.changes}


def run(
    ids: Sequence[str] = (),
    *,
    profile: str = "quick",
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
    jobs: int | None = None,
    keep_going: bool = False,
    force: bool = False,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run notebooks, each unless nothing that it depends on has changed since its record.

    Notebooks that read records run after all others.

    Args:
        ids: ``<paper>/<topic>``, or ``<paper>`` for all of its notebooks; none for every notebook.
        profile: "quick" (the notebook's defaults), "paper" or "smoke".
        overrides: parameters, by name, over the profile's; each notebook must declare them.
        device: short for the override ``device``.
        jobs: notebooks at once, with one thread each; 1 gives its kernel all cores. By default
            one a core for several notebooks on a CPU, else 1.
        keep_going: run the others after a failure.
        force: run even if unchanged, and from the start, without the checkpoints of earlier runs.
            Where this is stopped, a run without ``force`` does what is left of it.
        report: called with each outcome as it comes.

    Raises:
        InputError: before anything runs, for an unknown id, profile, parameter or device.
    """
    overrides = {**(overrides or {}), **({} if device is None else {"device": device})}
    chosen = notebooks.select(ids)
    changes = {notebook.id: notebook.changes(profile, overrides) for notebook in chosen}
    devices = {{**n.defaults, **changes[n.id]}.get("device") for n in chosen}
    for one in devices - {None}:
        check_device(one)
    jobs = at_once(jobs, len(chosen), devices)
    batch = [Job(n, profile, tuple(overrides), changes[n.id], jobs > 1) for n in chosen]
    for job in batch if force else ():
        _start_over(job)
    outcomes: list[Outcome] = []
    for reads_records in (False, True):
        part = [job for job in batch if job.notebook.reads_records is reads_records]
        if part and (keep_going or not any(outcome.error for outcome in outcomes)):
            outcomes += together(part, jobs, keep_going, report)
    return outcomes


def check_device(name: str) -> None:
    """Refuse what is no device, or is not here."""
    kind, colon, index = name.partition(":")
    if kind not in ("cpu", "mps", "cuda", "auto") or (
        colon and not (kind == "cuda" and index.isdecimal())
    ):
        raise InputError(
            f"there is no device {name!r}; known are cpu, cuda, cuda:1, ..., mps, auto"
        )
    if kind in ("cpu", "auto"):
        return
    import torch  # slow, and needed for no other device

    here = torch.backends.mps.is_available() if kind == "mps" else torch.cuda.device_count()
    if int(index or 0) >= here:
        raise InputError(f"the device {name!r} is not here; cpu always is")


def at_once(jobs: int | None, n: int, devices: set[Any]) -> int:
    """As many as asked for; else one a core, on a GPU one, since they would share it in vain."""
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is a number of notebooks at once, 1 or more, got {jobs}")
    alone = n == 1 or any(machine.is_gpu(device) for device in devices)
    return jobs or (1 if alone else max(1, min(machine.cores(), n)))


def together(
    batch: list[Job],
    jobs: int,
    keep_going: bool,
    report: Callable[[Outcome], None],
    until: float = math.inf,
) -> list[Outcome]:
    """Run jobs, ``jobs`` at once; stop at the first failure unless told to keep going.

    What is not done when the monotonic clock shows ``until`` is stopped, and can resume.
    """
    progress, outcomes = Progress(batch), []
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_outcome, job, progress) for job in batch}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=POLL, return_when=FIRST_COMPLETED)
                progress.refresh()
                for future in done:
                    outcomes.append(future.result())
                    report(outcomes[-1])
                failed = any(outcome.error for outcome in outcomes)
                if (failed and not keep_going) or time.monotonic() > until:
                    break
        finally:
            _stop(waiting)
            progress.close()
    return outcomes


def _stop(waiting: set[Future]) -> None:
    """Call off the jobs that wait, and kill the kernels of those that run: they can resume."""
    running = {future for future in waiting if not future.cancel()}
    while running:
        kernels.stop()
        running = wait(running, timeout=POLL).not_done


def _start_over(job: Job) -> None:
    """Begin a run from nothing: whichever run comes next goes on with it."""
    with suppress(CompanionError), job.place.locked():  # one that is at work keeps what it has
        job.place.recover()
        working = job.place.working(fingerprint.fingerprint(job.notebook, job.parameters))
        shutil.rmtree(working, ignore_errors=True)
        shutil.rmtree(job.place.checkpoints, ignore_errors=True)
        working.mkdir()


def _outcome(job: Job, progress: "Progress") -> Outcome:
    start = time.monotonic()
    try:
        status, error = _run(job, progress), ""
    except Exception as problem:
        if (known := told(problem)) is None:
            raise
        status, error = "failed", known[0]
    progress.finish(job)
    return Outcome(job.notebook.id, status, job.place.record, time.monotonic() - start, error)


def _run(job: Job, progress: "Progress") -> str:
    """Run one notebook if needed; its record is in place afterwards."""
    place, id = job.place, job.notebook.id
    with place.locked():
        place.recover()
        mark = fingerprint.fingerprint(job.notebook, job.parameters)
        if not place.is_begun(mark) and unchanged(place.record, id, mark):
            kernels.refresh(job.notebook, place.record)
            return "kept"
        working = place.working(mark)
        if not store.is_complete(working):
            _prepare(job, working, mark)
            progress.start(job, working)
            kernels.execute(
                job.notebook,
                working / store.NOTEBOOK,
                changes=job.changes,
                environment={
                    **kernels.environment(working, paths.ROOT, one_thread=job.one_thread),
                    **provenance.environment(),
                },
                on_cell=lambda: progress.cell(job, working),
            )
            wrong = verify.problems(working, id)
            if wrong:
                raise CompanionError(f"{id}: {wrong[0]} (the last cell calls record.save())")
        place.publish(working)
        return "ran"


def unchanged(record: Path, id: str, mark: str) -> bool:
    """Whether a record is whole, and nothing that it depends on has changed."""
    if not record.exists() or verify.problems(record, id):
        return False
    run = store.read_run(record)
    same = run["fingerprint"] == mark and all(map(_same_data, run["data"]))
    return same and all(map(provenance.is_same, run.get("files", ())))


def _same_data(entry: Mapping[str, Any]) -> bool:
    """Whether the registry still has the data that was used, where it knows its name."""
    now = records.registered(entry["name"], entry["n"])
    return now is None or now == entry["sha256"]


def _prepare(job: Job, working: Path, mark: str) -> None:
    """Tell the record what it is part of; a resumed run adds the seconds of earlier attempts."""
    context = working / store.CONTEXT
    spent, attempts = 0.0, 0
    if context.exists():
        before = json.loads(context.read_text(encoding="utf-8"))
        last = max(path.stat().st_mtime for path in working.rglob("*"))
        spent = before["spent"] + max(0.0, last - before["started"])
        attempts = before["attempts"]
    working.mkdir(parents=True, exist_ok=True)
    for name in (store.RUN, store.METRICS, store.NOTEBOOK, store.PROGRESS):
        (working / name).unlink(missing_ok=True)
    partial = context.with_suffix(".part")
    store.write_json(partial, {
        "id": job.notebook.id,
        "profile": job.profile,
        "overrides": {name: job.parameters[name] for name in job.overrides},
        "parameters": job.parameters,
        "fingerprint": mark,
        "checkpoints": str(fingerprint.checkpoints(job.place)),
        "started": time.time(),
        "spent": spent,
        "attempts": attempts + 1,
    })  # fmt: skip
    partial.replace(context)


class Progress:
    """One bar over the code cells of all notebooks, with the time left and what runs now.

    A fit inside a cell counts by its share of steps, which it leaves in ``progress.json``.
    """

    def __init__(self, batch: Sequence[Job]):
        self.cells = {job.notebook.id: len(fingerprint.code_cells(job.notebook)) for job in batch}
        self.done = dict.fromkeys(self.cells, 0)
        self.running: dict[str, Path] = {}
        self.bar = tqdm(
            total=sum(self.cells.values()),
            disable=None,  # no bar where nobody looks
            smoothing=0,
            leave=False,
            bar_format="{percentage:3.0f}% |{bar:20}| {elapsed}, left {remaining}{postfix}",
        )

    def start(self, job: Job, working: Path) -> None:
        self.running[job.notebook.id] = working / store.PROGRESS

    def cell(self, job: Job, working: Path) -> None:
        self.done[job.notebook.id] += 1
        (working / store.PROGRESS).unlink(missing_ok=True)

    def finish(self, job: Job) -> None:
        """A notebook that was kept counts no cells at all, so that the time left stays honest."""
        ran = self.running.pop(job.notebook.id, None)
        self.cells[job.notebook.id] *= ran is not None
        self.done[job.notebook.id] = self.cells[job.notebook.id]

    def refresh(self) -> None:
        shares, texts = 0.0, []
        for id, path in list(self.running.items()):
            fit = _read(path)
            shares += fit["step"] / fit["steps"] if fit.get("steps") else 0.0
            steps = f" {fit['name']} {fit['step']}/{fit['steps']}" if fit else ""
            texts.append(f"{id}{steps}")
        self.bar.total = sum(self.cells.values())
        self.bar.n = min(sum(self.done.values()) + shares, self.bar.total)
        self.bar.set_postfix_str(" · ".join(texts))

    def close(self) -> None:
        self.bar.close()


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
