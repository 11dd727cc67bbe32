"""Which files this process has read, by name and content: every reader enters its own here."""

import hashlib
import os
from pathlib import Path

from inrkit import paths

_read: dict[tuple[str, str], None] = {}  # names and SHA-256, in the order read


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def note(path: Path, *, item: str = "", sum: str = "") -> str:
    """Enter a file that is about to be read, and return its SHA-256.

    Args:
        path: where it lies.
        item: its name in the data registry, where it has one.
        sum: its SHA-256, where that is known.
    """
    sum = sum or sha256(path)
    _read[item or _shown(path), sum] = None
    return sum


def files() -> list[dict[str, str]]:
    """``name`` and ``sha256`` of every file read.

    The name is that of an item of the data registry, a path below the project's folder, one that
    begins with ``~/`` (the user's folder), or an absolute one.
    """
    return [{"name": name, "sha256": sum} for name, sum in _read]


def located(name: str) -> Path:
    """Where a file of one's own with such a name lies."""
    return (paths.ROOT or Path()) / os.path.expanduser(name)


def _shown(path: Path) -> str:
    place = Path(os.path.abspath(path))
    for folder, beginning in ((paths.ROOT, ""), (Path(os.path.expanduser("~")), "~/")):
        if folder is not None and place.is_relative_to(folder):
            return beginning + place.relative_to(folder).as_posix()
    return place.as_posix()
