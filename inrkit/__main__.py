"""``python -m inrkit`` is ``inrkit``."""

import os
import sys

from inrkit import paths


def main() -> None:
    """The command line; in a project's folder that of the project's own package."""
    if paths.ROOT is not None and not os.path.samefile(paths.ROOT / "inrkit", paths.PACKAGE):
        sys.path.insert(0, str(paths.ROOT))
        search = filter(None, (sys.path[0], os.environ.get("PYTHONPATH")))
        os.environ["PYTHONPATH"] = os.pathsep.join(search)  # for the programs that it starts
        for name in [name for name in sys.modules if name.partition(".")[0] == "inrkit"]:
            del sys.modules[name]
    try:
        from inrkit.companion.cli import app
    except ModuleNotFoundError as error:
        from inrkit.companion.errors import told

        if (known := told(error)) is None:
            raise
        sys.exit(f"inrkit: {known[0]}")
    app(prog_name="inrkit")


if __name__ == "__main__":
    main()
