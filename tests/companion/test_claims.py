"""The papers' numbers, and the table of them all."""

import csv
import dataclasses
import fnmatch

import pytest

from inrkit import paths
from inrkit.companion import claims, scorecard, verdicts
from inrkit.companion.claims import Claim, deviation

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
    assert set(table["scale"]) == {"not measured"} and set(table["size"] + table["order"]) == {""}
    counts = scorecard.summary(table, "scale", verdicts.SCALES)
    assert counts.loc["all", "not measured"] == len(table) == counts.loc["all"].sum()


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
