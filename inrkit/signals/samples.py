"""Labelled points, to be drawn from step by step."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from inrkit.signals.meshes import OrientedPoints


class Solid(Protocol):
    """What has a signed distance and a surface: a mesh or an analytic shape."""

    def distance(self, points: Tensor) -> Tensor: ...

    def surface_points(self, n: int) -> OrientedPoints: ...


@dataclass(frozen=True, eq=False)
class Samples:
    """Points ``(N, d)`` and what a signal has there, ``(N, c)``."""

    coords: Tensor
    values: Tensor

    def __post_init__(self):
        if len(self.coords) != len(self.values) or len(self.coords) == 0:
            raise ValueError(
                f"each point has a value, got {len(self.coords)} points and "
                f"{len(self.values)} values"
            )

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """n of them, drawn with replacement: coordinates and values."""
        chosen = torch.randint(len(self.coords), (n,), device=self.coords.device)
        return self.coords[chosen], self.values[chosen]

    def to(self, device: torch.device | str) -> "Samples":
        """The same samples on ``device``."""
        return replace(self, coords=self.coords.to(device), values=self.values.to(device))


def distance_samples(solid: Solid, n: int, *, deviation: float = 0.05) -> Samples:
    r"""Points with their true signed distance: where a surface is learnt as regression.

    Half are uniform in :math:`[-1, 1]^3`, half lie near the surface: points of it, uniform by area,
    moved by :math:`N(0, s^2)` along each axis. Drawn by PyTorch's generator.

    Args:
        solid: a shape or a watertight mesh.
        n: number of points.
        deviation: s.
    """
    near = solid.surface_points(n // 2).points
    near = near + deviation * torch.randn_like(near)
    points = torch.cat([near, 2 * torch.rand(n - len(near), 3) - 1])
    return Samples(points, solid.distance(points))
