"""Figures in one style, legible in a 390-pixel column and in dark mode.

Figures stand on a white card, text in SVG stays text, colours are those of Okabe and Ito, and a
model has the same colour and dash everywhere. Call :func:`style` once.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from zlib import crc32

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from inrkit.measure import interval
from inrkit.measure.metrics import as_array

WIDTH = 5.4  # inches; at 10 points, text is 9 pixels high on a 390-pixel screen

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#888888"

COLOURS = {
    "SIREN": BLUE,
    "SIREN+PE": BLUE,
    "SPDER": VERMILLION,
    "FINER": ORANGE,
    "Gauss": PURPLE,
    "PE-MLP": BLACK,
    "WIRE": VERMILLION,
    "MPA": SKY,
    "MS-MLP": PURPLE,
    "SC-MLP": GREY,
    "ReLU": BLACK,
    "ReLU+PE": ORANGE,
    "ReLU+FFN": PURPLE,
    "Hash grid": GREEN,
    "tanh": SKY,
    "Softplus": GREY,
    "ELU": GREY,
    "SELU": GREY,
    "RBF": GREEN,
    "Fourier-MFN": GREEN,
    "Fourier-iMFN": GREEN,
    "Gabor-MFN": ORANGE,
    "Gabor-iMFN": ORANGE,
    "iSIREN": BLUE,
    "forward": BLACK,
    "Anderson": VERMILLION,
    "Broyden": SKY,
    "CNP": BLACK,
    "Sine set": BLUE,
    "ReLU set": BLACK,
    "PConv CNN": PURPLE,
    "CNN": VERMILLION,
    "Mean colour": GREY,
    "exact": BLACK,
    "bound": GREY,
    "Chebyshev": BLUE,
    "Taylor": VERMILLION,
    "INSP-Net": BLUE,
    "INSP-ConvNet": BLUE,
    "Depthwise CNN": VERMILLION,
    "field": BLUE,
    "Sobel": VERMILLION,
    "Prewitt": ORANGE,
}
DASHES = {
    **dict.fromkeys(("SIREN+PE", "ELU", "RBF", "Gabor-iMFN", "CNP", "CNN"), "--"),
    **dict.fromkeys(("WIRE", "MPA", "Taylor", "Sobel", "Depthwise CNN"), "--"),
    **dict.fromkeys(("SELU", "Fourier-MFN", "Gabor-MFN", "forward", "Anderson", "Broyden"), ":"),
    **dict.fromkeys(("PE-MLP", "MS-MLP", "Sine set", "PConv CNN", "bound", "INSP-Net"), ":"),
    **dict.fromkeys(("FINER", "Gauss", "Fourier-iMFN", "iSIREN", "ReLU set", "Mean colour"), "-."),
    **dict.fromkeys(("SC-MLP", "INSP-ConvNet", "Prewitt"), "-."),
}


def style() -> None:
    """Set Matplotlib's parameters for every figure of the project."""
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "figure.figsize": (WIDTH, 0.62 * WIDTH),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "savefig.bbox": "tight",
            "savefig.pad_inches": 0.08,
            "savefig.dpi": 160,
            "svg.fonttype": "none",
            "svg.hashsalt": "inrkit",  # the same figure is the same file
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans", "sans-serif"],
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "axes.prop_cycle": plt.cycler(
                color=[BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY]
            ),
            "lines.linewidth": 1.6,
            "image.cmap": "gray",
            "image.interpolation": "none",
        }
    )


def look(name: str) -> dict[str, str]:
    """Colour and line style of a model.

    "SIREN, seed 1" or "ReLU+PE (L=4)" has the colour of the name before it and a dash of its own; a
    name that :data:`COLOURS` does not know has a fixed colour of its own.
    """
    base = name.split(",")[0].split("(")[0].strip()
    spare = [GREEN, ORANGE, PURPLE, SKY, GREY]
    colour = COLOURS.get(base, spare[crc32(base.encode()) % len(spare)])
    dash = DASHES.get(base, "-") if base == name else ("--", ":", "-.")[crc32(name.encode()) % 3]
    return {"color": colour, "linestyle": dash}


def panels(
    images: Sequence,
    titles: Sequence[str],
    *,
    columns: int = 3,
    limits: tuple[float, float] | None = None,
    cmap: str = "gray",
) -> Figure:
    """A grid of images, read row by row.

    Args:
        images: arrays ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``.
        titles: one an image.
        limits: values shown as the colour map's ends; each image's own by default.
    """
    images = [as_array(image) for image in images]
    height, width = images[0].shape[:2]
    figure, axes = _grid(len(images), columns, aspect=height / width)
    for ax, image, title in zip(axes, images, titles, strict=True):
        image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
        low, high = limits or (None, None)
        ax.imshow(image, cmap=cmap, vmin=low, vmax=high)
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()
    return figure


