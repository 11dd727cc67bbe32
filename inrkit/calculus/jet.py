r"""Truncated Taylor expansions that flow through a model's own ``forward``.

A :class:`Jet` carries the Taylor coefficients of a tensor-valued function at a point,

.. math:: f(x + h) = \sum_{\alpha \in A} c_\alpha h^\alpha, \qquad
          c_\alpha = \frac{1}{\alpha!} \, \partial^\alpha f(x),

for a downward-closed set :math:`A` of multi-indices: all of total degree at most :math:`K`, or
only the powers along the axes that a Laplacian needs. Linear maps act on every coefficient alike;
an elementwise function is composed through its own Taylor series. One pass yields all partials,
and since the pass is made of ordinary tensor operations, it can be back-propagated.

A jet is a tensor to whoever asks, so that a model meets it in every form that is written: methods,
operators, in-place functions, item assignment. What has no Taylor rule raises
:class:`UnknownOperation`, whether it is called from Python or, as in a traced module, from C++.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import resolve_name

from inrkit.calculus.truncation import Truncation


class UnknownOperation(NotImplementedError):
    """A model used an operation that has no Taylor rule."""


class Jet(Tensor):
    """Taylor coefficients of a tensor, in the shape that the tensor itself would have.

    Args:
        coefficients: ``(rows, *shape)``, one row a multi-index of ``truncation`` in its order;
            rows beyond the last one given are zero.
        truncation: the multi-indices that are kept.
    """

    coefficients: Tensor
    truncation: Truncation
    relatives: list  # one entry a jet that shares memory with this one, as views do

    def __new__(cls, coefficients: Tensor, truncation: Truncation) -> "Jet":
        kind = Jet if torch.compiler.is_compiling() else _Watched
        jet = Tensor._make_subclass(kind, coefficients[0].detach())
        jet.coefficients, jet.truncation, jet.relatives = coefficients, truncation, []
        return jet

    @classmethod
    def identity(cls, coords: Tensor, truncation: Truncation) -> "Jet":
        """The jet of the coordinates themselves: value x, first derivatives the unit vectors.

        Args:
            coords: ``(*signals, n, d)``.
        """
        d = coords.shape[-1]
        if truncation.order == 0:
            return cls(coords[None], truncation)
        unit = torch.eye(d, dtype=coords.dtype, device=coords.device)  # made where it is used
        unit = unit.reshape(d, *[1] * (coords.ndim - 1), d).expand(d, *coords.shape)
        return cls(torch.cat([coords[None], unit]), truncation)

    @property
    def value(self) -> Tensor:
        """The tensor itself: the coefficient of degree zero."""
        return self.coefficients[0]

    # what is asked most, without the way through __torch_function__
    shape = property(lambda self: self.coefficients.shape[1:])
    ndim = property(lambda self: self.coefficients.ndim - 1)
    dtype = property(lambda self: self.coefficients.dtype)
    device = property(lambda self: self.coefficients.device)
    requires_grad = property(lambda self: True, lambda self, wanted: None)  # as x in autograd

    def __repr__(self, **_) -> str:
        return f"Jet(shape={tuple(self.shape)}, order={self.truncation.order})"

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _state.ruling:
            return _rule_of(function)(*args, **kwargs)
        if function in VALUES:
            return function(*plain(args), **plain(kwargs))
        if not torch.is_grad_enabled():
            return _constant(function, args, kwargs)
        graph = _state.graph
        mode = nullcontext() if graph in (None, True) else torch.set_grad_enabled(False)
        _state.ruling = True
        try:
            with mode:
                return _applied(function, args, kwargs)
        except torch.OutOfMemoryError:
            raise
        except UnknownOperation as error:
            _state.unknown = error
            raise
        except Exception as error:  # arguments that a rule does not know, or the model's own fault
            if graph is None:  # recomputed by back-propagation, which ends that by an exception
                raise
            _state.unknown = UnknownOperation(f"no Taylor rule for {_name(function)!r} as called")
            raise _state.unknown from error
        finally:
            _state.ruling = False


class _Watched(Jet):
    """A jet that notices operations called from C++; what is compiled cannot have that."""

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        _state.unknown = UnknownOperation(f"no Taylor rule for {_name(function)!r} within C++")
        raise _state.unknown


class _State(threading.local):
    graph: bool | None = None  # whether results are back-propagated; None: as PyTorch's own mode
    ruling = False  # within a rule, which may be made of other rules
    unknown: UnknownOperation | None = None


_state = _State()

RULES: dict[Callable, Callable] = {}  # what a function does to jets
IN_PLACE: dict[Callable, Callable] = {}  # the function that does the same out of place
VALUES: set[Callable] = set()  # functions that only read values, or give none that has slopes
VIEWS: set[Callable] = set()  # functions whose result shares memory with their argument

OWNERS = torch, Tensor, functional, torch.special, torch.linalg, torch.fft


def functions(names: str, forms: tuple[str, ...] = ("{}", "__{}__")) -> set[Callable]:
    """PyTorch's functions, methods and attributes of these names, wherever they are."""
    found = [
        getattr(owner, form.format(name), None)
        for name in names.split()
        for owner in OWNERS
        for form in forms
    ]
    return {f for x in found if callable(f := x if callable(x) else getattr(x, "__get__", None))}


