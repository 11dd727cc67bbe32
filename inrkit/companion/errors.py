"""What the companion reports to a person: each foreseeable failure is one sentence.

:func:`told` is the one place that knows which failures are foreseeable. Anything else is a bug, and
shows its traceback.
"""

import difflib
import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from inrkit import paths
from inrkit.tables import TableError

FAILED, BAD_INPUT = 1, 2  # exit statuses of the command line
SYSTEM = {  # what the operating system refused, and what would help
    errno.ENOSPC: "the disk is full: free some space, then give the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space, then give the same command again",
    errno.EFBIG: "a file grew past the limit on file sizes (ulimit -f): raise it",
    errno.EROFS: "it lies on a read-only file system: a writable folder is needed",
    errno.EACCES: "permission denied: reading and writing must be allowed there",
    errno.EPERM: "permission denied: reading and writing must be allowed there",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a plain file stands where a folder is needed",
    errno.EEXIST: "a plain file stands where a folder is needed",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.ELOOP: "its links lead in a circle",
    errno.EMFILE: "too many files are open (ulimit -n)",
    errno.ENOMEM: "there is not enough memory",
    errno.EIO: "the disk cannot be read or written (input/output error)",
}


class CompanionError(Exception):
    """One sentence: what was wrong, and what is accepted. Printed without a traceback."""

    status = FAILED


class InputError(CompanionError):
    """The fault lies in what was given: an argument, a parameter, a file."""

    status = BAD_INPUT


def told(error: BaseException) -> tuple[str, int] | None:
    """The sentence and the exit status of a foreseeable failure; None for any other."""
    if isinstance(error, CompanionError):
        return str(error), error.status
    if isinstance(error, TableError | paths.NoProject):
        return str(error), BAD_INPUT
    if isinstance(error, MemoryError):
        return "there is not enough memory", FAILED
    if isinstance(error, shutil.Error):  # of a folder that is copied: what became of each file
        _, target, why = error.args[0][0]
        return f"{paths.shown(Path(target))} cannot be written ({brief(why)})", FAILED
    if isinstance(error, OSError) and error.errno in SYSTEM:
        about = [paths.shown(Path(error.filename))] if _is_path(error.filename) else []
        return ": ".join([*about, SYSTEM[error.errno]]), FAILED
    if isinstance(error, ModuleNotFoundError) and error.name.partition(".")[0] != "inrkit":
        remedy = paths.install("notebooks")
        return f"the Python package {error.name} is not installed: {remedy} brings it", FAILED
    return None


def _is_path(name: object) -> bool:
    return isinstance(name, str | Path)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'that'?)`` for the closest known word, if one is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def brief(error: object, limit: int = 300) -> str:
    """What another library says of its error, on one line and no longer than needed."""
    words = " ".join(str(error).split())
    return words if len(words) <= limit else f"{words[:limit]}..."
