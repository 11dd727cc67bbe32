r"""Losses: one small callable an equation.

A loss knows its points and can evaluate itself on a few of them. ``loss(model, rows)`` returns the
share of those rows, such that the shares of all rows add up to the loss: this is what lets
:func:`~inrkit.training.fit` take one full-batch step in chunks that stay in cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Regression:
    r"""Mean squared error on samples of a signal (SIREN, Sec. 3.1; SPDER, Eq. 4).

    .. math:: L = \frac{1}{n c} \sum_{i=1}^{n} \|\Phi(x_i) - f(x_i)\|^2

    Args:
        coords: points x, ``(n, d)`` or ``(*signals, n, d)``.
        values: samples f(x), ``(n, c)`` or ``(*signals, n, c)``.
    """

    coords: Tensor
    values: Tensor

    def __post_init__(self):
        if self.coords.shape[-2] != self.values.shape[-2]:
            raise ValueError(
                f"as many values as coordinates are needed, got {self.values.shape[-2]} values "
                f"for {self.coords.shape[-2]} coordinates"
            )
        if not torch.isfinite(self.values).all():
            raise ValueError("the signal holds values that are not finite numbers")

    def __len__(self) -> int:
        return self.coords.shape[-2]

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        """This share of the loss, ``(*signals)``."""
        error = model(self.coords[..., rows, :]) - self.values[..., rows, :]
        return error.square().sum((-2, -1)) / (len(self) * self.values.shape[-1])
