"""Item rows: what counts as independent, and what is paired with what."""

import numpy as np
import pytest

from inrkit.companion import items
from inrkit.measure import interval, paired_interval


def rows(*entries, model="SIREN", metric="psnr", **settings):
    return items.table([
        {"claim": "", "model": model, **settings, "metric": metric, "item": item, "seed": seed,
         "value": value, "unit": ""}
        for item, seed, value in entries
    ])  # fmt: skip


def test_items_are_independent_and_seeds_within_them_are_not():
    table = rows(("a", 0, 1.0), ("a", 1, 3.0), ("b", 0, 10.0), ("b", 1, 12.0))
    over = items.summary(table)
    assert (over.mean, over.n) == (6.5, 2)
    assert over.std == pytest.approx(np.std([2, 11], ddof=1))


@pytest.mark.parametrize("name", ["", "camera"])
def test_of_a_single_item_seeds_are_independent(name):
    over = items.summary(rows((name, 0, 1.0), (name, 1, 2.0), (name, 2, 6.0)))
    assert (over.mean, over.n) == (3.0, 3)


def test_a_deterministic_number_is_one_value():
    over = items.summary(rows(("", None, 4.0)))
    assert (over.mean, over.n) == (4.0, 1)


def test_pairs_are_of_the_same_item_and_seed():
    first = rows(("a", 0, 5.0), ("b", 0, 7.0), ("c", 0, 100.0))
    second = rows(("b", 0, 1.0), ("a", 0, 2.0), ("d", 0, -50.0), model="ReLU")
    over = items.paired(first, second)
    assert over == paired_interval([5, 7], [2, 1])
    assert items.paired(first, rows(("z", 0, 1.0))).n == 0


def test_seeds_of_an_item_are_paired_each_with_its_own():
    first = rows(("a", 0, 5.0), ("a", 1, 50.0), ("b", 0, 7.0), ("b", 2, 9.0))
    second = rows(("a", 1, 1.0), ("a", 0, 3.0), ("b", 0, 1.0), ("b", 1, 90.0), model="ReLU")
    assert items.paired(first, second) == interval([(2 + 49) / 2, 6])
    of_one = items.paired(first[:2], second[:2])
    assert of_one == interval([2, 49])


def test_seeds_of_the_one_item_that_is_left_are_no_items():
    """Where a quantity has several items, those of a rival that has one of them are one pair."""
    many = rows(*((item, seed, 2.0 + seed) for item in "ab" for seed in range(5)))
    few = rows(*(("a", seed, 1.0) for seed in range(5)))
    assert items.paired(many, few).n == items.paired(few, many).n == 1
    alone = many[many["item"].eq("a")]
    assert items.paired(alone, few).n == 5


def test_pairs_of_losses_are_in_decades_within_an_item():
    first = rows(("a", 0, 1e-2), ("a", 1, 1e-4), ("b", 0, 1e-3), ("b", 1, 1e-3))
    second = rows(("a", 0, 1e-1), ("a", 1, 1e-1), ("b", 0, 1e-1), ("b", 1, 1e-1))
    over = items.paired(first, second, logarithmic=True)
    assert over.n == 2 and over.mean == pytest.approx(-2) and over.std == pytest.approx(0)


def test_each_quantity_is_summarized_alone():
    kinds = [
        ("", "A", 1, "psnr", "x", "dB"), ("", "A", 1, "psnr", "y", "dB"),
        ("", "A", 2, "psnr", "x", "dB"), ("", "B", None, "psnr", "x", "dB"),
        ("t-1", "A", 1, "psnr", "x", "dB"), ("", "A", 1, "psnr", "x", "%"),
        ("", "A", 1, "ssim", "x", "dB"),
    ]  # fmt: skip
    table = items.table([
        {"claim": c, "model": m, "step": s, "metric": k, "item": i, "seed": 0,
         "value": float(v), "unit": u}
        for v, (c, m, s, k, i, u) in enumerate(kinds)
    ])  # fmt: skip
    short = items.summarized(table)
    assert list(short["n"]) == [2, 1, 1, 1, 1, 1]
    assert list(short["mean"]) == [0.5, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert (short["low"][0], short["high"][0]) == (interval([0, 1]).low, interval([0, 1]).high)
