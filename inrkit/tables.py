"""The project's tables: CSV files, checked as they are read."""

import csv
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from inrkit import paths

Kind = Callable[[str], Any]


class TableError(ValueError):
    """A table is missing or broken. One sentence: file, line, what is wrong, what is accepted."""


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"a finite number is expected, got {text!r}")
    return value


def whole(text: str) -> int:
    """A whole number that counts something."""
    if not text.isdecimal():
        raise ValueError(f"a whole number is expected, got {text!r}")
    return int(text)


def maybe(kind: Kind) -> Kind:
    """A value of this kind, or None where nothing is written."""
    return lambda text: kind(text) if text else None


def rows(
    path: Path,
    kinds: Mapping[str, Kind],
    *,
    key: Sequence[str] = (),
    absent: Collection[str] = (),
) -> list[dict[str, Any]]:
    """The rows of a CSV table in UTF-8.

    Args:
        path: of the file; its first line names the columns.
        kinds: for each column what makes a value of its text.
        key: columns that tell rows apart: no two have the same values there.
        absent: columns that the file need not have.

    Raises:
        TableError: it is missing or no such table, has other columns, no row, two rows of one key,
            or a value that is not of its column's kind.
    """
    name = paths.shown(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            found = _checked(csv.DictReader(stream, strict=True), name, kinds, absent)
    except FileNotFoundError:
        raise TableError(f"{name} is missing: {paths.RESTORE}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{name} is not a table in UTF-8 with commas ({error})") from error
    counted = Counter(tuple(row[column] for column in key) for row in found)
    if key and max(counted.values()) > 1:
        again = " ".join(map(str, counted.most_common(1)[0][0]))
        raise TableError(f"{name} has several rows with the {' and '.join(key)} {again}")
    return found


def _checked(
    reader: csv.DictReader, name: str, kinds: Mapping[str, Kind], absent: Collection[str]
) -> list[dict[str, Any]]:
    columns = reader.fieldnames or ()
    if not columns:
        raise TableError(f"{name} is empty; its first line names the columns {', '.join(kinds)}")
    lacking = [column for column in kinds if column not in (*columns, *absent)]
    unknown = [column for column in columns if column not in kinds]
    if lacking or unknown or len(set(columns)) < len(columns):
        raise TableError(
            f"{name} has the columns {', '.join(columns)[:300]}; they are {', '.join(kinds)}"
        )
    found = [_row(row, f"{name}, line {reader.line_num}", kinds) for row in reader]
    if not found:
        raise TableError(f"{name} has a line of column names and no rows")
    return found


def _row(row: dict[str, str], place: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    if None in row or None in row.values():
        raise TableError(f"{place}: a row has one value for each column, with commas between")
    values = {}
    for column, text in row.items():
        try:
            values[column] = kinds[column](text)
        except ValueError as error:
            raise TableError(f"{place}, column {column}: {error}") from error
    return values
