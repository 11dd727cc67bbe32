"""Pictures of triangle meshes, without OpenGL: parallel projection, depth buffer, soft light."""

from math import cos, radians, sin

import numpy as np

HALF_WIDTH = 1.1  # of the picture, in units of the cube
COLOUR = np.array([0.72, 0.8, 0.88])  # a grey-blue that stands on white and on black
LIGHT = np.array([-0.35, 0.5, 0.79])  # from above, left of the viewer (right, up, towards)
AMBIENT = 0.3


def shaded(
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    azimuth: float = 30.0,
    elevation: float = 20.0,
    size: int = 240,
) -> np.ndarray:
    r"""A picture of a mesh on white, ``(size, size, 3)``, 8 bits.

    Lambert's law with ambient light, :math:`I = a + (1 - a) \max(0, n \cdot l)`, normals
    interpolated between vertices. Rendered at twice the size and averaged. The second axis points
    up; the picture shows -1.1 to 1.1. Faces are seen from outside only.

    Args:
        vertices: ``(V, 3)`` in [-1, 1].
        faces: ``(F, 3)``, counterclockwise as seen from outside.
        azimuth: degrees that the viewer has gone round, to the right, from the third axis.
        elevation: degrees above the horizon.
        size: pixels a side.
    """
    return _picture(vertices, faces, _vertex_normals(vertices, faces), azimuth, elevation, size)


def turntable(
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    frames: int = 36,
    size: int = 240,
    elevation: float = 20.0,
) -> np.ndarray:
    """A mesh turning once about the second axis, ``(frames, size, size, 3)``, as :func:`shaded`."""
    normals = _vertex_normals(vertices, faces)
    turns = 360 * np.arange(frames) / frames
    return np.stack([_picture(vertices, faces, normals, turn, elevation, size) for turn in turns])


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals of vertices: means of those of their faces, weighted by area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    crosses = np.cross(b - a, c - a).repeat(3, axis=0)
    sums = [np.bincount(faces.ravel(), weights, len(vertices)) for weights in crosses.T]
    normals = np.stack(sums, axis=-1)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-30)


def _picture(vertices, faces, normals, azimuth, elevation, size) -> np.ndarray:
    turn = camera(azimuth, elevation)
    side = 2 * size
    seen = vertices @ turn.T
    seen[:, 0] = (seen[:, 0] / HALF_WIDTH + 1) * side / 2 - 0.5  # pixel i has its middle at i
    seen[:, 1] = (seen[:, 1] / HALF_WIDTH + 1) * side / 2 - 0.5
    pixel, face, b, c = _visible(seen.astype(np.float32), faces, side)
    corners = (normals @ turn.T)[faces[face]]
    normal = corners[:, 0] * (1 - b - c) + corners[:, 1] * b + corners[:, 2] * c
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-30)
    light = np.maximum(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0)
    image = np.ones((side * side, 3))
    image[pixel] = COLOUR * (AMBIENT + (1 - AMBIENT) * light[:, None])
    image = image.reshape(size, 2, size, 2, 3).mean((1, 3))[::-1]
    return np.rint(255 * image).astype(np.uint8)


def camera(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vectors to the viewer's right, up, and from the middle towards the viewer, as rows."""
    a, e = radians(azimuth), radians(elevation)
    towards = np.array([cos(e) * sin(a), sin(e), cos(e) * cos(a)])
    right = np.array([cos(a), 0.0, -sin(a)])
    return np.stack([right, np.cross(towards, right), towards])


def _visible(corners: np.ndarray, faces: np.ndarray, side: int):
    r"""What is seen in each pixel that a face covers.

    A point of a face is :math:`A + \beta (B - A) + \gamma (C - A)`. All pixels of every face's
    bounding box are tried at once; those inside are written from far to near.

    Args:
        corners: vertices ``(V, 3)``: column, row, and depth towards the viewer.

    Returns:
        number of the pixel, face, and :math:`\beta`, :math:`\gamma` as columns.
    """
    a = corners[faces[:, 0]]
    ab, ac = corners[faces[:, 1]] - a, corners[faces[:, 2]] - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    lower = np.minimum(np.minimum(ab, ac), 0)[:, :2] + a[:, :2]
    upper = np.maximum(np.maximum(ab, ac), 0)[:, :2] + a[:, :2]
    lower = np.ceil(lower).clip(0, side).astype(np.int64)
    upper = np.floor(upper).clip(-1, side - 1).astype(np.int64)
    boxes = np.maximum(upper - lower + 1, 0)
    shown = np.flatnonzero((area > 0) & (boxes.prod(1) > 0))
    counts = boxes[shown].prod(1)
    which = shown.repeat(counts)
    within = np.arange(len(which)) - (counts.cumsum() - counts).repeat(counts)
    row, column = np.divmod(within, boxes[which, 0])
    row, column = row + lower[which, 1], column + lower[which, 0]

    x, y = column - a[which, 0], row - a[which, 1]
    ab, ac, area = ab[which], ac[which], area[which]
    beta = (x * ac[:, 1] - y * ac[:, 0]) / area
    gamma = (y * ab[:, 0] - x * ab[:, 1]) / area
    covered = np.flatnonzero((beta >= 0) & (gamma >= 0) & (beta + gamma <= 1))
    depth = a[which[covered], 2] + beta[covered] * ab[covered, 2] + gamma[covered] * ac[covered, 2]
    nearest = np.full(side * side, -1)
    covered = covered[np.argsort(depth)]
    nearest[row[covered] * side + column[covered]] = covered  # of equal places the last one stays
    pixel = np.flatnonzero(nearest >= 0)
    winner = nearest[pixel]
    return pixel, which[winner], beta[winner, None], gamma[winner, None]
