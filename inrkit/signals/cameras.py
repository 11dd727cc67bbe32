"""Cameras, their rays, and the pictures that they took: views of a scene."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, radians, sin, tan
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from inrkit.signals.registry import DataError, Item, items, locate


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
        focal: distance of the picture plane, in pixels.
        shape: height and width of the picture.
    """

    pose: Tensor
    focal: float
    shape: tuple[int, int]

    def rays(self) -> Rays:
        """Through the middle of every pixel, row by row."""
        height, width = self.shape
        down, right = torch.meshgrid(
            torch.arange(height) + 0.5 - height / 2,
            torch.arange(width) + 0.5 - width / 2,
            indexing="ij",
        )
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


def blender_views(
    set_name: str, split: str, n: int, *, size: int | None = None, scale: float = 2 / 3
) -> Views:
    r"""Views of a scene of the Blender set (Mildenhall et al. 2020), over white.

    Args:
        set_name: data set whose items are ``<set>/<split>/r_<i>`` and ``<set>/transforms_<split>``.
        split: "train" or "test".
        n: number of views, evenly spread over those that are there.
        size: pixels a side, by averaging whole pixels; the file's own by default.
        scale: factor on positions, such that the scene lies in :math:`[-1, 1]^3`.

    Raises:
        DataError: the data is not here, or there are fewer views.
    """
    info = json.loads(locate(f"{set_name}/transforms_{split}").read_text())
    poses = {Path(f["file_path"]).name: f["transform_matrix"] for f in info["frames"]}
    there = [item for item in items(set_name) if item.name.startswith(f"{set_name}/{split}/")]
    if not 1 <= n <= len(there):
        raise DataError(f"n lies in 1 to {len(there)} for {set_name}/{split}, got {n}")
    there.sort(key=_number)
    chosen = [there[round(i)] for i in np.linspace(0, len(there) - 1, n)]
    cameras, pictures = [], []
    for item in chosen:
        picture = _over_white(imageio.imread(locate(item.name)), size)
        pose = torch.tensor(poses[item.name.rpartition("/")[2]], dtype=torch.float32)[:3]
        pose[:, 3] *= scale
        focal = picture.shape[1] / 2 / tan(info["camera_angle_x"] / 2)
        cameras.append(Camera(pose, focal, tuple(picture.shape[:2])))
        pictures.append(torch.from_numpy(picture))
    return views(set_name, cameras, pictures)


def _number(item: Item) -> int:
    return int(item.name.rpartition("_")[2])


def _over_white(pixels: np.ndarray, size: int | None) -> np.ndarray:
    colour, alpha = pixels[..., :3] / 255, pixels[..., 3:] / 255
    picture = colour * alpha + 1 - alpha
    if size is None:
        return picture
    factor, rest = divmod(len(picture), size)
    if rest:
        raise ValueError(f"size divides the picture's {len(picture)} pixels, got {size}")
    return picture.reshape(size, factor, size, factor, 3).mean((1, 3))
