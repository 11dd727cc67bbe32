"""Meshes of all kinds of faces: what they enclose by closed forms, or a refusal in a sentence."""

import gzip

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from inrkit.calculus import laplacian
from inrkit.signals import Mesh, mesh


def box(sides=1.0, at=(0, 0, 0)):
    made = trimesh.creation.box(np.broadcast_to(sides, 3))
    return made.vertices + np.array(at, float), np.array(made.faces, np.int64)


def joined(*parts):
    starts = np.cumsum([0] + [len(v) for v, _ in parts])
    faces = [f + start for (_, f), start in zip(parts, starts, strict=False)]
    return np.concatenate([v for v, _ in parts]), np.concatenate(faces)


def turned(part):
    return part[0], part[1][:, ::-1]


def some_turned(part, every=3):
    faces = part[1].copy()
    faces[::every] = faces[::every, ::-1]
    return part[0], faces


def two_sided(part):
    return part[0], np.concatenate([part[1], part[1][:, ::-1]])


BIG, SMALL, AWAY = box(2), box(1), box(1, (3, 0, 0))
TINY = box(0.4)
MORE = np.concatenate([[[0, 0, 1], [2, 2, 2]], BIG[1][:4], BIG[1][:2, [1, 2, 0]]])
RAGGED = (BIG[0], np.concatenate([BIG[1], MORE]))
MIRROR = turned((SMALL[0] * [-1, 1, 1] + [1, 0, 0], SMALL[1]))
WALLED = joined(SMALL, MIRROR)  # two boxes back to back: one of sides 2, 1, 1
EDGE = joined(box(1), box(1, (1, 1, 0)))  # two boxes that share an edge
EXTRA = (BIG[0], np.concatenate([BIG[1], BIG[1][:1, ::-1]]))  # one face has its back as well

cube = {"big": lambda p: np.abs(p).max(1) < 1, "small": lambda p: np.abs(p).max(1) < 0.5,
        "tiny": lambda p: np.abs(p).max(1) < 0.2,
        "away": lambda p: np.abs(p - [3, 0, 0]).max(1) < 0.5}  # fmt: skip
SOLIDS = {
    "a box": (BIG, lambda p: cube["big"](p), 8),
    "inside out": (turned(BIG), lambda p: cube["big"](p), 8),
    "a third of the faces turned": (some_turned(BIG), lambda p: cube["big"](p), 8),
    "two-sided": (two_sided(BIG), lambda p: cube["big"](p), 8),
    "two-sided, each side with its own vertices": (
        joined(BIG, turned(BIG)), lambda p: cube["big"](p), 8),
    "duplicate and degenerate faces": (RAGGED, lambda p: cube["big"](p), 8),
    "one face back to back": (EXTRA, lambda p: cube["big"](p), 8),
    "two bodies": (joined(BIG, AWAY), lambda p: cube["big"](p) | cube["away"](p), 9),
    "two bodies, the small one turned": (
        joined(BIG, turned(AWAY)), lambda p: cube["big"](p) | cube["away"](p), 9),
    "two bodies, the big one turned": (
        joined(turned(BIG), AWAY), lambda p: cube["big"](p) | cube["away"](p), 9),
    "a cavity": (joined(BIG, turned(SMALL)), lambda p: cube["big"](p) & ~cube["small"](p), 7),
    "a cavity, all inside out": (
        joined(turned(BIG), SMALL), lambda p: cube["big"](p) & ~cube["small"](p), 7),
    "a body in a cavity": (
        joined(TINY, turned(SMALL), BIG),
        lambda p: cube["big"](p) & ~cube["small"](p) | cube["tiny"](p), 7.064),
    "a body in a cavity, turned": (
        joined(turned(TINY), turned(SMALL), BIG),
        lambda p: cube["big"](p) & ~cube["small"](p) | cube["tiny"](p), 7.064),
    "back to back": (WALLED, lambda p: (np.abs(p - [.5, 0, 0]) < [1, .5, .5]).all(1), 2),
    "an edge in common": (
        EDGE, lambda p: cube["small"](p) | (np.abs(p - [1, 1, 0]).max(1) < 0.5), 2),
    "an edge in common, one turned": (
        joined(box(1), turned(box(1, (1, 1, 0)))),
        lambda p: cube["small"](p) | (np.abs(p - [1, 1, 0]).max(1) < 0.5), 2),
}  # fmt: skip


