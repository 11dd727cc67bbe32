r"""Losses: where they are sampled, and the error at each point.

A loss is two methods. ``sample(step)`` gives the batch of a step: a tuple of tensors, whose points
lie along the axis before the last (those with fewer axes are settings, handed on whole).
``error(model, *batch)`` gives the error at each of its points, ``(*signals, n)``, or a dictionary
of such terms, which count together. The loss is the mean over the points; that
:func:`~inrkit.training.fit` takes it in slices that stay in cache, no loss needs to know.

A plain function does as well: ``fit(model, error, coords, values, ...)`` for an ``error(model,
coords, values)`` at fixed points, ``fit(model, loss, ...)`` for a ``loss(model)`` as a whole.

``passes`` says how many plain evaluations the derivatives in an error amount to, if any: 2 for a
gradient, which is a reverse pass, and the number of Taylor coefficients where these are carried
along (:mod:`inrkit.calculus`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]
Errors = Tensor | dict[str, Tensor]


class Loss(Protocol):
    """What :func:`~inrkit.training.fit` asks of a loss."""

    def sample(self, step: Tensor) -> Batch:
        """What a step, a number on the loss's device, is computed at."""

    def error(self, model: nn.Module, *batch: Tensor) -> Errors:
        """The error at each point."""


class Samplable(Protocol):
    """What can be sampled at random: ``sample(n)`` gives coordinates and values there."""

    def sample(self, n: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Pointwise:
    """A plain function as a loss, at the same points in each step.

    Args:
        function: called as ``function(model, *batch)``, gives the error at each point.
        batch: tensors, points along the axis before the last.
        passes: plain evaluations that one of it amounts to.
    """

    function: Callable[..., Errors]
    batch: Batch
    passes: int = 1

    def sample(self, step: Tensor) -> Batch:
        """The same at all steps."""
        return self.batch

    def error(self, model: nn.Module, *batch: Tensor) -> Errors:
        """What the function says."""
        return self.function(model, *batch)


@dataclass(frozen=True)
class Whole:
    """A plain function of the model alone as a loss, ``loss(model)``, a number for each signal.

    Signals are an axis that parameters begin with; a dictionary of such numbers does as well.
    """

    function: Callable[[nn.Module], Errors]

    def sample(self, step: Tensor) -> Batch:
        """One point that nobody looks at."""
        return (torch.zeros(1, 1, device=step.device),)

    def error(self, model: nn.Module, nothing: Tensor) -> Errors:
        """The loss, as that point's error."""
        found = self.function(model)
        if not isinstance(found, dict):
            return self._at_point(model, found)
        return {name: self._at_point(model, term) for name, term in found.items()}

    def _at_point(self, model: nn.Module, found: Tensor) -> Tensor:
        shape = tuple(found.shape) if isinstance(found, Tensor) else ()
        axes = {tuple(p.shape[: len(shape)]) for p in model.parameters()}
        if not isinstance(found, Tensor) or (found.numel() != 1 and shape not in axes):
            raise ValueError(
                "loss(model) is one number for each signal, an axis that parameters begin with; "
                f"got {shape or type(found)}: average over points by .mean()"
            )
        return found.unsqueeze(-1)


def as_loss(loss: Loss | Callable, batch: Batch) -> Loss:
    """A loss as it is, or one made of a plain function.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(loss, Sum) or (hasattr(loss, "sample") and hasattr(loss, "error")):
        if batch:
            raise TypeError("this loss samples its own points, and takes no others")
        return loss
    if not callable(loss):
        raise TypeError(
            "a loss is an object with sample(step) and error(model, *batch), a function "
            f"error(model, *batch) with its batch, or a function loss(model), not {type(loss)}"
        )
    if strange := [type(x).__name__ for x in batch if not isinstance(x, Tensor)]:
        raise TypeError(f"a batch is made of tensors, got {strange[0]}: torch.as_tensor makes one")
    points = {x.shape[-2] for x in batch if x.ndim > 1} - {1}
    if flat := [tuple(x.shape) for x in batch if x.ndim == 1 and len(x) in points]:
        raise ValueError(
            f"points lie along the axis before the last, and {flat[0]} has none: .unsqueeze(-1) "
            "gives each point its number"
        )
    return Pointwise(loss, batch) if batch else Whole(loss)


def count(batch: Batch) -> int:
    """The number of points of a batch.

    Raises:
        ValueError: its tensors do not have the same, or none.
    """
    shapes = [tuple(x.shape) for x in batch if x.ndim > 1]
    numbers = {shape[-2] for shape in shapes}
    if len(numbers) != 1 or 0 in numbers:
        raise ValueError(
            "a batch is a tuple of tensors with as many points, at least one, along their axis "
            f"before the last; got shapes {', '.join(map(str, shapes)) or 'of no such axis'}"
        )
    return numbers.pop()


def cut(batch: Batch, rows: slice) -> Batch:
    """Some points of a batch."""
    return tuple(x[..., rows, :] if x.ndim > 1 else x for x in batch)


def named(errors: Errors) -> dict[str, Tensor]:
    """Terms of an error by name; of a single one, the empty name."""
    return errors if isinstance(errors, dict) else {"": errors}


def mean(loss: Loss, model: nn.Module, step: int = 0) -> Tensor:
    """The loss of a step, over all of its points at once, ``(*signals)``."""
    total = torch.zeros(())
    for weight, part in parts(loss):
        batch = part.sample(torch.tensor(step))
        total = total + weight * sum(named(part.error(model, *batch)).values()).mean(-1)
    return total


@dataclass(frozen=True)
class Sum:
    r"""Several losses at once, :math:`\sum_k \lambda_k L_k`, such as data and a prior.

    Args:
        terms: the losses :math:`L_k`, each with its own points.
        weights: :math:`\lambda_k`.
    """

    terms: tuple[Loss, ...]
    weights: tuple[float, ...]


def parts(loss: Loss) -> Sequence[tuple[float, Loss]]:
    """The losses that one consists of, with their weights."""
    if not isinstance(loss, Sum):
        return [(1.0, loss)]
    pairs = zip(loss.weights, loss.terms, strict=True)
    return [(weight * w, part) for weight, term in pairs for w, part in parts(term)]


def passes(loss: Loss) -> int:
    """Plain evaluations that one of a loss amounts to: of the part that computes most."""
    return max(getattr(part, "passes", 1) for _, part in parts(loss))
