"""Pictures from derivatives, against SciPy's filters and a dense least-squares solution."""

import numpy as np
import pytest
import scipy.ndimage

from inrkit.solvers import from_gradients, from_laplacian, laplace, sobel

SHAPES = [(12, 9), (8, 8), (7, 10, 3)]


def picture(shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return values - values.mean(axis=(0, 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_filters_are_scipys(shape):
    image = picture(shape)
    flat = image if image.ndim == 2 else image[..., 0]
    for axis in (0, 1):
        ours = sobel(flat)[..., axis]
        np.testing.assert_allclose(ours, scipy.ndimage.sobel(flat, axis=axis), atol=1e-12)
    np.testing.assert_allclose(laplace(flat), scipy.ndimage.laplace(flat), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_consistent_derivatives_give_the_picture_back(shape):
    image = picture(shape)
    np.testing.assert_allclose(from_gradients(sobel(image)), image, atol=1e-10)
    np.testing.assert_allclose(from_laplacian(laplace(image)), image, atol=1e-10)


def test_inconsistent_gradients_are_met_in_the_least_squares_sense():
    height, width = 6, 5
    target = np.random.default_rng(1).normal(size=(height, width, 2))
    basis = np.eye(height * width).reshape(-1, height, width)
    matrix = np.stack([sobel(image).ravel() for image in basis], axis=1)
    expected = np.linalg.lstsq(matrix, target.ravel(), rcond=None)[0].reshape(height, width)
    np.testing.assert_allclose(from_gradients(target), expected - expected.mean(), atol=1e-10)


def test_components_of_small_gain_are_left_out():
    x = np.pi * (np.arange(16) + 0.5) / 16
    image, checkerboard = np.cos(3 * x)[:, None] + np.zeros(16), np.outer(*2 * [np.cos(15 * x)])
    slopes = sobel(image + 0.1 * checkerboard)
    np.testing.assert_allclose(from_gradients(slopes, least_gain=0.02), image, atol=1e-10)
    assert np.abs(from_gradients(slopes) - image).max() > 0.09


def test_a_laplacian_of_mean_other_than_zero_is_met_up_to_it():
    target = np.random.default_rng(2).normal(size=(9, 11))
    found = laplace(from_laplacian(target))
    np.testing.assert_allclose(found, target - target.mean(), atol=1e-10)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="two components"):
        from_gradients(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="not finite"):
        from_laplacian(np.full((4, 4), np.nan))