def rule(*names: str, view: bool = False):
    """Register how a tensor operation acts on jets, under the operation's names."""

    def register(action):
        for name in names:
            for function in functions(name):
                RULES[function] = action
            if view:
                VIEWS.update(functions(name))
            for changed in functions(name, ("{}_", "__i{}__")) - set(RULES):
                IN_PLACE[changed] = action
        return action

    return register


def plain(x):
    """The same with a jet's values in its place, in lists and dictionaries too."""
    if isinstance(x, Jet):
        return x.value
    if isinstance(x, tuple | list):
        return type(x)(map(plain, x)) if type(x) in (tuple, list) else x
    return {key: plain(y) for key, y in x.items()} if isinstance(x, dict) else x


def jets_in(x) -> list[Jet]:
    """Those among arguments, in lists too."""
    if isinstance(x, Jet):
        return [x]
    return [jet for y in x for jet in jets_in(y)] if isinstance(x, tuple | list) else []


def _name(function: Callable) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    owner = resolve_name(function) if name == "__get__" else None  # of an attribute
    return owner.split(".")[-2] if owner else name


def _rule_of(function: Callable) -> Callable:
    try:
        return RULES[function]
    except (KeyError, TypeError):
        pass
    if function in VALUES:
        return lambda *args, **kwargs: function(*plain(args), **plain(kwargs))
    raise UnknownOperation(f"no Taylor rule for {_name(function)!r}")


def _applied(function: Callable, args: tuple, kwargs: dict):
    if kwargs.pop("inplace", False):
        return _changed(function, _rule_of(function), args, kwargs)
    if function in IN_PLACE:
        return _changed(function, IN_PLACE[function], args, kwargs)
    result = _rule_of(function)(*args, **kwargs)
    if function in VIEWS and isinstance(args[0], Jet):
        for view in jets_in(result):
            if view is not args[0]:
                view.relatives = args[0].relatives
                view.relatives.append(None)
    return result


def _changed(function: Callable, action: Callable, args: tuple, kwargs: dict) -> Jet | None:
    """An operation in place: the jet of the result takes the place of the first argument's."""
    jet = args[0]
    if not isinstance(jet, Jet) or jet.relatives:
        raise UnknownOperation(f"no Taylor rule for {_name(function)!r} on shared memory")
    result = action(*args, **kwargs)
    if not isinstance(result, Jet) or (result.shape, result.dtype) != (jet.shape, jet.dtype):
        raise UnknownOperation(f"no Taylor rule for {_name(function)!r} as called")
    jet.coefficients = result.coefficients
    return None if function is Tensor.__setitem__ else jet


def _constant(function: Callable, args: tuple, kwargs: dict):
    """With gradients switched off by the model, what comes out is a constant."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code is not trace.__code__:
        if frame.f_code is _APPLY:
            _state.unknown = UnknownOperation("no Taylor rule for a custom autograd.Function")
            raise _state.unknown
        frame = frame.f_back
    if function in IN_PLACE or function is Tensor.__setitem__ or kwargs.get("inplace"):
        _state.unknown = UnknownOperation(f"no Taylor rule for {_name(function)!r} under no_grad")
        raise _state.unknown
    return function(*plain(args), **plain(kwargs))


_APPLY = torch.autograd.Function.apply.__func__.__code__


def trace(field: Callable[[Tensor], Tensor], jet: Jet) -> Jet:
    """The jet of a field's values, from that of its coordinates.

    Raises:
        UnknownOperation: where an operation has no Taylor rule, or values leave PyTorch.
    """
    before = _state.graph, _state.ruling, _state.unknown
    inner = _state.graph is not None and torch.is_grad_enabled()
    _state.graph = _state.graph if inner else torch.is_grad_enabled()
    _state.ruling, _state.unknown = False, None
    try:
        # with gradients on, so that a model that switches them off is noticed
        with torch.enable_grad():
            result = field(jet)
    except Exception as error:
        unknown = _state.unknown
        if unknown is None or isinstance(error, torch.OutOfMemoryError):
            raise
        raise unknown from None  # C++ and others wrap it
    finally:
        _state.graph, _state.ruling, _state.unknown = before
    if isinstance(result, Jet):
        return result
    if isinstance(result, Tensor):
        raise UnknownOperation("the values are constants, or computed outside of PyTorch")
    return result
