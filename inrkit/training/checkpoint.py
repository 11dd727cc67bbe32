"""Checkpoints: written whole or not at all."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from inspect import isfunction
from pathlib import Path

import torch


class CheckpointError(ValueError):
    """A checkpoint that cannot be read."""


def digest(model: torch.nn.Module, loss: object, settings: tuple) -> str:
    """Twelve hexadecimal digits of all that determines a fit.

    The model's structure and starting parameters, all that the loss holds, and the settings.
    """
    parts = hashlib.sha256(f"{model!r} {settings}".encode())
    for value in (model.state_dict(), loss):
        for part in _parts(value):
            parts.update(part)
    return parts.hexdigest()[:12]


def _parts(value: object) -> Iterator[bytes]:
    """Bytes that tell one value from another: tensors and arrays by their numbers."""
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name).encode()
            yield from _parts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _parts(item)
    elif isfunction(value):
        yield value.__qualname__.encode()
    elif hasattr(value, "__dict__"):
        yield type(value).__name__.encode()
        yield from _parts(vars(value))
    else:
        yield repr(value).encode()


def save(path: Path, state: dict) -> None:
    """Write ``state`` under a temporary name, then rename: a killed process leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path: Path, device: torch.device | str = "cpu") -> dict | None:
    """The state at ``path``, or None where there is none."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"the checkpoint {path} is damaged; delete it to start over"
        ) from error
