"""Verdicts on hand-made claims: each branch by its definition."""

import csv
import dataclasses
import fnmatch

import pytest

from inrkit import paths
from inrkit.companion import claims, scorecard
from inrkit.companion.claims import Claim, deviation, verdict

LONE = Claim(
    id="t-1",
    paper="t",
    source="Table 1",
    experiment="fit",
    setting="SIREN; step=500; 256x256",
    metric="psnr",
    value=40.0,
    spread=None,
    unit="dB",
    better="",
    note="",
)


def like(**changes):
    return dataclasses.replace(LONE, **changes)


RELU = like(id="t-2", setting="ReLU; step=500; 256x256", value=20.0)


@pytest.mark.parametrize("scale", ["full", "subset"])
@pytest.mark.parametrize(
    ("claim", "value", "spread", "expected"),
    [
        (LONE, 41.9, None, "reproduced"),  # 5% of 40 is 2
        (LONE, 42.1, None, "not reproduced"),
        (LONE, 42.1, 9.0, "not reproduced"),  # our own spread alone excuses nothing
        (like(spread=3.0), 44.9, 4.0, "reproduced"),  # sqrt(3^2 + 4^2) = 5
        (like(spread=3.0), 45.1, 4.0, "not reproduced"),
        (like(spread=3.0), 43.1, None, "not reproduced"),
        (like(better="higher"), 60.0, None, "reproduced"),
        (like(better="lower"), 60.0, None, "not reproduced"),
        (like(better="lower"), 10.0, None, "reproduced"),
        (like(value=0.0), 1e-7, None, "reproduced"),  # rounding
        (like(value=0.0), 1e-3, None, "not reproduced"),
    ],
)
def test_size_at_the_papers_settings(claim, value, spread, scale, expected):
    assert verdict(claim, value, spread, scale) == expected


@pytest.mark.parametrize(
    ("value", "relu", "scale", "expected"),
    [
        (30.0, 25.0, "full", "partly"),  # too small, but above ReLU as claimed
        (24.0, 25.0, "full", "not reproduced"),
        (30.0, 25.0, "reduced", "partly"),
        (24.0, 25.0, "reduced", "not run"),  # nor can it refute
        (40.0, 25.0, "reduced", "partly"),  # a reduced run earns no verdict on size
        (40.0, 41.0, "full", "reproduced"),  # the size decides first
    ],
)
def test_ordering_within_the_group(value, relu, scale, expected):
    assert verdict(LONE, value, None, scale, [(RELU, relu)]) == expected


def test_every_other_claim_must_be_ordered():
    tanh = like(id="t-3", setting="Tanh; step=500; 256x256", value=50.0)
    assert verdict(LONE, 30.0, None, "full", [(RELU, 25.0), (tanh, 31.0)]) == "partly"
    assert verdict(LONE, 30.0, None, "full", [(RELU, 25.0), (tanh, 29.0)]) == "not reproduced"


def test_equal_claims_rank_nothing():
    equal = dataclasses.replace(RELU, value=40.0)
    assert verdict(LONE, 30.0, None, "full", [(equal, 35.0)]) == "not reproduced"


@pytest.mark.parametrize(
    ("metric", "claimed", "value", "expected"),
    [
        ("ratio", 1.3, 1.1, "partly"),
        ("ratio", 1.3, 0.9, "not reproduced"),
        ("loss ratio", 0.5, 0.9, "partly"),
        ("psnr difference", 5.0, 1.0, "partly"),
        ("psnr difference", 5.0, -1.0, "not reproduced"),
    ],
)
@pytest.mark.parametrize("scale", ["full", "reduced"])
def test_lone_ratios_and_differences(metric, claimed, value, expected, scale):
    if scale == "reduced" and expected == "not reproduced":
        expected = "not run"
    assert verdict(like(metric=metric, value=claimed), value, None, scale) == expected


def test_not_run():
    assert verdict(LONE, None, None, "full") == "not run"
    assert verdict(LONE, 40.0, None, "reduced") == "not run"  # nothing there to test


def test_groups_differ_in_the_model_alone(monkeypatch):
    other = like(id="t-4", setting="ReLU; step=100; 256x256")
    monkeypatch.setattr(claims, "claims", lambda: {c.id: c for c in (LONE, RELU, other)})
    found = claims.peers(LONE, {"t-1": 1.0, "t-2": 2.0, "t-4": 4.0})
    assert found == [(RELU, 2.0)]


@pytest.mark.parametrize(
    ("claim", "value", "expected"),
    [
        (LONE, 37.5, (-2.5, "dB")),
        (like(unit="", value=0.2), 0.3, (50.0, "%")),
        (like(unit="", value=-0.2), -0.3, (-50.0, "%")),
        (like(unit="", value=0.0), 0.3, (0.3, "")),
    ],
)
def test_deviation(claim, value, expected):
    size, unit = deviation(claim, value)
    assert (size, unit) == (pytest.approx(expected[0]), expected[1])


def test_the_table_of_claims():
    known = claims.claims()
    assert len(known) == 357
    assert all(id == claim.id for id, claim in known.items())
    assert {claim.better for claim in known.values()} == {"higher", "lower", ""}
    same = known["spder-034"], known["spder-036"]
    assert same[0].group == same[1].group and (same[0].model, same[1].model) == ("SIREN", "SPDER")


def test_claims_are_found_by_the_parts_of_their_setting():
    assert claims.find_claim("spder", "Table 1", "psnr", "step=500", "SIREN") == "spder-034"
    assert claims.find_claim("spder", "Table 1", "psnr", "SIREN+PE", "step=500") == ""
    assert claims.find_claim("spder", "Table 1", "psnr", None, "step=500") == ""
    with pytest.raises(claims.CompanionError, match="several"):
        claims.find_claim("spder", "Table 1", "psnr", "SIREN")


def test_an_empty_scorecard_has_every_claim(monkeypatch, tmp_path):
    monkeypatch.setattr("inrkit.paths.RESULTS", tmp_path)
    table = scorecard.scorecard()
    assert list(table["id"]) == list(claims.claims())
    assert set(table["verdict"]) == {"not run"}
    assert scorecard.summary(table).loc["all", "all"] == 357


def test_every_reason_is_for_a_known_claim_or_experiment():
    names = {claim.id for claim in claims.claims().values()}
    for claim in claims.claims().values():
        group = f"{claim.paper}: {claim.experiment}"
        names |= {group, f"{group}: {claim.model}"}
    with paths.REASONS.open(newline="") as stream:
        patterns = [row["pattern"] for row in csv.DictReader(stream)]
    assert patterns and all(fnmatch.filter(names, pattern) for pattern in patterns)


def test_reasons_stand_where_a_claim_did_not_come_out(monkeypatch, tmp_path):
    reasons = tmp_path / "reasons.csv"
    reasons.write_text("pattern,reason\nspder-034,the first\nspder: image *,the second\n")
    monkeypatch.setattr(paths, "REASONS", reasons)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    table = scorecard.scorecard().set_index("id")
    assert table.reason["spder-034"] == "the first"
    assert table.reason["spder-035"] == "the second"
    assert table.reason["siren-001"] == "no chapter measures it yet"
