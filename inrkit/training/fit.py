"""The one training loop."""

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from inspect import Parameter, signature
from math import ceil, prod
from pathlib import Path

import torch
from torch import Tensor, nn

from inrkit.fields.precision import check_precision, rounding
from inrkit.signals import given
from inrkit.training import journal
from inrkit.training.checkpoint import Kept, damaged
from inrkit.training.checks import opened, tried
from inrkit.training.gradients import Gradients, pays
from inrkit.training.progress import Progress
from inrkit.training.protocol import Batch, Loss, as_loss, count, cut, parts, passes

CACHE = 2**18  # numbers of a layer's activation that a core's cache holds (1 MiB in float32)
LOWEST = "lowest"  # the snapshot of the lowest loss


class NonFiniteLoss(ArithmeticError):
    """A loss became infinite or not a number."""


@dataclass(frozen=True)
class Fit:
    """What a fit leaves behind.

    Attributes:
        model: the trained model (the object that was given).
        losses: loss before each step, ``(steps, *signals)``, on the CPU.
        terms: those that it is the sum of, by name, likewise; of one without parts, itself.
        snapshots: parameters after the steps asked for, by number of steps done or "lowest".
        seconds: time spent in training steps, over all resumed parts.
    """

    model: nn.Module
    losses: Tensor
    terms: dict[str, Tensor] = field(repr=False)
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
    loss: Loss | Callable,
    *batch: Tensor,
    steps: int,
    lr: float = 1e-4,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    schedule: Callable[[int], float] | None = None,
    clip: float | None = None,
    snapshots: Iterable[int | str] = (),
    chunk: int | None = None,
    compiled: bool | None = None,
    precision: str = "float32",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
    name: str = "fit",
) -> Fit:
    r"""Minimize a loss over the parameters of a model by full-batch gradient steps.

    On a CPU a step is accumulated over chunks of points whose activations stay in cache: the same
    gradient up to rounding, about twice as fast; errors that depend on other points, as with batch
    normalization, are computed at all points at once. The losses of a stack's signals are summed,
    each signal thus trains as it would alone. An interrupted fit continues from its checkpoint, on
    a CPU to the same bits as if it had not been interrupted, and a finished one is not repeated:
    the checkpoint's name carries a :mod:`~inrkit.training.digest` of all that determines the
    result, so that no other fit takes it for its own. Where that cannot be told, there is no
    checkpoint, and a warning says why.

    Args:
        model: any module that the loss can evaluate; trained in place.
        loss: what is minimized (:mod:`inrkit.training.protocol`): a loss that samples its points,
            or a function ``error(model, *batch)`` of the points that follow, or ``loss(model)``.
        batch: tensors, their points along the axis before the last.
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
        compiled: whether the gradient is compiled, see :mod:`~inrkit.training.gradients`; by
            default where the fit is long enough. The result does not depend on it beyond rounding.
        precision: of the factors in matrix products: "float32", "tf32" (CUDA) or "bf16" (a CPU).
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
        ValueError: an error is no number for each point.
    """
    steps = 0 if steps == 0 else given.whole("steps", steps, "optimizer steps")
    chunk = None if chunk is None else given.whole("chunk", chunk, "points")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is the largest norm of a gradient, above 0, got {clip}")
    wanted = {snapshots} if isinstance(snapshots, str) else set(snapshots)
    if bad := [at for at in wanted - {LOWEST} if isinstance(at, str) or at < 0 or at != int(at)]:
        raise ValueError(f"snapshots are numbers of steps, or {LOWEST!r}, got {bad[0]!r}")
    run = _Run(
        model, as_loss(loss, batch), steps=steps, lr=lr, optimizer=optimizer, schedule=schedule,
        clip=clip, wanted=wanted, chunk=chunk, compiled=compiled, precision=precision,
        file=None if checkpoint is None else Path(checkpoint),
    )  # fmt: skip
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
                bar.report(run.step, run.total(run.step - 1).mean().item())
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
    journal.note(Path(checkpoint).stem if checkpoint else name, steps, run.parts)
    terms = dict(zip(run.names, run.terms.cpu().unbind(1), strict=True))
    return Fit(model, run.terms.sum(1).cpu(), terms, run.snapshots, run.parts.seconds)


