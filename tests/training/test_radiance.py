"""A radiance field that is the scene has no loss, and one is found from pictures."""

import torch
from torch import nn

from inrkit.fields import SIREN
from inrkit.signals import emission, orbit, picture, views
from inrkit.training import Radiance, fit


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
    assert loss.draw()(truth, slice(0, 64)).item() < 1e-10
    found = fit(Fog([0.0, 0.0, 0.0, 0.0]), loss, steps=300, lr=0.05, progress=False)
    torch.testing.assert_close(found.model.raw, truth.raw, atol=0.05, rtol=0)


def test_shares_add_up_and_passes_are_samples():
    loss = Radiance(seen(Fog([0.0, 1.0, 0.0, 0.0])), 10, coarse=6, fine=0)
    torch.manual_seed(1)
    model, step = SIREN(3, 4, width=8), loss.draw()
    assert loss.passes == 6 and len(loss) == len(step) == 10
    torch.manual_seed(2)
    whole = step(model, slice(0, 10))
    torch.manual_seed(2)  # rays in order draw the same distances
    parts = sum(step(model, rows) for rows in (slice(0, 4), slice(4, 10)))
    torch.testing.assert_close(whole, parts)
