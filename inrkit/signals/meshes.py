"""Triangle meshes and oriented point clouds: read, checked, placed in the cube, sampled."""

import codecs
import gzip
import io
import re
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import igl
import numpy as np
import torch
from torch import Tensor

from inrkit.signals.nearest import TOUCHING, unsigned
from inrkit.signals.registry import opened
from inrkit.signals.solids import Surface, folded, parts, surface

PROBED = 20_000  # points of the surface whose two sides are looked at
NEXT_TO = 1e-7  # of the mesh's size: how far from the face
COVERED = 1e-2  # of a part's area: less may lie within another part
TOLERATED = 1e-3  # of the area: scans cross themselves in a few faces
EXTENT = 0.9  # half the longest side of a placed shape: a level set then closes within the cube


@dataclass(frozen=True)
class Placement:
    r"""How a shape was moved into the cube, :math:`x \mapsto (x - c) / s`.

    Attributes:
        centre: c, in the file's own units.
        scale: s, the file's units in one unit of the cube; the same along every axis.
    """

    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    def into(self, points: np.ndarray) -> np.ndarray:
        """From the file's units into the cube, ``(n, 3)``."""
        return (points - np.array(self.centre)) / self.scale

    def back(self, points: np.ndarray) -> np.ndarray:
        """From the cube to the file's units, ``(n, 3)``."""
        return points * self.scale + np.array(self.centre)


