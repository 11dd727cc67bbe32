"""Records that were made elsewhere: packed into one archive, checked, and put in their place."""

import lzma
import shutil
import tarfile
import tempfile
from pathlib import Path

from inrkit import paths
from inrkit.companion import notebooks, store, verify
from inrkit.companion.errors import CompanionError, InputError, brief

CHECKPOINTS = ".checkpoints"  # their folder in results, and in an archive


def pack(file: Path, *, checkpoints: bool = False) -> str:
    """Write the records of the paper profile, and on request the checkpoints of its fits.

    Returns:
        what is in it, in words.

    Raises:
        InputError: there is nothing to pack.
    """
    records = store.records("paper")
    kept = sorted((paths.RESULTS / CHECKPOINTS / "paper").rglob("*.pt")) if checkpoints else []
    if not records and not kept:
        raise InputError(f"there are no records in {paths.shown(paths.RESULTS)}")
    partial = file.with_name(f"{file.name}.part")
    try:
        with tarfile.open(partial, "w:xz") as archive:
            for path in (*records.values(), *kept):
                archive.add(path, path.relative_to(paths.RESULTS))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return f"{len(records)} records" + (f", {len(kept)} checkpoints" if checkpoints else "")


def unpack(file: Path, *, force: bool = False) -> list[str]:
    """Put an archive's records in their place, each if it is whole and adds to what is here.

    Args:
        file: of :func:`pack`; what lies outside of a record or a checkpoint is left out.
        force: also in place of a record with more items, or a later one with as many.

    Returns:
        what became of each, in words.

    Raises:
        InputError: it is no archive, or a file in it would be written elsewhere.
    """
    paths.RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.RESULTS, prefix=".unpacked-") as folder:
        try:
            with tarfile.open(file) as archive:
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
            raise InputError(f"{file} cannot be unpacked: {brief(error)}") from error
        done = []
        for notebook in notebooks.discover():
            new = Path(folder) / "paper" / notebook.id
            if new.is_dir():
                done.append(f"{notebook.id}: {_taken(new, notebook.id, force)}")
        kept = sorted((Path(folder) / CHECKPOINTS).rglob("*.pt"))
        for path in kept:
            target = paths.RESULTS / path.relative_to(folder)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    done += [f"checkpoints: {len(kept)}"] * bool(kept)
    if not done:
        raise InputError(f"{file} holds no record of a notebook of this project")
    return done


def _taken(new: Path, id: str, force: bool) -> str:
    """Put one record in place; what became of it."""
    if wrong := verify.problems(new, id):
        return f"left out, {wrong[0]}"
    place = store.Place(id, "paper")
    try:
        with place.locked():
            place.recover()
            if place.record.exists() and not force:
                (n, start), (more, later) = _worth(place.record), _worth(new)
                if (n, start) >= (more, later):
                    return f"left out, the record here has {n} items, of {start}; it has {more}"
            shutil.rmtree(place.partial / "unpacked", ignore_errors=True)
            place.publish(new.rename(place.partial / "unpacked"))
    except CompanionError as error:
        return f"left out, {error}"
    return "taken"


def _worth(record: Path) -> tuple[int, str]:
    """How many items and seeds a record holds (none, if it is of an early form), and its date."""
    start = store.read_run(record)["start"]
    if (record / store.SUMMARY).exists():
        return 0, start
    return len(store.read_metrics(record)[["item", "seed"]].drop_duplicates()), start
