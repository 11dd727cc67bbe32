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


def distance_samples(solid: Solid, n: int, *, scale: float) -> Samples:
    r"""Points near a surface with their true signed distance: where it is learnt as regression.

    Points of the surface, uniform by area, moved along each axis by Laplace's distribution of
    density :math:`e^{-|t| / s} / 2s`. What leaves the cube enters it on the other side (Lindell et
    al., "BACON", 2022). Drawn by PyTorch's generator.

    Args:
        solid: a shape or a watertight mesh.
        n: number of points.
        scale: s.
    """
    surface = solid.surface_points(n).points
    far = torch.empty_like(surface).exponential_() - torch.empty_like(surface).exponential_()
    points = torch.remainder(surface + scale * far + 1, 2) - 1
    return Samples(points, solid.distance(points))