@dataclass(frozen=True, eq=False)
class OrientedPoints:
    """Points on a surface and the outward unit normals there.

    Attributes:
        name: of the shape or file.
        points: ``(N, 3)`` in [-1, 1].
        normals: ``(N, 3)``, of length one.
        sha256: of the file, or of the shape that was sampled.
        placement: how the points were moved into the cube.
    """

    name: str
    points: Tensor
    normals: Tensor
    sha256: str
    placement: Placement = Placement()

    def to(self, device: torch.device | str) -> "OrientedPoints":
        """The same points with positions and normals on ``device``."""
        return replace(self, points=self.points.to(device), normals=self.normals.to(device))


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh, its faces counterclockwise as seen from outside.

    Attributes:
        name: of the item or file.
        vertices: ``(V, 3)``, float64.
        faces: ``(F, 3)``, indices of vertices.
        sha256: of the file; empty where the mesh was computed.
        placement: how the vertices were moved into the cube.

    Raises:
        ValueError: there are no faces, a vertex is not finite, or a face names a vertex that does
            not exist.
    """

    name: str
    vertices: np.ndarray = field(repr=False)
    faces: np.ndarray = field(repr=False)
    sha256: str = ""
    placement: Placement = Placement()

    def __post_init__(self):
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3 or len(self.vertices) == 0:
            raise ValueError(
                f"a mesh has vertices (V, 3), those of {self.name} are {self.vertices.shape}"
            )
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or len(self.faces) == 0:
            raise ValueError(
                f"a mesh has triangles (F, 3), {self.name} has no such faces but "
                f"{self.faces.shape}: it may be a point cloud"
            )
        bad = int((~np.isfinite(self.vertices).all(1)).sum())
        if bad:
            raise ValueError(f"{bad} vertices of {self.name} are not finite numbers")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise ValueError(
                f"faces of {self.name} name vertices outside 0 to {len(self.vertices) - 1}"
            )

    @cached_property
    def _crosses(self) -> np.ndarray:
        """Twice each face's area times its normal, ``(F, 3)``."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    @cached_property
    def _surface(self) -> Surface:
        """What the faces enclose, each taken once and turned outward."""
        return surface(self.vertices, self.faces)

    @property
    def open_edges(self) -> int:
        """Edges that faces do not pass as often one way as the other: 0 if there is no hole."""
        return self._surface.open_edges

    @property
    def watertight(self) -> bool:
        """Whether the faces enclose a volume without a hole."""
        return not self._surface.problem

    @property
    def area(self) -> float:
        """Area of all faces."""
        return float(np.linalg.norm(self._crosses, axis=1).sum() / 2)

    @property
    def volume(self) -> float:
        r"""Enclosed volume :math:`\frac{1}{6} \sum_F a \cdot (b \times c)`, by Gauss's theorem.

        What several bodies share counts once for each.

        Raises:
            ValueError: the mesh is open.
        """
        if not self.watertight:
            raise ValueError(f"{self.name} {self._surface.problem}: it encloses no volume")
        return float((self.vertices[self.faces[:, 0]] * self._crosses).sum() / 6)

    def surface_points(self, n: int) -> OrientedPoints:
        """Points uniform by area with the normals of their faces, drawn by PyTorch's generator."""
        if self.area == 0:
            raise ValueError(f"all faces of {self.name} are lines: they have no area")
        crosses = torch.from_numpy(self._crosses)
        lengths = torch.linalg.vector_norm(crosses, dim=1)
        ends = lengths.cumsum(0)
        chosen = torch.searchsorted(ends, ends[-1] * torch.rand(n, dtype=ends.dtype), right=True)
        chosen = chosen.clamp(max=len(ends) - 1)
        u, v = torch.rand(2, n, 1, dtype=ends.dtype)
        u, v = torch.where(u + v > 1, 1 - u, u), torch.where(u + v > 1, 1 - v, v)
        a, b, c = torch.from_numpy(self.vertices)[torch.from_numpy(self.faces)[chosen]].unbind(1)
        points, normals = a + u * (b - a) + v * (c - a), crosses[chosen] / lengths[chosen, None]
        return OrientedPoints(
            self.name, points.float(), normals.float(), self.sha256, self.placement
        )

    @cached_property
    def _sides(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How often the surface goes round points just outside and inside of it; their parts.

        The points are uniform by area, the same ones each time: large faces may cross in a part.
        """
        v, f = self._surface.vertices, self._surface.faces
        a, b, c = (v[f[:, i]] for i in range(3))
        crosses = np.cross(b - a, c - a)
        areas = np.linalg.norm(crosses, axis=1)
        chance = np.random.default_rng(0)
        chosen = chance.choice(len(f), PROBED, p=areas / areas.sum())
        shares = chance.dirichlet((1, 1, 1), PROBED)
        points = (shares[:, :, None] * v[f[chosen]]).sum(1)
        step = NEXT_TO * np.ptp(v, axis=0).max() * crosses[chosen] / areas[chosen, None]
        outside, inside = (igl.fast_winding_number(v, f, points + way * step) for way in (1, -1))
        return outside, inside, parts(f)[chosen]

    def _queries(self, points: Tensor) -> np.ndarray:
        """Points as an array, once it is sure that inside and outside are told apart."""
        if self._surface.problem:
            raise ValueError(
                f"{self.name} {self._surface.problem}, so that inside and outside are not told "
                "apart: make it a closed solid first"
            )
        _, within, _ = self._sides
        if np.mean(within < 0.5) > TOLERATED:
            raise ValueError(
                f"{self.name} crosses itself, so that inside and outside are not told apart: "
                "make it a solid first, as with a boolean union"
            )
        queries = points.detach().cpu().double().numpy()
        if queries.ndim != 2 or queries.shape[1] != 3 or not np.isfinite(queries).all():
            raise ValueError(
                f"points are finite numbers (n, 3), got {tuple(queries.shape)}"
                + ("" if np.isfinite(queries).all() else " with some that are not finite")
            )
        return queries

    def inside(self, points: Tensor) -> Tensor:
        """Which points lie inside, ``(n, 3)`` to ``(n,)``, by the generalized winding number.

        The number of times that the surface goes round a point, summed over solid angles of faces
        (Jacobson et al. 2013), in libigl's fast form (Barill et al. 2018); inside is above 1/2.
        Bodies that overlap are one, cavities are outside.

        Raises:
            ValueError: the mesh has holes or a single side, or crosses itself such that there is
                no inside; points are not finite.
        """
        return self._within(self._queries(points)).to(points.device)

    def _within(self, queries: np.ndarray) -> Tensor:
        solid = self._surface
        return torch.from_numpy(igl.fast_winding_number(solid.vertices, solid.faces, queries) > 0.5)

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance, negative inside, ``(n, 3)`` to ``(n, 1)``; can be differentiated.

        First and second derivatives are those of the distance to the nearest face, edge or vertex
        (:mod:`inrkit.signals.nearest`); where two are equally near, those of one of them.

        Raises:
            ValueError: as for :meth:`inside`; bodies overlap, so that faces lie within the solid.
        """
        queries = self._queries(points)
        without, _, part = self._sides
        hidden, drawn = np.bincount(part, without > 0.5), np.bincount(part)
        share = hidden / np.maximum(drawn, 1)
        if share[drawn > TOLERATED * PROBED].max() > COVERED or hidden.sum() > TOLERATED * PROBED:
            raise ValueError(
                f"bodies of {self.name} overlap or touch, so that faces lie within the solid and "
                "are no surface of it: unite them first, as with a boolean union"
            )
        v, f = self._surface.vertices, self._surface.faces
        squared, face, nearest = igl.point_mesh_squared_distance(queries, v, f)
        value = torch.from_numpy(np.sqrt(squared)).to(points.detach())
        with_graph, below = unsigned(points, nearest, face, v, f)
        distance = value + (with_graph - with_graph.detach())
        inside = self._within(queries).to(points.device)
        on_it = value <= TOUCHING * np.ptp(v, axis=0).max()  # where winding numbers are one half
        inside = torch.where(on_it, below, inside)
        return torch.where(inside, -distance, distance).unsqueeze(-1)


def mesh(source: str | Path) -> Mesh:
    r"""A mesh from an item of a data set or a file (PLY, OBJ, STL, OFF, ..., also gzipped).

    It is placed in the cube: the middle of its bounding box at 0, the longest side from -0.9 to
    0.9, the aspect ratio kept. SIREN's released code keeps the ratio as well, but centres the mean
    of the points and lets the extreme coordinates touch -1 and 1, where a level set is cut open.
    The parts of a scene (glTF, ...) are one mesh, each where its node places it.

    Vertices at the same place are made one, and faces that come twice too. Faces look outward:
    neighbours agree, and a body that looks inward is turned, but for one within another, which is
    a cavity (:func:`inrkit.signals.solids.surface`). What has holes keeps the sides it has.

    Args:
        source: name of an item ("stanford_meshes/bunny"), or path of a file.

    Raises:
        ValueError: the source is missing, unreadable, has no faces, none with an area, some that
            fold back onto others, or vertices that are not finite.
    """
    import trimesh  # here alone: it is slow to import

    name, path, sha256 = opened(source, "a file")
    try:
        beside = trimesh.resolvers.FilePathResolver(str(path)) if _kind(path) == "gltf" else None
        data = _bytes(path).removeprefix(codecs.BOM_UTF8)
        if _kind(path) == "obj" and re.search(rb"(?m)^\s*f\b[^#\n]*\s0(?=[/\s]|\Z)", data):
            raise ValueError("a face names the vertex 0, and they are counted from 1")
        data = _counted_from_the_first(data) if _kind(path) == "obj" else data
        found = trimesh.load_mesh(
            io.BytesIO(data), file_type=_kind(path), process=False, resolver=beside
        )
        vertices, faces = np.array(found.vertices, float), np.array(found.faces, np.int64)
    except Exception as error:  # readers raise nearly anything on a damaged file
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} cannot be read as a mesh (PLY, OBJ, STL, ...): {reason}"
        ) from error
    if len(vertices) == len(faces) == 0:
        raise ValueError(f"{path} holds no triangles: it is empty, damaged or of another kind")
    if len(faces) < (announced := _announced(data, _kind(path))):
        raise ValueError(f"{path} is cut short: it holds {len(faces)} of {announced} faces")
    checked = Mesh(name, vertices, faces)
    placement = _placement(vertices[faces.ravel()], name)
    found = surface(placement.into(checked.vertices), checked.faces)
    placed = Mesh(name, found.vertices, found.faces, sha256, placement)
    if placed.area == 0:
        raise ValueError(f"all faces of {name} are lines: they have no area")
    if folded(placed.vertices, placed.faces) > TOLERATED:
        raise ValueError(
            f"faces of {name} fold back onto their neighbours, as where polygons with reentrant "
            "corners are cut into triangles: make triangles of them first"
        )
    return placed


