"""A radiance field that is the scene has no loss, and one is found from pictures."""

import numpy as np
import torch
from torch import nn

from inrkit.fields import SIREN, RadianceField
from inrkit.signals import emission, orbit, picture, render, views
from inrkit.signals.cameras import Rays
from inrkit.training import Radiance, fit, mean
from inrkit.training.protocol import cut


class Fog(nn.Module):
    """One density and one colour everywhere."""

    def __init__(self, raw):
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(raw))

    def forward(self, x):
        return self.raw.expand(*x.shape[:-1], 4)


def seen(scene):
    path = orbit(3, radius=3.0, shape=(8, 8))
    pictures = [picture(lambda x: emission(scene(x)), c.rays(), coarse=8, fine=0) for c in path]
    return views("fog", path, pictures)


def test_fog_is_found_from_its_pictures():
    truth = Fog([-0.5, 1.0, -1.0, 0.3])
    loss = Radiance(seen(truth), 64, coarse=8, fine=4)
    torch.manual_seed(0)
    assert mean(loss, truth).item() < 1e-10
    found = fit(Fog([0.0, 0.0, 0.0, 0.0]), loss, steps=300, lr=0.05, progress=False)
    torch.testing.assert_close(found.model.raw, truth.raw, atol=0.05, rtol=0)


def test_errors_at_slices_are_those_of_the_whole_and_passes_are_samples():
    loss = Radiance(seen(Fog([0.0, 1.0, 0.0, 0.0])), 10, coarse=6, fine=0)
    torch.manual_seed(1)
    model, batch = SIREN(3, 4, width=8), loss.sample(torch.tensor(0))
    assert loss.passes == 6 and Radiance(loss.views, 10).passes == 128
    torch.manual_seed(2)
    whole = loss.error(model, *batch)
    torch.manual_seed(2)  # rays in order draw the same distances
    parts = [loss.error(model, *cut(batch, rows)) for rows in (slice(0, 4), slice(4, 10))]
    torch.testing.assert_close(whole, torch.cat(parts))


def test_colour_depends_on_the_direction_where_asked():
    """A fog whose red is the direction's first coordinate, seen from both sides."""

    def fog(x):
        red = torch.sigmoid(10 * x[:, 3:4])
        return 50 * torch.ones(len(x)), torch.cat([red, torch.zeros(len(x), 2)], dim=-1)

    origins = torch.tensor([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    rays = Rays(origins, -origins / 2)
    seen = render(fog, rays, coarse=16, fine=8, directional=True)
    logistic = 1 / (1 + np.exp([-10.0, 10.0]))
    np.testing.assert_allclose(seen[:, 0], logistic, atol=1e-4)
    assert seen[:, 1:].abs().max() < 1e-4


def test_a_radiance_field_hands_on_what_it_found():
    torch.manual_seed(0)
    density, colour = torch.nn.Linear(3, 5), torch.nn.Linear(7, 3)
    x = torch.randn(6, 6)
    found = RadianceField(density, colour)(x)
    inner = x[:, :3] @ density.weight.T + density.bias
    outer = torch.cat([x[:, 3:], inner[:, 1:]], 1) @ colour.weight.T + colour.bias
    torch.testing.assert_close(found, torch.cat([inner[:, :1], outer], 1))


def test_training_sees_the_direction():
    loss = Radiance(seen(Fog([0.0, 1.0, 0.0, 0.0])), 10, coarse=6, fine=2, directional=True)
    asked = []

    def field(x):
        asked.append(x.shape[-1])
        torch.testing.assert_close(x[:, 3:].norm(dim=-1), torch.ones(len(x)))
        return torch.zeros(len(x), 4)

    mean(loss, field)
    assert set(asked) == {6}
