"""Files of every kind and damage, samples by area, and inside by another route."""

import gzip
import hashlib

import numpy as np
import pytest
import torch
import trimesh
from scipy import stats

from inrkit.signals import Mesh, Placement, mesh, point_cloud

CUBE = trimesh.creation.box((1, 2, 4))


def ball(subdivisions=3, radius=0.5):
    made = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh("ball", np.array(made.vertices, float), np.array(made.faces, np.int64))


def solid_angle_inside(mesh, points):
    """Sum over faces of the solid angle (Van Oosterom and Strackee 1983), one point at a time."""
    corners = mesh.vertices[mesh.faces]
    sums = []
    for point in points.double().numpy():
        a, b, c = (corners - point).transpose(1, 0, 2)
        la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
        triple = (a * np.cross(b, c)).sum(-1)
        rest = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        sums.append(2 * np.arctan2(triple, rest).sum())
    return torch.tensor(sums) / (4 * np.pi)


@pytest.fixture(autouse=True)
def same_points_every_time():
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", ["ply", "obj", "stl", "off"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzipped"])
def test_files_of_every_kind_are_read_placed_and_mapped_back(kind, zipped, tmp_path):
    made = CUBE.copy()
    made.apply_translation((5, 6, 7))
    data = made.export(file_type=kind)
    data = data.encode() if isinstance(data, str) else data
    path = tmp_path / f"box.{kind}{'.gz' if zipped else ''}"
    path.write_bytes(gzip.compress(data) if zipped else data)
    found = mesh(path)
    np.testing.assert_allclose(np.abs(found.vertices).max(0), [0.225, 0.45, 0.9], atol=1e-6)
    back = found.placement.back(found.vertices)
    np.testing.assert_allclose(back.min(0), [4.5, 5, 5], atol=1e-5)
    np.testing.assert_allclose(found.placement.into(back), found.vertices, atol=1e-6)
    assert len(found.vertices) == 8 and len(found.faces) == 12 and found.watertight
    assert found.volume == pytest.approx(8 * 0.225 * 0.45 * 0.9, rel=1e-5)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.name == path.name


def test_closed_mesh_that_looks_inwards_is_turned(tmp_path):
    made = CUBE.copy()
    made.invert()
    made.export(tmp_path / "inwards.ply")
    assert mesh(tmp_path / "inwards.ply").volume > 0


def test_holes_are_counted_and_inside_is_refused_but_samples_are_not(tmp_path):
    made = trimesh.Trimesh(CUBE.vertices, CUBE.faces[1:], process=False)
    made.export(tmp_path / "open.ply")
    found = mesh(tmp_path / "open.ply")
    assert not found.watertight and found.open_edges == 3
    assert len(found.surface_points(10).points) == 10
    for question in (found.inside, found.distance):
        with pytest.raises(ValueError, match=r"open.ply has holes \(3 open edges\)"):
            question(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="it encloses no volume"):
        _ = found.volume


@pytest.mark.parametrize("subdivisions", [0, 1, 2])
def test_area_and_volume_are_those_of_another_library(subdivisions):
    made = trimesh.creation.icosphere(subdivisions, 0.7)
    found = ball(subdivisions, 0.7)
    assert (found.area, found.volume) == pytest.approx((made.area, made.volume))


def test_samples_are_uniform_by_area_and_normals_are_those_of_the_faces():
    uneven = Mesh("cube", np.array(CUBE.vertices, float), np.array(CUBE.faces, np.int64))
    cloud = uneven.surface_points(20_000)
    points, normals = cloud.points, cloud.normals
    axis = normals.abs().argmax(-1)
    assert torch.equal(normals.abs().sort(-1).values, torch.tensor([0.0, 0, 1]).expand(20_000, 3))
    half = torch.tensor([0.5, 1.0, 2.0])
    on = points.gather(1, axis[:, None])[:, 0]
    torch.testing.assert_close(on, half[axis] * normals.gather(1, axis[:, None])[:, 0])
    counts = torch.bincount(axis, minlength=3)
    assert stats.chisquare(counts, 20_000 * np.array([8, 4, 2]) / 14).pvalue > 1e-3
    side = points[axis == 0]
    for k in (1, 2):
        span = half[k].item()
        assert stats.kstest(side[:, k], stats.uniform(-span, 2 * span).cdf).pvalue > 1e-3