def point_cloud(source: str | Path) -> OrientedPoints:
    """Oriented points from a file, placed in the cube as :func:`mesh` places a mesh.

    Args:
        source: a text file of six columns x y z nx ny nz (XYZ), or a PLY file with normals; either
            may be gzipped.

    Raises:
        ValueError: the source is missing or unreadable, or its points have no normals.
    """
    name, path, sha256 = opened(source, "a file")
    read = _read_ply if _kind(path) == "ply" else _read_columns
    try:
        table = read(_bytes(path))
    except Exception as error:  # as above
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read as points (XYZ, PLY): {reason}") from error
    if table.ndim != 2 or table.shape[1] != 6 or len(table) == 0:
        raise ValueError(
            f"oriented points have six columns x y z nx ny nz, {name} is {table.shape}"
        )
    points, normals = table[:, :3], table[:, 3:]
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    bad = int((~(np.isfinite(table).all(1, keepdims=True) & (lengths > 0))).sum())
    if bad:
        raise ValueError(f"{bad} points of {name} are not finite or have a normal of length 0")
    placement = _placement(points, name)
    tensors = (torch.from_numpy(x).float() for x in (placement.into(points), normals / lengths))
    return OrientedPoints(name, *tensors, sha256, placement)


def _kind(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix.lower() == ".gz" else data


def _announced(data: bytes, kind: str) -> int:
    """Faces, at least, that a file's header announces; 0 where it does not."""
    head = data[:10_000].partition(b"end_header")[0]
    if kind == "ply":
        found = re.search(rb"^element\s+face\s+(\d+)", head, re.MULTILINE)
    else:
        found = re.match(rb"\s*\w*OFF\s+\d+\s+(\d+)\s", re.sub(rb"#.*", b"", head))
    return int(found[1]) if found and kind in ("ply", "off") else 0


def _counted_from_the_first(data: bytes) -> bytes:
    """An OBJ file whose faces count corners from the first one, not back from the latest."""
    if not re.search(rb"^\s*f\s.*-", data, re.MULTILINE):
        return data
    lines, met = re.sub(rb"\\\r?\n", b" ", data).splitlines(), {b"v": 0, b"vt": 0, b"vn": 0}
    for i, line in enumerate(lines):
        key, *corners = line.partition(b"#")[0].split() or [b""]
        if key in met:
            met[key] += 1
        elif key == b"f":
            pairs = [zip(corner.split(b"/"), met.values(), strict=False) for corner in corners]
            whole = [
                b"/".join(b"%d" % (n + 1 + int(x)) if x.startswith(b"-") else x for x, n in pair)
                for pair in pairs
            ]
            lines[i] = b" ".join([key, *whole])
    return b"\n".join(lines)


def _read_columns(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an empty file, which is an error of our own
        return np.loadtxt(io.StringIO(data.decode()), ndmin=2)


def _read_ply(data: bytes) -> np.ndarray:
    from trimesh.exchange.ply import load_ply  # slow to import

    columns = load_ply(io.BytesIO(data))
    return np.hstack([columns[name] for name in ("vertices", "vertex_normals") if name in columns])


def _placement(points: np.ndarray, name: str) -> Placement:
    low, high = points.min(0), points.max(0)
    with np.errstate(over="ignore"):
        side = float((high - low).max())
    if side == 0:
        raise ValueError(f"all points of {name} lie at one place")
    if not 1e-150 < side < 1e150:
        raise ValueError(f"{name} is {side:g} wide: squares of such lengths are no numbers")
    return Placement(tuple(((low + high) / 2).tolist()), side / 2 / EXTENT)
