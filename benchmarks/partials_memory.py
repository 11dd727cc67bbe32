"""All partials of a SIREN at so many points: prints what they add to the peak memory, in MiB.

With "processed" as third argument, a field that is made of them is evaluated.
"""

import sys
from pathlib import Path

import torch

from inrkit.calculus import partials
from inrkit.fields import SIREN, INSPNet, NormFusion

STATUS = Path("/proc/self/status")


def resident(name: str) -> float:
    """MiB of this process: now ("VmRSS"), or at most since the mark was reset ("VmHWM")."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 2**10


def main(points: int, order: int, processed: bool) -> None:
    model, coords = SIREN(2, 1), 2 * torch.rand(points, 2) - 1
    net = INSPNet(model, NormFusion(2, order), order=order)

    def evaluate(x: torch.Tensor) -> torch.Tensor:
        return net(x) if processed else partials(model, x, order).values

    with torch.no_grad():
        evaluate(coords[:1])  # libraries load their parts
        Path("/proc/self/clear_refs").write_text("5")  # resets the mark (Linux)
        before = resident("VmRSS")
        evaluate(coords)
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "processed" in sys.argv)
