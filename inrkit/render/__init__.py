"""Rendering: figures in one style, and players."""

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
from inrkit.render.waves import spectrograms, waveforms

__all__ = [
    "COLOURS",
    "Player",
    "curves",
    "gradient_image",
    "histograms",
    "laplacian_image",
    "look",
    "panels",
    "sound_player",
    "spectrograms",
    "style",
    "tiles",
    "video_player",
    "waveforms",
]
