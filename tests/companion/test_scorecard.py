"""What the tables say of hand-made records of hand-made claims: each answer with what it rests on.

The answers themselves are tested in ``test_verdicts``; here is what they are given.
"""

import csv
import json

import numpy as np
import pytest
from scipy import stats

from inrkit import paths
from inrkit.companion import claims, items, measured, scorecard, verdicts
from inrkit.companion.measured import Measured, judge
from inrkit.companion.verdicts import Deviation

COLUMNS = ("id", "paper", "source", "experiment", "setting", "metric", "value", "spread", "unit",
           "better", "note", "reading", "items", "same_as", "quoted_from", "apart")  # fmt: skip
PSNR = {"source": "Table 1", "metric": "psnr", "unit": "dB", "better": "higher", "items": 6}
LOSS = {"source": "Table 2", "metric": "mse", "better": "lower"}
LONE = {"source": "Table 3", "better": ""}
CLAIMS = [
    {"id": "t-1", "setting": "SIREN; step=500", "value": 30, **PSNR, "reading": "last"},
    {"id": "t-2", "setting": "SPDER; step=500", "value": 40, **PSNR},
    {"id": "t-3", "setting": "ReLU; step=500", "value": 20, **PSNR},
    {"id": "t-4", "setting": "tanh; step=500", "value": 30, **PSNR},  # as SIREN's: no rank
    {"id": "t-5", "setting": "SPDER; step=100", "value": 10, **PSNR},  # another setting
    {"id": "t-6", "setting": "Gauss; step=500", "value": 99, **PSNR, "apart": "wall time"},
    {"id": "t-7", "setting": "SIREN", "value": 1e-3, **LOSS},
    {"id": "t-8", "setting": "SPDER", "value": 1e-5, **LOSS},
    {"id": "t-9", "setting": "SPDER / SIREN", "value": 2, **LONE, "metric": "time ratio"},
    {"id": "t-10", "setting": "SPDER - SIREN", "value": -3, **LONE, "metric": "psnr difference"},
    {"id": "t-11", "setting": "as many", "value": 1, **LONE, "metric": "size ratio"},
    {"id": "t-12", "setting": "SIREN", "value": 31, **PSNR, "source": "text", "same_as": "t-1",
     "reading": "last"},
    {"id": "t-13", "setting": "SIREN", "value": 3, **LONE, "metric": "rank", "same_as": "t-1"},
    {"id": "t-14", "setting": "GELU", "value": 7, **LONE, "metric": "time", "unit": "s"},
    {"id": "t-15", "setting": "ReLU", "value": 9, **LONE, "metric": "time", "unit": "s"},
    {"id": "t-18", "setting": "SIREN", "value": 30, **PSNR, "source": "text", "reading": "highest"},
    {"id": "t-19", "setting": "all", "value": 2, **LONE, "metric": "generation time"},
    {"id": "t-16", "setting": "SIREN", "value": 2, **LOSS, "metric": "rank"},
    {"id": "t-17", "setting": "SPDER", "value": 1, **LOSS, "metric": "rank"},
]  # fmt: skip
NAMES = list("abcdef")
SIREN = np.array([31.0, 29.0, 30.5, 33.0, 30.0, 31.0])
AHEAD = np.array([9.0, 10.0, 11.0, 10.0, 9.5, 12.0])
RUN = {"data": [], "profile": "paper", "device": {"name": "a processor"}, "start": "2026-01-01"}


def write(path, rows, columns):
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, columns, restval="")
        table.writeheader()
        table.writerows(rows)


@pytest.fixture(autouse=True)
def hand_made(tmp_path, monkeypatch):
    for name in ("CLAIMS", "TABLES", "STATEMENTS", "REASONS"):
        monkeypatch.setattr(paths, name, tmp_path / f"{name.lower()}.csv")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    shared = {"paper": "t", "experiment": "fits"}
    write(paths.CLAIMS, [{**shared, **claim} for claim in CLAIMS], COLUMNS)
    over = ({"paper": "t", "source": f"Table {i}", "items": 6} for i in range(1, 4))
    write(paths.TABLES, over, list(claims.TABLE))
    write(paths.REASONS, [{"pattern": "none", "reason": "none"}], ["pattern", "reason"])


def rows(claim, values, model="SIREN", names=NAMES, **settings):
    return [
        {"claim": claim, "model": model, **settings, "metric": "m", "item": item, "seed": 0,
         "value": float(value), "unit": ""}
        for value, item in zip(values, names[: len(values)], strict=True)
    ]  # fmt: skip


