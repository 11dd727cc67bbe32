"""Fixed points of implicit fields, handed on from one training step to the next."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inrkit.training.losses import SquaredError, passes


@dataclass(frozen=True)
class Reusing:
    """A loss for which an implicit field starts from the fixed points it found last.

    The field's ``cache``, an :class:`~inrkit.fields.FixedPointCache`, holds a row for each point of
    the loss.

    Args:
        loss: at the same points in each step.
        size: points a step, drawn anew each step without repetition; all of them unless given.
    """

    loss: SquaredError
    size: int | None = None

    def __len__(self) -> int:
        return self.size or len(self.loss)

    @property
    def passes(self) -> int:
        """Those of the loss."""
        return passes(self.loss)

    def draw(self) -> "_Step":
        """The loss of one step."""
        if self.size is None:
            return _Step(self.loss, None)
        coords, values = self.loss.coords, self.loss.values
        chosen = torch.randperm(len(self.loss), device=coords.device)[: self.size]
        at_chosen = SquaredError(
            coords[..., chosen, :], values[..., chosen, :], self.loss.operator, self.loss.passes
        )
        return _Step(at_chosen, chosen)


@dataclass(frozen=True)
class _Step:
    """One step's loss, and the samples that it takes in."""

    loss: SquaredError
    chosen: Tensor | None

    def __len__(self) -> int:
        return len(self.loss)

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        if getattr(model, "cache", None) is None:
            raise ValueError(
                "fixed points are reused by an implicit field with a cache: set "
                "model.cache = FixedPointCache(points, width)"
            )
        with model.cache.at(rows if self.chosen is None else self.chosen[rows]):
            return self.loss(model, rows)
