"""What is asked of a loss before the first step."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from inrkit.training.code import INSTALLED, PACKAGE
from inrkit.training.protocol import Loss, count, cut, named, parts

PROGRAMS = (".py", ".pyc", ".so", ".pyd")  # what an import reads
OPENED: ContextVar[list[str] | None] = ContextVar("opened", default=None)
NEAR = 1e-2  # of the largest error: what rounding, and a solver that stops, may change


@contextmanager
def opened() -> Iterator[list[str]]:
    """The files that are opened for reading within the block, programs left out."""
    _listen()
    files: list[str] = []
    before = OPENED.set(files)
    try:
        yield files
    finally:
        OPENED.reset(before)


@cache
def _listen() -> None:
    sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple) -> None:
    if event != "open" or (files := OPENED.get()) is None:
        return
    path, mode, _ = arguments
    if isinstance(path, str | bytes | os.PathLike) and "r" in (mode or "r"):
        file = Path(os.path.abspath(os.fsdecode(path)))
        beside = (*INSTALLED, PACKAGE, "/proc", "/sys", "/dev")
        if file.suffix not in PROGRAMS and not any(file.is_relative_to(x) for x in beside):
            files.append(str(file))


@contextmanager
def untouched(model: nn.Module, *others: object) -> Iterator[None]:
    """Leave buffers, and what objects assign to themselves, such as counters, as they were."""
    owners = [*model.modules(), *(x for x in others if hasattr(x, "__dict__"))]
    own = [(x, dict(vars(x))) for x in owners]
    named_buffers = [(m, dict(m._buffers)) for m in model.modules()]
    values = [(b, b.clone()) for b in model.buffers()]
    try:
        yield
    finally:
        for owner, attributes in own:
            vars(owner).update(attributes)
        for module, buffers in named_buffers:
            module._buffers.update(buffers)
        for buffer, before in values:
            buffer.copy_(before)


def tried(model: nn.Module, loss: Loss, step: Tensor) -> tuple[list[str], Tensor, int, bool]:
    """A loss at a few of its points: names of its terms, their values, and how many points it has.

    Then whether its error at a point depends on others, as with batch normalization. Random
    generators, the model's state and the loss's are left as they were.

    Raises:
        ValueError: an error is no number for each point.
    """
    names, values, points, joint = [], [], 0, False
    devices = [step.device] if step.is_cuda else []
    with (
        torch.random.fork_rng(devices),
        untouched(model, *(part for _, part in parts(loss))),
    ):
        for number, (_, part) in enumerate(parts(loss)):
            batch = part.sample(step)
            points += count(batch)
            shapes, found = {}, []
            for size in sorted({min(count(batch), 2), min(count(batch), 3)}):
                errors = named(part.error(model, *cut(batch, slice(0, size))))
                if not errors:
                    raise ValueError(
                        "an error has at least one term, this one is an empty dictionary"
                    )
                found.append(errors)
                for name, error in errors.items():
                    _check(name, error, size, shapes)
            if _differ(found[0], found[-1]):  # by chance, or by the points beside them
                again = named(part.error(model, *cut(batch, slice(0, size))))
                joint |= not _differ(errors, again)
            prefix = f"{number + 1} " if len(parts(loss)) > 1 else ""
            names += [f"{prefix}{name}".strip() or "loss" for name in errors]
            values += [error.detach()[..., 0] for error in errors.values()]
    shapes = {tuple(value.shape) for value in values}
    if len(shapes) > 1:
        raise ValueError(f"terms of a loss are of equally many signals, got shapes {shapes}")
    return names, torch.stack(values), points, joint


def _differ(few: dict[str, Tensor], more: dict[str, Tensor]) -> bool:
    """Whether errors at the first points are others where there are more."""
    return any(
        bool((few[x] - more[x][..., : few[x].shape[-1]]).abs().max() > NEAR * more[x].abs().max())
        for x in more
    )


def _check(name: str, error: Tensor, size: int, signals: dict[str, torch.Size]) -> None:
    if isinstance(error, Tensor) and error.is_complex():
        raise ValueError(f"an error is a real number, {name or 'it'} is complex: take its .abs()")
    by_point = isinstance(error, Tensor) and error.ndim and error.shape[-1] == size
    if by_point and error.shape[:-1] == signals.setdefault(name, error.shape[:-1]):
        return
    got = tuple(error.shape) if isinstance(error, Tensor) else type(error)
    raise ValueError(
        f"an error is one number for each point, (*signals, n); at {size} points "
        f"{name or 'it'} gave {got}: average channels by .mean(-1), and leave the mean over points "
        "to fit, which takes them in slices"
    )
