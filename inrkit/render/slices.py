"""Plane slices through signed distances, with level lines."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from inrkit.measure.metrics import as_array
from inrkit.render.plots import _grid


def level_lines(
    slices: Sequence,
    titles: Sequence[str],
    *,
    spacing: float = 0.1,
    limit: float | None = None,
    columns: int = 3,
) -> Figure:
    """A panel for each slice: colour for the value, thin lines at equal steps, zero in bold.

    Where a field is a distance, thin lines are evenly spaced. All panels have one scale.

    Args:
        slices: values ``(H, W)`` over [-1, 1]^2, the row from bottom to top.
        titles: one a slice.
        spacing: between level lines, in units of the field.
        limit: value at the ends of the colour map; the largest of the first slice by default.
    """
    slices = [as_array(values) for values in slices]
    limit = np.abs(slices[0]).max() if limit is None else limit
    steps = spacing * np.arange(1, int(limit / spacing) + 1)
    levels = np.concatenate([-steps[::-1], steps])
    figure, axes = _grid(len(slices), columns, aspect=1.0)
    for ax, values, title in zip(axes, slices, titles, strict=True):
        picture = ax.imshow(
            values,
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            extent=(-1, 1, -1, 1),
            origin="lower",
            interpolation="bilinear",
        )
        across, up = (np.linspace(-1, 1, n) for n in values.shape[::-1])
        ax.contour(across, up, values, levels, colors="black", linewidths=0.4, linestyles="solid")
        if values.min() < 0 < values.max():
            ax.contour(across, up, values, [0.0], colors="black", linewidths=1.8)
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()
    bar = figure.colorbar(picture, ax=axes.tolist(), location="bottom", shrink=0.6, aspect=30)
    bar.set_label("distance, units of the cube's half side", fontsize=9)
    return figure
