"""Occupancy of a solid: is a point inside or not."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from inrkit.training.protocol import Batch


@dataclass(frozen=True)
class Occupancy:
    r"""Binary cross-entropy of labelled points, the next ``size`` of them in each step.

    .. math:: L = -\frac{1}{n} \sum_i \bigl( o_i \log p_i + (1 - o_i) \log(1 - p_i) \bigr),
              \qquad p = \frac{1}{1 + e^{-\Phi(x)}}

    ((Implicit)^2, Suppl. D.5). The field gives logits: the surface :math:`p = 1/2` is its level 0.
    Of independent points, as many as all steps take together are points drawn anew each step;
    fewer are used again from the first.

    Args:
        points: x, ``(N, d)``.
        inside: o, ``(N,)``, boolean.
        size: number n of points a step.

    Raises:
        ValueError: there is not one label a point, or a step takes more points than there are.
    """

    points: Tensor
    inside: Tensor
    size: int

    def __post_init__(self):
        if self.inside.dtype != torch.bool or self.inside.shape != self.points.shape[:1]:
            raise ValueError(
                f"each of the {len(self.points)} points has one boolean label, got "
                f"{self.inside.dtype} {tuple(self.inside.shape)}"
            )
        if not 0 < self.size <= len(self.points):
            raise ValueError(f"a step takes 1 to {len(self.points)} points, got {self.size}")

    def sample(self, step: Tensor) -> Batch:
        """The next points and labels."""
        turn = torch.arange(self.size, device=self.points.device)
        rows = (step * self.size + turn) % len(self.points)
        return self.points[rows], self.inside[rows, None]

    def error(self, model: nn.Module, points: Tensor, inside: Tensor) -> Tensor:
        """The cross-entropy at each point."""
        logits = model(points)[..., 0]
        labels = inside[..., 0].to(logits.dtype).expand_as(logits)
        return binary_cross_entropy_with_logits(logits, labels, reduction="none")
