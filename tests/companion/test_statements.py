"""Statements decided by rules over hand-made records."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from inrkit import paths
from inrkit.companion import items, notebooks, statements
from inrkit.companion.errors import CompanionError
from inrkit.companion.measured import Measured
from inrkit.companion.statements import Statement, decide
from inrkit.companion.verdicts import Deviation

SIREN = np.array([31.0, 33.0, 30.0, 35.0, 32.0])
SPDER = SIREN + np.array([10.0, 11.0, 9.0, 10.5, 10.0])
NAMES = list("abcde")


def rows(model, metric, values, names=NAMES, seeds=None, **settings):
    seeds = seeds or [0] * len(values)
    return [
        {"claim": "", "model": model, **settings, "metric": metric, "item": i, "seed": s,
         "value": float(v), "unit": ""}
        for v, i, s in zip(values, names, seeds, strict=True)
    ]  # fmt: skip


TABLE = items.table([
    *rows("SIREN", "psnr", SIREN, step=500), *rows("SPDER", "psnr", SPDER, step=500),
    *rows("SIREN", "psnr", SIREN - 9, step=100), *rows("SPDER", "psnr", SIREN - 9.1, step=100),
    *rows("ReLU", "psnr", SIREN - 20, step=500),
    *rows("SIREN", "mse", [1e-3, 1e-2, 1e-3, 1e-2, 1e-3]),
    *rows("SPDER", "mse", [1e-5, 1e-5, 1e-6, 1e-5, 1e-6]),
    *rows("SPDER", "exact share", [1.0, 1.0, 0.2, 1.0, 1.0]),
    *rows("", "error", [1e-12, 3e-12], names=["", ""], seeds=[0, 1]),
    *rows("FINER", "diagonal", [3.0, 3.1, 3.0, 3.2, 3.1], k=1),
    *rows("FINER", "diagonal", [7.0, 7.1, 7.0, 7.2, 7.1], k=5),
    *rows("FINER", "diagonal", [30.0, 31, 30, 32, 31], k=10),
    *rows("FINER", "valley", [3.0, 3.1, 3.0, 3.2, 3.1], k=1),
    *rows("FINER", "valley", [9.0, 9.1, 9.0, 9.2, 9.1], k=5),
    *rows("FINER", "valley", [5.0, 5.2, 5.0, 5.1, 5.0], k=10),
    *rows("Gauss", "valley", [0.0, 0.1, 0.0, 0.2, 0.1], k=1),
    *rows("ReLU", "valley", [4.0, 4.1, 4.2, 4.0, 4.0], k=1),
])  # fmt: skip
RUN = {"data": []}
FULL = Measured("spder/a", TABLE, RUN, ())
REDUCED = Measured("spder/a", TABLE, RUN, (Deviation("steps", 500, 5, models=("SPDER",)),))
BASE = Statement("s-1", "spder", "1", "It is so.", "spder/a", "as said", "", 5, "")


def decided(rule, record=FULL, **changes):
    statement = dataclasses.replace(BASE, rule=rule, **changes)
    return decide(statement, {record.id: record} if record else {})


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ('gap("psnr", "SPDER", "SIREN", step=500) > 5', "holds"),
        ('gap("psnr", "SPDER", "SIREN", step="max") > 5', "holds"),
        ('gap("psnr", "SPDER", "SIREN", step="min") > 5', "fails"),
        ('gap("psnr", "SPDER", "SIREN", step=500) > 10.1', "undecided"),
        ('gap("psnr", "SIREN", "SPDER", step=500) > -5', "fails"),
        ('gap("psnr", "SIREN", "SPDER", step=500) < -5', "holds"),
        ('5 < gap("psnr", "SPDER", "SIREN", step=500) < 20', "holds"),
        ('5 < gap("psnr", "SPDER", "SIREN", step=500) < 10.1', "undecided"),
        ('5 < gap("psnr", "SPDER", "SIREN", step=500) < 6', "fails"),
        ('value("psnr", "ReLU") < 20 and value("psnr", "SIREN", step=500) > 20', "holds"),
        ('value("psnr", "ReLU") > 20 or value("psnr", "SIREN", step=500) > 20', "holds"),
        ('value("psnr", "ReLU") > 20 and value("psnr", "SIREN", step=500) > 20', "fails"),
        ('value("psnr", "ReLU") > 12 and value("psnr", "SIREN", step=500) > 20', "undecided"),
        ('ratio("mse", "SIREN", "SPDER") > 30', "holds"),
        ('ratio("mse", "SIREN", "SPDER") > 1e5', "fails"),
        ('lead("psnr", "SPDER", step=500) > 5', "holds"),
        ('lead("psnr", "SIREN", step=500) > 5', "fails"),
        ('lead("psnr", "SIREN", step=500, among=("ReLU",)) > 5', "holds"),
        ('lead("mse", "SPDER", lower=True) > 1e-4', "undecided"),
        ('every("psnr", "SPDER", "SIREN", step=500) > 8.9', "holds"),
        ('every("psnr", "SPDER", "SIREN", step=500) > 9.1', "fails"),
        ('every("mse", "SPDER", "SIREN", lower=True) > 0', "holds"),
        ('fraction("exact share", "SPDER", above=0.99) > 0.2', "holds"),
        ('fraction("exact share", "SPDER", above=0.99) > 0.5', "undecided"),
        ('fraction("exact share", "SPDER", above=1) > 0.2', "holds"),  # ends are within
        ('fraction("exact share", "SPDER", below=0.2) < 0.7', "holds"),
        ('fraction("exact share", "SPDER", above=0.2, below=1) > 0.5', "holds"),
        ('rise("diagonal", "FINER", over="k") > 0', "holds"),
        ('rise("psnr", "SIREN", over="step") > 10', "fails"),
        ('rise("psnr", "SIREN", over="revisit") > 10', "not measured"),
        ('highest("psnr", step=500) < 50', "holds"),
        ('lowest("psnr", step=500) > 50', "fails"),
        ('highest("exact share", "SPDER") <= 1', "holds"),
        ('highest("exact share", "SPDER") < 1', "fails"),
        ('lowest("exact share", "SPDER") >= 0.2', "holds"),
        ('lowest("exact share", "SPDER") > 0.2', "fails"),
        ('0.2 <= lowest("exact share", "SPDER") <= 0.2', "holds"),
        ('1 >= highest("exact share", "SPDER") >= 1', "holds"),
        ('1 > highest("exact share", "SPDER")', "fails"),
        ('0.2 < lowest("exact share", "SPDER")', "fails"),
        ('rise("valley", "FINER", over="k") > -3', "fails"),  # the smallest, be it the last
        ('rise("valley", "FINER", over="k") < -3', "holds"),
        ('lead("valley", "FINER", k=1) > 1', "fails"),  # the best of the others, be it the last
        ('lead("valley", "FINER", k=1, lower=True) < -2', "holds"),
        ('value("ssim", "SPDER") > 0', "not measured"),
        ('value("psnr", "tanh") > 0', "not measured"),
        ('value("psnr", "SIREN", step=7) > 0', "not measured"),
        ('value("psnr", "SIREN", width=7) > 0', "not measured"),
        ('value("psnr", "ReLU", at="spder/b") < 99', "not measured"),
        ('value("psnr", "SIREN", step=500.0) > 1', "holds"),  # numbers are compared as numbers
        ('value("diagonal", "FINER", k=1.0) < 4', "holds"),
        ('value("psnr", "SIREN", step="500") > 1', "holds"),
        ("", "not measured"),
    ],
)
def test_rules(rule, answer):
    assert decided(rule).answer == answer


def test_the_interval_is_the_paired_one():
    over = stats.t.interval(
        0.95, 4, loc=(SPDER - SIREN).mean(), scale=stats.sem(SPDER - SIREN)
    )  # fmt: skip
    (said,) = decided('gap("psnr", "SPDER", "SIREN", step=500) > 5').evidence
    assert f"[{over[0]:.3g}, {over[1]:.3g}], n = 5" in said and "(asked: > 5)" in said


def of(*parts):
    return Measured("spder/a", items.table([row for part in parts for row in part]), RUN, ())


@pytest.mark.parametrize("name", ["Gauss", "tanh"])  # before and after ReLU
@pytest.mark.parametrize("names", [["x"] * 5, ["a"]])
def test_a_rival_without_pairs_is_not_passed_over(name, names):
    rival = rows(name, "psnr", [0.0] * len(names), names=names, seeds=range(len(names)))
    record = of(rows("SPDER", "psnr", SPDER), rows("ReLU", "psnr", SIREN), rival)
    found = decided('lead("psnr", "SPDER") > 0', record)
    assert found.answer == "undecided" and f"n = {names.count('a')} (" in found.evidence[0]


def test_a_lead_is_above_what_each_rival_leaves():
    """The second rival is worse on average, and less surely so."""
    near, far = SPDER - [5, 6, 5, 6, 5], SPDER - [1, 30, -2, 25, 3]
    record = of(*(rows(m, "psnr", v) for m, v in (("SPDER", SPDER), ("A", near), ("B", far))))
    assert decided('lead("psnr", "SPDER", among=("A",)) > 0', record).answer == "holds"
    assert decided('lead("psnr", "SPDER") > 0', record).answer == "undecided"


def test_a_rise_that_is_unknown_anywhere_is_unknown():
    levels = [rows("SIREN", "psnr", SIREN + 9 * k, k=k) for k in (1, 2)]
    assert decided('rise("psnr", "SIREN", over="k") > 0', of(*levels)).answer == "holds"
    levels += [rows("SIREN", "psnr", [99.0], names=["a"], k=3)]
    assert decided('rise("psnr", "SIREN", over="k") > 0', of(*levels)).answer == "undecided"


def test_levels_are_ordered_as_numbers_and_what_is_none_has_no_order():
    texts = [rows("SIREN", "psnr", SIREN + 9 * i, k=k) for i, k in enumerate(("2", "10", "30"))]
    assert decided('rise("psnr", "SIREN", over="k") > 0', of(*texts)).answer == "holds"
    texts += [rows("SIREN", "psnr", SIREN, k="all")]
    for rule in ('rise("psnr", "SIREN", over="k") > 0', 'value("psnr", "SIREN", k="max") > 0'):
        found = decided(rule, of(*texts))
        assert found.answer == "undecided" and "k is no number" in found.reason


def test_a_rise_is_of_one_quantity():
    parts = [rows("SIREN", "psnr", SIREN + 9 * k + w, k=k, w=w) for k in (1, 2) for w in (1, 2)]
    found = decided('rise("psnr", "SIREN", over="k") > 0', of(*parts))
    assert found.answer == "undecided" and "2 quantities" in found.reason
    assert decided('rise("psnr", "SIREN", over="k", w=1) > 0', of(*parts)).answer == "holds"


@pytest.mark.parametrize("quantity", ["gap", "every", "ratio"])
def test_models_are_compared_at_the_same_extreme_of_one_record(quantity):
    rule = quantity + '("psnr", "SPDER", "SIREN", step="max") > 0'
    spder, siren = rows("SPDER", "psnr", SPDER, step=500), rows("SIREN", "psnr", SIREN, step=300)
    found = decided(rule, of(spder, siren))
    assert found.answer == "undecided" and "another step" in found.reason
    records = {"spder/a": of(spder), "spder/b": of(rows("SIREN", "psnr", SIREN, step=500))}
    statement = dataclasses.replace(BASE, rule=rule, notebook="spder/a; spder/b")
    found = decide(statement, records)
    assert found.answer == "undecided" and "another record" in found.reason


@pytest.mark.parametrize("loss", [0.0, -1e-3])
def test_there_is_no_ratio_of_what_is_not_above_zero(loss):
    record = of(rows("SIREN", "mse", [1e-3] * 5), rows("SPDER", "mse", [1e-5] * 4 + [loss]))
    found = decided('ratio("mse", "SIREN", "SPDER") > 1', record)
    assert found.answer == "undecided" and "not above 0" in found.reason
    assert decided('gap("mse", "SIREN", "SPDER") > 0', record).answer == "holds"


def test_the_evidence_says_how_many_items_are_lacking_and_tells_numbers_apart():
    (said,) = decided('value("psnr", "ReLU") > 1', least=6).evidence
    assert said.endswith("n = 5 (asked: > 1, of 6 or more)")
    near = of(rows("SIREN", "rho", [0.99993, 0.99994, 0.99993, 0.99994, 0.99993]))
    (said,) = decided('value("rho", "SIREN") > 0.99992', near).evidence
    assert (
        "0.99993 [0.99993, 0.99994]" in said
        and decided('value("rho", "SIREN") > 0.99992', near).answer == "holds"
    )


def test_a_share_has_wilsons_interval():
    """Wilson 1927, Eq. 7, of 4 out of 5."""
    z, p, n = stats.norm.ppf(0.975), 0.8, 5
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((p + z**2 / (2 * n)) / (1 + z**2 / n) + sign * half for sign in (-1, 1))
    (said,) = decided('fraction("exact share", "SPDER", above=0.99) > 0').evidence
    assert said.endswith(f": 0.8 [{low:.3g}, {high:.3g}], n = 5 (asked: > 0)")


def test_the_first_record_of_the_statements_order_that_has_a_quantity_gives_it():
    parts = {
        "spder/b": rows("SIREN", "psnr", SIREN + 100),
        "spder/a": rows("SIREN", "psnr", SIREN),
        "spder/c": rows("SIREN", "mse", SIREN),
    }
    records = {id: Measured(id, items.table(part), RUN, ()) for id, part in parts.items()}
    for notebook, at, answer in (
        ("spder/a; spder/b", "", "fails"),
        ("spder/b; spder/a", "", "holds"),
        ("spder/c; spder/b", "", "holds"),
        ("spder/a; spder/b", ', at="spder/b"', "holds"),
        ("spder/c", "", "not measured"),
    ):
        rule = f'value("psnr", "SIREN"{at}) > 100'
        statement = dataclasses.replace(BASE, rule=rule, notebook=notebook)
        assert decide(statement, records).answer == answer


def test_an_interval_of_one_value_decides_nothing():
    one = Measured("spder/a", items.table(rows("SIREN", "psnr", [31.0], names=["a"])), RUN, ())
    assert decided('value("psnr", "SIREN") > 1', one, least=1).answer == "undecided"
    assert decided('value("psnr", "SIREN") < 1', one, least=1).answer == "undecided"
    assert decided('highest("psnr", "SIREN") > 1', one, least=1).answer == "holds"  # no mean


def test_rows_that_answer_a_claim_are_of_the_same_quantity():
    table = items.table(rows("SIREN", "psnr", SIREN))
    table.loc[:2, "claim"] = "spder-034"
    found = decided('value("psnr", "SIREN") > 20', Measured("spder/a", table, RUN, ()))
    assert found.answer == "holds" and "n = 5" in found.evidence[0]


def test_too_few_items_decide_nothing():
    rule = 'highest("error") < 1e-10'
    assert decided(rule).answer == "undecided"
    assert decided(rule, least=2).answer == "holds"
    assert decided('value("psnr", "ReLU") < 99', least=6).answer == "undecided"
    pooled = 'highest("psnr", step=500) < 99'  # models and settings are no items
    assert decided(pooled, least=5).answer == "holds"
    assert decided(pooled, least=6).answer == "undecided"


def test_reduced_settings_support_and_do_not_refute():
    assert decided('gap("psnr", "SPDER", "SIREN", step=500) > 5', REDUCED).answer == (
        "holds at reduced settings"
    )
    against = decided('gap("psnr", "SPDER", "SIREN", step=500) < 5', REDUCED)
    assert against.answer == "undecided" and "reduced" in against.reason
    assert decided('value("psnr", "ReLU") > 99', REDUCED).answer == "fails"  # not touched
    for rule in (
        'highest("psnr", step=500) > 99',  # one of its models is touched, whichever
        'value("psnr", "SPDER", step=500) > 99 and value("psnr", "ReLU") > 99',
        'value("psnr", "ReLU") > 99 and value("psnr", "SPDER", step=500) > 99',
    ):
        assert decided(rule, REDUCED).answer == "undecided"
    doubted = decided('value("psnr", "SPDER", step=500) > 9', REDUCED, doubt="untuned")
    assert (doubted.answer, doubted.reason) == ("undecided", "untuned")


@pytest.mark.parametrize(
    ("doubt", "good", "bad"),
    [
        ("the rival is untuned", "undecided", "undecided"),
        ("holds: the rival is untuned", "undecided", "fails"),
        ("fails: the stand-in is too strong", "holds", "undecided"),
        ("rivals: untuned", "undecided", "undecided"),
    ],
)
def test_doubts(doubt, good, bad):
    found = decided('gap("psnr", "SPDER", "SIREN", step=500) > 5', doubt=doubt)
    assert found.answer == good
    if good == "undecided":
        assert found.reason in doubt and not found.reason.startswith("holds")
    assert decided('gap("psnr", "SPDER", "SIREN", step=500) < 5', doubt=doubt).answer == bad


def test_several_quantities_decide_nothing():
    found = decided('value("psnr", "SIREN") > 1')
    assert found.answer == "undecided" and "2 quantities" in found.reason


def test_without_a_record_nothing_is_measured():
    assert decided('value("psnr", "ReLU") < 99', None).answer == "not measured"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('median("psnr") > 1', "one of value"),
        ('value("psnr", "ReLU")', "comparisons"),
        ('value("psnr", "ReLU") == 3', "quantity > number"),
        ("3 > 2", "quantity > number"),
        ('value("psnr", open("x")) > 1', "numbers, texts"),
        ('__import__("os").system("true") > 1', "one of value"),
        ("value(", "not an expression"),
    ],
)
def test_bad_rules_end_in_a_sentence(rule, said):
    with pytest.raises(CompanionError, match=said):
        decided(rule)


def test_the_table_of_statements():
    known = statements.statements()
    assert len({s.id for s in known}) == len(known) >= 48
    papers = {notebook.id for notebook in notebooks.discover()}
    for statement in known:
        assert set(statement.notebooks) <= papers, statement.id
        assert statement.statement and statement.criterion and statement.section
        decide(statement, {})
    assert {s.paper for s in known} == {"siren", "spder", "finer", "implicit2", "insp"}


def test_every_rule_can_be_read():
    records = {
        id: Measured(id, items.table([]), RUN, ())
        for statement in statements.statements()
        for id in statement.notebooks
    }
    assert {found.answer for found in statements.findings(records)} == {"not measured"}
    assert paths.STATEMENTS.exists()
