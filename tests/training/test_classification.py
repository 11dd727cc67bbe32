"""The loss of classifiers: its share of rows, and that it learns."""

import torch
from torch import nn
from torch.nn import functional

from inrkit.training import Classification, fit


def test_shares_add_up_to_the_mean_cross_entropy():
    torch.manual_seed(0)
    inputs, labels = torch.rand(2, 9, 3), torch.randint(4, (9,))
    model = nn.Linear(3, 4)
    step = Classification(inputs, labels, 6, axis=1).draw()
    parts = step(lambda x: model(x[0]), slice(0, 2)) + step(lambda x: model(x[0]), slice(2, 6))
    known = functional.cross_entropy(model(inputs[0, step.chosen]), labels[step.chosen])
    assert torch.allclose(parts, known)


def test_it_separates_what_a_line_separates():
    torch.manual_seed(0)
    inputs = torch.randn(200, 2)
    labels = (inputs @ torch.tensor([1.0, -2.0]) > 0).long()
    model = nn.Linear(2, 2)
    fit(model, Classification(inputs, labels, 50), steps=150, lr=0.05, progress=False)
    assert (model(inputs).argmax(-1) == labels).float().mean() > 0.97
