"""Every notebook runs on another device, as one without a GPU can see.

``make test`` takes a few each day; with INRKIT_ELSEWHERE=all every one is run.
"""

import os
import subprocess
import sys
from datetime import date

import pytest
import torch

from inrkit import paths
from inrkit.companion import notebooks

SHARE, TODAY = 13, date.today().toordinal()
CHOSEN = [
    notebook.id for i, notebook in enumerate(notebooks.discover())
    if os.environ.get("INRKIT_ELSEWHERE") == "all" or i % SHARE == TODAY % SHARE
]  # fmt: skip
SCRIPT = paths.ROOT / "tests" / "elsewhere.py"
MIXED = """
import elsewhere, numpy, torch
kept = elsewhere.register()
there = torch.ones(2, device=elsewhere.NAME)
assert (there + 1).device.type == elsewhere.NAME and there.cpu().tolist() == [1, 1]
for wrong in (lambda: there + torch.ones(2), lambda: numpy.asarray(there),
              lambda: torch.cat([there, torch.ones(1)])):
    try:
        wrong()
    except (RuntimeError, TypeError):
        continue
    raise SystemExit("it was taken")
"""

pytestmark = pytest.mark.skipif(
    not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch has no devices made in Python",
)


def python(*arguments):
    folders = [str(paths.ROOT), str(SCRIPT.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("id", CHOSEN)
def test_a_notebook_runs_elsewhere(id):
    done = python(str(SCRIPT), id)
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_lies_elsewhere_refuses_to_mix():
    done = python("-c", MIXED)
    assert done.returncode == 0, done.stderr[-3000:]
