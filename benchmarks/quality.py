"""Steps and seconds to 30, 40 and 50 dB on five photographs."""

from collections.abc import Iterator

import numpy as np
import torch

from inrkit.fields import FINER, SIREN, SPDER
from inrkit.measure import psnr_from_mse, step_times
from inrkit.signals import image
from inrkit.training import Regression, fit, stepper

PHOTOGRAPHS = ("camera", "astronaut", "coffee", "cat", "rocket")
DECIBELS = (30, 40, 50)
MODELS = {
    "SIREN": lambda: SIREN(2, 1),
    "SPDER": lambda: SPDER(2, 1, hidden_layers=4),
    "FINER": lambda: FINER(2, 1),
}
SIDE, STEPS = {"cpu": 128, "cuda": 256}, {"cpu": 250, "cuda": 3000}


def rows(device: torch.device, smoke: bool) -> Iterator[dict]:
    side, steps = (16, 5) if smoke else (SIDE[device.type], STEPS[device.type])
    for name, build in MODELS.items():
        reached: dict[int, list[float]] = {level: [] for level in DECIBELS}
        for photograph in PHOTOGRAPHS[:1] if smoke else PHOTOGRAPHS:
            signal = image(photograph, size=side, grey=True)
            loss = Regression(signal.coords.to(device), signal.values.to(device))
            torch.manual_seed(0)
            fitted = fit(build().to(device), loss, steps=steps, progress=False)
            quality = psnr_from_mse(fitted.losses.numpy(), data_range=2.0)
            for level, found in reached.items():
                above = np.flatnonzero(quality >= level)
                found.append(float(above[0]) if len(above) else np.nan)
        step = {name: stepper(build().to(device), loss, compiled=False)}  # as so short a fit is
        seconds = step_times(step, rounds=2 if smoke else 10).median[name]
        for level, found in reached.items():
            yield from to_level(f"{name}, {side} x {side}", level, np.array(found), seconds)


def to_level(case: str, level: int, steps: np.ndarray, seconds: float) -> Iterator[dict]:
    """Median and range over the photographs; those that never get there count as infinity."""
    steps = np.where(np.isnan(steps), np.inf, steps)
    count = {"case": case, "metric": f"photographs at {level} dB", "unit": f"of {len(steps)}"}
    yield count | {"value": int(np.isfinite(steps).sum())}
    if np.isfinite(np.median(steps)):
        value, low, high = np.median(steps), steps.min(), steps.max()
        for unit, factor in (("steps", 1), ("s", seconds)):
            yield {"case": case, "metric": f"to {level} dB", "value": factor * value,
                   "low": factor * low, "high": factor * high, "unit": unit}  # fmt: skip
