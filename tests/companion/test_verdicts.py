"""The three answers on hand-made claims: each branch by its definition."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from inrkit.companion import verdicts
from inrkit.companion.claims import ERROR, ITEMS, Claim
from inrkit.companion.verdicts import Deviation, accepted, order, scale, size, together
from inrkit.measure import Interval, interval

LONE = Claim(
    id="t-1", paper="t", source="Table 1", experiment="fit", setting="SIREN; step=500; 256x256",
    metric="psnr", value=40.0, spread=None, unit="dB", better="", note="", items=10,
)  # fmt: skip


def like(**changes):
    return dataclasses.replace(LONE, **changes)


SPREAD = like(spread=3.0, spread_of=ITEMS)
STEPS = Deviation("steps", 500, 100)
STAND_IN = Deviation("program", "theirs", "ours", models=("Hash grid",))
OF_TWO = Deviation("weights", "theirs", "ours", models=("Hash grid", "SIREN"))


@pytest.mark.parametrize(
    ("deviations", "model", "n", "items", "partial", "expected"),
    [
        ((), "SIREN", 10, 10, False, "full"),
        ((), "SIREN", 12, 10, False, "full"),
        ((), "SIREN", 9, 10, False, "subset"),
        ((), "SIREN", 9, None, False, "full"),
        ((), "SIREN", 9, None, True, "subset"),
        ((), "SIREN", 10, 10, True, "full"),  # the claim's own number is the better knowledge
        ((STEPS,), "SIREN", 10, 10, False, "reduced"),
        ((STAND_IN,), "SIREN", 10, 10, False, "full"),
        ((STAND_IN,), "Hash grid", 10, 10, False, "reduced"),
        ((STAND_IN,), "SPDER - Hash grid", 10, 10, False, "reduced"),
        ((STAND_IN,), "Hash grid / SIREN", 10, 10, False, "reduced"),
        ((STAND_IN,), "Hash grid, fine", 10, 10, False, "full"),
        ((OF_TWO,), "SIREN", 10, 10, False, "reduced"),
        ((OF_TWO,), "SPDER", 10, 10, False, "full"),
        ((OF_TWO, STAND_IN), "SIREN", 10, 10, False, "reduced"),
    ],
)
def test_scale(deviations, model, n, items, partial, expected):
    assert scale(deviations, model, n, items, partial) == expected


@pytest.mark.parametrize("claim", [SPREAD, like(spread=3.0 / 10**0.5, spread_of=ERROR)])
@pytest.mark.parametrize("n", [5, 40])
def test_with_a_spread_the_prediction_interval_is_accepted(claim, n):
    half = stats.t.ppf(0.975, 9) * 3 * np.sqrt(1 / 10 + 1 / n)
    assert accepted(claim, n) == pytest.approx((40 - half, 40 + half))


@pytest.mark.parametrize("items", [None, 1])
def test_where_the_number_of_items_is_not_stated_the_mean_is_taken_as_exact(items):
    """As where a single item is stated, of which the spread cannot be."""
    half = stats.norm.ppf(0.975) * 3 / np.sqrt(5)
    claim = like(spread=3.0, spread_of=ITEMS, items=items)
    assert accepted(claim, 5) == pytest.approx((40 - half, 40 + half))


@pytest.mark.parametrize("where", ["full", "subset"])
@pytest.mark.parametrize(
    ("claim", "mean", "expected"),
    [
        (LONE, 41.9, "agrees"),  # 5% of 40 is 2
        (LONE, 42.0, "agrees"),  # ends are within
        (LONE, 38.0, "agrees"),
        (LONE, 42.1, "differs"),
        (like(better="higher"), 42.1, "better"),  # better is not agreement
        (like(better="higher"), 37.9, "worse"),
        (like(better="lower"), 42.1, "worse"),
        (like(better="lower"), 37.9, "better"),
        (like(value=0.0), 9e-7, "agrees"),  # rounding
        (like(value=0.0), 2e-6, "differs"),
        (SPREAD, 43.0, "agrees"),  # 2.262 * 3 * sqrt(1/10 + 1/10) = 3.03
        (SPREAD, 43.1, "differs"),
        (SPREAD, 36.9, "differs"),
    ],
)
def test_size(claim, mean, expected, where):
    assert size(claim, mean, 10, where) == expected


def test_size_is_asked_at_the_papers_settings_alone():
    assert size(LONE, 40.0, 10, "reduced") == "" == size(LONE, 40.0, 10, "not measured")


@pytest.mark.parametrize(
    ("items", "n", "asked"),
    [
        (10, 4, False),
        (10, 5, True),
        (3, 3, True),
        (3, 2, False),
        (1, 1, True),
        (None, 4, False),
        (None, 5, True),
    ],
)
def test_size_takes_five_items_or_the_papers_own_number(items, n, asked):
    assert bool(size(like(items=items), 40.0, n, "full")) is asked


def test_more_items_narrow_what_is_accepted():
    ends = [accepted(SPREAD, n)[1] for n in (5, 10, 100)]
    assert ends == sorted(ends, reverse=True)


def gap(*values):
    return interval(values)


@pytest.mark.parametrize(
    ("claimed", "seen", "expected"),
    [
        (1.0, gap(1, 2, 3, 2, 1), "holds"),
        (-1.0, gap(1, 2, 3, 2, 1), "reversed"),
        (-1.0, gap(-1, -2, -3, -2, -1), "holds"),
        (1.0, gap(-1, -2, -3, -2, -1), "reversed"),
        (1.0, gap(-3, 4, -1, 2, 1), "undecided"),
        (-1.0, gap(-3, 4, -1, 2, 1), "undecided"),
        (1.0, gap(0, 0, 0, 0, 0), "undecided"),  # 0 is on neither side
        (-1.0, gap(0, 0, 0, 0, 0), "undecided"),
        (1.0, gap(9, 9.1, 9, 9.1), "undecided"),  # four pairs
        (1.0, gap(5), "undecided"),
        (1.0, Interval(np.nan, np.nan, np.nan, np.nan, 0), "undecided"),
    ],
)
def test_order(claimed, seen, expected):
    assert order(claimed, seen) == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], ""),
        (["holds", "holds"], "holds"),
        (["holds", "undecided"], "undecided"),
        (["holds", "undecided", "reversed"], "reversed"),
    ],
)
def test_the_worst_rival_decides(answers, expected):
    assert together(answers) == expected


def test_what_is_measured_is_never_called_not_measured():
    answers = {scale((STEPS,), "SIREN", n, None) for n in (1, 10)}
    assert answers == {verdicts.REDUCED}
