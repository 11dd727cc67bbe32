"""Notebooks run, recorded beside what the papers claim, and read in the book."""

from importlib import import_module
from typing import Any

HOMES = {"CompanionError": "errors", "Record": "records", "find_claim": "claims"}
__all__ = ["CompanionError", "Record", "find_claim"]


def __getattr__(name: str) -> Any:
    """Imported where asked for: the command line starts without what runs notebooks."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
