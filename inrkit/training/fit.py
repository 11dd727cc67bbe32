"""The one training loop."""

import ctypes
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from inspect import Parameter, signature
from math import ceil, prod
from pathlib import Path

import torch
from torch import Tensor, nn

from inrkit.fields.arithmetic import check_precision, computing
from inrkit.signals import given
from inrkit.training import journal
from inrkit.training.checkpoint import Kept, damaged
from inrkit.training.losses import Loss, at, drawn, passes
from inrkit.training.paths import Replayed, arithmetic, choose
from inrkit.training.progress import Progress

CACHE = 2**18  # numbers of a layer's activation that a core's cache holds (1 MiB in float32)
HOW = ("lr", "fused", "capturable")  # settings of an optimizer that the path chooses
LOWEST = "lowest"  # the snapshot of the lowest loss


class NonFiniteLoss(ArithmeticError):
    """A loss became infinite or not a number."""


@dataclass(frozen=True)
class Fit:
    """What a fit leaves behind.

    Attributes:
        model: the trained model (the object that was given).
        losses: loss before each step, ``(steps, *signals)``, on the CPU.
        snapshots: parameters after the steps asked for, by number of steps done or "lowest".
        seconds: time spent in training steps, over all resumed parts.
    """

    model: nn.Module
    losses: Tensor
    snapshots: dict[int | str, dict[str, Tensor]] = field(repr=False)
    seconds: float

    def at(self, step: int | str) -> nn.Module:
        """The model as it was after ``step`` steps; later calls overwrite earlier ones."""
        self.model.load_state_dict(self.snapshots[step])
        return self.model


