"""Training steps per second of ``inrkit.training.fit`` against a plain PyTorch loop.

SIREN 2 -> 4 x 256 -> 1 on a photograph of 256 x 256 pixels, full batch, Adam. Both are timed in
turn within one run, so that a busy machine slows both alike, and follow the same loss curve.
"""

import argparse

import torch
from torch import nn

from inrkit.fields import SIREN
from inrkit.measure import step_times
from inrkit.signals import image
from inrkit.training import Regression, fit, stepper


class Plain(nn.Module):
    """SIREN as most code writes it: ``nn.Linear`` and ``torch.sin(30 * x)``."""

    def __init__(self, weights: dict[str, torch.Tensor]):
        super().__init__()
        sizes = [tensor.shape for name, tensor in weights.items() if name.endswith("weight")]
        self.layers = nn.ModuleList(nn.Linear(n, m) for m, n in sizes)
        self.load_state_dict(weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.sin(30 * layer(x))
        return last(x)


def plain_step(model: nn.Module, loss: Regression, lr: float = 1e-4):
    """One step of the usual loop, which reads the loss after every step; returns it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def step() -> float:
        optimizer.zero_grad()
        value = ((model(loss.coords) - loss.values) ** 2).mean()
        value.backward()
        optimizer.step()
        return value.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="timed steps of each loop")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    options = parser.parse_args()
    signal = image("camera", size=options.size)
    loss = Regression(signal.coords, signal.values)
    torch.manual_seed(0)
    weights = SIREN(2, 1).state_dict()

    def fresh() -> SIREN:
        model = SIREN(2, 1)
        model.load_state_dict(weights)
        return model

    ours = fit(fresh(), loss, steps=10, progress=False).losses
    step = plain_step(Plain(weights), loss)
    theirs = torch.tensor([step() for _ in range(10)])
    difference = float(((ours - theirs) / theirs).abs().max())

    steps = {"fit": stepper(fresh(), loss), "plain loop": plain_step(Plain(weights), loss)}
    times = step_times(steps, rounds=options.rounds)
    ratio, low, high = times.ratio("plain loop")
    for name, seconds in times.median.items():
        print(f"{name:>10}: {1 / seconds:6.2f} steps per second")
    print(
        f"fit takes {ratio:.2f} times as many steps (quartiles {low:.2f} to {high:.2f}), "
        f"{options.rounds} rounds, {torch.get_num_threads()} threads"
    )
    print(f"loss curves of the first 10 steps differ by {difference:.1e} at most (relative)")


if __name__ == "__main__":
    main()
