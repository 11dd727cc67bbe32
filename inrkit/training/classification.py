"""The loss of classifiers, and what they answer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


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

    def __len__(self) -> int:
        return self.batch

    def draw(self) -> "_ClassificationStep":
        """The loss of one step."""
        size = (self.batch,)
        chosen = torch.randint(len(self.labels), size, device=self.labels.device)
        return _ClassificationStep(self, chosen)


@dataclass(frozen=True)
class _ClassificationStep:
    """One step's items."""

    loss: Classification
    chosen: Tensor

    def __len__(self) -> int:
        return len(self.chosen)

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        chosen = self.chosen[rows]
        scores = model(self.loss.inputs.index_select(self.loss.axis, chosen))
        labels = self.loss.labels[chosen]
        return functional.cross_entropy(scores, labels, reduction="sum") / len(self)


def predict(model: nn.Module, inputs: Tensor, *, axis: int = 0, size: int = 200) -> Tensor:
    """The class with the highest score of each item, ``(N,)``.

    Args:
        inputs: what the model is given, items along ``axis``.
        size: items at a time.
    """
    with torch.no_grad():
        scores = [model(part) for part in inputs.split(size, dim=axis)]
    return torch.cat(scores).argmax(-1)
