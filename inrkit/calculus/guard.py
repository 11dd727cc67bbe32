"""What is asked of a field before its derivatives are trusted, once for each kind of field.

A field gives one tensor ``(*signals, n, c)`` and treats each point on its own. At three points its
jets are compared with autograd; a field whose jets disagree goes by autograd from then on.
"""

import sys
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import FunctionType, MethodType
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch._C._dynamo.eval_frame import get_eval_frame_callback

Field = Callable[[Tensor], Tensor]

ORDER = 2  # a rule that is wrong shows by then
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-2}  # of the largest partial of an order
CROSSES = 1e-3  # of a point's own slope
MIXED = 0.1  # of the largest value; solvers that stop for all points at once stay far below

_known: WeakKeyDictionary = WeakKeyDictionary()  # kinds of modules
_verdicts: dict[Hashable, bool] = {}  # whether jets of a kind agree with autograd


def checked_shape(value, coords: Tensor) -> Tensor:
    """The values of a field, if they have the shape that they should.

    Raises:
        TypeError: for anything but a tensor.
        ValueError: for another shape.
    """
    if not isinstance(value, Tensor):
        hint = "; take lambda x: field(x)[0] or the like" if isinstance(value, tuple | list) else ""
        raise TypeError(f"a field gives one tensor (*signals, n, c), not {type(value)}{hint}")
    if value.ndim < coords.ndim or value.shape[-2] != coords.shape[-2]:
        raise ValueError(
            f"a field maps coordinates (*signals, n, d) to values (*signals, n, c); this one maps "
            f"{tuple(coords.shape)} to {tuple(value.shape)}"
        )
    return value


def dimensions(coords: Tensor) -> int:
    """The number d of coordinates of a point, ``(*signals, n, d)``.

    Raises:
        TypeError: for what has no derivatives.
    """
    known = isinstance(coords, Tensor) and coords.layout is torch.strided
    if not known or not coords.is_floating_point() or coords.ndim < 2 or coords.shape[-1] == 0:
        got = f"{coords.dtype} {tuple(coords.shape)}" if known else type(coords)
        raise TypeError(f"coordinates are a tensor of real numbers (*signals, n, d), not {got}")
    return coords.shape[-1]


def trusted(field: Field, coords: Tensor, jets: Callable, nested: Callable, order: int) -> bool:
    """Whether jets through this kind of field agree with autograd; found out the first time.

    Args:
        field: maps ``coords`` to values.
        coords: ``(*signals, n, d)``, some of which are tried.
        jets: gives all partials of a field at points up to an order.
        nested: the same by autograd.
        order: what is asked for, at most 2 of which is compared.
    """
    order = min(order, ORDER)
    key = (_kind(field), coords.shape[-1], order)
    if key not in _verdicts:
        if _transformed() or coords.shape[-2] == 0:
            return True
        agree = _agree(field, coords.detach(), partial(jets, order=order), nested)
        if agree is None or (coords == coords[..., :1, :]).all():  # a single place tells no mixing
            return agree is not False
        _verdicts[key] = agree
    return _verdicts[key]


@contextmanager
def uncompiled() -> Iterator[None]:
    """Modules of ``torch.compile`` run as written: compiled, they have no second derivatives."""
    compiled = "torch._dynamo" in sys.modules and not get_eval_frame_callback()
    with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        yield