def gradient_image(gradient) -> np.ndarray:
    """Gradients ``(H, W, 2)`` as colours ``(H, W, 3)``: hue for direction, brightness for size.

    The brightest is the 99th percentile of the magnitude.
    """
    rows, columns = np.moveaxis(as_array(gradient), -1, 0)
    magnitude = np.hypot(rows, columns)
    hue = np.arctan2(rows, columns) / (2 * np.pi) % 1
    value = np.clip(magnitude / max(np.quantile(magnitude, 0.99), 1e-12), 0, 1)
    return hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1))


def laplacian_image(laplacian) -> np.ndarray:
    """A Laplacian ``(H, W)`` as colours ``(H, W, 3)``: white at zero, blue below, red above.

    The ends of the colour map are the 99th percentile of the magnitude, to either side.
    """
    laplacian = as_array(laplacian)
    end = max(np.quantile(np.abs(laplacian), 0.99), 1e-12)
    return plt.get_cmap("RdBu_r")((laplacian / end + 1) / 2)[..., :3]


def curves(
    series: Mapping[str, Sequence],
    *,
    xlabel: str,
    ylabel: str,
    x: Sequence | None = None,
    log_x: bool = False,
    log_y: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """A line for each model, with a band where there are several runs.

    The band is the 95% interval of the mean, or for fewer than five runs the range of all.

    Args:
        series: name -> values ``(steps,)``, or ``(runs, steps)``: then the line is the mean over
            the runs, and on a logarithmic axis mean and interval are those of the logarithm.
        xlabel, ylabel: with their units.
        x: positions ``(steps,)``; 1, 2, ... by default.
    """
    if ax is None:
        _, ax = plt.subplots()
    for name, values in series.items():
        runs = np.atleast_2d(as_array(values))
        positions = np.arange(1, runs.shape[1] + 1) if x is None else as_array(x)
        middle, low, high = _band(runs, log_y)
        ax.plot(positions, middle, label=name, **look(name))
        if len(runs) > 1:
            ax.fill_between(positions, low, high, color=look(name)["color"], alpha=0.2, lw=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_xscale("log" if log_x else "linear")
    ax.set_yscale("log" if log_y else "linear")
    ax.legend()
    return ax


FEW = 5  # runs below which an interval says more about their number than about them


def _band(runs: np.ndarray, log: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over runs at every step, and ends of its interval; of all runs where they are few."""
    if len(runs) < FEW:
        middle = 10 ** np.log10(runs).mean(0) if log else runs.mean(0)
        return middle, runs.min(0), runs.max(0)
    bands = [interval(step) for step in (np.log10(runs) if log else runs).T]
    ends = np.array([(band.mean, band.low, band.high) for band in bands]).T
    return tuple(10**ends if log else ends)


def histograms(
    samples: Sequence,
    titles: Sequence[str],
    *,
    xlabel: str,
    densities: Mapping[str, Sequence[Callable | None]] | None = None,
    marks: Sequence[float] = (),
    limits: tuple[float, float] | None = None,
    bins: int = 80,
    columns: int = 3,
) -> Figure:
    """A histogram a panel, scaled to unit area, with predicted densities over it.

    Args:
        samples: values of each panel, any shape.
        densities: label -> one density a panel (None for none there), a callable of an array.
        marks: positions of thin vertical lines, for example stationary values.
        limits: of the horizontal axis; by default where the middle 99.8% of a panel lie.
    """
    figure, axes = _grid(len(samples), columns, aspect=0.75, sharey=True)
    top = 0.0
    for i, (ax, sample, title) in enumerate(zip(axes, samples, titles, strict=True)):
        sample = as_array(sample).ravel()
        low, high = limits or np.quantile(sample, (0.001, 0.999))
        share = np.mean((low <= sample) & (sample <= high))  # of the area that the panel shows
        counts, edges = np.histogram(sample, bins=bins, range=(low, high), density=True)
        ax.stairs(share * counts, edges, fill=True, color="#bbbbbb", label="measured")
        middles = np.linspace(low, high, 402)[1:-1]
        for mark in marks:
            ax.axvline(mark, color=GREY, lw=0.6, zorder=0)
        for (label, row), colour in zip(
            (densities or {}).items(), (VERMILLION, BLUE), strict=False
        ):
            if row[i] is not None:
                ax.plot(middles, row[i](middles), color=colour, lw=1.3, label=label)
        ax.set_title(title, fontsize=9)
        top = max(top, min(1.1 * share * counts.max(), 1.6 * share * np.quantile(counts, 0.95)))
        ax.set(xlim=(low, high), ylim=(0, top))  # poles are cut: the rest stays visible
    figure.supxlabel(xlabel, fontsize=10)
    figure.supylabel("density", fontsize=10)
    if densities:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def _grid(
    n: int, columns: int, *, aspect: float, sharey: bool = False
) -> tuple[Figure, np.ndarray]:
    """A figure of n axes in rows, and those axes; height from the panels' aspect and titles."""
    columns = min(columns, n)
    rows = ceil(n / columns)
    size = (WIDTH, rows * (WIDTH / columns * aspect + 0.25))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=sharey)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return figure, axes.ravel()[:n]
