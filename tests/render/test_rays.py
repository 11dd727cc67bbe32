"""Depth and normals by rays, against spheres and planes in closed form."""

import numpy as np
import pytest
import torch

from inrkit.render import depth_map, normal_image, normals_of_depth

RADIUS = 0.8
SIDE = 1.1 * ((2 * np.arange(64) + 1) / 64 - 1)
X, Y = np.meshgrid(SIDE, -SIDE)  # to the right, and up


def sphere(points):
    return RADIUS - points.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("view", [(0, 0), (30, 20), (200, -50)])
def test_a_sphere_has_its_depth_from_everywhere(view):
    depth = depth_map(sphere, 64, azimuth=view[0], elevation=view[1])
    squared = RADIUS**2 - X**2 - Y**2
    assert np.isnan(depth[squared < 0]).all()
    deep = squared > 0.05  # thicker than a step
    assert np.allclose(depth[deep], np.sqrt(squared[deep]), atol=1e-4)


def test_normals_of_a_sphere_point_outwards():
    normals = normals_of_depth(depth_map(sphere, 64, azimuth=0, elevation=0))
    inner = X**2 + Y**2 < 0.3 * RADIUS**2
    expected = np.stack([X, Y, np.sqrt(np.maximum(RADIUS**2 - X**2 - Y**2, 0))], -1) / RADIUS
    assert np.abs(normals - expected)[inner].max() < 5e-3


def test_the_nearest_of_two_balls_is_seen_where_they_overlap():
    def balls(points):  # one before the other as seen along the third axis
        centres = torch.tensor([[0.0, 0.0, 0.5], [0.3, 0.0, -0.5]])
        return (0.3 - torch.cdist(points, centres)).amax(-1, keepdim=True)

    depth = depth_map(balls, 64, azimuth=0, elevation=0)
    front = X**2 + Y**2 < 0.08
    assert (depth[front] > 0.5).all()
    assert (depth[(X > 0.32) & ((X - 0.3) ** 2 + Y**2 < 0.07)] < 0).all()


def test_nothing_is_seen_outside_the_cube():
    depth = depth_map(lambda points: torch.ones(len(points), 1), 32, azimuth=0, elevation=0)
    inside = np.abs(1.1 * ((2 * np.arange(32) + 1) / 32 - 1)) < 1
    assert (np.isfinite(depth) == inside[:, None] & inside[None]).all()
    assert np.allclose(depth[16, 16], 1, atol=1e-4)
    empty = normal_image(normals_of_depth(np.full((8, 8), np.nan)))
    assert (empty == 1).all()


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        depth_map(sphere, 0)