def written(part, path):
    path.write_bytes(trimesh.Trimesh(*part, process=False).export(file_type=path.suffix[1:]))
    return path


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("direct", [False, True], ids=["file", "arrays"])
def test_what_is_inside_is_what_closed_forms_say(name, direct, tmp_path):
    part, expected, volume = SOLIDS[name]
    found = Mesh("part", *part) if direct else mesh(written(part, tmp_path / "part.stl"))
    if direct and "own vertices" in name:
        assert found.watertight
    low, high = part[0].min(0) - 0.2, part[0].max(0) + 0.2
    points = low + (high - low) * np.random.default_rng(0).random((800, 3))
    queries = torch.from_numpy(found.placement.into(points))
    inside = found.inside(queries).numpy()
    np.testing.assert_array_equal(inside, expected(points))
    assert 0 < inside.sum() < 800 and found.watertight
    assert torch.equal(found.distance(queries)[:, 0] < 0, torch.from_numpy(inside))
    if not direct:
        assert found.volume * found.placement.scale**3 == pytest.approx(volume, rel=1e-5)
        crossed = found.surface_points(500)
        step = 1e-3 * crossed.normals
        assert not found.inside(crossed.points + step).any()
        assert found.inside(crossed.points - step).all()


def strip(twist):
    """A closed band of 24 squares, turned by ``twist`` half turns."""
    t = 2 * np.pi * np.arange(24) / 24
    half = 0.3 * np.stack([np.cos(twist * t / 2) * np.cos(t), np.cos(twist * t / 2) * np.sin(t),
                           np.sin(twist * t / 2)], axis=1)  # fmt: skip
    ring = np.stack([np.cos(t), np.sin(t), 0 * t], axis=1)
    vertices, i = np.concatenate([ring + half, ring - half]), np.arange(24)
    j = (i + 1) % 24
    swap = (j == 0) & (twist % 2 == 1)
    a, b, c, d = i, i + 24, np.where(swap, j + 24, j), np.where(swap, j, j + 24)
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


SHEET = (np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]), np.array([[0, 1, 2], [0, 2, 3]]))
WALL = (BIG[0], np.concatenate([BIG[1], [[0, 1, 7], [0, 7, 6]]]))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (SHEET, "holes"),
        (two_sided(SHEET), "holes"),
        (strip(0), "holes"),
        (strip(1), "single side"),
        ((BIG[0], BIG[1][1:]), r"holes \(3 open edges\)"),
        (WALL, "holes"),
        (joined(BIG, (SMALL[0], SMALL[1][1:])), "holes"),
        (joined(BIG, turned(box(1, (1, 0, 0)))), "looks inward and crosses"),
    ],
)
def test_what_encloses_nothing_is_refused_in_a_sentence(part, message, tmp_path):
    for found in (Mesh("part", *part), mesh(written(part, tmp_path / "part.stl"))):
        assert not found.watertight
        for question in (found.inside, found.distance):
            with pytest.raises(ValueError, match=message) as caught:
                question(torch.zeros(1, 3))
            assert "\n" not in str(caught.value)


def test_bodies_that_overlap_have_an_inside_but_no_distance():
    found = Mesh("both", *joined(BIG, box(1, (1, 0.1, 0.2))))
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1.4, 0, 0], [1.6, 0, 0]])
    assert found.inside(points).tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match="bodies of both overlap"):
        found.distance(points)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (box((4, 0.5, 0.5)), box((1, 2, 4))),  # bars whose middles are free
        (box((1, 2, 4)), box(0.1, (0.55, 0.3, 0.3))),  # a little one on a large face
        (box((1, 2, 4)), box((1, 2, 4), (1, 0.5, 0.5))),  # a face on a part of a face
        (box(2), box(2, (0.3, 0.2, 0.1))),
    ],
)
def test_bodies_that_touch_or_cross_in_parts_of_faces_have_no_distance(one, other):
    found = Mesh("both", *joined(one, other))
    x = np.random.default_rng(0).uniform(-2, 2, (500, 3))
    held = [((x > v.min(0) + 1e-6) & (x < v.max(0) - 1e-6)).all(1) for v in (one[0], other[0])]
    assert (found.inside(torch.from_numpy(x)).numpy() == (held[0] | held[1])).all()
    with pytest.raises(ValueError, match="overlap or touch"):
        found.distance(torch.from_numpy(x))


