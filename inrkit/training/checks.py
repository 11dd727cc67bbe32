"""What is asked of a loss before the first step."""

import torch
from torch import Tensor, nn

from inrkit.training.losses import Loss, count, cut, named, parts


def tried(model: nn.Module, loss: Loss, step: Tensor) -> tuple[list[str], Tensor, int]:
    """A loss at a few of its points: names of its terms, their values, and how many points it has.

    Random generators and the model's state are left as they were.

    Raises:
        ValueError: an error is no number for each point.
    """
    buffers = [(b, b.clone()) for b in model.buffers()]
    names, values, points = [], [], 0
    with torch.random.fork_rng([step.device] if step.is_cuda else []):
        for number, (_, part) in enumerate(parts(loss)):
            batch = part.sample(step)
            points += count(batch)
            shapes = {}
            for size in sorted({min(count(batch), 2), min(count(batch), 3)}):
                errors = named(part.error(model, *cut(batch, slice(0, size))))
                for name, error in errors.items():
                    _check(name, error, size, shapes)
            prefix = f"{number + 1} " if len(parts(loss)) > 1 else ""
            names += [(prefix + name).strip() or "loss" for name in errors]
            values += [error.detach()[..., 0] for error in errors.values()]
    for buffer, before in buffers:
        buffer.copy_(before)
    shapes = {tuple(value.shape) for value in values}
    if len(shapes) > 1:
        raise ValueError(f"terms of a loss are of equally many signals, got shapes {shapes}")
    return names, torch.stack(values), points


def _check(name: str, error: Tensor, size: int, signals: dict[str, torch.Size]) -> None:
    by_point = isinstance(error, Tensor) and error.ndim and error.shape[-1] == size
    if by_point and error.shape[:-1] == signals.setdefault(name, error.shape[:-1]):
        return
    got = tuple(error.shape) if isinstance(error, Tensor) else type(error)
    raise ValueError(
        f"an error is one number for each point, (*signals, n); at {size} points "
        f"{name or 'it'} gave {got}: average channels by .mean(-1), and leave the mean over points "
        "to fit, which takes them in slices"
    )
