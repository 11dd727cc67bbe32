"""Regression of a distance at points far from and close to a surface."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inrkit.training.protocol import Batch, Samplable


@dataclass(frozen=True, eq=False)
class TwoScales:
    r"""Half of the points of a step are close to a surface, half further away and weigh less.

    .. math:: L = w \sum_{i \in \text{coarse}} (\Phi(x_i) - d_i)^2
              + \sum_{i \in \text{fine}} (\Phi(x_i) - d_i)^2

    A sum and no mean, as in the code that FINER's authors released, which also clips gradients.

    Args:
        coarse, fine: what the two halves are drawn from, anew each step.
        size: points a step, an even number.
        weight: w.
    """

    coarse: Samplable
    fine: Samplable
    size: int
    weight: float = 1e-2

    def sample(self, step: Tensor) -> Batch:
        """Points, distances there, and weights."""
        (x, a), (y, b) = (pool.sample(self.size // 2) for pool in (self.coarse, self.fine))
        weights = torch.cat([torch.full_like(a, self.weight), torch.ones_like(b)])
        return torch.cat([x, y]), torch.cat([a, b]), weights

    def error(self, model: nn.Module, coords: Tensor, values: Tensor, weights: Tensor) -> Tensor:
        """At each point, times their number: the mean is a sum."""
        return self.size * (weights * (model(coords) - values).square()).sum(-1)