def _transformed() -> bool:
    """Within torch.func, torch.compile or a CUDA graph, where nothing can be looked at."""
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def _few(coords: Tensor) -> Tensor:
    n = coords.shape[-2]
    return coords[..., sorted({n // 3, n // 2, n - 1}), :].detach()


def _agree(field: Field, coords: Tensor, jets: Callable, nested: Callable) -> bool | None:
    """Whether they agree; None where the field does not say, since it raises an error."""
    modules = field.modules() if isinstance(field, nn.Module) else ()
    buffers = [(b, b.clone()) for m in modules for b in m.buffers(recurse=False)]
    devices = [coords.device] if coords.is_cuda else []
    mixed = found = expected = None
    try:
        with torch.random.fork_rng(devices), torch.inference_mode(False), torch.no_grad():
            x, state = _few(coords), torch.random.get_rng_state()
            try:
                together, again = field(x), field(x)
            except Exception:  # so few points do not suit it
                x = together = again = coords
            mixed = _crosses(field, x)
            same = torch.equal(state, torch.random.get_rng_state())
            if not mixed and x is not coords and same and _equal(together, again):  # not at random
                twice = [torch.cat([point, point], -2) for point in x.split(1, dim=-2)]
                alone = torch.cat([field(points)[..., :1, :] for points in twice], -2)
                mixed = not _close(alone[None], together[None], [0], MIXED)
            if not mixed and x is not coords:
                torch.manual_seed(0)
                found = jets(field, x)
                torch.manual_seed(0)
                expected = nested(field, x, found.indices)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # it says so itself, later
        return None if mixed is None else True
    finally:
        for buffer, before in buffers:
            if not torch.equal(buffer, before):  # a graph of the caller's may hold it
                buffer.copy_(before)
    if mixed:
        raise ValueError(
            "derivatives need a field that treats each point on its own; this one mixes points "
            "(as batch normalization does in training: call .eval())"
        )
    return found is None or _close(found.values, expected, list(map(sum, found.indices)))


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _crosses(field: Field, coords: Tensor) -> bool:
    """Whether a gradient leads from the values of one point to the coordinates of another."""
    with torch.enable_grad():
        x = coords.clone().requires_grad_()
        value = checked_shape(field(x.clone()), x)
        value = torch.view_as_real(value).flatten(-2) if value.is_complex() else value
        if not value.requires_grad:
            return False
        weighed = value * torch.linspace(1, 2, value.shape[-1]).to(value)
        n = x.shape[-2]
        for i in {0, n // 2, n - 1}:
            (slope,) = torch.autograd.grad(
                weighed[..., i, :].sum(), x, retain_graph=True, allow_unused=True
            )
            if slope is not None:
                own = torch.nan_to_num(slope[..., i, :]).abs().max()
                slope = torch.nan_to_num(slope).index_fill(-2, torch.tensor(i).to(x.device), 0)
                if slope.abs().max() > CROSSES * own:
                    return True
    return False


def _close(found: Tensor, expected: Tensor, orders: list[int], share: float = 0) -> bool:
    """Each partial, within a share of the largest one of its order."""
    tolerance = share or TOLERANCE.get(found.real.dtype, 0.1)
    for order in set(orders):
        rows = [i for i, k in enumerate(orders) if k == order]
        ours, theirs = found[rows], expected[rows]
        finite = ours.isfinite() & theirs.isfinite()
        gap = torch.where(finite, (ours - theirs).abs(), 0).max()
        if gap > tolerance * torch.where(finite, theirs, 0).abs().max() + tolerance**2:
            return False
    return True


def _kind(x, depth: int = 8) -> Hashable:
    """What tells kinds of fields from each other: their classes, code and switches, no numbers."""
    if isinstance(x, nn.Module):
        if x not in _known:
            _known[x] = None  # while it is looked at, for modules that hold themselves
            _known[x] = (type(x), _kind({k: v for k, v in vars(x).items() if k != "_buffers"}))
        return _known[x], x.training
    if isinstance(x, FunctionType):
        cells = x.__closure__ or ()
        values = tuple(_kind(c.cell_contents, depth - 1) for c in cells if depth and _filled(c))
        return x.__code__, values
    if isinstance(x, partial):
        return partial, _kind([x.func, *x.args, *x.keywords.values()], depth)
    if isinstance(x, MethodType):
        return x.__func__.__code__, _kind(x.__self__, depth - 1)
    if isinstance(x, bool | str) or x is None:
        return x
    if not depth or isinstance(x, Tensor | int | float):
        return type(x)
    if isinstance(x, dict):
        return tuple((str(k), _kind(v, depth - 1)) for k, v in x.items())
    if isinstance(x, list | tuple | set):
        return type(x), tuple(_kind(v, depth - 1) for v in x)
    if hasattr(x, "__dict__") and not isinstance(x, type):
        return type(x), _kind(vars(x), depth - 1)
    return x if isinstance(x, Hashable) else type(x)


def _filled(cell) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def warn_of_detour(why: str) -> None:
    """Say that derivatives go by nested autograd."""
    warnings.warn(f"{why}; falling back to nested autograd, which is slower", stacklevel=2)


def check_connected(field: Field, coords: Tensor) -> None:
    """Raise where values follow the coordinates, and yet no gradient leads back to them."""
    if _transformed():
        return
    x = _few(coords)
    step = 1e-3 * (x.abs() + x.abs().max().clamp(min=1e-3))
    try:
        with torch.no_grad():
            moved = field(x + step) != field(x)
    except Exception:
        return
    if moved.any(-1).sum() * 2 > moved[..., 0].numel():
        raise ValueError(
            "the field's values follow its coordinates, but no gradient leads back to them: "
            "does it detach them, or run without gradients? Take that out to have derivatives"
        )
