"""Occupancy: the loss against its equation, and a half-space that can be learnt."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from inrkit.fields import SIREN, stack
from inrkit.training import Occupancy, fit
from inrkit.training.protocol import cut

FIRST = torch.tensor(0)


def labelled(n=500):
    torch.manual_seed(0)
    points = 2 * torch.rand(n, 3) - 1
    return points, points[:, 0] > 0.2


def test_the_loss_is_the_equation_in_slices_and_at_once():
    loss, model = Occupancy(*labelled(), size=60), SIREN(3, 1, width=8)
    batch = points, inside = loss.sample(FIRST)
    with torch.no_grad():
        whole = loss.error(model, *batch)
        parts = [loss.error(model, *cut(batch, s)) for s in (slice(0, 25), slice(25, 60))]
        p = expit(model(points)[:, 0].double().numpy())
    expected = -np.where(inside[:, 0].numpy(), np.log(p), np.log1p(-p))
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    np.testing.assert_allclose(torch.cat(parts), expected, rtol=1e-5)


def test_labels_stay_with_their_points():
    points, inside = labelled()
    some, labels = Occupancy(points, inside, size=200).sample(torch.tensor(3))
    assert torch.equal(labels, some[:, :1] > 0.2)


def test_every_point_has_its_turn_before_one_comes_again():
    points, inside = labelled(12)
    loss = Occupancy(points, inside, size=5)
    taken = torch.cat([loss.sample(torch.tensor(step))[0] for step in range(12)])
    assert torch.equal(taken, points.repeat(5, 1))


def test_a_fit_takes_the_points_in_their_turn():
    points, inside = labelled(40)
    seen = []
    model = nn.Linear(3, 1)
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    fit(model, Occupancy(points, inside, size=10), steps=4, progress=False)
    assert torch.equal(torch.cat(seen[-4:]), points)  # before them, the loop tries a few points


def test_a_stack_has_a_loss_for_each_network():
    models = [SIREN(3, 1, width=8) for _ in range(2)]
    loss = Occupancy(*labelled(), size=30)
    batch = loss.sample(FIRST)
    with torch.no_grad():
        together = loss.error(stack(models), *batch)
        assert torch.allclose(together, torch.stack([loss.error(m, *batch) for m in models]))


def test_a_half_space_is_learnt():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    fit(model, Occupancy(*labelled(), size=200), steps=300, lr=0.1, progress=False)
    points, inside = labelled(2000)
    assert ((model(points)[:, 0] > 0) == inside).float().mean() > 0.97


def test_bad_labels_are_refused():
    points, inside = labelled()
    with pytest.raises(ValueError, match="one boolean label"):
        Occupancy(points, inside.float(), 10)
    with pytest.raises(ValueError, match="one boolean label"):
        Occupancy(points, inside[:-1], 10)


@pytest.mark.parametrize("size", [0, 501])
def test_a_step_takes_points_that_there_are(size):
    with pytest.raises(ValueError, match="1 to 500 points"):
        Occupancy(*labelled(), size)
