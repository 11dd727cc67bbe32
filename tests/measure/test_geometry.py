"""Metrics of surfaces where spheres give them in closed form."""

from math import sqrt

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from inrkit.fields import SIREN
from inrkit.measure import (
    chamfer,
    eikonal_error,
    gradient_norms,
    iou,
    mean_curvature,
    normal_consistency,
    points_near,
)
from inrkit.signals import OrientedPoints, Sphere, Torus


@pytest.fixture(autouse=True)
def same_points_every_time():
    torch.manual_seed(0)


def test_concentric_spheres_are_as_far_apart_as_their_radii():
    first, second = (Sphere(r).surface_points(20_000).points for r in (0.5, 0.7))
    assert chamfer(first, second) == pytest.approx(0.2, rel=0.01)


def test_chamfer_is_the_mean_over_all_pairs_and_symmetric():
    first, second = np.random.default_rng(0).random((2, 50, 3))
    distances = cdist(first, second[:30])
    expected = (distances.min(0).mean() + distances.min(1).mean()) / 2
    assert chamfer(first, second[:30]) == pytest.approx(expected)
    assert chamfer(second[:30], first) == pytest.approx(expected)


def test_sampling_alone_leaves_half_the_root_of_area_a_point():
    first, second = (Sphere(0.5).surface_points(20_000).points for _ in range(2))
    assert chamfer(first, second) == pytest.approx(sqrt(np.pi / 20_000) / 2, rel=0.02)


def test_normals_turned_by_an_angle_have_its_cosine():
    flat = torch.rand(500, 3)
    flat[:, 2] = 0
    up, tilted = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 0.6, -0.8])
    clouds = [OrientedPoints("plane", flat, n.expand(500, 3), "") for n in (up, tilted)]
    assert normal_consistency(*clouds) == pytest.approx(0.8)


def test_normals_of_a_sphere_against_those_of_a_shuffled_one():
    first, second = (Sphere(0.5).surface_points(5000) for _ in range(2))
    assert normal_consistency(first, second) > 0.999
    shuffled = OrientedPoints("", second.points, second.normals[torch.randperm(5000)], "")
    assert normal_consistency(first, shuffled) == pytest.approx(0.5, abs=0.02)  # mean |cos|


def test_iou_of_concentric_spheres_is_the_ratio_of_volumes():
    points = 2 * torch.rand(400_000, 3) - 1
    small, large = (Sphere(r).inside(points) for r in (0.7, 0.8))
    assert iou(small, large) == pytest.approx((0.7 / 0.8) ** 3, abs=0.005)
    assert iou(large, small) == iou(small, large) and iou(large, large) == 1
    assert iou(small, ~small) == 0


def test_iou_of_nothing_or_of_numbers_is_refused():
    nothing = torch.zeros(5, dtype=torch.bool)
    with pytest.raises(ValueError, match="no point lies inside"):
        iou(nothing, nothing)
    with pytest.raises(ValueError, match="boolean and of one shape"):
        iou(nothing, torch.zeros(5))
    with pytest.raises(ValueError, match="boolean and of one shape"):
        iou(nothing, nothing[:3])


def test_points_near_a_surface_are_normal_about_it():
    sphere = Sphere(0.5)
    near = points_near(sphere.surface_points(20_000).points, 0.01)
    assert sphere.distance(near).std().item() == pytest.approx(0.01, rel=0.03)
    assert sphere.inside(near).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_empty_surfaces_are_refused():
    with pytest.raises(ValueError, match="at least one point"):
        chamfer(np.zeros((0, 3)), np.zeros((1, 3)))


def test_gradient_norms_are_those_of_autograd():
    network = SIREN(3, 1, width=16, hidden_layers=2).double()
    points = (2 * torch.rand(50, 3, dtype=torch.float64) - 1).requires_grad_()
    (slope,) = torch.autograd.grad(network(points).sum(), points)
    norms = gradient_norms(network, points)
    torch.testing.assert_close(norms, slope.norm(dim=-1))
    assert not norms.requires_grad


def test_a_distance_has_no_eikonal_error_and_twice_a_distance_has_one():
    points = 2 * torch.rand(500, 3) - 1

    def distance(x):
        return x.square().sum(-1, keepdim=True).sqrt() - 0.5

    assert eikonal_error(gradient_norms(distance, points)) < 1e-6
    assert eikonal_error(gradient_norms(lambda x: 2 * distance(x), points)) == pytest.approx(1)
    assert eikonal_error(torch.tensor([1.0, 0.5, 90.0])) == 0.5  # one point far off does not count


def test_mean_curvature_of_sphere_torus_and_any_function_of_their_distance():
    torch.manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(30, 3, dtype=torch.float64), dim=-1)
    sphere = Sphere(0.4)
    for field in (sphere.distance, lambda x: torch.tanh(3 * sphere.distance(x))):
        found = mean_curvature(field, 0.4 * direction)
        assert torch.allclose(found, torch.full((30,), 2.5, dtype=torch.float64))
    torus, tube, turn = Torus(), *(2 * torch.pi * torch.rand(2, 30, dtype=torch.float64))
    axis = torus.major + torus.minor * tube.cos()
    points = torch.stack([axis * turn.cos(), axis * turn.sin(), torus.minor * tube.sin()], -1)
    known = (1 / torus.minor + tube.cos() / axis) / 2  # the two principal curvatures
    assert torch.allclose(mean_curvature(torus.distance, points), known)
