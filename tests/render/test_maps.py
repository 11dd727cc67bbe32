import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from inrkit.render import coloured, maps


@pytest.fixture(autouse=True)
def plain_backend():
    matplotlib.use("Agg")
    yield
    plt.close("all")


def test_a_map_lies_where_its_coordinates_say_and_all_share_one_scale():
    values = np.zeros((5, 5))
    values[4, 1] = 2.0  # x_1 = 1, x_2 = -0.5
    figure = maps([values, values / 2], ["a", "b"], label="u", limits=(-2, 2))
    first, second = (ax.images[0] for ax in figure.axes[:2])
    assert first.get_clim() == second.get_clim() == (-2, 2)
    row, column = np.argwhere(first.get_array() == 2)[0]
    left, right, bottom, top = first.get_extent()
    assert first.origin == "lower"
    assert left + (column + 0.5) * (right - left) / 5 == pytest.approx(1.0)
    assert bottom + (row + 0.5) * (top - bottom) / 5 == pytest.approx(-0.5)


def test_a_clip_is_upright_white_at_zero_and_cut_at_its_limit():
    values = np.zeros((2, 4, 4))
    values[1, 0, 3] = 5.0  # left, top
    frames = coloured(values, 1.0)
    assert frames.shape == (2, 4, 4, 3) and frames.dtype == np.uint8
    assert frames[0].min() > 240
    expected = np.asarray(plt.get_cmap("RdBu_r")(1.0, bytes=True)[:3])
    np.testing.assert_array_equal(frames[1, 0, 0], expected)
    assert (frames[1] == frames[0]).all(-1).sum() == 15
