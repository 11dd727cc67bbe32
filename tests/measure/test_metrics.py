import numpy as np
import pytest
import skimage.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st

from inrkit.measure import (
    affine_fit,
    amplitude_correlation,
    correlation,
    exact_8bit_share,
    mse,
    psnr,
    psnr_from_mse,
    relative_error,
    ssim,
    to_8bit,
)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    target = rng.uniform(-1, 1, (24, 20, 3))
    return target + 0.1 * rng.normal(size=target.shape), target


def test_mse_psnr_and_ssim_agree_with_scikit_image(pair):
    oracle = skimage.metrics
    assert mse(*pair) == pytest.approx(oracle.mean_squared_error(*pair), rel=1e-12)
    expected = oracle.peak_signal_noise_ratio(pair[1], pair[0], data_range=2)
    assert psnr(*pair, data_range=2) == pytest.approx(expected, rel=1e-12)
    for i in range(3):
        one = oracle.structural_similarity(pair[0][..., i], pair[1][..., i], data_range=2)
        assert ssim(pair[0][..., i], pair[1][..., i], data_range=2) == pytest.approx(one)


def test_ssim_of_colours_is_the_mean_over_channels():
    """Of a picture with sides and channels so unlike that no other axis will do."""
    rng = np.random.default_rng(4)
    target = rng.uniform(-1, 1, (9, 25, 3)) * [0.1, 0.5, 1.0]
    prediction = target + 0.2 * rng.normal(size=target.shape)
    channels = [ssim(prediction[..., i], target[..., i], data_range=2) for i in range(3)]
    assert ssim(prediction, target, data_range=2) == pytest.approx(np.mean(channels), rel=1e-10)
    assert max(channels) - min(channels) > 0.1


def test_relative_error_agrees_with_numpy_and_is_one_for_a_prediction_of_zero(pair):
    prediction, target = pair
    expected = np.linalg.norm(prediction - target) / np.linalg.norm(target)
    assert relative_error(*pair) == pytest.approx(expected, rel=1e-12)
    assert relative_error(0 * target, target) == 1
    rows = relative_error(prediction, target, axes=(1, 2))
    assert rows[3] == pytest.approx(relative_error(prediction[3], target[3]), rel=1e-12)


def test_axes_give_one_number_a_signal(pair):
    prediction, target = (np.moveaxis(array, -1, 0)[:, None] for array in pair)
    for metric in (mse, exact_8bit_share, amplitude_correlation):
        batch = metric(prediction, target, axes=(-2, -1))
        singles = [
            [metric(p, t) for p, t in zip(*row, strict=True)]
            for row in zip(prediction, target, strict=True)
        ]
        np.testing.assert_allclose(batch, singles, rtol=1e-12)


def test_float32_tensors_are_measured_in_float64(pair):
    prediction, target = (torch.from_numpy(array).float() for array in pair)
    expected = mse(prediction.double(), target.double())
    assert mse(prediction.requires_grad_(), target) == pytest.approx(expected, rel=1e-14)


@given(st.floats(1e-12, 1e3), st.floats(1e-3, 1e3))
def test_psnr_falls_by_ten_decibels_where_the_error_grows_tenfold(error, data_range):
    near = psnr_from_mse(error, data_range=data_range)
    far = psnr_from_mse(10 * error, data_range=data_range)
    assert near - far == pytest.approx(10, abs=1e-9)


def test_psnr_ends():
    assert psnr_from_mse(0.0, data_range=2) == np.inf
    assert psnr_from_mse(4.0, data_range=2) == 0
    with pytest.raises(ValueError, match="data_range"):
        psnr_from_mse(1.0, data_range=0)
    with pytest.raises(TypeError):
        psnr(np.zeros(2), np.ones(2))  # the range has no default


def test_shapes_must_agree():
    for metric in (mse, exact_8bit_share, amplitude_correlation):
        with pytest.raises(ValueError, match="one shape"):
            metric(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="at least 7 x 7"):
        ssim(np.zeros((4, 9)), np.zeros((4, 9)), data_range=1)


def test_eight_bits_round_trip_within_half_a_step():
    pixels = np.arange(256)
    values = 2 * pixels / 255 - 1
    np.testing.assert_array_equal(to_8bit(values), pixels)
    jitter = np.random.default_rng(0).uniform(-0.49, 0.49, 256) * 2 / 255
    assert exact_8bit_share(values + jitter, values) == 1
    np.testing.assert_array_equal(to_8bit([-3, 3]), [0, 255])


def test_exact_share_counts_pixels_half_a_step_away():
    values = 2 * np.arange(200) / 255 - 1
    moved = values.copy()
    moved[:30] += 0.51 * 2 / 255
    assert exact_8bit_share(moved, values) == pytest.approx(170 / 200)


def test_minmax_takes_off_scale_and_offset():
    values = np.random.default_rng(0).uniform(-0.8, 0.9, 500)
    assert exact_8bit_share(1.1 * values + 0.05, values, minmax=True) == 1
    assert exact_8bit_share(1.1 * values + 0.05, values) < 0.5


def test_amplitude_correlation_is_the_correlation_of_the_dft():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 6, 5))
    n, m = np.arange(6), np.arange(5)
    rows = np.exp(-2j * np.pi * np.outer(n, n) / 6)
    columns = np.exp(-2j * np.pi * np.outer(m, m) / 5)
    amplitudes = [np.abs(rows @ x @ columns).ravel() for x in (a, b)]
    expected = np.corrcoef(*amplitudes)[0, 1]
    assert amplitude_correlation(a, b) == pytest.approx(expected, rel=1e-10)


@given(st.integers(0, 15), st.integers(0, 15), st.floats(0.1, 10))
def test_amplitude_correlation_ignores_shift_and_scale(rows, columns, scale):
    image = np.random.default_rng(2).normal(size=(16, 16))
    moved = scale * np.roll(image, (rows, columns), axis=(0, 1))
    assert amplitude_correlation(moved, image) == pytest.approx(1, abs=1e-12)


def test_amplitude_correlation_of_a_flat_spectrum_is_undefined():
    pulse = np.eye(1, 8)
    assert np.isnan(amplitude_correlation(0 * pulse, pulse))


@given(st.floats(-1, 1), st.floats(-5, 5), st.floats(0.1, 10))
def test_correlation_is_numpys(share, offset, scale):
    """Of any sign, whatever the means and the scales."""
    a, b = np.random.default_rng(5).normal(size=(2, 6, 5))
    second = scale * (share * a + (1 - abs(share)) * b) + offset
    expected = np.corrcoef(a.ravel(), second.ravel())[0, 1]
    assert correlation(a + 3, second) == pytest.approx(expected, abs=1e-9)


def test_correlation_ends():
    values = np.arange(6.0)
    assert correlation(values, 2 * values + 7) == pytest.approx(1)
    assert correlation(values, -values) == pytest.approx(-1)
    assert correlation(values, 0 * values) == correlation(0 * values, values) == 0
    with pytest.raises(ValueError, match="one shape"):
        correlation(values, values[:5])


def test_affine_fit_is_the_regression_line():
    a, b = np.random.default_rng(3).normal(size=(2, 50))
    expected = np.polyval(np.polyfit(a, b, 1), a)
    np.testing.assert_allclose(affine_fit(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(affine_fit(np.ones(50), b), b.mean())
