"""The loss of completion by hand, and the contexts that it draws."""

import pytest
import torch
from torch import nn

from inrkit.fields import Completed
from inrkit.signals import grid
from inrkit.training import Completion, fit, random_masks
from inrkit.training.protocol import cut

COORDS = grid((4, 5))


class Constant(nn.Module):
    """Says one colour everywhere, with a code and weights that are known."""

    def __init__(self):
        super().__init__()
        self.colour = nn.Parameter(torch.tensor([0.5, -0.25, 0.0]))

    def forward(self, values, mask, coords):
        found = self.colour.expand(len(values), len(coords), 3)
        return Completed(found, torch.full((len(values), 6), 3.0), mask.float().mean(-1))


def test_masks_hold_exactly_the_pixels_that_were_asked_for():
    torch.manual_seed(0)
    counts = torch.tensor([1, 7, 20, 7])
    masks = random_masks(counts, 20)
    assert masks.sum(-1).tolist() == counts.tolist()
    assert (masks[1] != masks[3]).any()
    share = random_masks(torch.full((4000,), 5), 20).float().mean(0)
    assert (share - 0.25).abs().max() < 0.04  # six standard deviations


def test_the_loss_is_its_three_terms_in_slices_and_at_once():
    signals, model = torch.randn(8, 20, 3), Constant()
    loss = Completion(COORDS, signals, 5, 2, 20, latent_weight=0.1, parameter_weight=100.0)
    batch = chosen, known = loss.sample(torch.tensor(0))
    with torch.no_grad():
        whole = loss.error(model, *batch)
        each = [loss.error(model, *cut(batch, slice(j, j + 1))) for j in range(5)]
        expected = {
            "error": (signals[chosen[:, 0]] - model.colour).square().sum((1, 2)) / 60,
            "latent": torch.full((5,), 0.1 * 9),
            "weights": 100 * known.sum(-1) / 20,
        }
    torch.testing.assert_close(whole, expected)
    assert all(torch.allclose(torch.cat([e[name] for e in each]), whole[name]) for name in whole)
    assert all(2 <= count <= 20 for count in known.sum(-1).tolist())


def test_the_mean_colour_is_learnt():
    torch.manual_seed(2)
    signals = torch.randn(1, 20, 3)
    loss = Completion(COORDS, signals, 2, 1, 20, parameter_weight=0.0)
    model = fit(Constant(), loss, steps=400, lr=0.02, progress=False).model
    torch.testing.assert_close(model.colour, signals.mean((0, 1)), atol=5e-3, rtol=0)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="from 1 to 20"):
        Completion(COORDS, torch.zeros(1, 20, 3), 1, 10, 1000)
