import pytest
import torch
from scipy import stats

from inrkit.signals import Samples, Sphere, distance_samples


def test_distances_are_those_of_the_solid_half_near_and_half_anywhere():
    torch.manual_seed(0)
    found = distance_samples(Sphere(0.5), 4000, deviation=0.02)
    assert found.coords.shape == (4000, 3) and found.values.shape == (4000, 1)
    radius = found.coords.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found.values, radius - 0.5)
    near, anywhere = found.values[:2000], found.coords[2000:]
    assert near.std().item() == pytest.approx(0.02, rel=0.1)  # across: one of the three axes
    for axis in range(3):
        assert stats.kstest(anywhere[:, axis].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-6


def test_a_sample_keeps_points_and_values_together():
    torch.manual_seed(1)
    points = torch.rand(50, 2)
    coords, values = Samples(points, points.sum(-1, keepdim=True)).sample(200)
    torch.testing.assert_close(values, coords.sum(-1, keepdim=True))
    assert len(coords) == 200 and len(coords.unique(dim=0)) > 40


def test_refuses_points_without_values():
    with pytest.raises(ValueError, match="each point has a value"):
        Samples(torch.zeros(3, 2), torch.zeros(2, 1))
