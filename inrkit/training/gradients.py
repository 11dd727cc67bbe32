r"""One mechanism for speed: the gradient of a loss at some points, as one compiled function.

The error and its gradient by the parameters are traced together, whatever derivatives by the
coordinates stand in the error, into one graph of plain tensor operations, and
``torch.compile`` makes loops of it. What cannot be traced, such as a solver that looks at numbers
to know when to stop, runs as it is written; so does all where there is no C++ compiler.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from inrkit.training.checks import untouched
from inrkit.training.protocol import Batch, Loss, named

CORE, CARD = 4e10, 2e13  # operations a second of a core and of a GPU: orders of magnitude
LAUNCHES = 1e-3  # seconds that the launches of a step take on a GPU
WORTH = {"cpu": 120.0, "cuda": 15.0}  # seconds of eager steps; compiling costs 10 to 30, and 4
AGREES = 1e-4  # of the norm: a graph has the operations of what was traced, in their order
SHAPES = 4  # of batches that are compiled


def pays(model: nn.Module, points: int, steps: int, passes: int) -> bool:
    """Whether a fit is long enough to be compiled: 6 operations a parameter, point and pass."""
    device = next(model.parameters()).device
    operations = 6 * sum(p.numel() for p in model.parameters()) * points * passes
    if device.type == "cuda":
        return steps * max(operations / CARD, LAUNCHES) > WORTH["cuda"]
    return steps * operations / (CORE * torch.get_num_threads()) > WORTH["cpu"]


class _Errors(nn.Module):
    """Terms of a loss at some points, as a module, whose parameters can be exchanged."""

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *batch: Tensor) -> Tensor:
        """Sums over points, ``(terms, *signals)``."""
        errors = named(self.loss.error(self.model, *batch))
        return torch.stack([error.sum(-1) for error in errors.values()])


@dataclass
class Gradients:
    """Sums of a loss's terms over some points; their gradients are added to the parameters'.

    Args:
        model: the network; the gradients go to ``grad`` of its parameters that require them.
        compiled: whether to compile.
    """

    model: nn.Module
    compiled: bool
    graphs: dict[tuple, Callable | None] = field(default_factory=dict)

    def __call__(self, loss: Loss, batch: Batch, scale: float) -> Tensor:
        """Terms times ``scale``, ``(terms, *signals)``."""
        errors = _Errors(self.model, loss)
        if self.compiled:
            key = (id(loss), *((x.shape, x.dtype) for x in batch))
            if key not in self.graphs:
                few = len(self.graphs) < SHAPES
                self.graphs[key] = compiled_gradient(errors, batch) if few else None
            graph = self.graphs[key]
            if graph is not None:
                return self._by_graph(graph, errors, batch, scale)
        terms = scale * errors(*batch)
        if not terms.requires_grad:
            raise ValueError("the loss does not depend on the parameters that are trained")
        terms.sum().backward()
        return terms.detach()

    def _by_graph(self, graph, errors: nn.Module, batch: Batch, scale: float) -> Tensor:
        trained, fixed = _tensors(errors)
        with torch.no_grad():
            terms, *gradients = graph(list(trained.values()), list(fixed.values()), *batch)
            for parameter, gradient in zip(trained.values(), gradients, strict=True):
                if gradient is not None:
                    _add(parameter, gradient, scale)
            return scale * terms


def _add(parameter: nn.Parameter, gradient: Tensor, scale: float) -> None:
    if parameter.grad is None:
        parameter.grad = scale * gradient
    else:
        parameter.grad.add_(gradient, alpha=scale)


def compiled_gradient(errors: nn.Module, batch: Batch) -> Callable | None:
    """Terms of a loss and their gradients as one compiled function; None where there is none."""
    trained, fixed = _tensors(errors)
    trained = [p.detach() for p in trained.values()]
    fixed = [x.clone() for x in fixed.values()]  # tracing runs what changes buffers
    on = [trained[0].device] if trained[0].is_cuda else []
    options = {"fallback_random": True, "triton.cudagraphs": bool(on)}  # draws are the eager ones
    with torch.random.fork_rng(on), torch.no_grad(), untouched(errors, errors.loss):
        try:
            graph = make_fx(_gradient(errors))(trained, fixed, *batch)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever cannot be traced runs as it is written
            return None
        if not _agree(graph, errors, batch, on):
            return None
        function = torch.compile(graph, fullgraph=True, dynamic=False, options=options)
        try:
            function(trained, fixed, *batch)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever ails the compiler, one can do without
            why = str(error).strip().partition("\n")[0]
            warnings.warn(f"steps are not compiled, and slower: {why}", stacklevel=2)
            return None
    return function


def _gradient(errors: nn.Module) -> Callable:
    """``(parameters, others, *batch) -> (terms, *gradients)``, a pure function."""
    names, others = (list(x) for x in _tensors(errors))

    def gradient(parameters: list[Tensor], fixed: list[Tensor], *batch: Tensor):
        parameters = [p.detach().requires_grad_() for p in parameters]
        given = dict(zip([*names, *others], [*parameters, *fixed], strict=True))
        with torch.enable_grad():
            with _exchanged(errors, given):
                terms = errors(*batch)
            found = torch.autograd.grad(terms.sum(), parameters, allow_unused=True)
        return terms.detach(), *found

    return gradient


@contextmanager
def _exchanged(module: nn.Module, given: dict[str, Tensor]) -> Iterator[None]:
    """A module with other parameters and buffers, wherever it holds one of them, once or more."""
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    new = {id(own[name]): tensor for name, tensor in given.items()}
    held = [x for m in module.modules() for x in (m._parameters, m._buffers)]
    before = [dict(x) for x in held]
    try:
        for tensors in held:
            tensors.update({name: new.get(id(x), x) for name, x in tensors.items()})
        yield
    finally:
        for tensors, old in zip(held, before, strict=True):
            tensors.update(old)


def _agree(graph: Callable, errors: nn.Module, batch: Batch, on: list[torch.device]) -> bool:
    """Whether a graph gives and changes what the loss itself does, at other parameters."""
    trained, fixed = _tensors(errors)
    before = [p.clone() for p in trained.values()]
    own = [dict(vars(m)) for m in errors.modules()]
    state = [x.clone() for x in fixed.values()]
    for p in trained.values():
        p.mul_(1.01)
    try:
        with torch.random.fork_rng(on):
            ours = graph(list(trained.values()), state, *batch)
        with torch.random.fork_rng(on), untouched(errors):
            with torch.enable_grad():
                terms = errors(*batch)
                slopes = torch.autograd.grad(terms.sum(), list(trained.values()), allow_unused=True)
            if any(
                vars(m).get(name) is not value
                for m, held in zip(errors.modules(), own, strict=True)
                for name, value in held.items()
            ):
                return False
            theirs = terms.detach(), *slopes
            after = [x.clone() for x in _tensors(errors)[1].values()]
    finally:
        for p, value in zip(trained.values(), before, strict=True):
            p.copy_(value)
    if any((a is None) != (b is None) for a, b in zip(ours, theirs, strict=True)):
        return False
    found = (*ours, *state), (*theirs, *after)
    return all(
        (ours - theirs).norm() <= AGREES * theirs.norm() or ours.isnan().any()
        for ours, theirs in zip(*found, strict=True)
        if ours is not None and ours.dtype.is_floating_point | ours.dtype.is_complex
    )


def _tensors(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters that are trained, and all other tensors of a module's state."""
    named_parameters = dict(module.named_parameters())
    trained = {name: p for name, p in named_parameters.items() if p.requires_grad}
    frozen = {name: p for name, p in named_parameters.items() if not p.requires_grad}
    return trained, frozen | dict(module.named_buffers())
