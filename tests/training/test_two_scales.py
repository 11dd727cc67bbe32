"""The loss on two pools of points against sums by hand."""

import pytest
import torch

from inrkit.signals import Samples
from inrkit.training import TwoScales, mean
from inrkit.training.protocol import cut


def pools():
    coarse = Samples(torch.full((5, 1), 3.0), torch.full((5, 1), 1.0))
    fine = Samples(torch.full((4, 1), 2.0), torch.full((4, 1), -1.0))
    return coarse, fine


def test_half_of_the_points_weigh_less():
    loss = TwoScales(*pools(), 10, weight=0.25)
    # the identity is off by 2 at the coarse points and by 3 at the fine ones
    found = mean(loss, torch.nn.Identity())
    assert found.item() == pytest.approx(5 * 0.25 * 4 + 5 * 9)


def test_errors_at_slices_are_those_of_the_whole():
    loss, model = TwoScales(*pools(), 10), torch.nn.Identity()
    batch = loss.sample(torch.tensor(0))
    parts = [loss.error(model, *cut(batch, rows)) for rows in (slice(0, 3), slice(3, 10))]
    torch.testing.assert_close(torch.cat(parts), loss.error(model, *batch))


def test_points_are_drawn_anew():
    many = Samples(torch.rand(1000, 3), torch.zeros(1000, 1))
    loss = TwoScales(many, many, 20)
    first, second = (loss.sample(torch.tensor(0))[0] for _ in range(2))
    assert not torch.equal(first, second)
