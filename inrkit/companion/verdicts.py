"""Three answers to what a measurement says about a printed number: scale, size and order.

They stand side by side, as several criteria do in studies of replication (Errington et al.,
"Investigating the replicability of preclinical cancer biology", 2021), and none makes up for
another. Each is a pure function.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inrkit.companion.claims import ERROR, Claim
from inrkit.measure.intervals import Interval, prediction_interval

FULL, SUBSET, REDUCED, NOT_MEASURED = "full", "subset", "reduced", "not measured"
AGREES, BETTER, WORSE, DIFFERS = "agrees", "better", "worse", "differs"
HOLDS, REVERSED, UNDECIDED = "holds", "reversed", "undecided"
NONE = ""  # the question does not arise

SCALES = (FULL, SUBSET, REDUCED, NOT_MEASURED)
SIZES = (AGREES, BETTER, WORSE, DIFFERS)
ORDERS = (HOLDS, REVERSED, UNDECIDED)

RELATIVE_TOLERANCE = 0.05  # where the paper prints no spread
ROUNDING = 1e-6  # single precision: what "an error of 0" can mean
FEWEST = 5  # independent items that say something about a mean, or pairs about an order


@dataclass(frozen=True)
class Deviation:
    """One thing in which a run differs from the paper's own settings.

    Attributes:
        what: the parameter, or what stands in for the paper's data or program.
        paper, here: as the paper has it, and as it was run.
        models: whose numbers it touches; all of the record's where it names none.
    """

    what: str
    paper: object
    here: object
    models: tuple[str, ...] = ()

    def touches(self, model: str) -> bool:
        """Whether the numbers of a model are affected; differences of models by either's."""
        return not self.models or any(name in _parts(model) for name in self.models)


def _parts(model: str) -> set[str]:
    """``"SPDER - SIREN"``, ``"SIREN / SPDER"`` and ``"SPDER minus SIREN"`` name two models."""
    return {model, *re.split(r" - | / | minus | over | before ", model)}


def scale(
    deviations: Iterable[Deviation], model: str, n: int, items: int | None, partial: bool = False
) -> str:
    """How near a measurement is to the paper's own settings.

    - ``reduced``: a deviation touches it.
    - ``subset``: the paper's settings, on fewer items than the paper's.
    - ``full``: the paper's settings and number of items.

    Args:
        deviations: of the run.
        model: whose number it is.
        n: independent items or seeds measured.
        items: behind the paper's number, if it says so.
        partial: whether the run used part of the paper's data, where ``items`` is not known.
    """
    if any(deviation.touches(model) for deviation in deviations):
        return REDUCED
    fewer = partial if items is None else n < items
    return SUBSET if fewer else FULL


def accepted(claim: Claim, n: int) -> tuple[float, float]:
    """The interval in which a mean of n items agrees with a claim.

    The 95% prediction interval of the paper's mean, spread and number of items; the spread is a
    standard deviation, unless the table says that it is a standard error. Where the number of items
    is not stated, the paper's mean is taken as exact, which only narrows the interval. Without a
    printed spread, 5% around the value. Our own spread does not enter: noise never helps.
    """
    if not claim.spread:
        around = max(RELATIVE_TOLERANCE * abs(claim.value), ROUNDING)
        return claim.value - around, claim.value + around
    items = claim.items if claim.items and claim.items > 1 else 10**9
    std = claim.spread * items**0.5 if claim.spread_of == ERROR else claim.spread
    return prediction_interval(claim.value, std, items, n)


def size(claim: Claim, mean: float, n: int, scale: str) -> str:
    """Whether a mean is the printed one.

    Asked at full or subset scale only, and from 5 items on, or the paper's own number if that is
    less. ``agrees`` within :func:`accepted`; outside it ``better`` or ``worse`` where the number is
    a score, else ``differs``. What is better does not agree.
    """
    if scale not in (FULL, SUBSET) or n < min(FEWEST, claim.items or FEWEST):
        return NONE
    low, high = accepted(claim, n)
    if low <= mean <= high:
        return AGREES
    if not claim.better:
        return DIFFERS
    return BETTER if (mean > claim.value) == (claim.better == "higher") else WORSE


def order(claimed: float, gap: Interval) -> str:
    """Whether a difference that a paper claims is seen.

    ``holds`` where the 95% interval of the paired difference lies on the claimed side of 0,
    ``reversed`` where it lies on the other, else ``undecided``, as with fewer than 5 pairs.

    Args:
        claimed: the paper's difference; only its sign counts.
        gap: ours, from :func:`~inrkit.companion.items.paired`.
    """
    if gap.n < FEWEST:
        return UNDECIDED
    low, high = (gap.low, gap.high) if claimed > 0 else (-gap.high, -gap.low)
    return HOLDS if low > 0 else REVERSED if high < 0 else UNDECIDED


def together(answers: Sequence[str]) -> str:
    """One answer for the orders of a number with all its rivals: the worst of them.

    ``reversed`` where any is, ``holds`` where all do, else ``undecided``; none for none.
    """
    if not answers:
        return NONE
    if REVERSED in answers:
        return REVERSED
    return HOLDS if set(answers) == {HOLDS} else UNDECIDED
