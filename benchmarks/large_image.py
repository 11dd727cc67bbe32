"""One step of SIREN on an image, and the image rendered: prints the peak memory in GiB."""

import sys

import torch

from inrkit.companion.machine import peak_memory
from inrkit.fields import SIREN, evaluate
from inrkit.signals import grid
from inrkit.training import Regression, fit


def main(side: int, device: str) -> None:
    coords = grid((side, side)).to(device)
    values = torch.sin(40 * coords.prod(-1, keepdim=True))
    torch.manual_seed(0)
    model = SIREN(2, 1).to(device)
    fit(model, Regression(coords, values), steps=1, progress=False)
    picture = evaluate(model, coords)
    assert picture.shape == values.shape and torch.isfinite(picture).all()
    print(peak_memory()["gpu" if device.startswith("cuda") else "process"] / 2**10)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
