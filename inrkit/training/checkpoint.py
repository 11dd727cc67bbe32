"""Checkpoints: written whole or not at all, and never taken for those of something else."""

import os
import time
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import nn
from torch.backends import cudnn, mkldnn
from torch.nn.modules import module
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.overrides import _get_current_function_mode_stack as function_modes
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack as dispatch_modes

from inrkit.training.code import Unhashable, joined, package, replaced
from inrkit.training.digest import Hasher


class CheckpointError(ValueError):
    """A checkpoint that cannot be read."""


class Kept:
    """The checkpoint of a computation: ``NAME.<digest>.pt``, where the digest tells all of it.

    It counts what determines the result, the state of the random generators, the device's type,
    the settings and version of PyTorch, and what acts on everything: modes, everyone's hooks,
    functions in the place of others. Where that cannot be told, nothing is kept.

    Args:
        file: ``NAME.pt``; None to keep nothing.
        device: where it is computed.
        given: what is changed on the way, such as a model, and stored by the caller.
        loss: what must stay as it is, since no checkpoint restores it.
        settings: all else that determines the result.

    Attributes:
        path: of the checkpoint, or None.
    """

    def __init__(
        self, file: Path | None, device: torch.device, given: Any, loss: Any, settings: Any
    ):
        self.file, self.device, self.given, self.loss = file, device, given, loss
        self.path: Path | None = None
        self.generators: list[torch.Generator] = []
        if file is None:
            return
        hasher = Hasher()
        try:
            self.beside = _beside_its_state(given)
            parts = [package(), hasher.named("model", given)]
            self.before = hasher.copy()
            self.loss_as_given = hasher.named("loss", loss)
            parts += [self.loss_as_given, hasher.named("settings", settings)]
            self.generators = hasher.generators
            parts.append(hasher.named("what acts on everything", _around(device)))
            parts.append(hasher.of(self._random()))
        except Unhashable as problem:
            self.refuse(problem)
            return
        self.path = file.with_suffix(f".{joined(*parts).hex()[:12]}.pt")

    def refuse(self, why: object) -> None:
        """Keep nothing."""
        self.path = None
        self._warn(f"is trained anew each time, without a checkpoint: {why}")

    def load(self) -> dict | None:
        """The state that was saved, or None where there is none."""
        state = load(self.path, self.device) if self.path else None
        if state is not None:
            os.utime(self.path, ns=(time.time_ns(), self.path.stat().st_mtime_ns))  # in use
        return state

    def draw_on(self, state: dict) -> None:
        """Let all random generators go on as they did when this state was saved."""
        states = {name: value.cpu() for name, value in state["random"].items()}
        torch.set_rng_state(states.pop("cpu"))
        if "cuda" in states:
            torch.cuda.set_rng_state(states.pop("cuda"), self.device)
        for generator, name in zip(self.generators, sorted(states), strict=True):
            generator.set_state(states[name])

    def save(self, state: dict, *, finished: bool) -> None:
        """Save a state, but none that lacks something of the model.

        Nor an unfinished one, where the loss has changed by itself.
        """
        if self.path is None:
            return
        if _beside_its_state(self.given) != self.beside:
            self.refuse("the model changes, as it is trained, in more than its state_dict holds; "
                        "make buffers of what changes")  # fmt: skip
            return
        if not finished and self.before.copy().of(self.loss) != self.loss_as_given:
            self._warn("starts anew if it is stopped: its loss changes as it is called")
            return
        save(self.path, {**state, "random": self._random()})

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.file.stem} {text}", stacklevel=4)

    def _random(self) -> dict[str, torch.Tensor]:
        """States of all generators that may be drawn from."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        own = {f"own {i:06}": g.get_state() for i, g in enumerate(self.generators)}
        return states | own


def _around(device: torch.device) -> tuple:
    """What acts on whatever is computed: settings of PyTorch, modes, hooks, replaced functions."""
    kind = device.type
    autocast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)
    exact = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic
    rounded = cudnn.conv.fp32_precision, mkldnn.conv.fp32_precision
    hooks = {name: list(found.values()) for name, found in vars(module).items()
             if name.startswith("_global_") and isinstance(found, dict)}  # fmt: skip
    steps = _global_optimizer_pre_hooks, _global_optimizer_post_hooks
    settings = (torch.__version__, torch.get_default_dtype(), kind, autocast, exact, rounded)
    modes = (function_modes(), dispatch_modes())
    return (*settings, *modes, hooks, [list(found.values()) for found in steps], replaced())


def _beside_its_state(given: Any) -> bytes | None:
    """Hash of a model without what its state holds; None where it cannot be told."""
    hasher = Hasher()
    state = given.state_dict(keep_vars=True) if isinstance(given, nn.Module) else {}
    for name, value in state.items():
        hasher.known[id(value)] = joined("state", name), value
    try:
        return hasher.of(given)
    except Unhashable:
        return None


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
        with ZipFile(
            path
        ) as file:  # which keeps a checksum of each part, that PyTorch leaves alone
            if file.testzip() is None:
                return torch.load(path, map_location=device, weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise damaged(path) from error
    raise damaged(path)


def damaged(path: Path) -> CheckpointError:
    """What to say of a checkpoint that cannot be taken up."""
    return CheckpointError(f"the checkpoint {path} is damaged; delete it to start over")
