"""What rounded matrix products cost in accuracy: PSNR after the same steps from the same start."""

from collections.abc import Iterator

import torch
from quality import MODELS, SIDE, STEPS

from inrkit.measure import psnr_from_mse
from inrkit.signals import image
from inrkit.training import Regression, fit


def rows(device: torch.device, smoke: bool) -> Iterator[dict]:
    side, steps = (16, 3) if smoke else (SIDE[device.type], STEPS[device.type])
    signal = image("camera", size=side)
    loss = Regression(signal.coords.to(device), signal.values.to(device))
    names = ("float32", "tf32", "bf16") if device.type == "cuda" else ("float32", "bf16")
    for name, build in MODELS.items():
        for precision in names:
            torch.manual_seed(0)
            model = build().to(device)
            losses = fit(model, loss, steps=steps, precision=precision, progress=False).losses
            last = float(losses[-max(steps // 10, 1) :].median())
            yield {
                "case": f"{name}, {precision}",
                "metric": f"PSNR after {steps} steps",
                "value": float(psnr_from_mse(last, data_range=2.0)),
                "unit": "dB",
            }
