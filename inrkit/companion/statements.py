"""The papers' headline statements, each decided by a rule over records.

A rule is a line of comparisons, joined by ``and`` or ``or``, of measured quantities with numbers:

``gap("psnr", "SPDER", "SIREN", step=500, reading="last") > 20``

Each quantity is an interval over independent items or seeds, of the records that the statement
names. A comparison holds where the whole 95% interval lies on the stated side of the number, fails
where it lies on the other, and is undecided in between or with fewer items than the statement asks
for. What is measured at reduced settings can support a statement, and cannot refute it.
"""

import ast
import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd
from scipy import stats

from inrkit import paths, tables
from inrkit.companion import items, verdicts
from inrkit.companion.errors import InputError
from inrkit.companion.measured import Measured
from inrkit.measure.intervals import Interval

HOLDS, HOLDS_REDUCED, UNDECIDED, FAILS, NOT_MEASURED = (
    "holds", "holds at reduced settings", "undecided", "fails", "not measured"
)  # fmt: skip
ANSWERS = (HOLDS, HOLDS_REDUCED, UNDECIDED, FAILS, NOT_MEASURED)
COMPARISONS = {ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le}
EXTREMES = ("max", "min")  # of a setting
SIGNS = {ast.Gt: ">", ast.GtE: "≥", ast.Lt: "<", ast.LtE: "≤"}


@dataclass(frozen=True)
class Statement:
    """A row of ``data/statements.csv``.

    Attributes:
        notebook: ids of the notebooks whose records decide it, between semicolons.
        criterion: what would make it true, in words.
        rule: the same for a program; empty where nothing recorded bears on it.
        least: independent items, runs or networks that it takes.
        doubt: why the answer could be due to our stand-in or to an untuned baseline; where it says
            ``holds:`` or ``fails:`` first, only that answer is put in doubt.
    """

    id: str
    paper: str
    section: str
    statement: str
    notebook: str
    criterion: str
    rule: str
    least: int
    doubt: str

    @property
    def notebooks(self) -> list[str]:
        return [id.strip() for id in self.notebook.split(";") if id.strip()]


@dataclass(frozen=True)
class Finding:
    """What the records say about a statement.

    Attributes:
        answer: one of ``ANSWERS``.
        evidence: each comparison with its interval, in words.
        reason: why it is undecided, where something other than the interval is the cause.
    """

    statement: Statement
    answer: str
    evidence: tuple[str, ...] = ()
    reason: str = ""


def statements() -> list[Statement]:
    """All statements, in the order of ``data/statements.csv``."""
    kinds = {
        f.name: tables.maybe(tables.whole) if f.type is int else str for f in fields(Statement)
    }
    rows = tables.rows(paths.STATEMENTS, kinds, key=("id",))
    return [Statement(**{**row, "least": row["least"] or verdicts.FEWEST}) for row in rows]


def findings(records: Mapping[str, Measured]) -> list[Finding]:
    """Every statement, decided.

    Args:
        records: by notebook id, from :func:`~inrkit.companion.measured.records`.
    """
    return [decide(statement, records) for statement in statements()]


def decide(statement: Statement, records: Mapping[str, Measured]) -> Finding:
    """What the records say about one statement.

    Raises:
        InputError: the rule is not one.
    """
    known = {id: records[id] for id in statement.notebooks if id in records}
    if not statement.rule or not known:
        return Finding(statement, NOT_MEASURED)
    reader = _Reader(statement, known)
    try:
        answer = reader.answer(ast.parse(statement.rule, mode="eval").body)
    except _Unmeasured as absent:
        return Finding(statement, NOT_MEASURED, tuple(reader.said), str(absent))
    except _Ambiguous as several:
        return Finding(statement, UNDECIDED, tuple(reader.said), str(several))
    except SyntaxError as error:
        raise InputError(f"{statement.id}: the rule is not an expression: {error}") from error
    answer, reason = _weighed(answer, statement.doubt, reduced=reader.reduced)
    return Finding(statement, answer, tuple(reader.said), reason)


