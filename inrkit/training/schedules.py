"""Losses whose settings follow the step.

The step is restored with a checkpoint, and with it every setting; a setting at a step is computed
where the step lies, so that nobody waits for the device.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from inrkit.training.protocol import Batch, Errors, Loss, passes


@dataclass(frozen=True)
class Ramp:
    """A function of the step that is linear between knots, and constant before and after them.

    Args:
        steps: of the knots, rising.
        values: there.
    """

    steps: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self):
        rising = all(a < b for a, b in zip(self.steps, self.steps[1:], strict=False))
        if not rising or len(self.steps) != len(self.values):
            raise ValueError(
                f"a ramp needs rising steps and a value for each, got {self.steps}, {self.values}"
            )

    def __call__(self, step: Tensor) -> Tensor:
        """The value at a step, in its shape, computed where the step lies."""
        total = torch.full_like(step, self.values[0], dtype=torch.get_default_dtype())
        for i in range(len(self.steps) - 1):
            share = (step - self.steps[i]) / (self.steps[i + 1] - self.steps[i])
            total = total + (self.values[i + 1] - self.values[i]) * share.clamp(0, 1)
        return total


@dataclass(frozen=True)
class Scheduled:
    """A loss whose settings follow the step, such as a horizon that grows.

    Args:
        loss: any loss that is a dataclass.
        settings: what becomes of its attributes, by name; ``"equation.variance"`` is one of a part.
    """

    loss: Loss
    settings: Mapping[str, Ramp]

    @property
    def passes(self) -> int:
        """Of the loss."""
        return passes(self.loss)

    def at(self, values: Iterable[Tensor]) -> Loss:
        """The loss with these values of its settings."""
        loss = self.loss
        for path, value in zip(self.settings, values, strict=True):
            loss = _replaced(loss, path, value)
        return loss

    def sample(self, step: Tensor) -> Batch:
        """The loss's, and its settings at that step."""
        values = [ramp(step) for ramp in self.settings.values()]
        return *self.at(values).sample(step), *values

    def error(self, model: nn.Module, *batch: Tensor) -> Errors:
        """The loss's."""
        last = len(batch) - len(self.settings)
        return self.at(batch[last:]).error(model, *batch[:last])


def _replaced(loss: Loss, path: str, value: Tensor) -> Loss:
    """The loss with another value of an attribute, or of an attribute of a part."""
    name, _, rest = path.partition(".")
    return replace(loss, **{name: _replaced(getattr(loss, name), rest, value) if rest else value})
