"""Signals: coordinates and values, and the data sets that they come from."""

from inrkit.signals.cameras import Camera, Rays, Views, orbit, views
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
from inrkit.signals.samples import Samples, distance_samples
from inrkit.signals.scenes import blender_views
from inrkit.signals.shapes import RoundedBox, Shape, Sphere, Torus, TorusKnot
from inrkit.signals.sound import Sound, sound
from inrkit.signals.video import Video, video
from inrkit.signals.volume import (
    crossing,
    edges,
    emission,
    importance,
    picture,
    render,
    stratified,
    weights,
)

__all__ = [
    "Camera",
    "DataError",
    "Item",
    "LabelledImages",
    "Mesh",
    "OrientedPoints",
    "Placement",
    "Rays",
    "RoundedBox",
    "Samples",
    "Selection",
    "SetReport",
    "Shape",
    "Signal",
    "Sound",
    "Sphere",
    "Torus",
    "TorusKnot",
    "Video",
    "Views",
    "blender_views",
    "check",
    "crossing",
    "dataset",
    "distance_samples",
    "edges",
    "emission",
    "fetch",
    "grid",
    "image",
    "importance",
    "items",
    "labelled_images",
    "locate",
    "mesh",
    "orbit",
    "picture",
    "point_cloud",
    "render",
    "sets",
    "sound",
    "stratified",
    "video",
    "views",
    "weights",
]
