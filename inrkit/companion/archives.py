"""Records that were made elsewhere: packed into one archive, checked, and put in their place."""

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
    with tarfile.open(partial, "w:xz") as archive:
        for path in (*records.values(), *kept):
            archive.add(path, path.relative_to(paths.RESULTS))
    partial.replace(file)
    return f"{len(records)} records" + (f", {len(kept)} checkpoints" if checkpoints else "")


def unpack(file: Path, *, force: bool = False) -> list[str]:
    """Put an archive's records in their place, each if it is whole and has no fewer items.

    Args:
        file: of :func:`pack`; what lies outside of a record or a checkpoint is left out.
        force: also in place of a record with more items.

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
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError(f"{file} cannot be unpacked: {brief(error)}") from error
        done = []
        for notebook in notebooks.discover():
            new = Path(folder) / "paper" / notebook.id
            if new.is_dir():
                done.append(f"{notebook.id}: {_taken(new, notebook.id, force)}")
        for path in sorted((Path(folder) / CHECKPOINTS).rglob("*.pt")):
            target = paths.RESULTS / path.relative_to(folder)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
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
                before, after = _items(place.record), _items(new)
                if before > after:
                    return f"left out, the record here has {before} items and this one {after}"
            shutil.rmtree(place.partial / "unpacked", ignore_errors=True)
            place.publish(new.rename(place.partial / "unpacked"))
    except CompanionError as error:
        return f"left out, {error}"
    return "taken"


def _items(record: Path) -> int:
    """How many items and seeds a record holds; none, if it is of an early form."""
    if (record / store.SUMMARY).exists():
        return 0
    return len(store.read_metrics(record)[["item", "seed"]].drop_duplicates())
