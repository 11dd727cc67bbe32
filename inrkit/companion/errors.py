"""What the companion reports to a person."""


class CompanionError(Exception):
    """One sentence: what was wrong, and what is accepted. Printed without a traceback."""
