"""Where the project keeps its things: every path is resolved from the project's root."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLAIMS = ROOT / "data" / "claims.csv"
TABLES = ROOT / "data" / "tables.csv"
STATEMENTS = ROOT / "data" / "statements.csv"
REASONS = ROOT / "data" / "reasons.csv"
WORKLOADS = ROOT / "data" / "workloads.csv"
REGISTRY = ROOT / "data" / "registry.csv"
RESULTS = ROOT / "results"
BENCH = RESULTS / "bench"
NOTEBOOKS = ROOT / "notebooks"
BOOK = ROOT / "book"

REMEDY = "inrkit needs its project's folder: install it there, with pip install -e ."


def shown(path: Path) -> str:
    """A path as people read it: below the project's folder without that folder."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
