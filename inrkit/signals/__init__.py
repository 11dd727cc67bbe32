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
from inrkit.signals.sound import Sound, sound
from inrkit.signals.video import Video, video

__all__ = [
    "DataError",
    "Item",
    "Selection",
    "SetReport",
    "Signal",
    "Sound",
    "Video",
    "check",
    "dataset",
    "fetch",
    "grid",
    "image",
    "items",
    "locate",
    "sets",
    "sound",
    "video",
]
