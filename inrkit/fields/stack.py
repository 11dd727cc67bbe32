"""Many fields of one architecture as one module, through leading axes of the parameters."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy

import torch
from torch import nn


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **_persistent(model)}


def _persistent(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers drawn at random differ between models; constants stay shared."""
    return {name: b for name, b in model.named_buffers() if b.is_floating_point()}


def _rebuild(model: nn.Module, tensors: dict[str, torch.Tensor]) -> nn.Module:
    result = deepcopy(model, {id(t): t for t in _tensors(model).values()})  # all are replaced
    for name, tensor in tensors.items():
        owner, leaf = _owner(result, name)
        if isinstance(getattr(owner, leaf), nn.Parameter):
            setattr(owner, leaf, nn.Parameter(tensor))
        else:
            setattr(owner, leaf, tensor)
    return result


def stack(models: Sequence[nn.Module]) -> nn.Module:
    """One module of the same class whose parameters hold those of all models.

    Coordinates ``(n, d)`` or ``(signals, n, d)`` give values ``(signals, n, c)``. Stacks can be
    stacked again.
    """
    if not models:
        raise ValueError("stack needs at least one model")
    named = [_tensors(model) for model in models]
    for other, tensors in zip(models, named, strict=True):
        shapes = {name: t.shape for name, t in tensors.items()}
        if type(other) is not type(models[0]) or shapes != {
            name: t.shape for name, t in named[0].items()
        }:
            raise ValueError("stack needs models of one class with parameters of equal shapes")
    stacked = {name: torch.stack([t[name].detach() for t in named]) for name in named[0]}
    return _rebuild(models[0], stacked)


def seeded(build: Callable[[], nn.Module], seeds: Iterable[int]) -> nn.Module:
    """Networks of one kind as one module, each drawn from a seed of its own.

    Args:
        build: makes a network; called once a seed.
        seeds: of PyTorch's generator.
    """
    models = []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(build())
    return stack(models)


def unstack(model: nn.Module, index: int | slice) -> nn.Module:
    """The field at ``index`` of a stack, on its own; the stack of some of them, for a slice."""
    return _rebuild(model, {name: t.detach()[index].clone() for name, t in _tensors(model).items()})


def join(stacks: Sequence[nn.Module]) -> nn.Module:
    """One stack of all the fields of several, in their order."""
    if not stacks:
        raise ValueError("join needs at least one stack")
    named = [_tensors(model) for model in stacks]
    joined = {name: torch.cat([t[name].detach() for t in named]) for name in named[0]}
    return _rebuild(stacks[0], joined)


def parameter_vectors(model: nn.Module) -> torch.Tensor:
    """The weights of each field of a stack in one row, ``(signals, count)``."""
    return torch.cat([p.detach().flatten(1) for p in model.parameters()], dim=-1)


def count_parameters(model: nn.Module) -> int:
    """Number of trained scalars."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
