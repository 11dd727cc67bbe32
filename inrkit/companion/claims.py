"""What the papers state as numbers, and what they show in tables."""

import math
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path

from inrkit import paths
from inrkit.companion.errors import CompanionError
from inrkit.tables import maybe, number, rows, whole

ITEMS, RUNS, ERROR = "items", "runs", "standard error"  # what a printed spread is over


@dataclass(frozen=True)
class Claim:
    """A number that a paper states as a result: one row of ``data/claims.csv``.

    Attributes:
        setting: ``model; other settings``.
        better: "higher", "lower", or empty where the number is no score.
        spread: as printed, if it is; ``spread_of`` says what it is, from ``data/tables.csv``.
        reading: which value of a fit it is: "last", "lowest", "highest", or empty.
        items: how many independent items or runs stand behind it, if the paper says so.
        same_as: id of the claim that it repeats.
        quoted_from: whose number it is, where the paper quotes it.
        apart: why no rerun can settle it, such as "wall time"; shown, and never scored.
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
    reading: str = ""
    items: int | None = None
    same_as: str = ""
    quoted_from: str = ""
    apart: str = ""
    spread_of: str = ""

    @property
    def model(self) -> str:
        """The first part of the setting."""
        return self.setting.partition(";")[0].strip()

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Claims of one group differ in the model only, so that the paper ranks them."""
        return self.paper, self.source, self.metric, self.setting.partition(";")[2].strip()

    @property
    def counts(self) -> bool:
        """Whether it is a result of the paper's own, said for the first time, that can be rerun."""
        return not (self.same_as or self.quoted_from or self.apart)

    @property
    def is_loss(self) -> bool:
        """Whether its differences are told in decades; a rank's are not."""
        return self.better == "lower" and not self.metric.startswith("rank")


NUMBERS = {"value": number, "spread": maybe(number), "items": maybe(whole)}
TABLE = dict.fromkeys(("paper", "source", "items", "unit_of_items", "spread_of", "evidence"), str)
COLUMNS = {f.name: NUMBERS.get(f.name, str) for f in fields(Claim) if f.name != "spread_of"}
LATER = [f.name for f in fields(Claim) if f.default is not MISSING]  # may be missing


@cache
def _read(path: Path, tables: Path) -> dict[str, Claim]:
    shown = rows(tables, TABLE, key=("paper", "source"))
    over = {(row["paper"], row["source"]): row["spread_of"] for row in shown}
    found = {}
    for row in rows(path, COLUMNS, key=("id",), absent=LATER):
        spread_of = over.get((row["paper"], row["source"]), "")
        found[row["id"]] = Claim(**row, spread_of=spread_of if row["spread"] else "")
    return found


def claims() -> dict[str, Claim]:
    """All claims by id, in the order of ``data/claims.csv``."""
    return _read(paths.CLAIMS, paths.TABLES)


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
