"""Fixed points of implicit fields, handed on from one training step to the next."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inrkit.training.losses import Regression
from inrkit.training.protocol import Batch, Errors


@dataclass(frozen=True)
class Reusing:
    """A loss for which an implicit field starts from the fixed points it found last.

    The field's ``cache``, an :class:`~inrkit.fields.FixedPointCache`, holds a row for each point of
    the loss.

    Args:
        loss: at the same points in each step.
        size: points a step, drawn anew each step without repetition; all of them unless given.
    """

    loss: Regression
    size: int | None = None

    @property
    def passes(self) -> int:
        """Those of the loss."""
        return self.loss.passes

    def sample(self, step: Tensor) -> Batch:
        """Coordinates, values, and the number of each point, ``(n, 1)``."""
        coords, values = self.loss.sample(step)
        if self.size is None:
            chosen = torch.arange(coords.shape[-2], device=coords.device)
        else:
            chosen = torch.randperm(coords.shape[-2], device=coords.device)[: self.size]
            coords, values = coords[..., chosen, :], values[..., chosen, :]
        return coords, values, chosen[:, None]

    def error(self, model: nn.Module, coords: Tensor, values: Tensor, chosen: Tensor) -> Errors:
        """That of the loss."""
        if getattr(model, "cache", None) is None:
            raise ValueError(
                "fixed points are reused by an implicit field with a cache: set "
                "model.cache = FixedPointCache(points, width)"
            )
        with model.cache.at(chosen[:, 0]):
            return self.loss.error(model, coords, values)
