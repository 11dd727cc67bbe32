"""Many fields of one architecture as one module, through leading axes of the parameters."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import nn

INNER = set(vars(nn.Module())) - {"training"}
HOLDERS = nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Identity
TOLERANCE = 1e-2  # of the largest value, for what is computed in another order


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters, and those buffers that may be drawn at random; under each of their names."""
    buffers = model.named_buffers(remove_duplicate=False)
    drawn = {name: b for name, b in buffers if b.is_floating_point() or b.is_complex()}
    return {**dict(model.named_parameters(remove_duplicate=False)), **drawn}


def _forms(model: nn.Module) -> dict[str, tuple]:
    """Shape and number format of each, and under which name it comes first."""
    found, first = _tensors(model), {}
    return {n: (t.shape, t.dtype, t.device, first.setdefault(id(t), n)) for n, t in found.items()}


def _rebuild(model: nn.Module, tensors: dict[str, torch.Tensor]) -> nn.Module:
    given, made = _tensors(model), {}
    result = deepcopy(model, {id(t): t for t in given.values()})  # all are replaced
    for name, tensor in tensors.items():
        owner, leaf = _owner(result, name)
        old = given[name]
        if isinstance(old, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=old.requires_grad)
        setattr(owner, leaf, made.setdefault(id(old), tensor))  # what is tied stays so
    return result


def _settings(model: nn.Module) -> dict[str, Any]:
    """What of a model is neither a parameter nor a buffer nor a module: its plain attributes."""
    found = {f"{name}.": type(module) for name, module in model.named_modules()}
    for path, module in model.named_modules():
        aside = INNER | set(getattr(module, "transient", ()))
        for name, value in vars(module).items():
            if name not in aside:
                found[f"{path}.{name}".strip(".")] = value
            elif name.endswith("_hooks") and value:
                found[f"{path}.{name}".strip(".")] = list(value.values())
    tensors = _tensors(model)
    found |= {n: b for n, b in model.named_buffers() if n not in tensors}
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
    if isinstance(models, nn.Module) or not all(isinstance(m, nn.Module) for m in models):
        raise TypeError("a list of modules is needed, each a torch.nn.Module")
    first, forms = models[0], _forms(models[0])
    for other in models[1:]:
        if type(other) is not type(first) or forms != _forms(other):
            raise ValueError(
                "stack needs models of one class with parameters of equal shapes and number formats"
            )
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
        ValueError: for models of several classes, shapes or settings, or of a class that does not
            take parameters with leading axes.
        TypeError: for what is no list of modules.
    """
    if isinstance(models, Sequence) and not models:
        raise ValueError("stack needs at least one model")
    _check_alike(models)
    named = [_tensors(model) for model in models]
    stacked = {name: torch.stack([t[name].detach() for t in named]) for name in named[0]}
    result = _rebuild(models[0], stacked)
    if not all(isinstance(m, HOLDERS) or _is_ours(m) for m in result.modules()):
        _try_out(*deepcopy((result, models[0], models[-1])), len(models))
    return result


def _is_ours(module: nn.Module) -> bool:
    return type(module).__module__.startswith("inrkit.")


def _try_out(stacked: nn.Module, first: nn.Module, last: nn.Module, count: int) -> None:
    """Raise where a stack is not its models; they are tried for each number of coordinates."""
    tensors = _tensors(first).values()
    like = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    suits = False
    for d in sorted({1, 2, 3, 4, *(size for t in tensors for size in t.shape)}):
        with torch.random.fork_rng([]), torch.no_grad():
            x = torch.rand(count + 1, d).to(like)  # not as many points as signals
            state = torch.random.get_rng_state()
            with suppress(Exception):  # another number of coordinates, or of arguments
                alone, suits = torch.stack([first(x), last(x)]), True
                if not torch.equal(state, torch.random.get_rng_state()):
                    return  # at random, as with dropout
                together = stacked(x)
                if together.shape == (count, *alone.shape[1:]):
                    gap = (together[[0, -1]] - alone).abs().max()
                    if not gap > TOLERANCE * alone.abs().max():
                        return
    if suits:
        raise ValueError(
            f"the forward of {type(first).__name__} does not take parameters with leading axes, "
            "as a stack has: make it of inrkit.fields' layers, or let each parameter (*signals, "
            "...) meet values (*signals, n, c), as by bias.unsqueeze(-2)"
        )


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