def test_the_slope_on_the_surface_is_the_normal():
    found = Mesh("box", *box((1, 2, 4)))
    cloud = found.surface_points(500)
    for dtype in (torch.float32, torch.float64):
        x = cloud.points.to(dtype).requires_grad_()
        (slope,) = torch.autograd.grad(found.distance(x).sum(), x)
        away = x.detach().abs() - torch.tensor([0.5, 1, 2])
        clear = (away > -1e-3).sum(-1) == 1
        assert clear.sum() > 450
        assert torch.allclose(slope[clear], cloud.normals[clear].to(dtype), atol=1e-6)


def test_a_scan_that_closes_by_faces_that_come_twice_stays_closed():
    """Two boxes that share a wall of one direction: without its second copy there are holes."""
    vertices, faces = box(2)
    wall = faces[:2]
    fin = np.array([[0, 0, 3]], float) + vertices[wall[0]]  # a flap, there and back
    flap = np.array([[8, 9, 10], [8, 10, 9]])
    doubled = np.concatenate([faces, wall, wall[:, ::-1], flap[:, :]])
    found = Mesh("scan", np.concatenate([vertices, 1e-3 * fin + 2]), doubled)
    points = torch.tensor([[0.0, 0, 0], [0.9, 0.9, -0.9], [1.1, 0, 0]], dtype=torch.float64)
    assert found.inside(points).tolist() == [True, True, False]
    assert torch.allclose(found.distance(points)[:, 0], torch.tensor([-1, -0.1, 0.1]).double())


def test_a_gltf_scene_finds_the_files_beside_it(tmp_path):
    for name, data in trimesh.Scene(trimesh.Trimesh(*box(2))).export(file_type="gltf").items():
        (tmp_path / name).write_bytes(data)
    (scene,) = tmp_path.glob("*.gltf")
    assert len(list(tmp_path.glob("*.bin"))) > 0
    assert mesh(scene).volume == pytest.approx(1.8**3)


def test_faces_without_area_give_no_points():
    flat = Mesh("line", np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match="have no area"):
        flat.surface_points(3)


def test_a_surface_that_is_its_own_mirror_image_is_refused():
    """Two tetrahedra of one bow: going round one forwards is going round the other backwards."""
    t = 2 * np.pi * np.arange(40) / 40
    bow = np.stack([np.cos(t), np.sin(2 * t), 0 * t], axis=1)
    up, down = np.array([[0, 0, 1.0]]), np.array([[0, 0, -1.0]])
    i = np.arange(40)
    j = (i + 1) % 40
    faces = np.concatenate([np.stack([i, j, 0 * i + 40], 1), np.stack([j, i, 0 * i + 41], 1)])
    vertices = np.concatenate([bow + [0.01, 0.02, 0], up, down])
    with pytest.raises(ValueError, match="crosses itself"):
        Mesh("bow", vertices, faces).inside(torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("shape", "bad"), [((2, 2), 0.0), ((3,), 0.0), ((2, 3), np.nan), ((2, 3), np.inf)]
)
def test_points_that_are_none_are_refused(shape, bad):
    for question in (Mesh("box", *BIG).inside, Mesh("box", *BIG).distance):
        with pytest.raises(ValueError, match="points are finite"):
            question(torch.full(shape, bad))


def test_a_scene_has_each_part_where_its_node_places_it(tmp_path):
    scene, part = trimesh.Scene(), trimesh.Trimesh(*BIG)
    moved, mirrored = np.eye(4), np.diag([-1.0, 0.5, 0.5, 1])
    moved[0, 3], mirrored[1, 3] = 5, 3
    scene.add_geometry(part, transform=moved)
    scene.add_geometry(part, transform=mirrored)
    (tmp_path / "scene.glb").write_bytes(scene.export(file_type="glb"))
    found = mesh(tmp_path / "scene.glb")
    assert found.volume * found.placement.scale**3 == pytest.approx(10, rel=1e-5)
    asked = np.array([[5, 0, 0], [0, 3, 0], [0, 0, 0], [0.9, 3.4, 0.4], [0.9, 3.6, 0.4]])
    inside = found.inside(torch.from_numpy(found.placement.into(asked)))
    assert inside.tolist() == [True, True, False, True, False]


