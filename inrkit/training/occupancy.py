"""Occupancy of a solid: is a point inside or not."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


@dataclass(frozen=True)
class Occupancy:
    r"""Binary cross-entropy of labelled points, ``size`` of them drawn anew each step.

    .. math:: L = -\frac{1}{n} \sum_i \bigl( o_i \log p_i + (1 - o_i) \log(1 - p_i) \bigr),
              \qquad p = \frac{1}{1 + e^{-\Phi(x)}}

    ((Implicit)^2, Suppl. D.5). The field gives logits: the surface :math:`p = 1/2` is its level 0.

    Args:
        points: x, ``(N, d)``.
        inside: o, ``(N,)``, boolean.
        size: number n of points a step.

    Raises:
        ValueError: there is not one label a point.
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

    def __len__(self) -> int:
        return self.size

    def draw(self) -> "_Labelled":
        """The loss of one step."""
        chosen = torch.randint(len(self.points), (self.size,), device=self.points.device)
        return _Labelled(self.points[chosen], self.inside[chosen])


@dataclass(frozen=True)
class _Labelled:
    """Points of one step."""

    points: Tensor
    inside: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        logits = model(self.points[rows])[..., 0]
        labels = self.inside[rows].to(logits.dtype).expand_as(logits)
        each = binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return each.sum(-1) / len(self)
