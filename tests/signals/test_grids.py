import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inrkit.signals import Signal, grid


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_grid_is_numpys_meshgrid_in_c_order(shape):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    expected = np.stack([axis.ravel() for axis in axes], axis=-1)
    np.testing.assert_allclose(grid(shape, dtype=torch.float64).numpy(), expected, atol=1e-15)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.floats(-9, 9), st.floats(-9, 9))
def test_centres_are_the_middles_of_equal_parts(shape, low, high):
    ends = [np.linspace(low, high, n + 1) for n in shape]
    axes = np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in ends], indexing="ij")
    expected = np.stack([axis.ravel() for axis in axes], axis=-1)
    found = grid(shape, low=low, high=high, centres=True, dtype=torch.float64)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-14)


def test_centres_are_where_pytorch_samples_pixels():
    picture = torch.rand(1, 1, 3, 5, dtype=torch.float64)
    places = grid((3, 5), centres=True, dtype=torch.float64).flip(-1).reshape(1, 3, 5, 2)
    sampled = torch.nn.functional.grid_sample(picture, places, align_corners=False)
    torch.testing.assert_close(sampled, picture)


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_a_grid_without_ends_is_refused(end):
    with pytest.raises(ValueError, match="finite ends"):
        grid((3,), high=end)


def test_grid_reaches_both_ends():
    coords = grid((3, 5), low=-100, high=100)
    assert coords.aminmax().min == -100
    assert coords.aminmax().max == 100


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_grid_without_points_is_refused(shape):
    with pytest.raises(ValueError, match="at least one point"):
        grid(shape)


def test_signal_image_inverts_the_scaling_and_clips():
    pixels = torch.rand(6, 1, dtype=torch.float64)
    signal = Signal("test", grid((2, 3)), 2 * pixels - 1, (2, 3), "")
    np.testing.assert_allclose(signal.image(), pixels.reshape(2, 3, 1).numpy(), atol=1e-15)
    beyond = signal.image(torch.full((6, 1), 1.5))
    assert beyond.max() == 1


def test_signal_moves_as_a_whole():
    signal = Signal("test", grid((2,)), torch.zeros(2, 1), (2,), "").to("meta")
    assert signal.coords.device.type == signal.values.device.type == "meta"