# about the box [-1, 1]^3: the point, its distance, and the distance's Laplacian
PLACES = [
    ([1.5, 0.2, 0.1], 0.5, 0), ([0.3, -1.25, 0.1], 0.25, 0),  # before a face
    ([1.5, 0, 0], 0.5, 0),  # before the line that cuts the face into triangles
    ([1.3, 1.4, 0.2], 0.5, 2), ([1.3, -0.3, 1.4], 0.5, 2),  # about an edge
    ([1.3, 1.4, 1.0], 0.5, 2),  # and just at its end
    ([1.3, 1.4, 2.2], 1.3, 2 / 1.3), ([-1.1, -1.2, -1.2], 0.3, 2 / 0.3),  # about a vertex
    ([0.7, 0.1, 0.2], -0.3, 0), ([0.1, 0, 0.9], -0.1, 0),  # within
]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("pieces", [0, 1], ids=["12 faces", "48 faces"])
def test_derivatives_of_a_boxs_distance_are_those_of_faces_edges_and_vertices(pieces, dtype):
    part = trimesh.Trimesh(*BIG)
    for _ in range(pieces):
        part = part.subdivide()
    found = Mesh("box", np.array(part.vertices), np.array(part.faces))
    points = torch.tensor([place for place, _, _ in PLACES], dtype=dtype)
    values, curved = (torch.tensor(x) for x in list(zip(*PLACES, strict=True))[1:])
    values, curved = values.to(dtype), curved.to(dtype)
    torch.testing.assert_close(found.distance(points)[:, 0], values)
    found_curved = laplacian(found.distance, points)[:, 0]
    torch.testing.assert_close(found_curved, curved, rtol=1e-5, atol=1e-5)
    x = points.requires_grad_()
    (slope,) = torch.autograd.grad(found.distance(x).sum(), x)
    torch.testing.assert_close(slope.norm(dim=1), torch.ones(len(x), dtype=x.dtype))
    torch.testing.assert_close(found.distance(points - values[:, None] * slope)[:, 0], 0 * values,
                               rtol=0, atol=1e-6)  # fmt: skip


def test_the_gradient_on_a_face_is_its_normal():
    x = torch.tensor([[1.0, 0.2, 0.3], [0.1, -1, 0.5]], requires_grad=True)
    (slope,) = torch.autograd.grad(Mesh("box", *BIG).distance(x).sum(), x)
    torch.testing.assert_close(slope, torch.tensor([[1.0, 0, 0], [0, -1, 0]]))


@settings(max_examples=40)
@given(
    st.sampled_from(["ply", "obj", "stl", "off", "glb", "gltf", "ply.gz", "3mf", "dae"]),
    st.binary(max_size=60),
    st.integers(0, 700),
    st.booleans(),
)
def test_any_bytes_are_a_mesh_or_refused(tmp_path_factory, kind, noise, at, keep):
    whole = trimesh.Trimesh(*BIG)
    data = whole.export(file_type=kind) if kind in ("ply", "stl", "glb") else noise
    if kind == "ply.gz":
        data = gzip.compress(whole.export(file_type="ply"))
    data = data[:at] + noise + (data[at + len(noise) :] if keep else b"")
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(data)
    try:
        found = mesh(path)
        found.inside(torch.zeros(1, 3))
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(found.vertices).all() and found.watertight


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 7)] * 3), min_size=1, max_size=20), st.integers(0, 99))
def test_any_faces_have_an_inside_or_none(triples, seed):
    """Faces between corners at random, with all those of a box or alone."""
    corners = np.random.default_rng(seed).random((8, 3))
    faces = np.array(triples)
    points = torch.rand(50, 3, dtype=torch.float64)
    found = Mesh("any", corners, faces)
    try:
        inside, distance = found.inside(points), found.distance(points)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert torch.equal(inside, distance[:, 0] < 0)
