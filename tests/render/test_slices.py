import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from inrkit.render import level_lines


def circle(n=101):
    across, up = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    return np.hypot(across, up) - 0.5


@pytest.fixture(autouse=True)
def plain_backend():
    matplotlib.use("Agg")
    yield
    plt.close("all")


def test_level_lines_of_a_distance_are_evenly_spaced_circles_zero_the_boldest():
    ax = level_lines([circle()], ["circle"], spacing=0.1).axes[0]
    thin, bold = ax.collections
    np.testing.assert_allclose(thin.levels, [k / 10 for k in range(-9, 10) if k])
    for level, path in [*zip(thin.levels, thin.get_paths(), strict=True), (0, *bold.get_paths())]:
        if -0.45 < level < 0.45:  # the circles that lie in the square
            np.testing.assert_allclose(np.hypot(*path.vertices.T), 0.5 + level, atol=2e-3)
    assert bold.get_linewidth()[0] > 2 * thin.get_linewidth()[0]


def test_a_slice_without_a_surface_has_no_bold_line_and_all_share_one_scale():
    figure = level_lines([circle(), circle() + 2], ["one", "other"])
    images = [ax.images[0] for ax in figure.axes[:2]]
    assert len({image.get_clim() for image in images}) == 1
    assert len(figure.axes[0].collections) == 2 and len(figure.axes[1].collections) == 1
