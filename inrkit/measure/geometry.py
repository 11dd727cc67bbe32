"""How near two surfaces are, and how near a field is to a signed distance."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from inrkit.calculus import gradient, partials
from inrkit.measure.metrics import as_array
from inrkit.signals.meshes import OrientedPoints


def chamfer(first, second) -> float:
    r"""Chamfer distance of two sets of points A and B.

    .. math:: \frac{1}{2} \Bigl( \frac{1}{|A|} \sum_{a} \min_b |a - b|
              + \frac{1}{|B|} \sum_{b} \min_a |b - a| \Bigr)

    Distances are not squared and the two directions are averaged, so that concentric spheres are as
    far apart as their radii differ. Sampling alone gives two samples of the same surface, of n
    points on an area S, a distance of :math:`\frac{1}{2} \sqrt{S / n}`.

    Args:
        first, second: points ``(n, 3)`` and ``(m, 3)``, uniform on either surface.
    """
    first, second = as_array(first), as_array(second)
    return float((_nearest(second, first)[0].mean() + _nearest(first, second)[0].mean()) / 2)


def normal_consistency(first: OrientedPoints, second: OrientedPoints) -> float:
    r"""Mean of :math:`|\cos|` between the normals of each point and of its nearest, both ways."""
    ends = [(as_array(cloud.points), as_array(cloud.normals)) for cloud in (first, second)]
    means = []
    for (points, normals), (others, theirs) in (ends, ends[::-1]):
        nearest = _nearest(others, points)[1]
        means.append(np.abs((normals * theirs[nearest]).sum(-1)).mean())
    return float(np.mean(means))


def _nearest(points: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(points) == 0 or len(queries) == 0:
        raise ValueError("distances between surfaces need at least one point on each")
    return cKDTree(points).query(queries)


def iou(first: Tensor, second: Tensor) -> float:
    r"""Intersection over union :math:`|A \cap B| / |A \cup B|` of two occupancies.

    Args:
        first, second: for each point whether it lies inside, boolean and of one shape.

    Raises:
        ValueError: shapes or types differ, or no point lies inside either.
    """
    if first.dtype != torch.bool or second.dtype != torch.bool or first.shape != second.shape:
        raise ValueError(
            f"occupancies are boolean and of one shape, got {first.dtype} {tuple(first.shape)} "
            f"and {second.dtype} {tuple(second.shape)}"
        )
    union = (first | second).sum().item()
    if union == 0:
        raise ValueError("no point lies inside either shape: draw more of them")
    return (first & second).sum().item() / union


def points_near(points: Tensor, deviation: float) -> Tensor:
    r"""Points of a surface moved at random, :math:`x + \epsilon`, :math:`\epsilon \sim N(0, s^2)`.

    What a coarse IoU does not see: here half the points lie inside, whatever the volume.

    Args:
        points: on the surface, ``(n, 3)``.
        deviation: s along each axis.
    """
    return points + deviation * torch.randn_like(points)


def gradient_norms(field: Callable[[Tensor], Tensor], coords: Tensor) -> Tensor:
    r"""Lengths :math:`|\nabla\Phi|` of a scalar field's gradient, ``(n, d)`` to ``(n,)``."""
    with torch.no_grad():
        return torch.linalg.vector_norm(gradient(field, coords)[1][..., 0, :], dim=-1)


def eikonal_error(norms: Tensor) -> float:
    r"""Median of :math:`\bigl| |\nabla\Phi| - 1 \bigr|`, 0 for a signed distance."""
    return (norms - 1).abs().median().item()


def mean_curvature(field: Callable[[Tensor], Tensor], coords: Tensor) -> Tensor:
    r"""Mean curvature of a scalar field's level set through each point, ``(n, 3)`` to ``(n,)``.

    .. math:: H = \tfrac12 \nabla \cdot \frac{\nabla\Phi}{|\nabla\Phi|}
              = \frac{|g|^2 \operatorname{tr} B - g^\top B g}{2 |g|^3}

    with the gradient g and the Hessian B; :math:`1/r` for a sphere whose field grows outwards.
    """
    with torch.no_grad():
        found = partials(field, coords, 2)
    units = [tuple(int(i == k) for k in range(3)) for i in range(3)]
    g = torch.stack([found[unit][..., 0] for unit in units], dim=-1)
    bend = torch.stack([
        torch.stack([found[tuple(a + b for a, b in zip(first, second, strict=True))][..., 0]
                     for second in units], dim=-1)
        for first in units
    ], dim=-2)  # fmt: skip
    length = torch.linalg.vector_norm(g, dim=-1)
    trace = bend.diagonal(dim1=-2, dim2=-1).sum(-1)
    along = (g.unsqueeze(-2) @ bend @ g.unsqueeze(-1))[..., 0, 0]
    return (length**2 * trace - along) / (2 * length**3)
