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
    assert all(id == claim.id for id, claim in known.items())
    assert {claim.better for claim in known.values()} == {"higher", "lower", ""}
    assert {claim.reading for claim in known.values()} == {"last", "lowest", "highest", ""}
    same = known["spder-034"], known["spder-036"]
    assert same[0].group == same[1].group and (same[0].model, same[1].model) == ("SIREN", "SPDER")
    for claim in known.values():
        assert claim.items is None or claim.items > 0
        assert bool(claim.spread) == bool(claim.spread_of), claim.id
        if claim.same_as:
            first = known[claim.same_as]  # of the same paper, and itself no repeat
            assert first.paper == claim.paper and not first.same_as
    for paper in ("siren", "spder", "finer", "implicit2", "insp"):
        numbers = [int(id.rpartition("-")[2]) for id in known if id.startswith(f"{paper}-")]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_every_table_says_what_its_spread_is():
    with paths.TABLES.open(newline="") as stream:
        tables = {(row["paper"], row["source"]): row for row in csv.DictReader(stream)}
    known = claims.claims().values()
    assert {(claim.paper, claim.source) for claim in known} == set(tables)
    said = {row["spread_of"] for row in tables.values()}
    assert said <= {"", claims.ITEMS, claims.RUNS, claims.ERROR}
    assert all(row["evidence"] for row in tables.values() if row["spread_of"])


def test_what_repeats_is_quoted_or_stands_apart_is_not_counted():
    known = claims.claims()
    assert not known["siren-001"].counts  # Table 4's number, printed again in Table 1
    assert not known["siren-068"].counts  # another machine's wall time
    assert not known["siren-010"].counts and known["siren-010"].quoted_from  # a CNP's
    assert known["spder-018"].counts


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
