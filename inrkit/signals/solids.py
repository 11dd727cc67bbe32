"""Which way the faces of a mesh look: from a soup of triangles to the surface of a solid.

Edges of faces that meet decide. Two faces at an edge look the same way if they pass it in opposite
directions, and most of their area decides which way that is. Parts without a hole are bodies; from
outside, their faces run counterclockwise.
"""

from dataclasses import dataclass

import igl
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SCRAP = 1e-2  # of the area: walls that cancel in a scan
FOLD = 1e-10  # one minus the cosine of the angle between faces that lie on each other
PROBES = 50  # faces of a body that say whether another one holds it


@dataclass(frozen=True, eq=False)
class Surface:
    """Faces that are taken once each and look outward where they enclose something.

    Attributes:
        vertices: one for each place, ``(V, 3)``.
        faces: ``(F, 3)``.
        open_edges: that faces do not pass as often one way as the other.
        problem: why inside and outside are not told apart; empty if they are.
    """

    vertices: np.ndarray
    faces: np.ndarray
    open_edges: int
    problem: str


def surface(vertices: np.ndarray, faces: np.ndarray) -> Surface:
    """The surface that triangles in any order and direction form.

    Faces that come twice count once. Faces that lie back to back are one sheet where nothing
    else closes the surface, and else vanish: they part nothing from nothing, or a body from itself.
    A body that looks inward is turned, and with it what it holds; one that looks inward within
    another is a cavity and stays.
    """
    vertices, given = merged(vertices, faces)
    if len(given) == 0:
        return Surface(vertices, given, 0, "has no face with three corners")
    faces, patches, one_sided = _agreeing(vertices, _once(given, len(vertices)))
    holes = _open(faces, len(vertices))
    if holes and (net := _balanced(vertices, given, faces)) is not None:
        return Surface(vertices, net, 0, "")
    problem = ""
    if one_sided:
        problem = "has a single side, as a Möbius strip has"
    elif holes:
        problem = f"has holes ({holes} open edges)"
    else:
        edge, way = _edges(faces, len(vertices))
        faces, problem = _outward(vertices, faces, _bodies(edge, way, patches))
    return Surface(vertices, faces, holes, problem)


def _open(faces: np.ndarray, vertices: int) -> int:
    edge, way = _edges(faces, vertices)
    return int(np.count_nonzero(np.bincount(edge, weights=way)))


def _balanced(vertices: np.ndarray, given: np.ndarray, once: np.ndarray) -> np.ndarray | None:
    """The faces as they were given, if these close by being there twice, as some scans do.

    Those back to back cancel, and all are turned where they look inward. None where holes are left,
    or where that takes away a sheet.
    """
    _, group = np.unique(np.sort(given, axis=1), axis=0, return_inverse=True)
    group = group.ravel()
    a, b, c = given.T
    way = 1 - 2 * ((0 + (a > b) + (b > c) + (a > c)) % 2)
    more = np.bincount(group, weights=way)[group]
    order = np.lexsort((way != np.sign(more), group))  # of each group, those that stay come first
    begins = np.searchsorted(group[order], group[order])
    kept = np.sort(order[np.arange(len(order)) - begins < np.abs(more[order])])
    if len(kept) == 0 or _open(given[kept], len(vertices)):
        return None
    net = given[kept]
    if _area(vertices, net) < (1 - SCRAP) * _area(vertices, once):
        return None
    a, b, c = (vertices[net[:, i]] - vertices[net[0, 0]] for i in range(3))
    return net if (a * np.cross(b, c)).sum() > 0 else net[:, ::-1]


