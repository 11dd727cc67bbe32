"""Rendering: figures in one style, surfaces of fields, pictures of meshes, players."""

from inrkit.render.maps import coloured, maps
from inrkit.render.players import Player, sound_player, tiles, video_player
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
from inrkit.render.rays import depth_map, normal_image, normals_of_depth
from inrkit.render.shading import shaded, turntable
from inrkit.render.slices import level_lines
from inrkit.render.surfaces import level_set
from inrkit.render.waves import spectrograms, waveforms

__all__ = [
    "COLOURS",
    "Player",
    "coloured",
    "curves",
    "depth_map",
    "gradient_image",
    "histograms",
    "laplacian_image",
    "level_lines",
    "level_set",
    "look",
    "maps",
    "normal_image",
    "normals_of_depth",
    "panels",
    "shaded",
    "sound_player",
    "spectrograms",
    "style",
    "tiles",
    "turntable",
    "video_player",
    "waveforms",
]
