"""Signals: coordinates and values, and the data sets that they come from."""

from inrkit.signals.grids import Signal, grid
from inrkit.signals.images import image
from inrkit.signals.labelled import LabelledImages, labelled_images
from inrkit.signals.meshes import Mesh, OrientedPoints, Placement, mesh, point_cloud
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
from inrkit.signals.shapes import RoundedBox, Shape, Sphere, Torus, TorusKnot
from inrkit.signals.sound import Sound, sound
from inrkit.signals.video import Video, video

__all__ = [
    "DataError",
    "Item",
    "LabelledImages",
    "Mesh",
    "OrientedPoints",
    "Placement",
    "RoundedBox",
    "Selection",
    "SetReport",
    "Shape",
    "Signal",
    "Sound",
    "Sphere",
    "Torus",
    "TorusKnot",
    "Video",
    "check",
    "dataset",
    "fetch",
    "grid",
    "image",
    "items",
    "labelled_images",
    "locate",
    "mesh",
    "point_cloud",
    "sets",
    "sound",
    "video",
]
