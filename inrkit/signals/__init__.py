"""Signals: coordinates and values, and the data sets that they come from."""

from inrkit.signals.grids import Signal, grid
from inrkit.signals.images import image
from inrkit.signals.registry import (
    DataError,
    Item,
    Selection,
    SetReport,
    check,
    dataset,
    fetch,
    items,
    locate,
    sets,
)

__all__ = [
    "DataError",
    "Item",
    "Selection",
    "SetReport",
    "Signal",
    "check",
    "dataset",
    "fetch",
    "grid",
    "image",
    "items",
    "locate",
    "sets",
]
