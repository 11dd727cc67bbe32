"""The loss of classifiers: its items in slices, and that it learns."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from inrkit.training import Classification, fit, predict
from inrkit.training.protocol import cut


def test_slices_add_up_to_the_mean_cross_entropy():
    inputs, labels = torch.rand(2, 9, 3), torch.randint(4, (9,))
    model, loss = nn.Linear(3, 4), Classification(inputs, labels, 6, axis=1)
    batch = loss.sample(torch.tensor(0))
    parts = [cut(batch, rows) for rows in (slice(0, 2), slice(2, 6))]
    found = torch.cat([loss.error(lambda x: model(x[0]), *part) for part in parts])
    chosen = batch[0][:, 0]
    known = functional.cross_entropy(model(inputs[0, chosen]), labels[chosen])
    assert found.shape == (6,) and torch.allclose(found.mean(), known)


def test_it_separates_what_a_line_separates():
    torch.manual_seed(0)
    inputs = torch.randn(200, 2)
    labels = (inputs @ torch.tensor([1.0, -2.0]) > 0).long()
    model = nn.Linear(2, 2)
    fit(model, Classification(inputs, labels, 50), steps=150, lr=0.05, progress=False)
    assert (model(inputs).argmax(-1) == labels).float().mean() > 0.97


def test_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match="at least one item"):
        Classification(torch.rand(0, 2), torch.zeros(0, dtype=torch.long), 5)


def test_the_highest_score_decides_in_parts_as_at_once():
    scores = torch.rand(3, 11, 4)
    known = scores.sum(0).argmax(-1)
    assert torch.equal(predict(lambda x: x.sum(0), scores, axis=1, size=4), known)
