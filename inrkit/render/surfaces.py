"""Level sets of fields as meshes."""

from collections.abc import Callable
from math import inf, sqrt

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor

from inrkit.fields import evaluate
from inrkit.signals import Mesh

BLOCK = 8  # cells along a block's edge, and planes of cells that are held at a time
SAME = 1e-3  # of a cell: vertices on a seam that are nearer than this are one


def level_set(
    field: Callable[[Tensor], Tensor],
    resolution: int,
    *,
    level: float = 0.0,
    lipschitz: float = inf,
    device: torch.device | str = "cpu",
) -> Mesh:
    r"""The surface :math:`\Phi(x) = \text{level}` in :math:`[-1, 1]^3`, by marching cubes.

    Normals point to where the field grows: outwards, for a signed distance. The grid is worked
    through in slabs of eight planes of cells, joined at the seams: it is never held as a whole, and
    each of its points is evaluated at most once.

    Args:
        field: any callable from ``(n, 3)`` to ``(n, 1)``, each point on its own.
        resolution: points along each side.
        level: value on the surface.
        lipschitz: a bound L on :math:`|\nabla\Phi|`. Blocks of :math:`8^3` cells in whose centre
            the field is further than L times half their diagonal from the level are left out: they
            cannot hold a part of the surface as long as L is a bound. 1 for an exact signed
            distance; without a bound every point is evaluated.
        device: where the field is evaluated.

    Returns:
        the mesh; it is open where the surface leaves the cube.

    Raises:
        ValueError: there is no such surface, or the field is not finite.
    """
    if resolution < 2:
        raise ValueError(f"a grid of cubes has at least 2 points a side, got {resolution}")
    axis = torch.linspace(-1, 1, resolution, device=device)
    planes = _planes(field, axis, level, lipschitz)
    slab, parts, count, low, high = [next(planes)], [], 0, inf, -inf
    for first in range(0, resolution - 1, BLOCK):
        slab = [slab[-1]] + [next(planes) for _ in range(min(BLOCK, resolution - 1 - first))]
        values = np.stack(slab)
        low, high = min(low, values.min()), max(high, values.max())
        if not np.isfinite([low, high]).all():
            raise ValueError("the field has values that are not finite: it has no level set")
        if values.min() <= level < values.max():
            vertices, faces, _, _ = marching_cubes(values, level)
            parts.append((vertices + np.array([first, 0.0, 0.0]), faces + count))
            count += len(vertices)
    if not parts:
        raise ValueError(
            f"there is no surface at level {level:g}: on the grid the field spans {low:.3g} to "
            f"{high:.3g}"
        )
    vertices, faces = (np.concatenate(part) for part in zip(*parts, strict=True))
    vertices, faces = _joined(vertices, faces.astype(np.int64), resolution)
    return Mesh("level set", 2 * vertices / (resolution - 1) - 1, faces)


def _planes(field, axis: Tensor, level: float, lipschitz: float):
    """The grid's values, one plane of the first axis after the other, as ``(N, N)`` arrays.

    Points that belong to left-out blocks alone get the value at the centre of their block, which
    lies on the same side of the level.
    """
    n = len(axis)
    starts = torch.arange(0, n - 1, BLOCK, device=axis.device)
    centres = (axis[starts] + axis[(starts + BLOCK).clamp(max=n - 1)]) / 2
    coarse = evaluate(field, torch.cartesian_prod(centres, centres, centres))
    coarse = coarse.reshape([len(starts)] * 3)
    half_diagonal = sqrt(3) * BLOCK / (n - 1)
    near = ~((coarse - level).abs() > lipschitz * half_diagonal)  # also where it is not a number
    index = torch.arange(n, device=axis.device)
    after = (index // BLOCK).clamp(max=len(starts) - 1)  # the blocks on either side of a plane
    before = ((index - 1) // BLOCK).clamp(min=0)
    for i in range(n):
        wanted = near[before[i]] | near[after[i]]
        wanted = wanted[before] | wanted[after]
        rows, columns = (wanted[:, before] | wanted[:, after]).nonzero().unbind(-1)
        values = coarse[after[i]][after][:, after]
        coords = torch.stack([axis[i].expand(len(rows)), axis[rows], axis[columns]], dim=-1)
        values[rows, columns] = evaluate(field, coords)[..., 0]
        yield values.float().cpu().numpy()


def _joined(
    vertices: np.ndarray, faces: np.ndarray, resolution: int
) -> tuple[np.ndarray, np.ndarray]:
    """One vertex where two slabs have each their own, without faces that become a line."""
    seams = np.rint(vertices[:, 0] / BLOCK) * BLOCK
    inner = (seams > 0) & (seams < resolution - 1)
    doubled = np.flatnonzero(inner & (np.abs(vertices[:, 0] - seams) < SAME))
    if len(doubled):
        i, j = cKDTree(vertices[doubled]).query_pairs(SAME, output_type="ndarray").T
        links = coo_array((np.ones(len(i)), (i, j)), shape=(len(doubled), len(doubled)))
        _, cluster = connected_components(links, directed=False)
        _, leader = np.unique(cluster, return_index=True)
        one = np.arange(len(vertices))
        one[doubled] = doubled[leader[cluster]]
        faces = one[faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    used, faces = np.unique(faces, return_inverse=True)
    return vertices[used], faces.reshape(-1, 3)
