"""The loss of classifiers, and what they answer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inrkit.training.protocol import Batch


@dataclass(frozen=True)
class Classification:
    r"""Cross-entropy of items that are drawn anew each step.

    .. math:: L = -\frac{1}{b} \sum_{i=1}^{b} \log \frac{e^{s_{i y_i}}}{\sum_k e^{s_{ik}}}

    Args:
        inputs: what the model is given, items along ``axis``.
        labels: y, ``(N,)``.
        batch: b.
        axis: of the items.

    Raises:
        ValueError: there is no item.
    """

    inputs: Tensor
    labels: Tensor
    batch: int
    axis: int = 0

    def __post_init__(self):
        if len(self.labels) == 0:
            raise ValueError("a classifier needs at least one item to be trained on")

    def sample(self, step: Tensor) -> Batch:
        """Numbers of the items, ``(b, 1)``."""
        return (torch.randint(len(self.labels), (self.batch, 1), device=self.labels.device),)

    def error(self, model: nn.Module, chosen: Tensor) -> Tensor:
        """The cross-entropy of each item."""
        scores = model(self.inputs.index_select(self.axis, chosen[:, 0]))
        return functional.cross_entropy(scores, self.labels[chosen[:, 0]], reduction="none")


def predict(model: nn.Module, inputs: Tensor, *, axis: int = 0, size: int = 200) -> Tensor:
    """The class with the highest score of each item, ``(N,)``.

    Args:
        inputs: what the model is given, items along ``axis``.
        size: items at a time.
    """
    with torch.no_grad():
        scores = [model(part) for part in inputs.split(size, dim=axis)]
    return torch.cat(scores).argmax(-1)
