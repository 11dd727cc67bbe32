r"""The distance to a triangle mesh as a function that can be differentiated.

Where the nearest point p of the surface lies within a face, on an edge, or at a vertex, it moves
along the space T that face, edge or vertex spans, and

.. math:: d(x) = |(I - T T^\top)(x - p)|, \qquad \Delta d = \frac{2 - \dim T}{d}:

0 over a face, 1/d about an edge, 2/d about a vertex.
"""

import numpy as np
import torch
from torch import Tensor

TOUCHING = 1e-9  # of the mesh's size: a point this near a vertex or an edge lies on it
UPRIGHT = 1e-7  # sine of an angle: what is nearer to a right one is right


def unsigned(
    points: Tensor, nearest: np.ndarray, face: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Distances ``(n,)`` of points ``(n, 3)``, with their graph, and whether they lie below a face.

    Args:
        points: where.
        nearest: the surface's points next to them, ``(n, 3)``.
        face: on which face each lies, ``(n,)``.
        vertices: of the mesh, one for each place.
        faces: of the mesh.
    """
    at = points.detach()
    away = at.cpu().double().numpy() - nearest
    length = np.linalg.norm(away, axis=1, keepdims=True)
    away = away / np.where(length > 0, length, 1)
    found = _along(away, nearest, face, vertices, faces)
    along, normal = (torch.from_numpy(part).to(at) for part in found[:2])
    flat = torch.from_numpy(found[2]).to(at.device)
    offset = points - torch.from_numpy(nearest).to(at)
    left = offset - (along * offset.unsqueeze(-2)).sum(-1)
    squared = left.square().sum(-1)
    apart = squared > 0
    round = torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)
    height = (normal * offset).sum(-1)
    below = flat & (height.detach() < 0)
    return torch.where(flat, torch.where(below, -height, height), round), below


def _along(away, nearest, face, vertices, faces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r""":math:`T T^\top` for each point, ``(n, 3, 3)``, normals, and whether it is a face's."""
    corners = vertices[faces[face]]
    sides = np.roll(corners, -1, axis=1) - corners
    directions = sides / np.linalg.norm(sides, axis=2, keepdims=True)
    normal = np.cross(sides[:, 0], sides[:, 1])
    area = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = normal / np.where(area > 0, area, 1)
    offset = nearest[:, None] - corners
    beside = np.linalg.norm(np.cross(offset, directions), axis=2)
    tolerance = TOUCHING * np.ptp(vertices, axis=0).max()
    along = np.eye(3) - normal[:, :, None] * normal[:, None, :]
    steep = np.linalg.norm(np.cross(away, normal), axis=1) > UPRIGHT
    on_edge = (beside.min(1) < tolerance) & (steep | (area[:, 0] == 0)) & (away != 0).any(1)
    edge = directions[np.arange(len(face)), beside.argmin(1)]
    along[on_edge] = edge[on_edge, :, None] * edge[on_edge, None, :]
    to_corner = np.linalg.norm(offset, axis=2)
    at_corner = on_edge & (to_corner.min(1) < tolerance)
    corner = faces[face, to_corner.argmin(1)]
    along[at_corner] = _about_corners(away[at_corner], corner[at_corner], vertices, faces)
    return along, normal, ~on_edge


def _about_corners(away, corner, vertices, faces) -> np.ndarray:
    """As above at vertices: along those of their edges that are at a right angle to the way."""
    if len(corner) == 0:
        return np.zeros((0, 3, 3))
    ends = np.concatenate([faces[:, [i, j]] for i in range(3) for j in range(3) if i != j])
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    count = np.bincount(ends[:, 0], minlength=len(vertices))
    first = np.cumsum(count) - count
    point = np.repeat(np.arange(len(corner)), count[corner])
    before = np.cumsum(count[corner]) - count[corner]
    other = ends[first[corner[point]] + np.arange(len(point)) - before[point], 1]
    edge = vertices[other] - vertices[corner[point]]
    edge /= np.linalg.norm(edge, axis=1, keepdims=True)
    upright = np.abs((edge * away[point]).sum(1)) < UPRIGHT
    moments = np.zeros((len(corner), 3, 3))
    np.add.at(moments, point[upright], edge[upright, :, None] * edge[upright, None, :])
    values, vectors = np.linalg.eigh(moments)
    vectors = vectors * (values > 1e-6)[:, None, :]
    return vectors @ vectors.transpose(0, 2, 1)
