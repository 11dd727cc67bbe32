"""Depth and normals of a solid as seen by parallel rays, straight from a field."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from inrkit.fields import evaluate
from inrkit.render.shading import HALF_WIDTH, camera

HALVINGS = 12  # of the interval in which a ray enters


def depth_map(
    field: Callable[[Tensor], Tensor],
    size: int,
    *,
    level: float = 0.0,
    steps: int = 128,
    azimuth: float = 30.0,
    elevation: float = 20.0,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    r"""How near to the viewer each ray first meets :math:`\Phi(x) > \text{level}`.

    Rays are parallel and enter :math:`[-1, 1]^3` from the viewer's side; outside it there is
    nothing. Each is tried at equal distances, and where it enters, the interval is halved. What is
    thinner than a step may be missed.

    Args:
        field: takes points ``(n, 3)`` to values ``(n, 1)``.
        size: pixels a side; the picture shows -1.1 to 1.1, its first row on top.
        level: of the surface, with larger values inside.
        steps: distances tried on :math:`\pm\sqrt 3`.
        azimuth, elevation: of the viewer, as for :func:`~inrkit.render.shaded`.
        device: where the field lies.

    Returns:
        distance from the plane through the middle, towards the viewer, ``(size, size)``; NaN where
        a ray meets nothing.

    Raises:
        ValueError: ``size`` or ``steps`` is not positive.
    """
    if min(size, steps) < 1:
        raise ValueError(f"size and steps are at least 1, got {size} and {steps}")
    right, up, towards = torch.from_numpy(camera(azimuth, elevation)).float().to(device)
    side = _positions(size).to(device)
    plane = side[None, :, None] * right - side[:, None, None] * up
    plane = plane.reshape(-1, 3)

    def inside(rays: Tensor, depth: Tensor) -> Tensor:
        points = plane[rays] + depth.unsqueeze(-1) * towards
        within = (points.abs() < 1).all(-1)
        hit = torch.zeros_like(within)
        hit[within] = evaluate(field, points[within])[:, 0] > level
        return hit

    return _first(inside, len(plane), steps, device).reshape(size, size).cpu().numpy()


def _positions(size: int) -> Tensor:
    """Middles of the pixels along one side."""
    return HALF_WIDTH * ((2 * torch.arange(size) + 1) / size - 1)


def _first(inside: Callable, rays: int, steps: int, device) -> Tensor:
    """Largest depth at which each ray is inside, NaN where it never is."""
    far = torch.full((rays,), torch.nan, device=device)
    spacing = 2 * sqrt(3) / steps
    left = torch.arange(rays, device=device)
    for step in range(1, steps):
        depth = torch.full(left.shape, sqrt(3) - step * spacing, device=device)
        hit = inside(left, depth)
        far[left[hit]] = depth[hit]
        left = left[~hit]
    found = far.isfinite().nonzero()[:, 0]
    inner, outer = far[found], far[found] + spacing
    for _ in range(HALVINGS):
        middle = (inner + outer) / 2
        hit = inside(found, middle)
        inner, outer = torch.where(hit, middle, inner), torch.where(hit, outer, middle)
    far[found] = (inner + outer) / 2
    return far


def normals_of_depth(depth: np.ndarray) -> np.ndarray:
    r"""Unit normals :math:`n \propto (-\partial_x t, -\partial_y t, 1)` of a surface of depth t.

    Central differences over pixels, as (Implicit)^2 takes them (Suppl. D.5).

    Args:
        depth: as :func:`depth_map` gives it, ``(size, size)``.

    Returns:
        to the right, up, and towards the viewer, ``(size, size, 3)``; NaN beside rays that meet
        nothing.
    """
    spacing = 2 * HALF_WIDTH / len(depth)
    down, right = np.gradient(depth, spacing)
    normals = np.stack([-right, down, np.ones_like(depth)], axis=-1)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def normal_image(normals: np.ndarray) -> np.ndarray:
    """Normals ``(H, W, 3)`` as colours :math:`(n + 1) / 2`, white where there are none."""
    return np.where(np.isfinite(normals), (normals + 1) / 2, 1)
