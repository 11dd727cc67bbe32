"""Checkpoints: written whole or not at all."""

import hashlib
import os
from pathlib import Path

import torch


class CheckpointError(ValueError):
    """A checkpoint that cannot be read."""


def digest(model: torch.nn.Module, loss: object, settings: tuple) -> str:
    """Twelve hexadecimal digits of all that determines a fit.

    The model's structure and starting parameters, the tensors of the loss, and the settings.
    """
    parts = hashlib.sha256(f"{model!r} {type(loss).__name__} {settings}".encode())
    held = {name: x for name, x in vars(loss).items() if isinstance(x, torch.Tensor)}
    for name, tensor in {**model.state_dict(), **held}.items():
        parts.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        parts.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return parts.hexdigest()[:12]


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
