"""The loss on two pools of points against sums by hand."""

import pytest
import torch

from inrkit.signals import Samples
from inrkit.training import TwoScales


def pools():
    coarse = Samples(torch.full((5, 1), 3.0), torch.full((5, 1), 1.0))
    fine = Samples(torch.full((4, 1), 2.0), torch.full((4, 1), -1.0))
    return coarse, fine


def test_half_of_the_points_weigh_less():
    step = TwoScales(*pools(), 10, weight=0.25).draw()
    assert len(step) == 10
    # the identity is off by 2 at the coarse points and by 3 at the fine ones
    assert step(torch.nn.Identity(), slice(0, 10)).item() == pytest.approx(5 * 0.25 * 4 + 5 * 9)


def test_shares_add_up():
    step = TwoScales(*pools(), 10).draw()
    shares = [step(torch.nn.Identity(), rows).item() for rows in (slice(0, 3), slice(3, 10))]
    assert sum(shares) == pytest.approx(step(torch.nn.Identity(), slice(0, 10)).item())


def test_points_are_drawn_anew():
    torch.manual_seed(0)
    many = Samples(torch.rand(1000, 3), torch.zeros(1000, 1))
    loss = TwoScales(many, many, 20)
    assert not torch.equal(loss.draw().coords, loss.draw().coords)
