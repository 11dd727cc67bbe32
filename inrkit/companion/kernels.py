"""One notebook executed by papermill, in a kernel of the running interpreter."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import papermill
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from inrkit.companion import store
from inrkit.companion.errors import CompanionError, brief
from inrkit.companion.notebooks import Notebook, read

INJECTED = "injected-parameters"
KERNEL_ERRORS = (DeadKernelError, RuntimeError, TimeoutError, zmq.ZMQError)
ATTEMPTS = 3  # to start a kernel
START_TIMEOUT = 120  # seconds; a loaded machine takes its time
RUNNING: set[PapermillNotebookClient] = set()
LOGGER = logging.getLogger("inrkit.companion.kernels")  # silent: errors become a sentence here
LOGGER.addHandler(logging.NullHandler())
LOGGER.propagate = False


class Kernel(AsyncKernelManager):
    """The running interpreter's kernel, whatever kernel specifications are installed."""

    # ipykernel 7 warns of plain TCP at each start
    transport_encryption = "required" if zmq.has("curve") else "disabled"
    kernel_spec = KernelSpec(**get_kernel_dict())


class Engine(NBClientEngine):
    """Papermill's own engine with our kernel, its environment, and a call after each cell."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        environment: Mapping[str, str],
        folder: Path,
        on_start: Callable[[int], None],
        on_cell: Callable[[], None],
        **_: Any,
    ) -> None:
        turn = _Turn()

        def begin(cell: Any, cell_index: int) -> None:
            turn.end()  # the kernel answers
            on_start(cell_index)

        client = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            kernel_manager_class=Kernel,
            startup_timeout=START_TIMEOUT,
            timeout=None,
            log=LOGGER,
            on_cell_execute=begin,
            on_cell_executed=lambda **_: on_cell(),
        )
        RUNNING.add(client)
        try:
            client.execute(env={**os.environ, **environment}, cwd=str(folder))
        finally:
            turn.end()
            RUNNING.discard(client)


class _Turn:
    """Kernels start one after the other: those that start at once may draw the same port."""

    lock = threading.Lock()

    def __init__(self):
        self.lock.acquire()
        self.waiting = True

    def end(self) -> None:
        if self.waiting:
            self.waiting = False
            self.lock.release()


papermill_engines.register("inrkit", Engine)


def execute(
    notebook: Notebook,
    output: Path,
    *,
    changes: Mapping[str, Any],
    environment: Mapping[str, str],
    on_cell: Callable[[], None] = lambda: None,
) -> None:
    """Execute a notebook with changed parameters and write it, outputs included, to ``output``.

    Raises:
        CompanionError: a cell failed, or the kernel died; names notebook, code cell and error.
    """
    started: list[int] = []  # indices of the cells that were reached

    def attempt() -> None:
        papermill.execute_notebook(
            str(notebook.path),
            str(output),
            parameters=dict(changes),
            engine_name="inrkit",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            environment=environment,
            folder=notebook.path.parent,
            on_start=started.append,
            on_cell=on_cell,
        )

    try:
        for left in reversed(range(ATTEMPTS)):
            try:
                attempt()
                break
            except KERNEL_ERRORS:  # another program may have drawn the same port
                if started or not left:
                    raise
    except PapermillExecutionError as error:
        reason = brief(f"{error.ename}: {error.evalue}", 1000)
        place = f"{notebook.id}, code cell {_code_cell(output, error.cell_index)}"
        raise CompanionError(f"{place}: {reason}") from error
    except KERNEL_ERRORS as error:
        place = f", code cell {_code_cell(output, started[-1])}" if started else ""
        raise CompanionError(
            f"{notebook.id}{place}: the kernel died (killed, or out of memory?)"
        ) from error
    _tidy(output)


def stop() -> None:
    """Kill the kernels that run now."""
    for client in list(RUNNING):
        with suppress(ProcessLookupError, AttributeError):  # it has ended, or not begun
            client.km.provisioner.process.kill()


def _code_cell(executed: Path, index: int) -> int:
    """Number of a code cell in the notebook as stored, from 1: papermill's insertion not counted.

    ``index`` is that of the executed notebook before papermill added its error banners.
    """
    cells = [
        cell
        for cell in read(executed).cells
        if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    stored = [c for c in cells[: index + 1] if INJECTED not in c.metadata.get("tags", [])]
    return sum(cell.cell_type == "code" for cell in stored)


def _tidy(executed: Path) -> None:
    """Drop what differs between machines and runs for no reason: paths, times of single cells."""
    content = read(executed)
    content.metadata["papermill"] = {
        key: content.metadata.papermill[key] for key in ("parameters", "duration")
    }
    for cell in content.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
    write(content, executed)


def write(content: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook whole or not at all."""
    partial = path.with_suffix(".part")
    nbformat.write(content, partial)
    os.replace(partial, path)


def refresh(notebook: Notebook, record: Path) -> None:
    """Bring an executed notebook's prose up to date; its code and outputs stay.

    Its code cells are the stored notebook's own: the fingerprint says so.
    """
    executed = read(record / store.NOTEBOOK)
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    injected = [cell for cell in ran if INJECTED in cell.metadata.get("tags", [])]
    outputs = iter(cell for cell in ran if cell not in injected)
    fresh = nbformat.from_dict(notebook.content)
    cells = []
    for cell in fresh.cells:
        if cell.cell_type == "code":
            done = next(outputs)
            cell = nbformat.from_dict({**done, "metadata": cell.metadata})
        cells.append(cell)
        if "parameters" in cell.metadata.get("tags", []):
            cells += injected
    before = nbformat.writes(executed)
    executed.cells = cells
    if nbformat.writes(executed) != before:
        write(executed, record / store.NOTEBOOK)


def environment(folder: Path, root: Path, *, one_thread: bool) -> dict[str, str]:
    """What a kernel is told: where its record grows, and how many threads it has."""
    search = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    told = {
        "INRKIT_RECORD": str(folder),
        "INRKIT_PROGRESS": str(folder / store.PROGRESS),
        "PYTHONPATH": search,
    }
    if one_thread:
        told |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return told
