"""Intervals against SciPy, against what they promise, and against the sources' own words."""

import numpy as np
import pytest
from scipy import stats

from inrkit.measure import interval, paired_interval, prediction_interval


@pytest.mark.parametrize("n", [2, 3, 12, 19])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_of_few_values_it_is_scipys_t_interval(n, confidence):
    values = np.random.default_rng(0).normal(3, 2, n)
    ours = interval(values, confidence=confidence)
    low, high = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert (ours.mean, ours.std, ours.n) == pytest.approx((values.mean(), values.std(ddof=1), n))
    assert ours.half_width == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_of_many_values_it_is_scipys_bootstrap(confidence):
    values = np.random.default_rng(1).gamma(0.5, 1, 20)  # skewed: not symmetric about the mean
    ours = interval(values, confidence=confidence)
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=confidence, rng=np.random.default_rng(0)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high))
    assert ours.high - ours.mean > 1.2 * (ours.mean - ours.low)
    assert (ours.mean, ours.std) == pytest.approx((values.mean(), values.std(ddof=1)))


@pytest.mark.parametrize(("n", "runs"), [(6, 1000), (25, 200)])
def test_it_covers_the_mean_as_often_as_it_says(n, runs):
    samples = np.random.default_rng(1).normal(5, 1, (runs, n))
    covered = np.mean([interval(s).low <= 5 <= interval(s).high for s in samples])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / runs) + (0.02 if n > 19 else 0)


@pytest.mark.parametrize("n", [3, 30])
def test_equal_values_leave_no_doubt(n):
    ours = interval([2.0] * n)
    assert (ours.low, ours.high, ours.std) == (2, 2, 0)


def test_pairs_take_out_what_both_share():
    rng = np.random.default_rng(2)
    shared, noise = rng.normal(0, 100, 12), rng.normal(0, 1, 12)
    paired = paired_interval(shared + 1 + noise, shared)
    assert (paired.mean, paired.std) == pytest.approx((1 + noise.mean(), noise.std(ddof=1)))
    with pytest.raises(ValueError, match="as many of each"):
        paired_interval([1, 2], [1, 2, 3])


def test_pairs_know_their_direction_and_confidence():
    first, second = [3.0, 4.0, 6.0], [1.0, 1.5, 2.0]
    wide, narrow = (paired_interval(first, second, confidence=c) for c in (0.99, 0.5))
    assert wide.mean == pytest.approx(17 / 6)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_losses_are_paired_in_decades():
    paired = paired_interval([1e-3, 1e-5], [1e-1, 1e-4], logarithmic=True)
    assert paired.mean == pytest.approx(-1.5)
    with pytest.raises(ValueError, match="positive"):
        paired_interval([0.0, 1.0], [1.0, 1.0], logarithmic=True)


def test_a_single_value_has_no_interval():
    single = interval([2.0])
    assert (single.mean, single.n) == (2, 1)
    assert np.isnan([single.half_width, single.low, single.high, single.std]).all()


def test_two_values_have_one():
    pair = interval([1.0, 3.0])
    assert pair.high == pytest.approx(2 + stats.t.ppf(0.975, 1) * np.sqrt(2) / np.sqrt(2))


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf, 1.0]])
def test_intervals_of_what_is_not_finite_are_refused(values):
    with pytest.raises(ValueError, match="finite values"):
        interval(values)


@pytest.mark.parametrize(("n", "m"), [(4, 3), (10, 1)])
def test_a_prediction_holds_new_means_as_often_as_it_says(n, m):
    rng, runs = np.random.default_rng(3), 4000
    inside = 0
    for _ in range(runs):
        seen, new = rng.normal(2, 3, n), rng.normal(2, 3, m)
        low, high = prediction_interval(seen.mean(), seen.std(ddof=1), n, m)
        inside += low <= new.mean() <= high
    assert abs(inside / runs - 0.95) < 4 * np.sqrt(0.95 * 0.05 / runs)


def test_a_prediction_of_one_more_value_is_the_textbooks():
    low, high = prediction_interval(10.0, 2.0, 5, 1)
    assert (high - low) / 2 == pytest.approx(2.776445 * 2 * np.sqrt(1.2), rel=1e-6)
    assert (low + high) / 2 == pytest.approx(10)
    assert prediction_interval(10.0, 2.0, 5, 1, confidence=0.5)[0] > low


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 0)])
def test_a_prediction_needs_something_to_go_by(n, m):
    with pytest.raises(ValueError, match="prediction"):
        prediction_interval(1.0, 1.0, n, m)
