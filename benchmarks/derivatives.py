"""All partials up to order K from one jet pass, against repeated back-propagation."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.func import jacfwd, vmap

from inrkit.calculus import nested_autograd, partials, total_degree
from inrkit.fields import SIREN
from inrkit.measure import step_times
from inrkit.training import (
    Regression,
    gradient_regression,
    laplacian_regression,
    stepper,
)

CHUNK = 512  # points a pass of the others, whose activations then stay in cache, too
POINTS, ORDERS = 4096, (1, 2, 3, 4)
FASTER, MEMORY = 2.5, 64.0  # than nested autograd, and MiB beyond the model, at order 4


def all_partials(model, coords, order):
    with torch.no_grad():
        return partials(model, coords, order).values


def nested(model, coords, order):
    """Each partial once, in chunks: the best that nesting can do here."""
    indices = total_degree(2, order).indices
    with torch.no_grad():
        return torch.cat([nested_autograd(model, x, indices) for x in coords.split(CHUNK)], 1)


def functional(model, coords, order):
    """``torch.func``: forward mode nested, all d^K derivatives of the highest order."""

    def field(x):
        return model(x.unsqueeze(0))[0, 0]

    for _ in range(order):
        field = jacfwd(field)
    with torch.no_grad():
        return torch.cat([vmap(field)(x) for x in coords.split(CHUNK)])


def rows(device: torch.device, smoke: bool) -> Iterator[dict]:
    torch.manual_seed(0)
    model = SIREN(2, 1).to(device)
    coords = 2 * torch.rand(64 if smoke else POINTS, 2, device=device) - 1
    for order in ORDERS[:2] if smoke else ORDERS:
        timed = {
            name: lambda f=f, order=order: f(model, coords, order)
            for name, f in (("jets", all_partials), ("nested", nested), ("torch.func", functional))
        }
        yield agreement(model, coords, order)
        times = step_times(timed, rounds=1 if smoke else 5, warmup=1)
        case = f"order {order}"
        yield {"case": case, "metric": "time", "value": 1e3 * times.median["jets"], "unit": "ms"}
        for other in times.names[1:]:
            value, low, high = times.ratio(other)
            bound = FASTER if order == 4 and other == "nested" else None
            yield {"case": case, "metric": f"speed over {other}", "value": value, "low": low,
                   "high": high, "unit": "ratio", "bound": bound}  # fmt: skip
    if device.type == "cpu":
        yield memory(ORDERS[1] if smoke else ORDERS[-1])
    yield from training(coords[:64] if smoke else coords, smoke)


def agreement(model, coords, order) -> dict:
    ours, theirs = all_partials(model, coords, order), nested(model, coords, order)
    error = ((ours - theirs).norm() / theirs.norm()).item()
    return {"case": f"order {order}", "metric": "off nested autograd", "value": error,
            "unit": "relative"}  # fmt: skip


def training(coords, smoke: bool) -> Iterator[dict]:
    """Steps that train on derivatives alone, against a step that trains on values."""
    values = coords[:, :1]
    losses = {
        "the gradient": gradient_regression(coords, coords[:, None]),
        "the Laplacian": laplacian_regression(coords, values),
        "nested": Regression(coords, values, nested_laplacian, passes=4),
    }
    steps = {"plain": stepper(SIREN(2, 1).to(coords.device), Regression(coords, values))}
    for name, loss in losses.items():
        model = SIREN(2, 1).to(coords.device)
        steps[name] = stepper(model, loss, compiled=name != "nested" and not smoke)
    times = step_times(steps, rounds=1 if smoke else 10)
    for name in ("the gradient", "the Laplacian"):
        value, low, high = times.ratio(name)
        yield {"case": f"training on {name}", "metric": "time over a plain step", "value": value,
               "low": low, "high": high, "unit": "ratio"}  # fmt: skip
    value = times.median["nested"] / times.median["the Laplacian"]
    yield {"case": "training on the Laplacian", "metric": "speed over nested", "value": value,
           "unit": "ratio"}  # fmt: skip


def nested_laplacian(model, coords):
    indices = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2))
    return nested_autograd(model, coords, indices)[3:].sum(0)


def memory(order: int) -> dict:
    """Growth of a fresh process's peak memory, the results counted."""
    script = Path(__file__).with_name("partials_memory.py")
    command = [sys.executable, str(script), str(POINTS), str(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"case": f"order {order}", "metric": "memory beyond the model",
            "value": float(done.stdout), "unit": "MiB", "bound": MEMORY}  # fmt: skip
