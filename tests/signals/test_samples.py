import pytest
import torch
from scipy import stats

from inrkit.signals import OrientedPoints, Samples, Sphere, distance_samples


def test_distances_are_those_of_the_solid_near_its_surface():
    torch.manual_seed(0)
    found = distance_samples(Sphere(0.5), 20_000, scale=0.01)
    assert found.coords.shape == (20_000, 3) and found.values.shape == (20_000, 1)
    radius = found.coords.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found.values, radius - 0.5)
    # across the surface one of the three axes' displacements, as far as curvature lets it pass;
    # Laplace's law has a variance of 2 s^2, and each direction's is the mean of the axes'
    assert found.values.std().item() == pytest.approx(2**0.5 * 0.01, rel=0.05)


def test_displacements_follow_laplaces_law_and_reenter_the_cube():
    class Origin:
        def surface_points(self, n):
            return OrientedPoints("origin", torch.zeros(n, 3), torch.zeros(n, 3), "")

        def distance(self, points):
            return points[:, :1]

    torch.manual_seed(1)
    few = distance_samples(Origin(), 20_000, scale=0.05).coords
    test = stats.ks_1samp(few.flatten().numpy(), stats.laplace(scale=0.05).cdf)
    assert test.statistic < 0.01
    wide = distance_samples(Origin(), 20_000, scale=2.0).coords
    assert wide.abs().max() <= 1
    # folded onto the cube: the sum over all whole turns
    turns = stats.laplace(scale=2.0).cdf

    def folded(t):
        return sum(turns(t + 2 * k) - turns(2 * k - 1) for k in range(-30, 31))

    assert stats.ks_1samp(wide.flatten().numpy(), folded).statistic < 0.01


def test_a_sample_keeps_points_and_values_together():
    torch.manual_seed(1)
    points = torch.rand(50, 2)
    coords, values = Samples(points, points.sum(-1, keepdim=True)).sample(200)
    torch.testing.assert_close(values, coords.sum(-1, keepdim=True))
    assert len(coords) == 200 and len(coords.unique(dim=0)) > 40


def test_refuses_points_without_values():
    with pytest.raises(ValueError, match="each point has a value"):
        Samples(torch.zeros(3, 2), torch.zeros(2, 1))
