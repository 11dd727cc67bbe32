"""The loss of networks that complete signals from a few of their samples."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inrkit.training.protocol import Batch


def random_masks(counts: Tensor, points: int) -> Tensor:
    """Masks ``(batch, points)`` that are true at as many places as ``counts`` ``(batch,)`` say."""
    order = torch.rand(len(counts), points, device=counts.device).argsort(-1).argsort(-1)
    return order < counts.unsqueeze(-1)


@dataclass(frozen=True)
class Completion:
    r"""Signals are completed from random contexts (SIREN, Suppl. Eq. 26).

    .. math:: L = \frac{1}{b} \sum_j \Bigl( \frac{1}{n c} \|\Phi_j(x) - f_j\|^2
              + \frac{\lambda_1}{k} \|z_j\|^2 + \frac{\lambda_2}{l} \|\theta_j\|^2 \Bigr)

    over b signals drawn anew each step. Each has a context of its own, whose size is uniform
    between two numbers. The paper's first term sums over the c channels; as a mean over them, as in
    its released code, it is what its tables report.

    Args:
        coords: x, ``(n, d)``.
        signals: f, ``(N, n, c)``.
        batch: number b of signals a step.
        fewest, most: sizes of contexts.
        latent_weight: :math:`\lambda_1`.
        parameter_weight: :math:`\lambda_2`.
    """

    coords: Tensor
    signals: Tensor
    batch: int
    fewest: int = 10
    most: int = 1000
    latent_weight: float = 0.1
    parameter_weight: float = 100.0

    def __post_init__(self):
        if not 1 <= self.fewest <= self.most <= len(self.coords):
            raise ValueError(
                f"contexts have from 1 to {len(self.coords)} samples, got {self.fewest} to "
                f"{self.most}"
            )

    def sample(self, step: Tensor) -> Batch:
        """Which signals, ``(b, 1)``, and where they are known, ``(b, n)``."""
        device = self.signals.device
        chosen = torch.randint(len(self.signals), (self.batch,), device=device)
        counts = torch.randint(self.fewest, self.most + 1, (self.batch,), device=device)
        return chosen[:, None], random_masks(counts, len(self.coords))

    def error(self, model: nn.Module, chosen: Tensor, known: Tensor) -> dict[str, Tensor]:
        """The three terms for each signal."""
        target = self.signals[chosen[:, 0]]
        found = model(target, known, self.coords)
        return {
            "error": (found.values - target).square().mean((-2, -1)),
            "latent": self.latent_weight * found.latent.square().mean(-1),
            "weights": self.parameter_weight * found.weights,
        }
