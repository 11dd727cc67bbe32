"""Rendering: figures in one style."""

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

__all__ = [
    "COLOURS",
    "curves",
    "gradient_image",
    "histograms",
    "laplacian_image",
    "look",
    "panels",
    "style",
]
