"""The one training loop."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from inrkit.training import checkpoint as checkpoints
from inrkit.training.progress import Progress

CACHE = 2**19  # numbers a layer's activation may hold to stay in a CPU's cache (2 MiB in float32)


class Loss(Protocol):
    """What :func:`fit` asks of a loss: its points, and its share on a few of them."""

    def __len__(self) -> int: ...

    def __call__(self, model: nn.Module, rows: slice) -> Tensor: ...


class NonFiniteLoss(ArithmeticError):
    """A loss became infinite or not a number."""


@dataclass(frozen=True)
class Fit:
    """What a fit leaves behind.

    Attributes:
        model: the trained model (the object that was given).
        losses: loss before each step, ``(steps, *signals)``, on the CPU.
        snapshots: parameters after the steps asked for, by number of steps done.
        seconds: time spent in training steps, over all resumed parts.
    """

    model: nn.Module
    losses: Tensor
    snapshots: dict[int, dict[str, Tensor]] = field(repr=False)
    seconds: float

    def at(self, step: int) -> nn.Module:
        """The model as it was after ``step`` steps; later calls overwrite earlier ones."""
        self.model.load_state_dict(self.snapshots[step])
        return self.model


def chunk_rows(model: nn.Module) -> int:
    """Points a chunk, such that a hidden layer's activation for all signals stays in cache."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    width = max((min(p.shape[-2:]) for p in matrices), default=1)
    signals = max((p.numel() // prod(p.shape[-2:]) for p in matrices), default=1)
    return min(max(CACHE // (width * signals), 256), 8192)


def fit(
    model: nn.Module,
    loss: Loss,
    *,
    steps: int,
    lr: float = 1e-4,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    schedule: Callable[[int], float] | None = None,
    snapshots: Iterable[int] = (),
    chunk: int | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
    name: str = "fit",
) -> Fit:
    r"""Minimize a loss over the parameters of a model by full-batch gradient steps.

    On a CPU a step is accumulated over chunks of points whose activations stay in cache: the same
    gradient up to rounding, about twice as fast. The losses of a stack's signals are summed, each
    signal thus trains as it would alone. An interrupted fit continues from its checkpoint, on a CPU
    to the same bits as if it had not been interrupted.

    Args:
        model: any module that the loss can evaluate; trained in place.
        loss: knows its points; ``loss(model, rows)`` is the share of some of them.
        steps: number of optimizer steps.
        lr: learning rate.
        optimizer: called as ``optimizer(parameters, lr=lr)``; Adam unless given.
        schedule: factor on the learning rate as a function of the step, starting with 0.
        snapshots: numbers of steps after which to keep a copy of the parameters.
        chunk: points a chunk; the default follows the width of the model on a CPU, and takes all
            points at once elsewhere.
        checkpoint: file to continue from and to write to, every ``checkpoint_seconds`` and at the
            end.
        checkpoint_seconds: time between checkpoints.
        progress: whether to draw a progress bar.
        name: what the progress bar calls this fit.

    Raises:
        NonFiniteLoss: naming the step, the learning rate and the last good checkpoint.
        CheckpointError: the file belongs to another fit, or is damaged.
    """
    device = next(model.parameters()).device
    run = _Run(model, loss, optimizer, steps, lr, schedule, set(snapshots), chunk, checkpoint)
    run.resume(device)
    bar = Progress(name, steps, run.step, progress)
    begin = saved = time.perf_counter()
    try:
        while run.step < steps:
            run.advance()
            # a check waits for the device, so that off the CPU it is made only now and then
            if device.type == "cpu" or run.step % 100 == 0 or run.step == steps:
                run.check()
            if bar.due() or run.step == steps:
                bar.report(run.step, run.losses[run.step - 1].mean().item())
            now = time.perf_counter()
            if now - saved > checkpoint_seconds and run.step < steps:
                run.check()
                run.seconds += now - begin
                run.save()
                begin = saved = time.perf_counter()
    finally:
        bar.close()
    run.seconds += time.perf_counter() - begin
    run.save()
    return Fit(model, run.losses.cpu(), run.snapshots, run.seconds)


class _Run:
    """The state of a fit: what a checkpoint holds, and one step."""

    def __init__(self, model, loss, optimizer, steps, lr, schedule, wanted, chunk, path):
        self.model, self.loss, self.path = model, loss, path
        self.lr, self.schedule, self.wanted = lr, schedule, wanted
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        device = self.parameters[0].device
        self.optimizer = optimizer(self.parameters, lr=lr, **_fused(optimizer))
        points = len(loss)
        size = chunk or (chunk_rows(model) if device.type == "cpu" else points)
        self.chunks = [slice(i, min(i + size, points)) for i in range(0, points, size)]
        with torch.no_grad():  # one point tells the number of signals and the precision
            share = loss(model, slice(0, 1))
        self.losses = torch.zeros(steps, *share.shape, dtype=share.dtype, device=device)
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.step, self.seconds = 0, 0.0
        shapes = [tuple(p.shape) for p in self.parameters]
        self.identity = f"{type(model).__name__} {shapes} lr={lr} steps={steps} points={points}"

    def advance(self) -> None:
        if self.schedule:
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * self.schedule(self.step)
        self.optimizer.zero_grad(set_to_none=False)
        for rows in self.chunks:
            share = self.loss(self.model, rows)
            share.sum().backward()
            self.losses[self.step] += share.detach()
        self.optimizer.step()
        self.step += 1
        if self.step in self.wanted:
            self.snapshots[self.step] = _copy(self.model.state_dict())

    def check(self) -> None:
        last = (
            self.losses[: self.step].flatten(1)
            if self.losses.ndim > 1
            else self.losses[: self.step, None]
        )
        good = torch.isfinite(last).all(-1)
        if good.all():
            return
        step = int((~good).nonzero()[0])
        kept = (
            f"the last good checkpoint is {self.path}"
            if self.path and self.path.exists()
            else "there is no checkpoint"
        )
        raise NonFiniteLoss(
            f"the loss is {self.losses[step].flatten()[0].item()} at step {step} with learning "
            f"rate {self.lr:g}; {kept}; try a smaller learning rate"
        )

    def save(self) -> None:
        if self.path:
            checkpoints.save(
                self.path,
                {
                    "identity": self.identity,
                    "step": self.step,
                    "seconds": self.seconds,
                    "model": self.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "losses": self.losses,
                    "snapshots": self.snapshots,
                    "random": torch.get_rng_state(),
                },
            )

    def resume(self, device: torch.device) -> None:
        state = checkpoints.load(self.path, device) if self.path else None
        if state is None:
            return
        if state["identity"] != self.identity:
            raise checkpoints.CheckpointError(
                f"{self.path} belongs to another fit ({state['identity']}); this one is "
                f"{self.identity}: delete the file or name another"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses, self.snapshots = state["losses"], state["snapshots"]
        self.step, self.seconds = state["step"], state["seconds"]
        torch.set_rng_state(state["random"].cpu())


def _fused(optimizer) -> dict:
    """Adam as one kernel instead of a dozen a parameter."""
    return {"fused": True} if optimizer in (torch.optim.Adam, torch.optim.AdamW) else {}


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