def _weighed(answer: str, doubt: str, *, reduced: bool) -> tuple[str, str]:
    """An answer in the light of the scale and of doubts, and why it is undecided."""
    about, colon, why = doubt.partition(":")
    about, why = (about, why.strip()) if colon and about in (HOLDS, FAILS) else ("", doubt)
    if doubt and answer in ((about,) if about else (HOLDS, FAILS)):
        return UNDECIDED, why
    if reduced and answer == FAILS:
        return UNDECIDED, "reduced settings cannot refute it"
    return (HOLDS_REDUCED if reduced and answer == HOLDS else answer), ""


class _Unmeasured(Exception):
    """A rule asks for what no record holds."""


class _Ambiguous(Exception):
    """A rule asks for one quantity where a record holds several."""


@dataclass
class _Reader:
    """Evaluates a rule over records, and notes what it saw."""

    statement: Statement
    records: Mapping[str, Measured]
    said: list[str] = field(default_factory=list)
    reduced: bool = False
    source: str = ""  # id of the record that was read last

    def answer(self, node: ast.expr) -> str:
        if isinstance(node, ast.BoolOp):
            found = [self.answer(value) for value in node.values]
            first, last = (FAILS, HOLDS) if isinstance(node.op, ast.And) else (HOLDS, FAILS)
            return first if first in found else UNDECIDED if UNDECIDED in found else last
        if not isinstance(node, ast.Compare):
            raise self.wrong("comparisons joined by and, or")
        sides = [node.left, *node.comparators]
        found = [self.compared(*part) for part in zip(sides, node.ops, sides[1:], strict=False)]
        return FAILS if FAILS in found else UNDECIDED if UNDECIDED in found else HOLDS

    def compared(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> str:
        """One comparison of a quantity with a number, on either side."""
        if isinstance(right, ast.Call):
            turned = {ast.Gt: ast.Lt, ast.GtE: ast.LtE, ast.Lt: ast.Gt, ast.LtE: ast.GtE}
            return self.compared(right, turned.get(type(sign), type(sign))(), left)
        if not isinstance(left, ast.Call) or type(sign) not in COMPARISONS:
            raise self.wrong("quantity > number, or quantity < number")
        number = self.literal(right)
        if not isinstance(number, int | float):
            raise self.wrong("a number to compare with")
        found = self.quantity(left)
        few = f", of {self.statement.least} or more" if found.n < self.statement.least else ""
        said = _said(left, found, number)
        self.said.append(f"{said} (asked: {SIGNS[type(sign)]} {number:g}{few})")
        if found.n < self.statement.least or math.isnan(found.low):
            return UNDECIDED
        compare = COMPARISONS[type(sign)]
        ends = compare(found.low, number), compare(found.high, number)
        return HOLDS if all(ends) else UNDECIDED if any(ends) else FAILS

    def quantity(self, call: ast.Call) -> Interval:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name not in QUANTITIES:
            raise self.wrong(f"one of {', '.join(QUANTITIES)}, got {name!r}")
        arguments = [self.literal(value) for value in call.args]
        given = {word.arg: self.literal(word.value) for word in call.keywords}
        try:
            inspect.signature(QUANTITIES[name]).bind(self, *arguments, **given)
        except TypeError as error:
            raise self.wrong(f"other arguments of {name} ({error})") from error
        return QUANTITIES[name](self, *arguments, **given)

    def literal(self, node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except ValueError as error:
            raise self.wrong("numbers, texts and tuples as arguments") from error

    def wrong(self, accepted: str) -> InputError:
        return InputError(f"{self.statement.id}: a rule has {accepted}: {self.statement.rule}")

    def rows(
        self, metric: str, model: str | None = None, at: str | None = None, **wanted: Any
    ) -> pd.DataFrame:
        """The rows of a metric that have these settings, from the first record with any.

        ``"max"`` and ``"min"`` stand for the largest and the smallest value of a setting.
        """
        for id, record in self.records.items():
            table = record.table
            rows = table[table["metric"].eq(metric)] if at in (None, id) else table[:0]
            if model is not None:
                rows = rows[rows["model"].eq(model)]
            for name, value in wanted.items():
                column = rows[name] if name in rows else rows["model"].map(lambda _: None)
                if value in EXTREMES and len(rows):
                    value = getattr(_numbers(column), value)()
                rows = rows[_equal(column, value)]
            if len(rows):
                self.source = id
                for name in rows["model"].unique():
                    self.reduced |= record.scale(name) == verdicts.REDUCED
                return rows
        raise _Unmeasured(f"no record has {metric}, {model or 'any model'}, {wanted or 'as it is'}")

    def one(self, metric: str, model: str | None = None, **wanted: Any) -> pd.DataFrame:
        """Rows of a single quantity."""
        return _single(self.rows(metric, model, **wanted), f"{metric}, {model}, {wanted}")

    def pair(
        self, metric: str, first: str, second: str, **wanted: Any
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows of two models of one record, at the same of the settings asked for."""
        one, source = self.one(metric, first, **wanted), self.source
        other = self.one(metric, second, **wanted)
        apart = [name for name, value in wanted.items()
                 if value in EXTREMES and one[name].iloc[0] != other[name].iloc[0]]  # fmt: skip
        if apart or self.source != source:
            what = f"another {apart[0]}" if apart else "another record"
            raise _Ambiguous(f"{metric} of {first} and {second} are each of {what}")
        return one, other


def _value(reader: _Reader, metric: str, model: str | None = None, **wanted: Any) -> Interval:
    """Mean of a metric."""
    return items.summary(reader.one(metric, model, **wanted))


def _gap(reader: _Reader, metric: str, first: str, second: str, **wanted: Any) -> Interval:
    """Paired difference of two models."""
    return items.paired(*reader.pair(metric, first, second, **wanted))


def _ratio(reader: _Reader, metric: str, first: str, second: str, **wanted: Any) -> Interval:
    """Paired ratio of two models: the geometric mean over items, with its interval."""
    pair = reader.pair(metric, first, second, **wanted)
    if min(rows["value"].min() for rows in pair) <= 0:
        raise _Ambiguous(f"{metric} of {first} or {second} is not above 0: there is no ratio")
    over = items.paired(*pair, logarithmic=True)
    return Interval(10**over.mean, over.std, 10**over.low, 10**over.high, over.n)


def _lead(
    reader: _Reader, metric: str, model: str, lower: bool = False,
    among: Iterable[str] | None = None, **wanted: Any,
) -> Interval:  # fmt: skip
    """Paired difference of a model to the best of the others, positive where it is ahead."""
    sign = -1 if lower else 1
    rivals = among or set(reader.rows(metric, **wanted)["model"]) - {model}
    pairs = (reader.pair(metric, model, rival, **wanted) for rival in sorted(rivals))
    return _smallest(
        [items.paired(*(rows.assign(value=sign * rows["value"]) for rows in two)) for two in pairs]
    )


def _smallest(gaps: list[Interval]) -> Interval:
    """The smallest difference, above what each of them is above by its own interval.

    Where one of them has no interval, that one.
    """
    unknown = [gap for gap in gaps if math.isnan(gap.low)]
    if unknown:
        return min(unknown, key=lambda gap: gap.n)
    least = min(gaps, key=lambda gap: gap.mean)
    low, n = min(gap.low for gap in gaps), min(gap.n for gap in gaps)
    return Interval(least.mean, least.std, low, least.high, n)


def _extreme(pick: Callable) -> Callable:
    def extreme(reader: _Reader, metric: str, model: str | None = None, **wanted: Any) -> Interval:
        rows = reader.rows(metric, model, **wanted)
        value, n = float(pick(rows["value"])), len(items.units(rows))
        return Interval(value, math.nan, value, value, n)

    return extreme


def _every(
    reader: _Reader, metric: str, first: str, second: str, lower: bool = False, **wanted: Any
) -> Interval:
    """The smallest paired difference over items, positive where the first is ahead on each."""
    one, other = reader.pair(metric, first, second, **wanted)
    both = one.merge(other, on=["item", "seed"], suffixes=("", "_other"))
    gaps = items.units(both.assign(value=both["value"] - both["value_other"]), one, other)
    value = float((-gaps if lower else gaps).min()) if len(gaps) else math.nan
    return Interval(value, math.nan, value, value, len(gaps))


def _fraction(
    reader: _Reader, metric: str, model: str | None = None, *, above: float = -math.inf,
    below: float = math.inf, **wanted: Any,
) -> Interval:  # fmt: skip
    """Share of the items whose value lies between two numbers, with Wilson's interval."""
    values = items.units(reader.one(metric, model, **wanted))
    inside = int(((values >= above) & (values <= below)).sum())
    low, high = stats.binomtest(inside, len(values)).proportion_ci(method="wilson")
    return Interval(inside / len(values), math.nan, low, high, len(values))


def _rise(
    reader: _Reader, metric: str, model: str | None = None, *, over: str, **wanted: Any
) -> Interval:
    """Paired difference between neighbouring values of a setting, where it is smallest."""
    rows = reader.rows(metric, model, **wanted)
    if over not in rows:
        raise _Unmeasured(f"{metric} is recorded without {over}")
    at = _numbers(rows[over])
    levels = [
        _single(rows[at.eq(level)], f"{metric}, {model}, {wanted}, {over} = {level}")
        for level in sorted(at.dropna().unique())
    ]
    gaps = [items.paired(b, a) for a, b in zip(levels, levels[1:], strict=False)]
    if not gaps:
        raise _Unmeasured(f"{metric} is recorded at one {over} only")
    return _smallest(gaps)


QUANTITIES = {
    "value": _value, "gap": _gap, "ratio": _ratio, "lead": _lead, "lowest": _extreme(min),
    "highest": _extreme(max), "every": _every, "fraction": _fraction, "rise": _rise,
}  # fmt: skip


def _single(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Rows, if they are of one quantity."""
    found = len(list(items.groups(rows.assign(claim=""))))
    if found > 1:
        raise _Ambiguous(f"the record holds {found} quantities that are {what}")
    return rows


def _numbers(column: pd.Series) -> pd.Series:
    """A setting as numbers; rows without it stay without."""
    found = pd.to_numeric(column, errors="coerce")
    if (found.isna() & column.notna()).any():
        raise _Ambiguous(f"{column.name} is no number everywhere, and has no order")
    return found


def _equal(column: pd.Series, value: Any) -> pd.Series:
    """Where a setting has a value; numbers are compared as numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return pd.to_numeric(column, errors="coerce").eq(value)
    return column.astype(str).eq(str(value))


def _said(call: ast.Call, found: Interval, asked: float) -> str:
    """A quantity with its interval, with as many digits as tell it from the number asked."""
    values = {found.mean, found.low, found.high} - {asked}
    digits = next(d for d in range(3, 17) if f"{asked:.{d}g}" not in
                  {f"{value:.{d}g}" for value in values} or d == 16)  # fmt: skip
    names = [str(ast.literal_eval(value)) for value in call.args]
    names += [f"{word.arg} = {ast.literal_eval(word.value)}" for word in call.keywords]
    range_ = "" if math.isnan(found.low) or found.low == found.high else (
        f" [{found.low:.{digits}g}, {found.high:.{digits}g}]"
    )  # fmt: skip
    return f"{call.func.id} of {', '.join(names)}: {found.mean:.{digits}g}{range_}, n = {found.n}"