def chunk_rows(model: nn.Module, passes: int = 1) -> int:
    """Points a chunk, such that a hidden layer's activation for all signals stays in the caches.

    Args:
        model: the network.
        passes: evaluations that the loss makes of one, for its derivatives.
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    width = max((min(p.shape[-2:]) for p in matrices), default=1)
    signals = max((p.numel() // prod(p.shape[-2:]) for p in matrices), default=1)
    return min(max(CACHE * torch.get_num_threads() // (width * signals * passes), 64), 8192)


def fit(
    model: nn.Module,
    loss: Loss,
    *,
    steps: int,
    lr: float = 1e-4,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    schedule: Callable[[int], float] | None = None,
    clip: float | None = None,
    snapshots: Iterable[int | str] = (),
    chunk: int | None = None,
    path: str = "auto",
    precision: str = "float32",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
    name: str = "fit",
) -> Fit:
    r"""Minimize a loss over the parameters of a model by full-batch gradient steps.

    On a CPU a step is accumulated over chunks of points whose activations stay in cache: the same
    gradient up to rounding, about twice as fast. The losses of a stack's signals are summed, each
    signal thus trains as it would alone. An interrupted fit continues from its checkpoint, on a CPU
    to the same bits as if it had not been interrupted, and a finished one is not repeated: the
    checkpoint's name carries a :mod:`~inrkit.training.digest` of all that determines the result, so
    that no other fit takes it for its own. Where that cannot be told, there is no checkpoint, and a
    warning says why.

    Args:
        model: any module that the loss can evaluate; trained in place.
        loss: knows its points; ``loss(model, rows)`` is the share of some of them. Where it has
            ``at(step)`` or ``draw()``, these give the loss of each step.
        steps: number of optimizer steps.
        lr: learning rate.
        optimizer: called as ``optimizer(parameters, lr=lr)``; Adam unless given.
        schedule: factor on the learning rate as a function of the step, starting with 0, and of
            nothing else: its values at all steps are what the checkpoint's name knows of it.
        clip: largest norm of a signal's gradient over all parameters; longer ones are shortened.
        snapshots: numbers of steps after which to keep a copy of the parameters; "lowest" for
            those of the lowest of all losses, of one signal.
        chunk: points a chunk; the default follows the width of the model on a CPU, and takes all
            points at once elsewhere.
        path: how a step is computed, see :mod:`~inrkit.training.paths`; the result does not depend
            on it beyond rounding.
        precision: of the factors in matrix products: "float32", "tf32" (on CUDA) or "bf16".
        checkpoint: file to continue from and to write to, every ``checkpoint_seconds`` and at the
            end; ``NAME.pt`` becomes ``NAME.<digest>.pt``.
        checkpoint_seconds: time between checkpoints.
        progress: whether to draw a progress bar.
        name: what the progress bar calls this fit.

    Raises:
        ValueError: a setting is none; "lowest" is asked of a stack; gradients are to be clipped by
            signal, where parameters have no axes of signals.
        NonFiniteLoss: naming the step, the learning rate and the last good checkpoint.
        CheckpointError: the checkpoint is damaged.
        ValueError: a checkpoint is asked for, and the schedule depends on more than the step.
    """
    steps = 0 if steps == 0 else given.whole("steps", steps, "optimizer steps")
    chunk = None if chunk is None else given.whole("chunk", chunk, "points")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is the largest norm of a gradient, above 0, got {clip}")
    wanted = {snapshots} if isinstance(snapshots, str) else set(snapshots)
    if bad := [at for at in wanted - {LOWEST} if isinstance(at, str) or at < 0 or at != int(at)]:
        raise ValueError(f"snapshots are numbers of steps, or {LOWEST!r}, got {bad[0]!r}")
    checkpoint = None if checkpoint is None else Path(checkpoint)
    how = (chunk, path, precision)
    run = _Run(model, loss, steps, lr, optimizer, schedule, clip, wanted, how, checkpoint)
    first = run.step
    bar = Progress(name, steps, run.step, progress)
    begin = saved = time.perf_counter()
    try:
        while run.step < steps:
            run.advance()
            # a check waits for the device, so that off the CPU it is made only now and then
            if run.device.type == "cpu" or run.step % 100 == 0 or run.step == steps:
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
    if run.step > first:
        run.seconds += time.perf_counter() - begin
        run.save()
        run.parts.now.append(journal.part(run.seconds))
    journal.note(checkpoint.stem if checkpoint else name, steps, run.parts)
    return Fit(model, run.losses.cpu(), run.snapshots, run.parts.seconds)


class _Run:
    """The state of a fit: what a checkpoint holds, and one step."""

    def __init__(self, model, loss, steps, lr, optimizer, schedule, clip, wanted, how, file):
        chunk, path, precision = how
        self.model, self.loss, self.clip = model, loss, clip
        self.lr, self.schedule, self.wanted = lr, schedule, wanted
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("there is nothing to train: no parameter of the model requires_grad")
        self.device = self.parameters[0].device
        check_precision(precision, self.device)
        self.factors = [float(schedule(step)) for step in range(steps)] if schedule and file else []
        settings = (steps, lr, optimizer, torch.tensor(self.factors, dtype=torch.double))
        settings += (sorted(wanted, key=str), clip, chunk, precision)
        self.kept = Kept(file, self.device, model, loss, settings)
        state = self.kept.load()
        if self.device.type == "cpu":
            _keep_freed_memory()
        points, adam = len(loss), optimizer in (torch.optim.Adam, torch.optim.AdamW)
        if points == 0:
            raise ValueError("there is nothing to fit: the loss has no points")
        path = choose(path, model, self.device, points * steps, adam, passes(loss))
        self.arithmetic = arithmetic(path, precision)
        for parameter in self.parameters:
            parameter.grad = None  # of whatever was computed before
        self.optimizer = _optimizer(optimizer, self.parameters, lr, captured=path == "graph")
        size = chunk or _even_chunks(model, loss, self.device)
        self.chunks = [slice(i, min(i + size, points)) for i in range(0, points, size)]
        self.row = torch.zeros(1, dtype=torch.long, device=self.device)  # of losses, for this step
        self.snapshots: dict[int | str, dict[str, Tensor]] = {}
        self.step, self.checked, self.seconds, self.parts = 0, 0, 0.0, journal.Parts()
        self.compute = Replayed(self.one_step) if path == "graph" else self.one_step
        if state is None:
            self.losses = self._no_losses(steps)
        else:
            self.take_up(state)
        if LOWEST in wanted and self.losses.ndim > 1:
            raise ValueError("a stack's signals are lowest at different steps: fit them one by one")
        axes = self.losses.shape[1:]
        if clip is not None and any(p.shape[: len(axes)] != axes for p in self.parameters):
            raise ValueError(
                f"clip shortens gradients by signal, and there are {tuple(axes)}, but not all "
                "parameters have these axes first: fit a stack, or one signal"
            )

    def _no_losses(self, steps: int) -> Tensor:
        """Zeros for every step; one point tells the number of signals and the precision."""
        with torch.no_grad():
            share = drawn(at(self.loss, self.row[0]))(self.model, slice(0, 1))
        return torch.zeros(steps, *share.shape, dtype=share.dtype, device=self.device)

    def advance(self) -> None:
        if self.schedule:
            factor = float(self.schedule(self.step))
            if self.factors and factor != self.factors[self.step]:
                raise ValueError(
                    f"a schedule depends on the step alone where there is a checkpoint; at step "
                    f"{self.step} it gave {self.factors[self.step]:g}, then {factor:g}"
                )
            for group in self.groups:
                _set_rate(group, self.lr * factor)
        before = _copy(self.model.state_dict()) if LOWEST in self.wanted else None
        self.compute()
        self.step += 1
        if before and self.losses[self.step - 1] <= self.losses[: self.step].min():
            self.snapshots[LOWEST] = before
        if self.step in self.wanted:
            self.snapshots[self.step] = _copy(self.model.state_dict())

    def one_step(self) -> None:
        with computing(self.arithmetic):
            loss, totals = drawn(at(self.loss, self.row[0])), []

            def evaluate() -> Tensor:
                totals.append(self.evaluate(loss))
                return totals[-1].sum()

            if _asks_again(self.optimizer):
                self.optimizer.step(evaluate)
            else:
                evaluate()
                self.optimizer.step()
            self.losses.index_add_(0, self.row, totals[0])
            self.row += 1

    def evaluate(self, loss: Loss) -> Tensor:
        """The loss of each signal, ``(1, *signals)``, and its gradient."""
        self.optimizer.zero_grad(set_to_none=False)
        total = torch.zeros_like(self.losses[:1])
        for rows in self.chunks:
            share = loss(self.model, rows)
            if not share.requires_grad:
                raise ValueError("the loss does not depend on the parameters that are trained")
            share.sum().backward()
            total += share.detach()
        if self.clip is not None:
            _clip(self.parameters, self.clip, self.losses.ndim - 1)
        return total

    def check(self) -> None:
        """Raise where a loss since the last check is not finite."""
        new = self.losses[self.checked : self.step]
        bad = ~torch.isfinite(new).flatten(1).all(-1) if new.ndim > 1 else ~torch.isfinite(new)
        if bad.any():
            step = self.checked + int(bad.nonzero()[0])
            value = self.losses[step].sum().item()
            path = self.kept.path
            saved = path is not None and path.exists()
            where = f"the last good checkpoint is {path}" if saved else "no checkpoint is kept"
            raise NonFiniteLoss(
                f"the loss is {value} at step {step} with learning rate {self.lr:g}; {where}; "
                "try a smaller learning rate"
            )
        if self.step == len(self.losses) and not all(p.isfinite().all() for p in self.parameters):
            raise NonFiniteLoss(
                f"parameters are not finite numbers after the last step, {self.step}, with "
                f"learning rate {self.lr:g}; try a smaller one"
            )
        self.checked = self.step

    @property
    def groups(self) -> list[dict]:
        return self.optimizer.param_groups

    def save(self) -> None:
        finished = self.step == len(self.losses)
        state = {
            "step": self.step,
            "parts": journal.Parts(self.parts.earlier, [journal.part(self.seconds)]).all,
            "model": self.model.state_dict(),
            "losses": self.losses,
            "snapshots": self.snapshots,
        }
        if not finished:
            state["optimizer"] = self.optimizer.state_dict()
        self.kept.save(state, finished=finished)

    def take_up(self, state: dict) -> None:
        """Go on from a checkpoint, if it holds what this fit needs."""
        try:
            self.resume(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise damaged(self.kept.path) from error

    def resume(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        if "optimizer" in state:
            ways = [{name: group[name] for name in group if name in HOW} for group in self.groups]
            self.optimizer.load_state_dict(state["optimizer"])
            for group, way in zip(self.groups, ways, strict=True):
                group.update(way)  # the checkpoint may come from another path
        self.losses, self.snapshots = state["losses"], state["snapshots"]
        self.step = self.checked = state["step"]
        self.row.fill_(self.step)
        self.parts.earlier = state["parts"]
        self.kept.draw_on(state)


def stepper(
    model: nn.Module,
    loss: Loss,
    *,
    lr: float = 1e-4,
    chunk: int | None = None,
    path: str = "auto",
    precision: str = "float32",
) -> Callable[[], None]:
    """One optimizer step of :func:`fit` as a callable without arguments, to be timed."""
    how = (chunk, path, precision)
    run = _Run(model, loss, 1, lr, torch.optim.Adam, None, None, set(), how, None)

    def step() -> None:
        run.row.zero_()
        run.compute()

    return step


@cache
def _keep_freed_memory() -> None:
    """Tell glibc to keep up to 256 MiB of freed memory for this process.

    It would hand the activations of every chunk back to the system, and get them again one page
    fault at a time: a fifth of a step's time.
    """
    trim_threshold, mmap_threshold = -1, -3  # names of mallopt's parameters in malloc.h
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library has no such call
            libc = ctypes.CDLL(None)
            libc.mallopt(trim_threshold, 2**28)
            libc.mallopt(mmap_threshold, 2**24)


def _even_chunks(model: nn.Module, loss: Loss, device: torch.device) -> int:
    """Points a chunk without a small rest; all of them off the CPU."""
    points = len(loss)
    wanted = chunk_rows(model, passes(loss)) if device.type == "cpu" else points
    return ceil(points / max(round(points / wanted), 1))


def _clip(parameters: list[nn.Parameter], limit: float, signals: int) -> None:
    """Shorten each signal's gradient to ``limit``; the first axes of parameters are signals."""
    used = [p for p in parameters if p.grad is not None]
    squares = sum(p.grad.abs().square().flatten(signals).sum(-1) for p in used)
    factor = (limit / (squares.sqrt() + 1e-6)).clamp(max=1)
    for p in used:
        p.grad.mul_(factor.reshape(*factor.shape, *[1] * (p.ndim - signals)))


def _optimizer(optimizer, parameters, lr: float, captured: bool) -> torch.optim.Optimizer:
    if optimizer not in (torch.optim.Adam, torch.optim.AdamW):
        return optimizer(parameters, lr=lr)
    if captured:  # a graph reads the rate from where it lay when it was captured
        rate = torch.tensor(lr, device=parameters[0].device)
        return optimizer(parameters, lr=rate, fused=True, capturable=True)
    plain = all(p.is_floating_point() for p in parameters)  # no complex numbers
    return optimizer(parameters, lr=lr, fused=plain)  # one kernel instead of a dozen a parameter


def _asks_again(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step takes a function that evaluates the loss, as that of L-BFGS does."""
    closure = signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is Parameter.empty


def _set_rate(group: dict, rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