def record(*parts, id="t/a", deviations=(), **run):
    table = items.table([row for part in parts for row in part])
    return Measured(id, table, {**RUN, **run}, deviations)


def card(*records):
    return scorecard.scorecard({one.id: one for one in records}).set_index("id")


def student(values):
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))


def test_a_row_has_the_mean_its_interval_and_where_it_comes_from():
    table = card(record(rows("t-1", SIREN)))
    row, mean = table.loc["t-1"], SIREN.mean()
    found = list(row[["ours", "std", "low", "high", "n", "deviation"]])
    assert found == pytest.approx([mean, SIREN.std(ddof=1), *student(SIREN), 6, mean - 30])
    assert list(row[["claimed", "deviation_unit", "scale", "size"]]) == [30, "dB", "full", "agrees"]
    where = list(row[["profile", "hardware", "start", "notebook"]])
    assert where == ["paper", "a processor", "2026-01-01", "t/a"]
    assert list(table.loc["t-2"][["scale", "profile", "hardware", "start", "notebook"]]) == [
        "not measured", "", "", "", "",
    ]  # fmt: skip
    assert np.isnan(table["ours"].astype(float)["t-2"])


def test_the_first_record_with_an_answer_gives_it():
    first = record(rows("t-2", SIREN + AHEAD, "SPDER"), id="t/a")
    second, third = (record(rows("t-1", SIREN + i), id=f"t/{i}") for i in (1, 2))
    table = card(first, second, third)
    assert list(table["notebook"][["t-1", "t-2"]]) == ["t/1", "t/a"]
    assert table["ours"]["t-1"] == pytest.approx(SIREN.mean() + 1)
    assert table["order"]["t-1"] == ""  # the rival's numbers are of another record


def store_record(profile, id, value, run=RUN):
    folder = paths.RESULTS / profile / id
    folder.mkdir(parents=True)
    items.table(rows("t-14", [value], "GELU")).to_csv(folder / "metrics.csv", index=False)
    text = {"id": id, "parameters": {}, "versions": {}, "seconds": 1, "notes": [], "metrics": [],
            "figures": [], **run, "profile": profile}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(text))


def test_a_record_of_the_papers_profile_takes_the_place_of_a_quick_one():
    store_record("quick", "t/a", 1.0)
    assert scorecard.scorecard().set_index("id")["ours"]["t-14"] == 1
    store_record("paper", "t/a", 2.0)
    store_record("quick", "t/b", 3.0)
    store_record("smoke", "t/c", 4.0)  # never read
    found = measured.records()
    assert {id: one.run["profile"] for id, one in found.items()} == {"t/a": "paper", "t/b": "quick"}
    row = scorecard.scorecard().set_index("id").loc["t-14"]
    assert (row["ours"], row["profile"], row["notebook"]) == (2, "paper", "t/a")
    assert measured.records(["quick"])["t/a"].table["value"].tolist() == [1]


def test_every_rival_of_the_same_setting_is_ranked():
    spder = SIREN + AHEAD
    relu = SIREN - np.array([3.0, -4.0, 2.0, -2.0, 1.0, -1.0])
    one = record(
        rows("t-1", SIREN, reading="last"), rows("t-2", spder, "SPDER", reading="last"),
        rows("t-3", relu, "ReLU", reading="last"), rows("t-4", SIREN + 5, "tanh"),
        rows("t-5", SIREN - 50, "SPDER"), rows("t-6", SIREN - 50, "Gauss"),
    )  # fmt: skip
    found = scorecard.pairs({one.id: one}).set_index(["model", "rival"])
    assert list(found.index) == [
        ("SIREN", "SPDER"), ("SIREN", "ReLU"), ("SPDER", "SIREN"), ("SPDER", "ReLU"),
        ("SPDER", "tanh"), ("ReLU", "SIREN"), ("ReLU", "SPDER"), ("ReLU", "tanh"),
        ("tanh", "SPDER"), ("tanh", "ReLU"),
    ]  # fmt: skip
    for pair, gaps, order in (
        (("SIREN", "SPDER"), -AHEAD, "holds"),
        (("SIREN", "ReLU"), SIREN - relu, "undecided"),
        (("tanh", "SPDER"), 5 - AHEAD, "holds"),
        (("SPDER", "SIREN"), AHEAD, "holds"),
    ):
        row = found.loc[pair]
        ends = [gaps.mean(), *student(gaps), 6]
        assert list(row[["mean", "low", "high", "n"]]) == pytest.approx(ends)
        assert row["order"] == order
    table = card(one)
    assert list(table["order"][["t-1", "t-2", "t-5", "t-6"]]) == ["undecided", "holds", "", ""]


