"""What the papers state, and what a measurement says about it."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from inrkit import paths
from inrkit.companion.errors import CompanionError

REPRODUCED = "reproduced"
PARTLY = "partly"
NOT_REPRODUCED = "not reproduced"
NOT_RUN = "not run"
VERDICTS = (REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_RUN)

FULL, SUBSET, REDUCED = "full", "subset", "reduced"
RELATIVE_TOLERANCE = 0.05  # where the paper gives no spread
ROUNDING = 1e-6  # single precision: what "an error of 0" can mean


@dataclass(frozen=True)
class Claim:
    """A number that a paper states as a result: one row of ``data/claims.csv``.

    ``setting`` is ``model; other settings``; ``better`` is "higher", "lower" or empty where the
    number is no score; ``spread`` is the paper's standard deviation, if it gives one.
    """

    id: str
    paper: str
    source: str
    experiment: str
    setting: str
    metric: str
    value: float
    spread: float | None
    unit: str
    better: str
    note: str

    @property
    def model(self) -> str:
        """The first part of the setting."""
        return self.setting.partition(";")[0].strip()

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Claims of one group differ in the model only, so that the paper ranks them."""
        return self.paper, self.source, self.metric, self.setting.partition(";")[2].strip()


@cache
def _read(path: Path) -> dict[str, Claim]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["value"] = float(row["value"])
        row["spread"] = float(row["spread"]) if row["spread"] else None
    return {row["id"]: Claim(**row) for row in rows}


def claims() -> dict[str, Claim]:
    """All claims by id, in the order of ``data/claims.csv``."""
    return _read(paths.CLAIMS)


def find_claim(paper: str, source: str, metric: str, *parts: str | None) -> str:
    """Id of the claim whose setting has these parts, each between semicolons; else "".

    ``find_claim("spder", "Table 1", "psnr", "SIREN", "step=500")`` is "spder-034".

    Raises:
        CompanionError: several claims have them all.
    """
    found = [
        claim.id
        for claim in claims().values()
        if (claim.paper, claim.source, claim.metric) == (paper, source, metric)
        and set(parts) <= {part.strip() for part in claim.setting.split(";")}
    ]
    if len(found) > 1:
        raise CompanionError(f"{paper}, {source}, {metric}, {parts} fit several claims: {found}")
    return found[0] if found else ""


def peers(claim: Claim, measured: Mapping[str, float]) -> list[tuple[Claim, float]]:
    """The other measured claims of the same group, with what was measured."""
    known = claims()
    others = ((known[id], value) for id, value in measured.items() if id != claim.id)
    return [(other, value) for other, value in others if other.group == claim.group]


def verdict(
    claim: Claim,
    value: float | None,
    spread: float | None,
    scale: str,
    group: Iterable[tuple[Claim, float]] = (),
) -> str:
    r"""What measuring ``value`` says about a claim.

    - ``reproduced``: at the paper's own settings (scale "full" or "subset"),
      :math:`|v - v_p| \le \sqrt{s^2 + s_p^2}`, or :math:`0.05\,|v_p|` where the paper gives no
      spread, or better than claimed in the claim's own direction.
    - ``partly``: the size does not hold or was not tested, the ordering does: means are ordered as
      claimed against every other measured claim of the group; for a lone ratio or difference, it
      lies on the claimed side of 1 or 0.
    - ``not reproduced``: neither, at the paper's own settings.
    - ``not run``: not measured, or at a reduced scale only, which cannot refute a claim.

    Args:
        claim: what the paper states.
        value: our mean, or None where nothing was measured.
        spread: our standard deviation, in the claim's unit.
        scale: "full", "subset" or "reduced".
        group: the other measured claims of the group (:func:`peers`).
    """
    if value is None:
        return NOT_RUN
    if scale in (FULL, SUBSET) and _size_holds(claim, value, spread or 0.0):
        return REPRODUCED
    if _ordering_holds(claim, value, group):
        return PARTLY
    return NOT_RUN if scale == REDUCED else NOT_REPRODUCED


def _size_holds(claim: Claim, value: float, spread: float) -> bool:
    gap = value - claim.value
    better = {"higher": gap >= 0, "lower": gap <= 0}.get(claim.better, False)
    if claim.spread is None:
        tolerance = max(RELATIVE_TOLERANCE * abs(claim.value), ROUNDING)
    else:
        tolerance = math.hypot(claim.spread, spread)
    return better or abs(gap) <= tolerance


def _ordering_holds(claim: Claim, value: float, group: Iterable[tuple[Claim, float]]) -> bool:
    """Whether there is a claimed ordering, and it holds."""
    ranked = [(claim.value - other.value, value - ours) for other, ours in group]
    ranked = [(claimed, measured) for claimed, measured in ranked if claimed != 0]
    if not ranked:
        neutral = 1.0 if "ratio" in claim.metric else 0.0 if "difference" in claim.metric else None
        if neutral is None or claim.value == neutral:
            return False
        ranked = [(claim.value - neutral, value - neutral)]
    return all(claimed * measured > 0 for claimed, measured in ranked)


def deviation(claim: Claim, value: float) -> tuple[float, str]:
    """Ours minus the paper's, and its unit: dB where the claim is in dB, else percent of it.

    A claim of exactly 0 has no percentage: the difference in the claim's own unit.
    """
    gap = value - claim.value
    if claim.unit == "dB" or claim.value == 0:
        return gap, claim.unit
    return 100 * gap / abs(claim.value), "%"


def show(value: float | None, spread: float | None = None, unit: str = "") -> str:
    """A measurement as people write it: ``36.6 ± 2.3 dB``."""
    if value is None or math.isnan(value):
        return "—"
    around = "" if spread is None or math.isnan(spread) else f" ± {spread:.2g}"
    return f"{value:.4g}{around} {unit}".rstrip()


def show_deviation(claim: Claim, value: float) -> str:
    """A deviation as people write it: ``-2.1 dB``, ``+12 %``."""
    size, unit = deviation(claim, value)
    return f"{size:+.3g} {unit}".rstrip()
