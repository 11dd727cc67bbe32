"""The book's Sphinx extension: mathematics with no network, names as readers import them."""

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

MATHJAX = "tex-svg-full.js"  # all of TeX, glyphs as paths: one file, and no fonts beside it


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's entry point."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)  # before napoleon's 500
    app.connect("missing-reference", _public_name)
    app.connect("build-finished", _vendor_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _keep_colons(app, what, name, obj, options, lines: list[str]) -> None:
    """Napoleon takes "text: more" on an attribute's first line for a type: give it an empty one."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def _public_name(app: Sphinx, env, node, contnode):
    """Resolve ``inrkit.fields.Layer`` to ``inrkit.fields.layers.Layer``, where it is documented."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("inrkit."):
        return None
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name)
        home = f"{found.__module__}.{found.__qualname__}"
    except (ImportError, AttributeError):
        return None
    if home == target:
        return None
    python = env.get_domain("py")
    return python.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], home, node, contnode
    )


def _vendor_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy MathJax after the build: a script found earlier would be loaded a second time."""
    source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / MATHJAX, target / MATHJAX)