def test_inside_a_ball_is_nearer_than_its_radius():
    points = 2 * torch.rand(2000, 3) - 1
    radius = points.norm(dim=-1)
    clear = (radius - 0.5).abs() > 0.01  # the facets lie a little within the sphere
    assert torch.equal(ball(4).inside(points)[clear], (radius < 0.5)[clear])


def test_inside_agrees_with_a_direct_sum_of_solid_angles():
    made = trimesh.creation.torus(0.6, 0.2, major_sections=24, minor_sections=12)
    ring = Mesh("ring", np.array(made.vertices, float), np.array(made.faces, np.int64))
    points = 2 * torch.rand(200, 3) - 1
    points[:100] *= torch.tensor([1, 1, 0.25])
    winding = solid_angle_inside(ring, points)
    torch.testing.assert_close(winding, winding.round(), atol=1e-9, rtol=0)
    assert torch.equal(ring.inside(points), winding > 0.5) and ring.inside(points).any()


def test_distance_to_a_box_is_the_closed_form():
    box = Mesh("box", np.array(CUBE.vertices, float), np.array(CUBE.faces, np.int64))
    points = 3 * (2 * torch.rand(500, 3, dtype=torch.float64) - 1)
    q = points.abs() - torch.tensor([0.5, 1.0, 2.0])
    expected = q.clamp(min=0).norm(dim=-1) + q.max(-1).values.clamp(max=0)
    torch.testing.assert_close(box.distance(points)[:, 0], expected)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3), int), "has vertices"),
        (np.zeros((3, 2)), np.array([[0, 1, 2]]), "has vertices"),
        (np.eye(3), np.zeros((0, 3), int), "no such faces"),
        (np.array([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]]), np.array([[0, 1, 2]]), "1 vertices of"),
        (np.eye(3), np.array([[0, 1, 3]]), "outside 0 to 2"),
        (np.eye(3), np.array([[0, 1, -1]]), "outside 0 to 2"),
    ],
)
def test_what_is_not_a_mesh_is_refused_in_a_sentence(vertices, faces, message):
    with pytest.raises(ValueError, match=message) as caught:
        Mesh("this", vertices, faces)
    assert "\n" not in str(caught.value)


OBJ = "v 0 0 0\nv 1 0 0\nv 0 {} 0\nf 1 2 3\n"
PLY = "ply\nformat ascii 1.0\nelement vertex 2\n{}end_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
CORNERS = "v 0 2 0\nv 0 0 0\nv 2 0 0\nv 2 1 0\nv 1 1 0\nv 1 2 0\n"  # of an L