def test_losses_are_ranked_in_decades_and_where_one_is_zero_as_they_are():
    better = np.array([1e-5, 1e-6, 1e-5, 1e-5, 1e-6, 1e-5])
    for worse, gaps in ((100 * better, [-2.0] * 6), (0 * better, better - 0)):
        one = record(rows("t-8", better, "SPDER"), rows("t-7", worse))
        ((rival, gap, _decades, order),) = judge(claims.claims()["t-8"], one).pairs
        assert rival == "SIREN" and gap.mean == pytest.approx(np.mean(gaps))
        assert order == ("holds" if worse.any() else "reversed")


def test_ranks_are_ranked_as_they_are():
    one = record(rows("t-17", [1, 2, 1, 1, 1], "SPDER"), rows("t-16", [4, 8, 3, 4, 3]))
    ((rival, gap, _decades, order),) = judge(claims.claims()["t-17"], one).pairs
    assert (rival, order) == ("SIREN", "holds") and gap.mean == pytest.approx(-3.2)


@pytest.mark.parametrize(
    ("id", "values", "expected"),
    [
        ("t-9", [2.0, 4.0, 8.0, 4.0, 2.0], [0.301, 0.602, 0.903, 0.602, 0.301]),  # decades
        ("t-9", [2.0, 4.0, -1.0, 4.0, 2.0], [1.0, 3.0, -2.0, 3.0, 1.0]),
        ("t-10", [-2.0, -4.0, -3.0, -4.0, -2.0], [-2.0, -4.0, -3.0, -4.0, -2.0]),
    ],
)
def test_a_lone_ratio_is_ranked_against_one_and_a_difference_against_zero(id, values, expected):
    one = record(rows(id, values, "SPDER - SIREN"))
    ((rival, gap, _decades, order),) = judge(claims.claims()[id], one).pairs
    assert rival == ("0.0" if id == "t-10" else "1.0")
    assert gap.mean == pytest.approx(np.mean(expected), abs=1e-3) and gap.n == 5
    assert order == ("undecided" if min(map(abs, values)) == 1 else "holds")


def test_what_stands_apart_is_measured_and_has_no_other_answer():
    one = record(rows("t-6", SIREN, "Gauss"), rows("t-1", SIREN - 90, reading="last"))
    found = judge(claims.claims()["t-6"], one)
    assert (found.over.n, found.scale, found.size, found.order) == (6, "full", "", "")
    assert judge(claims.claims()["t-1"], one).pairs == ()


def test_a_ratio_is_a_word_of_the_metric():
    """Not part of one, as in generation."""
    assert judge(claims.claims()["t-19"], record(rows("t-19", SIREN))).pairs == ()


def test_intervals_say_whether_they_are_of_logarithms():
    zero = [1e-3] * 5, [0.0] * 5
    for values, decades in (([1e-3] * 5, [1e-5] * 5), True), (zero, False):
        parts = [rows(i, v, m) for i, v, m in zip(("t-7", "t-8"), values, "ab", strict=True)]
        assert scorecard.pairs({"t/a": record(*parts)})["decades"].tolist() == [decades] * 2


def test_what_is_claimed_to_be_equal_has_no_order():
    assert judge(claims.claims()["t-11"], record(rows("t-11", [2.0] * 5))).pairs == ()
    two = record(rows("t-14", [2.0] * 5, "GELU"), rows("t-15", [1.0] * 5, "ReLU"))
    assert judge(claims.claims()["t-14"], two).order == ""  # no score


@pytest.mark.parametrize(
    ("id", "settings", "answers"),
    [
        ("t-1", {}, True),
        ("t-1", {"reading": "last"}, True),
        ("t-1", {"reading": None}, True),
        ("t-1", {"reading": "lowest"}, False),
        ("t-2", {"reading": "lowest"}, True),  # any
        ("t-18", {}, False),
        ("t-18", {"reading": None}, False),
        ("t-18", {"reading": "highest"}, True),
    ],
)
def test_a_reading_is_answered_by_itself_alone(id, settings, answers):
    one = record(rows(id, SIREN, **settings))
    assert len(one.rows(claims.claims()[id])) == (6 if answers else 0)
    assert judge(claims.claims()[id], one).scale == ("full" if answers else "not measured")


def test_a_number_that_is_printed_again_is_answered_by_the_first():
    known = claims.claims()
    one = record(rows("t-1", SIREN))
    assert judge(known["t-12"], one).over.mean == pytest.approx(SIREN.mean())
    assert judge(known["t-13"], one).over is None  # another quantity of the same fits
    own = record(rows("t-1", SIREN), rows("t-12", SIREN + 1))
    assert judge(known["t-12"], own).over.mean == pytest.approx(SIREN.mean() + 1)
    assert judge(known["t-1"], own).over.mean == pytest.approx(SIREN.mean())


