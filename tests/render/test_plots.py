import xml.etree.ElementTree as ET

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from inrkit.measure import interval
from inrkit.render import COLOURS, curves, gradient_image, histograms, laplacian_image, look, panels
from inrkit.render.plots import style


@pytest.fixture(autouse=True)
def plain_backend():
    matplotlib.use("Agg")
    with plt.rc_context():
        style()
        yield
    plt.close("all")


def svg_text(figure, path):
    figure.savefig(path, metadata={"Date": None})
    return [node.text for node in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


# what may stand in one figure
TOGETHER = [
    """SIREN, SIREN+PE, SPDER, FINER, Gauss, PE-MLP, WIRE, MPA, MS-MLP, SC-MLP, ReLU, ReLU+PE,
    ReLU+FFN, Hash grid, tanh, Softplus, ELU, SELU, RBF, Fourier-MFN, Fourier-iMFN, Gabor-MFN,
    Gabor-iMFN, iSIREN""",
    "forward, Anderson, Broyden",
    "CNP, Sine set, ReLU set, PConv CNN, CNN, Mean colour",
    "exact, bound, Chebyshev, Taylor",
    "field, Sobel, Prewitt, INSP-Net",
    "INSP-ConvNet, Depthwise CNN",
]


def test_models_are_told_apart_by_colour_or_dash_and_seen_on_white():
    groups = [[name.strip() for name in group.split(",")] for group in TOGETHER]
    assert sorted(name for group in groups for name in group) == sorted(COLOURS)
    for group in groups:
        assert len({tuple(look(name).values()) for name in group}) == len(group)
    for colour in COLOURS.values():
        assert 1.05 / (luminance(colour) + 0.05) > 2


def test_a_variant_keeps_its_models_colour():
    assert look("SIREN (seed 1)")["color"] == look("SIREN, seed 2")["color"] == COLOURS["SIREN"]
    assert look("a network of my own") == look("a network of my own")


def test_text_in_svg_is_text_and_the_same_figure_the_same_file(tmp_path):
    for name in ("first", "second"):
        axes = curves({"SIREN": [1, 0.1]}, xlabel="step", ylabel="mean squared error")
        words = svg_text(axes.figure, tmp_path / f"{name}.svg")
    assert {"step", "mean squared error", "SIREN"} <= set(words)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


def test_bands_are_the_interval_of_the_runs():
    runs = np.random.default_rng(0).uniform(1, 2, (6, 3))
    for log in (False, True):
        ax = curves({"SPDER": runs}, xlabel="step", ylabel="error", log_y=log)
        of = interval(np.log10(runs[:, 1]) if log else runs[:, 1])
        ends = 10.0 ** np.array([of.mean, of.low, of.high]) if log else [of.mean, of.low, of.high]
        assert ax.lines[0].get_ydata()[1] == pytest.approx(ends[0])
        corners = ax.collections[0].get_paths()[0].vertices
        at_two = corners[corners[:, 0] == 2][:, 1]
        assert (at_two.min(), at_two.max()) == pytest.approx((ends[1], ends[2]))


def test_bands_of_few_runs_are_their_range():
    ax = curves({"SPDER": [[1.0, 1e-4], [1.0, 1e-8]]}, xlabel="step", ylabel="error")
    assert ax.lines[0].get_ydata()[1] == pytest.approx(1e-6)
    corners = ax.collections[0].get_paths()[0].vertices
    at_two = corners[corners[:, 0] == 2][:, 1]
    assert (at_two.min(), at_two.max()) == pytest.approx((1e-8, 1e-4))


def test_panels_show_every_image_under_its_title():
    images = [np.zeros((4, 6)), np.zeros((4, 6, 1)), np.zeros((4, 6, 3)), np.zeros((4, 6))]
    figure = panels(images, ["a", "b", "c", "d"], columns=3, limits=(0, 1))
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == ["a", "b", "c", "d"]
    assert shown[0].images[0].get_clim() == (0, 1)
    with pytest.raises(ValueError, match="shorter"):
        panels(images, ["one title"])


def test_histograms_have_the_area_that_their_limits_hold():
    sample = np.random.default_rng(0).normal(size=50000)
    figure = histograms(
        [sample, sample],
        ["layer 1", "layer 2"],
        xlabel="before the sine",
        densities={"N(0, 1)": [stats.norm.pdf, None]},
        limits=(-1, 1),
    )
    values, edges, _ = figure.axes[0].patches[0].get_data()
    expected = stats.norm.cdf(1) - stats.norm.cdf(-1)
    assert (values * np.diff(edges)).sum() == pytest.approx(expected, abs=0.01)
    assert [len(ax.lines) for ax in figure.axes] == [1, 0]
    assert figure.get_supxlabel() == "before the sine"


def test_gradient_image_shows_direction_as_hue_and_size_as_brightness():
    gradient = np.zeros((2, 2, 2))
    gradient[0, 0], gradient[0, 1], gradient[1, 0] = (0, 1), (0, -1), (0, 0.5)
    colours = gradient_image(gradient)
    assert colours[1, 1].max() == 0  # no gradient is black
    right, left = colours[0, 0] / colours[0, 0].max(), colours[0, 1] / colours[0, 1].max()
    np.testing.assert_allclose(right, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(left, [0, 1, 1], atol=1e-12)  # the opposite hue
    assert 0.45 < colours[1, 0].max() / colours[0, 0].max() < 0.55


def test_laplacian_image_is_white_at_zero_and_symmetric():
    colours = laplacian_image(np.array([[-2.0, 0.0, 2.0]]))[0]
    assert colours[1].min() > 0.95
    assert colours[0, 2] > colours[0, 0]  # blue below zero
    assert colours[2, 0] > colours[2, 2]  # red above
    np.testing.assert_array_equal(laplacian_image(np.zeros((2, 2)))[0, 0], colours[1])
