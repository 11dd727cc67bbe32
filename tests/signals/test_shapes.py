"""Exact distances against brute force, and samples against areas in closed form."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import dblquad
from scipy.spatial import cKDTree

from inrkit.signals import RoundedBox, Sphere, Torus, TorusKnot

SHAPES = [Sphere(0.4), Torus(), RoundedBox(), TorusKnot()]


@pytest.fixture(autouse=True)
def same_points_every_time():
    torch.manual_seed(0)


def cube(n):
    return 2 * torch.rand(n, 3, dtype=torch.float64) - 1


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_samples_lie_on_the_surface_and_normals_are_the_gradient(shape):
    cloud = shape.surface_points(500)
    points = cloud.points.double().requires_grad_()
    distance = shape.distance(points)
    assert distance.abs().max() < 1e-6
    (slope,) = torch.autograd.grad(distance.sum(), points)
    torch.testing.assert_close(slope, cloud.normals.double(), atol=2e-6, rtol=0)
    beyond = points.detach() + 0.01 * cloud.normals
    torch.testing.assert_close(
        shape.distance(beyond), torch.full_like(distance, 0.01), atol=1e-6, rtol=0
    )
    assert shape.inside(points - 0.01 * cloud.normals).all() and not shape.inside(beyond).any()


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_distance_is_that_to_the_nearest_of_many_samples(shape):
    points, cloud = cube(300), shape.surface_points(200_000)
    nearest = torch.from_numpy(cKDTree(cloud.points.numpy()).query(points.numpy())[0])
    distance = shape.distance(points)[:, 0].abs()
    assert (distance <= nearest + 1e-6).all()
    assert (nearest - distance).max() < 0.01


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_the_gradient_has_length_one_everywhere(shape):
    points = cube(500).requires_grad_()
    (slope,) = torch.autograd.grad(shape.distance(points).sum(), points)
    torch.testing.assert_close(slope.norm(dim=-1), torch.ones(500, dtype=torch.float64))


def test_knot_distance_is_accurate_to_a_millionth():
    knot, points = TorusKnot(), cube(40)
    t = 2 * np.pi * np.arange(2**20) / 2**20
    dense = cKDTree(knot._curve(t)[0]).query(points.numpy())[0] - knot.radius
    np.testing.assert_allclose(knot.distance(points)[:, 0], dense, atol=1e-7)


def test_knot_derivatives_are_those_of_its_curve():
    knot, t, h = TorusKnot(), np.linspace(0, 6, 50), 1e-5
    (_, velocity, acceleration), after, before = (knot._curve(t + d) for d in (0, h, -h))
    np.testing.assert_allclose((after[0] - before[0]) / (2 * h), velocity, atol=1e-7)
    np.testing.assert_allclose((after[1] - before[1]) / (2 * h), acceleration, atol=1e-7)


def test_a_knot_that_winds_round_a_flat_torus_is_a_torus():
    flat, points = TorusKnot(turns=(1, 0), major=0.35, minor=0.25, radius=0.25), cube(200)
    torch.testing.assert_close(flat.distance(points), Torus(0.6, 0.25).distance(points))


@pytest.mark.parametrize("radius", [0.0, 0.25])
def test_a_tube_that_touches_itself_is_refused(radius):
    with pytest.raises(ValueError, match="touches itself: its radius lies between 0 and"):
        TorusKnot(turns=(1, 0), major=0.1, minor=0.1, radius=radius)


def test_sphere_samples_are_uniform_in_height():
    heights = Sphere(0.4).surface_points(5000).points[:, 2] / 0.4  # Archimedes
    assert stats.kstest(heights, stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    "shape", [Torus(0.6, 0.3), TorusKnot((1, 0), 0.3, 0.3, 0.3)], ids=["torus", "tube"]
)
def test_torus_samples_are_uniform_by_area(shape):
    x, y, z = shape.surface_points(5000).points.double().T
    angle = torch.atan2(z, torch.hypot(x, y) - 0.6).numpy()
    uniform = (angle + 0.5 * np.sin(angle) + np.pi) / (2 * np.pi)  # area is as 1 + r/R cos
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert (
        stats.kstest((torch.atan2(y, x) / torch.pi).numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    )


def test_knot_samples_are_uniform_by_area():
    """Gauss: the flux of x through the surface is three times the volume of the tube."""
    knot = TorusKnot()
    cloud = knot.surface_points(100_000)

    def element(angle, t):
        _, v, a = (part[0] for part in knot._curve(np.array([t])))
        speed = np.linalg.norm(v)
        curvature = np.linalg.norm(np.cross(v, a)) / speed**3
        return knot.radius * speed * (1 - knot.radius * curvature * np.cos(angle))

    area, _ = dblquad(element, 0, 2 * np.pi, 0, 2 * np.pi, epsabs=1e-3, epsrel=1e-3)
    length = area / (2 * np.pi * knot.radius)
    volume = np.pi * knot.radius**2 * length  # Pappus, for any tube that does not touch itself
    flux = (cloud.points * cloud.normals).sum(-1)
    error = 4 * flux.std().item() / len(flux) ** 0.5
    assert abs(flux.mean().item() - 3 * volume / area) < error


def test_box_samples_fall_on_sides_edges_and_corners_by_area():
    box = RoundedBox((0.6, 0.4, 0.25), 0.1)
    normals = box.surface_points(20_000).normals
    components = (normals != 0).sum(-1)
    b, r = np.array(box.half), box.radius
    areas = np.array([8 * (b.prod() / b).sum(), 4 * np.pi * r * b.sum(), 4 * np.pi * r**2])
    counts = [(components == k).sum().item() for k in (1, 2, 3)]
    assert stats.chisquare(counts, 20_000 * areas / areas.sum()).pvalue > 1e-3


def test_shapes_are_known_by_their_measures():
    assert Sphere(0.5).sha256 == Sphere(0.5).sha256 != Sphere(0.6).sha256
    assert Sphere(0.5).name == "Sphere(radius=0.5)"


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_second_derivatives_are_those_of_differences(shape):
    """Of the gradient, which is exact; not where it jumps: about the middle, equally far."""
    points, h = cube(60), 1e-5

    def slope(x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(shape.distance(x).sum(), x)[0]

    found, expected = torch.zeros(2, len(points), dtype=points.dtype)
    for k in range(3):
        x, step = points.clone().requires_grad_(), h * torch.eye(3, dtype=points.dtype)[k]
        (first,) = torch.autograd.grad(shape.distance(x).sum(), x, create_graph=True)
        second = torch.zeros_like(x)
        if first.requires_grad:
            (second,) = torch.autograd.grad(first[:, k].sum(), x, materialize_grads=True)
        found += second[:, k]
        expected += (slope(points + step) - slope(points - step))[:, k] / (2 * h)
    smooth = expected.abs() < 100
    assert smooth.sum() > 50
    torch.testing.assert_close(found[smooth], expected[smooth], rtol=1e-5, atol=1e-5)
