"""Many fields of one architecture as one module, through leading axes of the parameters."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import nn

INNER = set(vars(nn.Module())) - {"training"}


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
        old = getattr(owner, leaf)
        if isinstance(old, nn.Parameter):
            setattr(owner, leaf, nn.Parameter(tensor, requires_grad=old.requires_grad))
        else:
            setattr(owner, leaf, tensor)
    return result


def _settings(model: nn.Module) -> dict[str, Any]:
    """What of a model is neither a parameter nor a buffer nor a module: its plain attributes."""
    found = {f"{name}.": type(module) for name, module in model.named_modules()}
    for path, module in model.named_modules():
        aside = INNER | set(getattr(module, "transient", ()))
        for name, value in vars(module).items():
            if name not in aside:
                found[f"{path}.{name}".strip(".")] = value
    frozen = {n: p.requires_grad for n, p in model.named_parameters()}
    return found | {f"{n}.requires_grad": wanted for n, wanted in frozen.items()}


def _same(a: Any, b: Any) -> bool:
    """Whether two settings are one; functions and objects by what they are made of."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if hasattr(a, "__array__"):
        return np.array_equal(a, b)
    if isinstance(a, FunctionType):
        held = [([c.cell_contents for c in f.__closure__ or ()], f.__defaults__) for f in (a, b)]
        return a.__code__ is b.__code__ and _same(*held)
    if isinstance(a, partial):
        return _same((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return a == b or (hasattr(a, "__dict__") and _same(vars(a), vars(b)))


def _check_alike(models: Sequence[nn.Module]) -> None:
    """Raise where models differ in more than the values of their parameters."""
    first, shapes = models[0], {name: t.shape for name, t in _tensors(models[0]).items()}
    for other in models[1:]:
        if type(other) is not type(first) or shapes != {
            name: t.shape for name, t in _tensors(other).items()
        }:
            raise ValueError("stack needs models of one class with parameters of equal shapes")
        ours, theirs = _settings(first), _settings(other)
        for name in ours.keys() | theirs.keys():
            if not _same(ours.get(name), theirs.get(name)):
                raise ValueError(
                    f"stack needs models that differ in their parameters alone; {name!r} is "
                    f"{ours.get(name)!r} in one and {theirs.get(name)!r} in another"
                )


def stack(models: Sequence[nn.Module]) -> nn.Module:
    """One module of the same class whose parameters hold those of all models.

    Coordinates ``(n, d)`` or ``(signals, n, d)`` give values ``(signals, n, c)``. Stacks can be
    stacked again. What is frozen stays frozen.

    Raises:
        ValueError: for models of several classes, shapes or settings.
    """
    if not models:
        raise ValueError("stack needs at least one model")
    _check_alike(models)
    named = [_tensors(model) for model in models]
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
    _check_alike([unstack(model, 0) for model in stacks])
    named = [_tensors(model) for model in stacks]
    joined = {name: torch.cat([t[name].detach() for t in named]) for name in named[0]}
    return _rebuild(stacks[0], joined)


def parameter_vectors(model: nn.Module) -> torch.Tensor:
    """The weights of each field of a stack in one row, ``(signals, count)``."""
    return torch.cat([p.detach().flatten(1) for p in model.parameters()], dim=-1)


def count_parameters(model: nn.Module) -> int:
    """Number of trained scalars."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
