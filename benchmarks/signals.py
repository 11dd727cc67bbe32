"""Many fields at once: stacked, against one by one, from 1 to 1,024; and one very large image."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from steps import floor_step

from inrkit.fields import SIREN, stack
from inrkit.measure import step_times
from inrkit.signals import grid
from inrkit.training import Regression, chunk_rows, stepper

SIDE = 28  # pixels, as MNIST's digits
COUNTS = (1, 4, 16, 64, 256, 1024)
BOUNDS = {"speed over one by one": 4, "time over the floor": 1.4}  # of 64 fields
LARGE, LARGE_BOUND = 4096, 4.0  # pixels a side, GiB


def small() -> SIREN:
    """SIREN 2-32-32-32-1."""
    return SIREN(2, 1, width=32, hidden_layers=3)


def rows(device: torch.device, smoke: bool) -> Iterator[dict]:
    for count in COUNTS[:2] if smoke else COUNTS:
        yield from stacked(count, device, 0 if smoke else 8)
    if device.type == "cuda" and not smoke:
        yield from until_full(device)
    yield large(256 if smoke else LARGE, device)


def until_full(device: torch.device) -> Iterator[dict]:
    """Twice as many fields again and again, as long as a card holds them."""
    count = 2 * COUNTS[-1]
    try:
        while True:
            yield from stacked(count, device, 3)
            count *= 2
    except torch.cuda.OutOfMemoryError:
        return


def stacked(count: int, device: torch.device, rounds: int) -> Iterator[dict]:
    """One step of ``count`` fields, together and one after the other."""
    torch.manual_seed(0)
    coords = grid((SIDE, SIDE)).to(device)
    values = torch.rand(count, len(coords), 1, device=device)
    models = [small().to(device) for _ in range(count)]
    alone = [
        stepper(model, Regression(coords, value), compiled=rounds > 0)
        for model, value in zip(models[:16], values, strict=False)
    ]
    whole, loss = stack(models), Regression(coords, values)
    chunk = chunk_rows(whole) if device.type == "cpu" else len(coords)
    times = step_times(
        {
            "together": stepper(whole, loss, compiled=rounds > 0),
            "one by one": lambda: [step() for step in alone],
            "floor": floor_step(whole, loss, min(chunk, len(coords))),
        },
        rounds=max(rounds, 1),
    )
    each = count / len(alone)  # of many fields, 16 one by one stand for all
    case = f"{count} fields"
    yield {"case": case, "metric": "steps", "value": count / times.median["together"],
           "unit": "fields/s"}  # fmt: skip
    value, low, high = (each * ratio for ratio in times.ratio("one by one"))
    yield _ratio(case, "speed over one by one", value, low, high, count)
    value, low, high = times.ratio("floor")
    yield _ratio(case, "time over the floor", 1 / value, 1 / high, 1 / low, count)


def _ratio(case: str, metric: str, value: float, low: float, high: float, count: int) -> dict:
    bound = BOUNDS[metric] if count == 64 else None
    return {"case": case, "metric": metric, "value": value, "low": low, "high": high,
            "unit": "ratio", "bound": bound}  # fmt: skip


def large(side: int, device: torch.device) -> dict:
    """Peak memory of a process that fits one step to an image and renders it."""
    script = Path(__file__).with_name("large_image.py")
    command = [sys.executable, str(script), str(side), str(device)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"case": f"{side} x {side} pixels", "metric": "peak memory, one step and a rendering",
            "value": float(done.stdout), "unit": "GiB", "bound": LARGE_BOUND}  # fmt: skip
