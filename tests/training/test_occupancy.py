"""Occupancy: the loss against its equation, and a half-space that can be learnt."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from inrkit.fields import SIREN, stack
from inrkit.training import Occupancy, fit


def labelled(n=500):
    torch.manual_seed(0)
    points = 2 * torch.rand(n, 3) - 1
    return points, points[:, 0] > 0.2


def test_the_loss_is_the_equation_and_shares_add_up():
    step, model = Occupancy(*labelled(), size=60).at(0), SIREN(3, 1, width=8)
    with torch.no_grad():
        whole = step(model, slice(0, 60))
        parts = step(model, slice(0, 25)) + step(model, slice(25, 60))
        p = expit(model(step.points)[:, 0].double().numpy())
    o = step.inside.numpy()
    expected = -np.mean(np.where(o, np.log(p), np.log1p(-p)))
    assert np.isclose(float(whole), expected, rtol=1e-5)
    assert np.isclose(float(parts), expected, rtol=1e-5)


def test_labels_stay_with_their_points():
    points, inside = labelled()
    step = Occupancy(points, inside, size=200).at(3)
    assert torch.equal(step.inside, step.points[:, 0] > 0.2)


def test_every_point_has_its_turn_before_one_comes_again():
    points, inside = labelled(12)
    loss = Occupancy(points, inside, size=5)
    taken = torch.cat([loss.at(torch.tensor(step)).points for step in range(12)])
    assert torch.equal(taken, points.repeat(5, 1))


def test_a_fit_takes_the_points_in_their_turn():
    points, inside = labelled(40)
    seen = []
    model = nn.Linear(3, 1)
    model.register_forward_pre_hook(
        lambda _, given: seen.append(given[0]) if torch.is_grad_enabled() else None
    )
    fit(model, Occupancy(points, inside, size=10), steps=4, progress=False)
    assert torch.equal(torch.cat(seen), points)


def test_a_stack_has_a_loss_for_each_network():
    models = [SIREN(3, 1, width=8) for _ in range(2)]
    step = Occupancy(*labelled(), size=30).at(0)
    with torch.no_grad():
        together = step(stack(models), slice(0, 30))
        assert torch.allclose(together, torch.stack([step(m, slice(0, 30)) for m in models]))


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
