"""Cameras, their rays, and the pictures that they took: views of a scene."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, radians, sin, tan

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True, eq=False)
class Rays:
    """Half lines from ``origins`` ``(n, 3)`` along ``directions`` ``(n, 3)``, of length one."""

    origins: Tensor
    directions: Tensor

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, rows) -> "Rays":
        return Rays(self.origins[rows], self.directions[rows])

    def at(self, distances: Tensor) -> Tensor:
        """Points at distances ``(n, samples)``: ``(n, samples, 3)``."""
        along = distances.unsqueeze(-1) * self.directions.unsqueeze(-2)
        return self.origins.unsqueeze(-2) + along

    def to(self, device: torch.device | str) -> "Rays":
        """The same rays on ``device``."""
        return Rays(self.origins.to(device), self.directions.to(device))


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera; it looks along its own -z, x to the right and y up.

    Attributes:
        pose: from the camera to the world, rotation and position ``(3, 4)``.
        focal: distance of the picture plane, in widths of a pixel.
        shape: height and width of the picture.
        focal_y: the same in heights of a pixel; equal by default.
        centre: column and row that the camera looks at, from the picture's upper left corner, where
            the first pixel's middle is (1/2, 1/2); by default the middle of the picture.
    """

    pose: Tensor
    focal: float
    shape: tuple[int, int]
    focal_y: float | None = None
    centre: tuple[float, float] | None = None

    def rays(self) -> Rays:
        """Through the middle of every pixel, row by row."""
        height, width = self.shape
        column, row = self.centre or (width / 2, height / 2)
        down, right = torch.meshgrid(
            torch.arange(height) + 0.5 - row,
            torch.arange(width) + 0.5 - column,
            indexing="ij",
        )
        if self.focal_y is not None:
            down = down * (self.focal / self.focal_y)
        local = torch.stack([right, -down, torch.full_like(right, -self.focal)], dim=-1)
        directions = normalize(local.reshape(-1, 3) @ self.pose[:, :3].mT, dim=-1)
        return Rays(self.pose[:, 3].expand_as(directions), directions)


def orbit(
    n: int,
    *,
    radius: float,
    shape: tuple[int, int],
    field_of_view: float = 40.0,
    elevation=30.0,
    start: float = 0.0,
) -> list[Camera]:
    """Cameras on a circle about the third axis that look at the origin.

    Args:
        n: number of cameras, evenly spaced.
        radius: distance from the origin.
        shape: height and width of their pictures.
        field_of_view: across the picture, in degrees.
        elevation: degrees above the plane of the first two axes, one for all or one each.
        start: azimuth of the first, in degrees.
    """  # fmt: skip
    focal = shape[1] / 2 / tan(radians(field_of_view) / 2)
    heights = np.broadcast_to(elevation, n)
    azimuths = start + 360 * np.arange(n) / n
    return [
        Camera(_looking_in(radians(a), radians(e), radius), focal, shape)
        for a, e in zip(azimuths, heights, strict=True)
    ]


def _looking_in(azimuth: float, elevation: float, radius: float) -> Tensor:
    outward = torch.tensor([
        cos(elevation) * cos(azimuth), cos(elevation) * sin(azimuth), sin(elevation)
    ])  # fmt: skip
    right = torch.tensor([-sin(azimuth), cos(azimuth), 0.0])
    up = torch.linalg.cross(outward, right)
    return torch.stack([right, up, outward, radius * outward], dim=-1)


@dataclass(frozen=True, eq=False)
class Views:
    """Rays and the colours that came along them, of all pictures one after the other.

    Attributes:
        name: of the scene.
        rays: n rays.
        colours: ``(n, 3)`` in [0, 1].
        cameras: that took the pictures.
    """

    name: str
    rays: Rays
    colours: Tensor
    cameras: tuple[Camera, ...]

    def sample(self, n: int) -> tuple[Rays, Tensor]:
        """n rays of any pictures, with their colours."""
        chosen = torch.randint(len(self.rays), (n,), device=self.colours.device)
        return self.rays[chosen], self.colours[chosen]

    def pictures(self) -> list[np.ndarray]:
        """Each camera's picture, ``(H, W, 3)``."""
        sizes = [camera.shape[0] * camera.shape[1] for camera in self.cameras]
        parts = self.colours.cpu().split(sizes)
        return [p.reshape(*c.shape, 3).numpy() for p, c in zip(parts, self.cameras, strict=True)]

    def to(self, device: torch.device | str) -> "Views":
        """The same views on ``device``."""
        return replace(self, rays=self.rays.to(device), colours=self.colours.to(device))


def views(name: str, cameras: Sequence[Camera], pictures: Sequence[Tensor]) -> Views:
    """Views from cameras and what they saw, ``(H W, 3)`` or ``(H, W, 3)`` each."""
    rays = [camera.rays() for camera in cameras]
    together = Rays(torch.cat([r.origins for r in rays]), torch.cat([r.directions for r in rays]))
    colours = torch.cat([torch.as_tensor(p, dtype=torch.float32).reshape(-1, 3) for p in pictures])
    if len(colours) != len(together):
        raise ValueError(f"{len(together)} rays need as many colours, got {len(colours)}")
    return Views(name, together, colours, tuple(cameras))
