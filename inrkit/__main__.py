"""``python -m inrkit`` is ``inrkit``."""

from inrkit.companion.cli import app

app(prog_name="inrkit")