def test_the_scale_is_that_of_the_model_its_items_and_the_data():
    steps = Deviation("steps", 500, 5, models=("SPDER",))
    parts = rows("t-1", SIREN), rows("t-2", SIREN, "SPDER"), rows("t-3", SIREN[:5], "ReLU")
    table = card(record(*parts, rows("t-14", SIREN, "GELU"), deviations=(steps,)))
    scales = list(table["scale"][["t-1", "t-2", "t-3", "t-14"]])
    assert scales == ["full", "reduced", "subset", "full"]
    for of, scale in ((6, "full"), (7, "subset")):
        part = record(rows("t-14", SIREN, "GELU"), data=[{"n": 1, "of": 1}, {"n": 6, "of": of}])
        assert card(part)["scale"]["t-14"] == scale
    assert list(table["size"][["t-1", "t-2"]]) == ["agrees", ""]


def test_a_reason_is_for_what_did_not_come_out():
    write(
        paths.REASONS,
        [{"pattern": "t: fits: SPDER", "reason": "of a model"}, {"pattern": "t-3", "reason": "own"},
         {"pattern": "t: fits", "reason": "of all"}],
        ["pattern", "reason"],
    )  # fmt: skip
    reasons = card(record(rows("t-1", SIREN), rows("t-3", SIREN)))["reason"]
    assert reasons["t-1"] == ""  # it agrees
    assert (reasons["t-2"], reasons["t-3"], reasons["t-4"]) == ("of a model", "own", "of all")
    write(paths.REASONS, [{"pattern": "none", "reason": "none"}], ["pattern", "reason"])
    reasons = card(record(rows("t-3", SIREN)))["reason"]
    assert (reasons["t-3"], reasons["t-2"]) == ("", "no chapter measures it yet")


def test_numbers_of_answers_by_paper():
    table = scorecard.scorecard({"t/a": record(rows("t-1", SIREN), rows("t-3", SIREN))})
    table.loc[table["id"].eq("t-14"), "paper"] = "another"
    counts = scorecard.summary(table, "size", ("worse", "better", "agrees"))
    assert list(counts.index) == ["t", "another", "all"]
    assert list(counts.columns) == ["worse", "better", "agrees"]
    assert counts.to_numpy().tolist() == [[0, 1, 2], [0, 0, 0], [0, 1, 2]]  # t-12 is t-1
    counts = scorecard.summary(table, "scale", verdicts.SCALES)
    assert counts.loc["another"].tolist() == [0, 0, 0, 1]


def test_a_statement_stands_beside_its_answer_evidence_and_reason():
    columns = ("id", "paper", "section", "statement", "notebook", "criterion", "rule", "least",
               "doubt")  # fmt: skip
    rule = 'value("m", "SIREN") > 3 and value("m", "SPDER") > 4'
    shared = {"paper": "t", "section": "2", "statement": "So it is.", "criterion": "as said"}
    write(
        paths.STATEMENTS,
        [{"id": "t-S1", **shared, "notebook": "t/b; t/a", "rule": rule, "doubt": "untuned"},
         {"id": "t-S2", **shared, "notebook": "t/a", "rule": rule, "least": 6},
         {"id": "t-S3", **shared, "notebook": "t/b", "rule": rule},
         {"id": "t-S4", **shared, "notebook": "t/c", "rule": rule}],
        columns,
    )  # fmt: skip
    parts = rows("t-1", SIREN[:5]), rows("t-2", SIREN[:5] + 10, "SPDER")
    four = rows("t-1", SIREN[:4]), rows("t-2", SIREN[:4] + 10, "SPDER")  # 5, where none is said
    measures = {"t/a": record(*parts), "t/c": record(*four, id="t/c")}
    table = scorecard.stated(measures).set_index("id")
    assert list(table["answer"]) == ["undecided", "undecided", "not measured", "undecided"]
    assert list(table["reason"]) == ["untuned", "", "", ""]
    first, second = table["evidence"]["t-S1"].split("; ")
    assert "SIREN" in first and "(asked: > 3)" in first
    assert "SPDER" in second and "(asked: > 4)" in second
    assert list(table["notebook"]) == ["t/b; t/a", "t/a", "t/b", "t/c"]
    row = table.loc["t-S1"]
    assert list(row[list(shared)]) == list(shared.values())
