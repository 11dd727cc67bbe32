import numpy as np
import pytest
from scipy import stats

from inrkit.measure import bootstrap, interval, paired_interval


def test_interval_is_scipys_t_interval():
    values = np.random.default_rng(0).normal(3, 2, 12)
    ours = interval(values, confidence=0.9)
    low, high = stats.t.interval(0.9, 11, loc=values.mean(), scale=stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert (ours.mean, ours.std, ours.n) == pytest.approx((values.mean(), values.std(ddof=1), 12))


def test_interval_covers_the_mean_as_often_as_it_says():
    samples = np.random.default_rng(1).normal(5, 1, (1000, 6))
    covered = np.mean([interval(s).low <= 5 <= interval(s).high for s in samples])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)


def test_pairs_take_out_what_both_share():
    rng = np.random.default_rng(2)
    items, noise = rng.normal(0, 100, 20), rng.normal(0, 1, 20)
    paired = paired_interval(items + 1 + noise, items)
    assert (paired.mean, paired.std) == pytest.approx((1 + noise.mean(), noise.std(ddof=1)))
    with pytest.raises(ValueError, match="as many of each"):
        paired_interval([1, 2], [1, 2, 3])


def test_a_single_value_has_no_interval():
    single = interval([2.0])
    assert (single.mean, single.n) == (2, 1)
    assert np.isnan(single.half_width)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf, 1.0]])
def test_intervals_of_what_is_not_finite_are_refused(values):
    for of in (interval, bootstrap):
        with pytest.raises(ValueError, match="finite values"):
            of(values)


def test_bootstrap_of_a_mean_is_near_the_t_interval():
    values = np.random.default_rng(3).normal(0, 1, 200)
    ours, exact = bootstrap(values, statistic=np.mean), interval(values)
    assert ours.estimate == pytest.approx(exact.mean)
    assert (ours.low, ours.high) == pytest.approx((exact.low, exact.high), abs=0.02)
