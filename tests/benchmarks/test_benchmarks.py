"""The benchmarks run, their loops follow one loss curve, and their floor is all the products."""

import re
import subprocess
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

from inrkit import paths
from inrkit.fields import SIREN, stack
from inrkit.training import Regression

FOLDER = paths.ROOT / "benchmarks"


def run(*arguments):
    command = [sys.executable, str(FOLDER / "run.py"), "--smoke", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_sections_print_ratios_and_the_loops_agree():
    printed = run("--device", "cpu")
    assert re.search(r"SIREN  speed over plain loop: \d.* ratio  \[bound 1.8\]", printed)
    assert re.search(r"SIREN  time over the floor: \d.* ratio  \[bound 1.15\]", printed)
    assert re.search(r"fields  speed over one by one: \d", printed)
    difference = float(re.search(r"loss off a plain loop: (\S+)", printed)[1])
    assert difference < 1e-4
    errors = [float(x) for x in re.findall(r"off nested autograd: (\S+)", printed)]
    assert errors and max(errors) < 1e-4


def test_the_floor_is_the_matrix_products_of_a_step(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from steps import floor_step

    model = stack([SIREN(2, 1, width=8, hidden_layers=2) for _ in range(3)])
    coords, values = torch.rand(12, 2), torch.rand(3, 12, 1)
    step = floor_step(model, Regression(coords, values), 4)
    with FlopCounterMode(display=False) as ours:
        step()
    with FlopCounterMode(display=False) as theirs:
        (model(coords) - values).square().sum().backward()
    assert ours.get_total_flops() == theirs.get_total_flops() > 0
