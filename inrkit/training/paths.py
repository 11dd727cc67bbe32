"""How a training step is computed: which of several ways to the same result.

- ``"eager"``: layer by layer, as the model is written.
- ``"fused"``: a chain of layers is one operation (:mod:`inrkit.fields.fused`); on CUDA, with
  Triton, a layer and its activation are one kernel.
- ``"compiled"``: as fused, with every activation compiled to a single loop, in jets together with
  their products: a CPU, and a C++ compiler.
- ``"graph"``: as fused, with the whole step captured once and replayed: CUDA, and Adam.
- ``"auto"``: ``"graph"`` or ``"fused"`` on CUDA; on a CPU ``"compiled"`` where activations are made
  of several loops or carried by jets, the fit is long enough to earn the seconds it takes, and a
  compiler is found, else ``"eager"``.

Results agree to rounding, whichever is taken.
"""

import shutil
from collections.abc import Callable
from os import environ
from types import BuiltinFunctionType

import torch
from torch import nn

from inrkit.fields import Layer, identity
from inrkit.fields.arithmetic import Arithmetic

PATHS = ("auto", "eager", "fused", "compiled", "graph")
WORTH_COMPILING = 2e10  # activations in a fit; compiling takes seconds, and saves 0.3 to 8 ns each
WARMUP = 3  # steps before one is captured


def choose(
    path: str,
    model: nn.Module,
    device: torch.device,
    evaluations: int,
    adam: bool,
    passes: int = 1,
) -> str:
    """The path that is taken, one of those above but ``"auto"``.

    Args:
        path: what is asked for.
        model: the network.
        device: where it lies.
        evaluations: points times steps of the fit.
        adam: whether the optimizer can be captured.
        passes: evaluations that derivatives in the loss make of one; above 2 these are jets.

    Raises:
        ValueError: there is no such path, or not on this device.
    """
    if path not in PATHS:
        raise ValueError(f"no path {path!r}; there are {', '.join(PATHS)}")
    if path == "graph" and not (device.type == "cuda" and adam):
        raise ValueError(f"a graph takes CUDA and Adam or AdamW, not {device.type}")
    if path == "compiled" and device.type != "cpu":
        raise ValueError(f"activations are compiled on a CPU only, not on {device.type}")
    if path != "auto":
        return path
    if device.type == "cuda":
        return "graph" if adam and not _has_data_dependent_steps(model) else "fused"
    worth = evaluations * passes * _neurons(model, jets=passes > 2) > WORTH_COMPILING
    return "compiled" if device.type == "cpu" and worth and _has_compiler() else "eager"


def arithmetic(path: str, precision: str) -> Arithmetic:
    """How layers are computed on a path."""
    return Arithmetic(path != "eager", path == "compiled", precision)


def _has_data_dependent_steps(model: nn.Module) -> bool:
    """Whether a part of the model waits for numbers to know when to stop; a graph cannot."""
    return any(getattr(m, "has_data_dependent_steps", False) for m in model.modules())


def _neurons(model: nn.Module, jets: bool) -> int:
    """Those with an activation of several loops, as all are in jets."""
    layers = [m for m in model.modules() if isinstance(m, Layer) and m.activation is not identity]
    return sum(m.bias.numel() for m in layers if jets or not _is_one_loop(m.activation))


def _is_one_loop(activation: Callable) -> bool:
    """Whether it is PyTorch's own."""
    home = getattr(activation, "__module__", None) or ""
    return isinstance(activation, BuiltinFunctionType) or home.startswith("torch")


def _has_compiler() -> bool:
    names = (environ.get("CXX"), "g++", "clang++")
    return any(name and shutil.which(name) for name in names)


class Replayed:
    """A step on CUDA that runs as it stands a few times, is then captured, and from there replayed.

    Args:
        step: called without arguments; must neither wait for the device nor read from it.
    """

    def __init__(self, step: Callable[[], None]):
        self.step = step
        self.stream = torch.cuda.Stream()
        self.runs = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self.runs < WARMUP:
            self.runs += 1
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.step()
            torch.cuda.current_stream().wait_stream(self.stream)
            return
        if self.graph is None:
            self.graph = self._capture()
        self.graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.step()
        except RuntimeError as error:
            raise RuntimeError(
                "this loss or model waits for the device within a step, which a captured step "
                "cannot; take path='fused'"
            ) from error
        return graph
