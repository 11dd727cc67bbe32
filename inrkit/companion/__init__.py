"""Notebooks run, recorded beside what the papers claim, and read in the book."""

from inrkit.companion.claims import find_claim
from inrkit.companion.errors import CompanionError
from inrkit.companion.records import Record

__all__ = ["CompanionError", "Record", "find_claim"]