def test_polygons_are_cut_into_triangles(tmp_path):
    (tmp_path / "square.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n")
    marked = "\N{ZERO WIDTH NO-BREAK SPACE}v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n"
    (tmp_path / "marked.obj").write_text(marked, encoding="utf-8")  # as some editors begin a file
    assert np.isclose(mesh(tmp_path / "marked.obj").area, 1.8**2)
    (tmp_path / "hook.obj").write_text(f"{CORNERS}f 5 6 1 2 3 4\n")  # the reentrant corner first
    assert np.isclose(mesh(tmp_path / "square.obj").area, 1.8**2)
    assert np.isclose(mesh(tmp_path / "hook.obj").area, 3 * 0.9**2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("text.ply", "no mesh at all", "text.ply cannot be read as a mesh"),
        ("text.stl", "no mesh at all", "text.stl"),
        ("empty.obj", "", "empty.obj"),
        ("nan.obj", OBJ.format("nan"), "1 vertices of nan.obj are not finite"),
        ("far.obj", OBJ.format("inf"), "1 vertices of far.obj are not finite"),
        ("point.obj", OBJ.format("0").replace("v 1", "v 0"), "lie at one place"),
        ("cloud.ply", PLY.format(XYZ) + "0 0 0\n1 1 1\n", "cloud.ply"),
        ("none.obj", OBJ.format("1").replace("f 1", "f 0"), "names the vertex 0"),
        ("hook.obj", f"{CORNERS}f 1 2 3 4 5 6\n", "polygons with reentrant corners"),
        ("cut.off", "OFF\n# a face is gone\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "1 of 2 faces"),
        (
            "cut.ply",
            PLY.format(f"{XYZ}element face 2\nproperty list uchar int vertex_indices\n").replace(
                "vertex 2", "vertex 3"
            )
            + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
            "cut.ply is cut short: it holds 1 of 2 faces",
        ),
        ("cut.stl", "solid a\nfacet normal 0 0 1\nouter loop\n", "cut.stl"),
        ("what.doc", "no mesh at all", "what.doc cannot be read as a mesh"),
        ("half.ply.gz", "not compressed", "half.ply.gz cannot be read as a mesh"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        mesh(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_corners_counted_back_from_the_latest_are_those(tmp_path):
    """In the midst of an OBJ file, with or without textures, on one line or two."""
    made = (
        f"v {x} 0 0\nvt 0 0\nv {x} 1 0\nv {x} 0 1\nv {x + 1} 0 0\n"
        "f -4/-1 -2/-1 -3/-1\nf -4 -3 -1 # a - b\nf -4 \\\n-1 -2\nf -3 -2 -1\n"
        for x in (0, 3)
    )
    (tmp_path / "two.obj").write_text("".join(made))
    found = mesh(tmp_path / "two.obj")
    assert found.watertight and (len(found.vertices), len(found.faces)) == (8, 8)
    assert found.volume * found.placement.scale**3 == pytest.approx(2 / 6)


def test_missing_files_are_named():
    for read in (mesh, point_cloud):
        with pytest.raises(ValueError, match="nowhere.ply is neither"):
            read("nowhere.ply")


def test_point_clouds_are_read_from_columns_and_ply(tmp_path):
    made = trimesh.creation.icosphere(2, 3.0)
    made.apply_translation((1, 2, 3))
    columns = np.hstack([made.vertices, 2 * (made.vertices - [1, 2, 3])])
    np.savetxt(tmp_path / "ball.xyz", columns)
    header = PLY.replace("vertex 2", f"vertex {len(columns)}").format(
        XYZ + XYZ.replace("float ", "float n")
    )
    rows = "\n".join(" ".join(map(repr, row)) for row in columns.tolist())
    (tmp_path / "ball.ply").write_text(header + rows + "\n")
    for name in ("ball.xyz", "ball.ply"):
        cloud = point_cloud(tmp_path / name)
        assert cloud.points.shape == cloud.normals.shape == made.vertices.shape
        torch.testing.assert_close(cloud.points, 0.9 * cloud.normals, atol=1e-5, rtol=0)
        back = cloud.placement.back(cloud.points.double().numpy())
        np.testing.assert_allclose(back, made.vertices, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("three.xyz", "0 0 0\n1 1 1\n", "six columns x y z nx ny nz, three.xyz is"),
        ("empty.xyz", "", "six columns"),
        ("text.xyz", "no points at all", "text.xyz cannot be read as points"),
        ("ragged.xyz", "0 0 0 1 0 0\n1 1 1\n", "ragged.xyz cannot be read as points"),
        ("zero.xyz", "0 0 0 0 0 0\n1 1 1 1 0 0\n", "1 points of zero.xyz"),
        ("nan.xyz", "0 0 nan 1 0 0\n1 1 1 1 0 0\n", "1 points of nan.xyz"),
        ("bare.ply", PLY.format(XYZ) + "0 0 0\n1 1 1\n", "six columns"),
        ("text.ply", "no points at all", "text.ply cannot be read as points"),
    ],
)
def test_points_without_normals_are_refused_in_a_sentence(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        point_cloud(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_placement_has_one_scale():
    placement = Placement((1.0, 2.0, 3.0), 2.0)
    np.testing.assert_array_equal(placement.into(np.array([[3.0, 2.0, 1.0]])), [[1, 0, -1]])
