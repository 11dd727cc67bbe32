"""Rendering: figures in one style, surfaces of fields, pictures of meshes."""

from inrkit.render.plots import (
    COLOURS,
    curves,
    gradient_image,
    histograms,
    laplacian_image,
    look,
    panels,
    style,
)
from inrkit.render.shading import shaded, turntable
from inrkit.render.slices import level_lines
from inrkit.render.surfaces import level_set

__all__ = [
    "COLOURS",
    "curves",
    "gradient_image",
    "histograms",
    "laplacian_image",
    "level_lines",
    "level_set",
    "look",
    "panels",
    "shaded",
    "style",
    "turntable",
]