def _area(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def folded(vertices: np.ndarray, faces: np.ndarray) -> float:
    """The share of the area in faces that lie on a neighbour, turned over at the edge of both."""
    edge, _ = _edges(faces, len(vertices))
    order = np.argsort(edge, kind="stable")
    sides = order[np.bincount(edge)[edge[order]] == 2].reshape(-1, 2)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    crosses = np.cross(b - a, c - a)
    areas = np.linalg.norm(crosses, axis=1)
    start, end, third = (vertices[faces[sides // 3, (sides + k) % 3]] for k in range(3))
    along = end - start
    heights = (
        third
        - start
        - along * (((third - start) * along).sum(-1) / (along * along).sum(-1))[..., None]
    )  # from the edge to the third corner: in a fold they point the same way
    one, other = heights[:, 0], heights[:, 1]
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    flat = (one * other).sum(1) > (1 - FOLD) * lengths
    over = np.zeros(len(faces), bool)
    over[(sides // 3)[flat & (lengths > 0)]] = True
    return float(areas[over].sum() / areas.sum())


def merged(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One vertex for each place that a face uses, without the faces that become a line."""
    places, index = np.unique(vertices[faces.ravel()], axis=0, return_inverse=True)
    faces = index.reshape(-1, 3)
    a, b, c = faces.T
    return places, faces[(a != b) & (b != c) & (c != a)]


def parts(faces: np.ndarray) -> np.ndarray:
    """A label for each face, the same for those that vertices connect."""
    return _joined(int(faces.max()) + 1, faces[:, [0, 0]].ravel(), faces[:, 1:].ravel())[
        faces[:, 0]
    ]


def _edges(faces: np.ndarray, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each face's three sides in turn, ``(3 F,)``: the edge, and which way it is passed."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    keys = np.minimum(start, end) * vertices + np.maximum(start, end)
    return np.unique(keys, return_inverse=True)[1], np.sign(end - start)


def _joined(nodes: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A label for each of the nodes, the same where links lead from one to the other."""
    links = coo_array((np.ones(len(a), bool), (a, b)), shape=(nodes, nodes))
    return connected_components(links, directed=False)[1]


def _chain(keys: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Links between items that have the same key."""
    order = np.argsort(keys, kind="stable")
    same = np.diff(keys[order]) == 0
    return items[order[:-1][same]], items[order[1:][same]]


def _once(faces: np.ndarray, vertices: int) -> np.ndarray:
    """Each triangle once, and those back to back as :func:`surface` says."""
    ordered = np.sort(faces, axis=1)
    first = np.argmin(faces, axis=1)
    rows = np.arange(len(faces))
    forward = faces[rows, (first + 1) % 3] == ordered[:, 1]
    _, kept, group = np.unique(ordered, axis=0, return_index=True, return_inverse=True)
    group = group.ravel()
    both = (np.bincount(group, forward) > 0) & (np.bincount(group, ~forward) > 0)
    order = np.argsort(kept)
    kept, paired = kept[order], both[order]
    faces = faces[kept]
    if not paired.any():
        return faces
    edge, _ = _edges(faces, vertices)
    side = np.repeat(np.arange(len(faces)), 3)
    part = _joined(len(faces), *_chain(edge, side))
    single = ~paired
    odd = np.bincount(edge, single[side]) % 2 > 0
    open_without = np.bincount(part, (odd[edge]).reshape(-1, 3).any(1)) > 0
    without = (np.bincount(part, single) > 0) & ~open_without
    return faces[single | ~without[part]]


def _agreeing(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Faces that look the same way over every edge of two, their patch, and whether none can."""
    n = len(faces)
    edge, way = _edges(faces, len(vertices))
    order = np.argsort(edge, kind="stable")
    pairs = order[np.bincount(edge)[edge[order]] == 2].reshape(-1, 2)
    (f, g), against = (pairs // 3).T, way[pairs[:, 0]] == way[pairs[:, 1]]
    patch = _joined(n, f, g)
    # two copies of each face, as it is and turned; what agrees with what
    copy = _joined(2 * n, np.r_[f, f + n], np.r_[g + n * against, g + n * ~against])
    as_is, turned = copy[:n], copy[n:]
    turn = as_is > turned
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    mostly = np.bincount(patch, np.where(turn, area, -area)) > 0
    turn ^= mostly[patch]
    return np.where(turn[:, None], faces[:, ::-1], faces), patch, bool((as_is == turned).any())


def _bodies(edge: np.ndarray, way: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """The body of each face: patches that close each other where more than two faces meet."""
    n = int(patch.max()) + 1
    keys, index = np.unique(edge * n + np.repeat(patch, 3), return_inverse=True)
    unclosed = keys[np.bincount(index, way) != 0]
    return _joined(n, *_chain(unclosed // n, unclosed % n))[patch]


def _outward(vertices: np.ndarray, faces: np.ndarray, body: np.ndarray) -> tuple[np.ndarray, str]:
    """Bodies turned outward and cavities inward, and what is in the way of it."""
    corners = vertices[faces]
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    centre = corners.mean(1)
    offset = corners[:, 0] - corners[0, 0]  # near the numbers' own size: volumes are differences
    volume = np.bincount(body, (offset * crosses).sum(1)) / 6
    order = np.argsort(-np.abs(volume), kind="stable")
    holds, crossed = _holds(vertices, faces, centre, body, order)
    turn = np.zeros(len(volume), bool)
    for b in order:  # the larger ones first: what holds a body is settled before it
        around = [c for c in order if holds[c, b]] if holds[:, b].any() else []
        if around:
            turn[b] = turn[around[-1]]
        inward = (volume[b] < 0) != turn[b]
        if inward and crossed[b]:
            return faces, "has a body that looks inward and crosses another one"
        if inward and sum(1 if (volume[c] > 0) != turn[c] else -1 for c in around) <= 0:
            turn[b] = not turn[b]
    return np.where(turn[body][:, None], faces[:, ::-1], faces), ""


def _holds(
    vertices: np.ndarray, faces: np.ndarray, centre: np.ndarray, body: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which larger body holds which smaller one, and which ones lie partly in a larger one."""
    n = len(order)
    members = np.split(np.argsort(body, kind="stable"), np.cumsum(np.bincount(body))[:-1])
    corners = vertices[faces]
    low = np.stack([corners[m].min((0, 1)) for m in members])
    high = np.stack([corners[m].max((0, 1)) for m in members])
    probes = [m[np.linspace(0, len(m) - 1, min(PROBES, len(m))).astype(int)] for m in members]
    holds, crossed = np.zeros((n, n), bool), np.zeros(n, bool)
    for i, c in enumerate(order):
        smaller = order[i + 1 :]
        near = (low[smaller] <= high[c]).all(1) & (high[smaller] >= low[c]).all(1)
        smaller = smaller[near]
        if len(smaller) == 0:
            continue
        asked = np.concatenate([probes[b] for b in smaller])
        winding = np.abs(igl.fast_winding_number(vertices, faces[members[c]], centre[asked]))
        found, asked = np.bincount(body[asked], winding > 0.5, n), np.bincount(body[asked], None, n)
        share = found / np.maximum(asked, 1)
        holds[c, smaller] = share[smaller] == 1
        crossed |= (share > 0) & (share < 1)
    return holds, crossed
