"""Maps of values over a square, such as wavefields, their errors and media."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inrkit.measure.metrics import as_array
from inrkit.render.plots import BLACK, GREEN, VERMILLION, _grid

SIGNED = "RdBu_r"  # white at zero, as dark to either side


def maps(
    values: Sequence,
    titles: Sequence[str],
    *,
    label: str,
    limits: tuple[float, float],
    cmap: str = SIGNED,
    columns: int = 3,
    half_side: float = 1.0,
    marks: Mapping[str, Sequence] | None = None,
) -> Figure:
    """A panel for each map, all with one scale and one colour bar.

    Args:
        values: ``(N, N)`` each, over :math:`[-a, a]^2`, :math:`x_1` along rows. It is drawn to the
            right, and :math:`x_2` up.
        titles: one a map.
        label: of the colour bar, with its unit.
        limits: values at its ends.
        half_side: a.
        marks: label -> points ``(n, 2)``, drawn over the first panel.
    """
    values = [as_array(each) for each in values]
    figure, axes = _grid(len(values), columns, aspect=1.0)
    figure.set_figheight(figure.get_figheight() + (0.95 if marks else 0.65))  # bar and legend
    edge = half_side * len(values[0]) / (len(values[0]) - 1)  # points lie amid their pixels
    for ax, each, title in zip(axes, values, titles, strict=True):
        image = ax.imshow(
            each.T, origin="lower", cmap=cmap, vmin=limits[0], vmax=limits[1],
            extent=(-edge, edge) * 2, interpolation="bilinear",
        )  # fmt: skip
        ax.set_title(title, fontsize=9)
        ax.set(xticks=(), yticks=())
        ax.spines[:].set(visible=True, linewidth=0.5)
        ax.grid(False)
    for (name, points), colour in zip((marks or {}).items(), (GREEN, VERMILLION), strict=False):
        axes[0].scatter(*as_array(points).T, s=9, color=colour, edgecolors=BLACK, linewidths=0.3,
                        label=name)  # fmt: skip
    if marks:
        figure.legend(loc="outside upper center", ncols=len(marks))
    bar = figure.colorbar(image, ax=axes.tolist(), location="bottom", shrink=0.6, aspect=30)
    bar.locator = MaxNLocator(5)
    bar.set_label(label, fontsize=9)
    return figure


def coloured(values, limit: float) -> np.ndarray:
    """Maps as pictures for a clip, with the colours that :func:`maps` gives to signed values.

    Args:
        values: ``(*any, N, N)``, :math:`x_1` along rows; drawn to the right, and :math:`x_2` up.
        limit: values shown as the colour map's ends, to either side.

    Returns:
        ``(*any, N, N, 3)``, uint8.
    """
    upright = np.flip(as_array(values).swapaxes(-1, -2), axis=-2)
    return plt.get_cmap(SIGNED)((upright / limit + 1) / 2, bytes=True)[..., :3]
