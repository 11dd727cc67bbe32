"""Radiance fields whose colour depends on the direction."""

import torch
from torch import Tensor, nn


class RadianceField(nn.Module):
    r"""Density from the place, colour from the direction and what was found there (NeRF, Sec. 4).

    .. math:: (\log \sigma, h) = F_\sigma(x), \qquad \mathrm{logit}\, c = F_c(d, h)

    The logarithm of the density and logits of the colour are what
    :func:`~inrkit.signals.volume.emission` takes.

    Args:
        density: network from 3 coordinates to 1 + g values.
        colour: network from 3 + g values, the direction first, to 3.
    """

    def __init__(self, density: nn.Module, colour: nn.Module):
        super().__init__()
        self.density, self.colour = density, colour

    def forward(self, x: Tensor) -> Tensor:
        """Points with unit directions behind them, ``(..., 6)``, to ``(..., 4)``."""
        found = self.density(x[..., :3])
        colour = self.colour(torch.cat([x[..., 3:], found[..., 1:]], dim=-1))
        return torch.cat([found[..., :1], colour], dim=-1)