class _Run:
    """The state of a fit: what a checkpoint holds, and one step."""

    def __init__(
        self, model, loss, *, steps, lr, optimizer, schedule, clip, wanted, chunk, compiled,
        precision, file,
    ):  # fmt: skip
        self.model, self.loss, self.clip = model, loss, clip
        self.lr, self.schedule, self.wanted, self.precision = lr, schedule, wanted, precision
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("there is nothing to train: no parameter of the model requires_grad")
        self.device = self.parameters[0].device
        check_precision(precision, self.device)
        self.factors = [float(schedule(step)) for step in range(steps)] if schedule and file else []
        settings = (steps, lr, optimizer, torch.tensor(self.factors, dtype=torch.double))
        settings += (sorted(wanted, key=str), clip, chunk, compiled, precision)
        self.kept = Kept(file, self.device, model, loss, settings)
        state = self.kept.load()
        for parameter in self.parameters:
            parameter.grad = None  # of whatever was computed before
        self.optimizer = _optimizer(optimizer, self.parameters, lr)
        self.place = torch.zeros((), dtype=torch.long, device=self.device)  # the step
        self.snapshots: dict[int | str, dict[str, Tensor]] = {}
        self.step, self.checked, self.seconds, self.parts = 0, 0, 0.0, journal.Parts()
        finished = state is not None and state.get("step") == steps
        with opened() as files:
            self.names, first, points, joint = (
                tried(model, loss, self.place) if not finished else ((), 0, 0, False)
            )
        if files and self.kept.path:
            self.kept.refuse(f"{files[0]} is read as it is computed; read it beforehand")
        work = passes(loss)
        if compiled is None:
            compiled = not finished and pays(model, points, steps, work)
        self.gradients = Gradients(model, compiled)
        if joint and chunk and chunk < points:
            warnings.warn(
                "errors depend on other points of a batch, as with batch normalization: in chunks "
                "they are others",
                stacklevel=4,
            )
        in_cache = self.device.type == "cpu" and not joint
        self.chunk = chunk or (chunk_rows(model, work) if in_cache else points)
        if state is None:
            self.terms = torch.zeros(steps, *first.shape, dtype=first.dtype, device=self.device)
        else:
            self.take_up(state)
        if LOWEST in wanted and self.terms.ndim > 2:
            raise ValueError("a stack's signals are lowest at different steps: fit them one by one")
        axes = self.terms.shape[2:]
        if clip is not None and any(p.shape[: len(axes)] != axes for p in self.parameters):
            raise ValueError(
                f"clip shortens gradients by signal, and there are {tuple(axes)}, but not all "
                "parameters have these axes first: fit a stack, or one signal"
            )

    def total(self, step: int) -> Tensor:
        """The loss at a step, ``(*signals)``."""
        return self.terms[step].sum(0)

    def advance(self) -> None:
        if self.schedule:
            factor = float(self.schedule(self.step))
            if self.factors and factor != self.factors[self.step]:
                raise ValueError(
                    f"a schedule depends on the step alone where there is a checkpoint; at step "
                    f"{self.step} it gave {self.factors[self.step]:g}, then {factor:g}"
                )
            for group in self.groups:
                group["lr"] = self.lr * factor
        with rounding(self.precision):
            self.one_step()
        self.step += 1
        if self.step in self.wanted:
            self.snapshots[self.step] = _copy(self.model.state_dict())

    def one_step(self) -> None:
        batches = [part.sample(self.place) for _, part in parts(self.loss)]
        found = []

        def evaluate() -> Tensor:
            found.append(self.evaluate(batches))
            if LOWEST in self.wanted and len(found) == 1:
                self.keep_lowest(found[0].sum(0))
            return found[-1].sum()

        if _asks_again(self.optimizer):
            self.optimizer.step(evaluate)
        else:
            evaluate()
            self.optimizer.step()
        self.terms[self.step] = found[0]
        self.place += 1

    def keep_lowest(self, total: Tensor) -> None:
        """The model as it is now, if its loss is the lowest yet; nothing waits for the device."""
        state = self.model.state_dict()
        if self.step == 0:
            self.snapshots[LOWEST] = _copy(state)
            return
        lower = total <= self.terms[: self.step].sum(1).min()
        for name, kept in self.snapshots[LOWEST].items():
            kept.copy_(torch.where(lower, state[name], kept))

    def evaluate(self, batches: list[Batch]) -> Tensor:
        """The terms of the loss, ``(terms, *signals)``; their gradient in that of parameters."""
        self.optimizer.zero_grad()  # to None: what no term depends on is not moved
        found = []
        for (weight, part), batch in zip(parts(self.loss), batches, strict=True):
            points, total = count(batch), 0
            size = ceil(points / max(round(points / self.chunk), 1))  # without a small rest
            for first in range(0, points, size):
                rows = slice(first, min(first + size, points))
                total = total + self.gradients(part, cut(batch, rows), weight / points)
            found.append(total)
        if self.clip is not None:
            _clip(self.parameters, self.clip, self.terms.ndim - 2)
        return torch.cat(found)

    def check(self) -> None:
        """Raise where a loss since the last check is not finite."""
        new = self.terms[self.checked : self.step]
        bad = ~torch.isfinite(new).flatten(1).all(-1)
        if bad.any():
            step = self.checked + int(bad.nonzero()[0])
            value = self.total(step).sum().item()
            path = self.kept.path
            saved = path is not None and path.exists()
            where = f"the last good checkpoint is {path}" if saved else "no checkpoint is kept"
            raise NonFiniteLoss(
                f"the loss is {value} at step {step} with learning rate {self.lr:g}; {where}; "
                "try a smaller learning rate"
            )
        if self.step == len(self.terms) and not all(p.isfinite().all() for p in self.parameters):
            raise NonFiniteLoss(
                f"parameters are not finite numbers after the last step, {self.step}, with "
                f"learning rate {self.lr:g}; try a smaller one"
            )
        self.checked = self.step

    @property
    def groups(self) -> list[dict]:
        return self.optimizer.param_groups

    def save(self) -> None:
        finished = self.step == len(self.terms)
        state = {
            "step": self.step,
            "parts": journal.Parts(self.parts.earlier, [journal.part(self.seconds)]).all,
            "model": self.model.state_dict(),
            "terms": self.terms,
            "names": list(self.names),
            "snapshots": self.snapshots,
        }
        if not finished:
            state["optimizer"] = self.optimizer.state_dict()
        self.kept.save(state, finished=finished)

    def take_up(self, state: dict) -> None:
        """Go on from a checkpoint, if it holds what this fit needs."""
        try:
            self.resume(state)
        except torch.OutOfMemoryError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise damaged(self.kept.path) from error

    def resume(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.terms, self.names = state["terms"], state["names"]
        self.snapshots = state["snapshots"]
        self.step = self.checked = state["step"]
        self.place.fill_(self.step)
        self.parts.earlier = state["parts"]
        self.kept.draw_on(state)


def stepper(
    model: nn.Module,
    loss: Loss | Callable,
    *batch: Tensor,
    lr: float = 1e-4,
    chunk: int | None = None,
    compiled: bool | None = None,
    precision: str = "float32",
) -> Callable[[], None]:
    """One optimizer step of :func:`fit` as a callable without arguments, to be timed."""
    run = _Run(
        model, as_loss(loss, batch), steps=1, lr=lr, optimizer=torch.optim.Adam, schedule=None,
        clip=None, wanted=set(), chunk=chunk, compiled=compiled, precision=precision, file=None,
    )  # fmt: skip

    def step() -> None:
        run.place.zero_()
        with rounding(precision):
            run.one_step()

    return step


def _clip(parameters: list[nn.Parameter], limit: float, signals: int) -> None:
    """Shorten each signal's gradient to ``limit``; the first axes of parameters are signals."""
    used = [p for p in parameters if p.grad is not None]
    squares = sum(p.grad.abs().square().flatten(signals).sum(-1) for p in used)
    factor = (limit / (squares.sqrt() + 1e-6)).clamp(max=1)
    for p in used:
        p.grad.mul_(factor.reshape(*factor.shape, *[1] * (p.ndim - signals)))


def _optimizer(optimizer, parameters, lr: float) -> torch.optim.Optimizer:
    if optimizer not in (torch.optim.Adam, torch.optim.AdamW):
        return optimizer(parameters, lr=lr)
    plain = all(p.is_floating_point() for p in parameters)  # no complex numbers
    return optimizer(parameters, lr=lr, fused=plain)  # one kernel instead of a dozen a parameter


def _asks_again(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step takes a function that evaluates the loss, as that of L-BFGS does."""
    closure = signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is Parameter.empty


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
