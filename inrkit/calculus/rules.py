"""How tensor operations act on jets: linear and bilinear ones, shapes, and what reads values only.

Elementwise functions and what is made of others stand in :mod:`inrkit.calculus.compositions`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inrkit.calculus.jet import (
    IN_PLACE,
    RULES,
    VALUES,
    VIEWS,
    Jet,
    UnknownOperation,
    functions,
    jets_in,
    rule,
)
from inrkit.calculus.products import convolve, from_rows, multiply, trained


def aligned(jet: Jet, ndim: int) -> Tensor:
    """Coefficients with ones inserted behind the rows, so that ``ndim`` axes broadcast."""
    rows, *shape = jet.coefficients.shape
    return jet.coefficients.reshape(rows, *[1] * max(ndim - jet.ndim, 0), *shape)


def _ndim(x) -> int:
    return x.ndim if isinstance(x, Tensor) else 0


# --- sums and products ---------------------------------------------------------------------------


@rule("add", "radd")
def _add(x, y, *, alpha=1):
    if not isinstance(x, Jet):
        return _add(y, x) if alpha == 1 else _add(_mul(y, alpha), x)
    truncation = x.truncation
    if isinstance(y, Jet):
        a, b = aligned(x, y.ndim), alpha * aligned(y, x.ndim)
        common = min(len(a), len(b))
        first = a[:common] + b[:common]
        longer = a if len(a) > common else b
        tail = longer[common:].expand(-1, *first.shape[1:]).to(first.dtype)
        return Jet(torch.cat([first, tail]), truncation)
    a = aligned(x, _ndim(y))
    first = a[:1] + alpha * y
    return Jet(torch.cat([first, a[1:].expand(-1, *first.shape[1:]).to(first.dtype)]), truncation)


@rule("neg", "negative")
def _neg(x):
    return Jet(-x.coefficients, x.truncation)


@rule("sub", "subtract")
def _sub(x, y, *, alpha=1):
    return _add(x, _mul(y, -alpha) if isinstance(y, Jet) else -alpha * y)


@rule("rsub")
def _rsub(x, y, *, alpha=1):
    return _sub(y, x, alpha=alpha)


@rule("mul", "rmul", "multiply")
def _mul(x, y):
    if isinstance(x, Jet) and isinstance(y, Jet):
        rows = multiply(aligned(x, y.ndim), aligned(y, x.ndim), x.truncation)
        return from_rows(rows, x.truncation)
    if not isinstance(x, Jet):
        x, y = y, x
    return Jet(aligned(x, _ndim(y)) * y, x.truncation)


@rule("matmul", "rmatmul", "mm", "bmm")
def _matmul(x, y):
    if not isinstance(x, Jet) or isinstance(y, Jet) or x.ndim == 1:
        return multilinear(torch.matmul, (x, y))
    return Jet(aligned(x, y.ndim) @ y, x.truncation)


RULES[Tensor.__rmatmul__] = lambda x, y: _matmul(y, x)


@rule("linear")
def _linear(input, weight, bias=None):
    if not isinstance(input, Jet) or isinstance(weight, Jet) or isinstance(bias, Jet):
        y = multilinear(functional.linear, (input, weight))
        return y if bias is None else _add(y, bias)
    x = input
    if bias is None:
        return Jet(functional.linear(x.coefficients, weight), x.truncation)
    fused = trained(x.coefficients, weight, bias) and x.ndim > 1 and weight.ndim == 2
    fused = fused and not torch.is_autocast_enabled(x.device.type)
    apply = _Affine.apply if fused and not weight.is_complex() else _affine
    return Jet(apply(x.coefficients, weight, bias), x.truncation)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = functional.linear(x, weight)
    y[0] += bias  # a constant has no derivatives
    return y


class _Affine(torch.autograd.Function):
    """An affine map of coefficients without the copies that autograd makes of a row's change."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _affine(x, weight, bias)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        back = grad @ weight if ctx.needs_input_grad[0] else None
        return back, grad.flatten(0, -2).mT @ x.flatten(0, -2), grad[0].flatten(0, -2).sum(0)


# --- any function that is linear in some of its arguments ----------------------------------------


def joint(function: Callable, args: Sequence, slots: Sequence[int], kwargs: dict | None = None):
    """A function linear in the arguments at ``slots`` together, row by row.

    Constants there count in the first row alone; a slot may be a list, as of ``cat``.
    """
    kwargs = kwargs or {}
    parts = [args[i] for i in slots if i < len(args)]
    jets = jets_in(parts)
    others = [a for i, a in enumerate(args) if i not in slots]
    if not jets or jets_in([*others, *kwargs.values()]):
        raise UnknownOperation(f"no Taylor rule for {function.__name__!r} as called")
    rows = []
    for k in range(max(len(jet.coefficients) for jet in jets)):
        row = [_row(a, k) if i in slots else a for i, a in enumerate(args)]
        rows.append(function(*row, **kwargs))
    truncation = jets[0].truncation
    if isinstance(rows[0], Tensor):
        return from_rows(rows, truncation)
    return tuple(from_rows(part, truncation) for part in zip(*rows, strict=True))


def _row(x, k: int):
    if isinstance(x, Jet):
        known = k < len(x.coefficients)
        return x.coefficients[k] if known else torch.zeros_like(x.value)
    if isinstance(x, tuple | list):
        return type(x)(_row(y, k) for y in x)
    if k == 0 or x is None:
        return x
    return torch.zeros_like(x) if isinstance(x, Tensor) else 0


def multilinear(function: Callable, args: Sequence, kwargs: dict | None = None):
    """A function linear in each tensor among ``args``, of which one or two are jets."""
    kwargs, places = kwargs or {}, [i for i, a in enumerate(args) if isinstance(a, Jet)]
    if len(places) == 1:
        return joint(function, args, places, kwargs)
    if len(places) != 2 or jets_in(list(kwargs.values())):
        raise UnknownOperation(f"no Taylor rule for {function.__name__!r} as called")
    first, second = places

    def add(total, x, y, weight):
        row = list(args)
        row[first], row[second] = x, y
        product = function(*row, **kwargs)
        product = product if weight == 1 else weight * product
        return product if total is None else total + product

    x, y = args[first], args[second]
    rows = convolve(add, x.coefficients, y.coefficients, x.truncation)
    return from_rows(rows, x.truncation)


def _register(names: str, make: Callable) -> None:
    for name in names.split():
        for function in functions(name):
            RULES.setdefault(function, make(function))
            changed = functions(name, ("{}_",)) - set(RULES)
            IN_PLACE.update(dict.fromkeys(changed, RULES[function]))


def _linear_in_first(function: Callable) -> Callable:
    return lambda x, *args, **kwargs: joint(function, (x, *args), (0,), kwargs)


def _affine_in_first(function: Callable) -> Callable:
    """A bias counts in the first row alone."""
    return lambda x, weight, bias=None, *args, **kwargs: joint(
        function, (x, weight, bias, *args), (0, 2), kwargs
    )


def _linear_in_list(function: Callable) -> Callable:
    return lambda parts, *args, **kwargs: joint(function, (list(parts), *args), (0,), kwargs)


def _multilinear(function: Callable) -> Callable:
    return lambda *args, **kwargs: multilinear(function, args, kwargs)


# --- shapes: all rows at once, by axes counted from the back -------------------------------------


def _behind(dim, ndim: int):
    """Axes counted from the back, where rows in front do not matter."""
    if isinstance(dim, tuple | list):
        return tuple(_behind(d, ndim) for d in dim)
    return dim if dim < 0 else dim - ndim


def _sizes(sizes: tuple) -> tuple:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes


def _reduced(function: Callable, x: Jet, dim, keepdim: bool) -> Jet:
    dim = tuple(range(-x.ndim, 0)) if dim in (None, (), []) else _behind(dim, x.ndim)
    return Jet(function(x.coefficients, dim, keepdim=keepdim), x.truncation) if x.ndim else x


@rule("sum")
def _sum(x, dim=None, keepdim=False):
    return _reduced(torch.sum, x, dim, keepdim)


@rule("mean")
def _mean(x, dim=None, keepdim=False):
    return _reduced(torch.mean, x, dim, keepdim)


@rule("unsqueeze", view=True)
def _unsqueeze(x, dim):
    return Jet(x.coefficients.unsqueeze(_behind(dim, x.ndim + 1)), x.truncation)


@rule("squeeze", view=True)
def _squeeze(x, dim):
    return Jet(x.coefficients.squeeze(_behind(dim, x.ndim)), x.truncation)


@rule("movedim", "moveaxis", view=True)
def _movedim(x, source, destination):
    source, destination = _behind(source, x.ndim), _behind(destination, x.ndim)
    return Jet(x.coefficients.movedim(source, destination), x.truncation)


@rule("transpose", "swapaxes", "swapdims", view=True)
def _transpose(x, dim0, dim1):
    return Jet(x.coefficients.transpose(_behind(dim0, x.ndim), _behind(dim1, x.ndim)), x.truncation)


@rule("reshape", "view", view=True)
def _reshape(x, *shape):
    if isinstance(shape[0], torch.dtype):
        raise UnknownOperation("no Taylor rule for the bits of a number")
    return Jet(x.coefficients.reshape(len(x.coefficients), *_sizes(shape)), x.truncation)


@rule("flatten", view=True)
def _flatten(x, start_dim=0, end_dim=-1):
    start, end = _behind(start_dim, x.ndim), _behind(end_dim, x.ndim)
    return Jet(x.coefficients.flatten(start, end), x.truncation)


@rule("expand", view=True)
def _expand(x, *shape):
    shape = _sizes(shape)
    return Jet(aligned(x, len(shape)).expand(-1, *shape), x.truncation)


@rule("getitem", view=True)
def _getitem(x, index):
    index = index if isinstance(index, tuple) else (index,)
    if all(i is None or i is Ellipsis or type(i) in (int, slice) for i in index):
        return Jet(x.coefficients[(slice(None), *index)], x.truncation)
    return joint(Tensor.__getitem__, (x, index), (0,))


def _replaced(x: Tensor, index, value) -> Tensor:
    changed = x.clone()
    changed[index] = value
    return changed


IN_PLACE[Tensor.__setitem__] = lambda x, index, value: joint(_replaced, (x, index, value), (0, 2))


@rule("cat", "concat", "concatenate")
def _cat(tensors, dim=0):
    parts = list(tensors)
    jets = jets_in(parts)
    rows = max(len(jet.coefficients) for jet in jets)
    if all(isinstance(part, Jet) and len(part.coefficients) == rows for part in parts):
        behind = _behind(dim, jets[0].ndim)
        return Jet(torch.cat([part.coefficients for part in parts], behind), jets[0].truncation)
    return joint(torch.cat, (parts, dim), (0,))


@rule("where")
def _where(condition, input, other):
    return joint(torch.where, (condition, input, other), (1, 2))


@rule("masked_fill")
def _masked_fill(x, mask, value):
    return _where(mask, value, x)


@rule("clone", "contiguous", "requires_grad", "alias")
def _same(x, *args, **kwargs):
    return Jet(x.coefficients, x.truncation)


for _function in (Tensor.requires_grad_, Tensor.contiguous):
    RULES[_function] = lambda x, *args, **kwargs: x


def _conversion(function: Callable) -> Callable:
    """To another number format or device, as the values are; to whole numbers, values alone."""

    def convert(x, *args, **kwargs):
        args = tuple(a.value if isinstance(a, Jet) else a for a in args)
        value = function(x.value, *args, **kwargs)
        if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_complex()):
            return value
        if (value.dtype, value.device) == (x.dtype, x.device):
            return x
        return Jet(x.coefficients.to(value), x.truncation)

    return convert


_register("to type type_as float double half bfloat16 cpu cuda", _conversion)
_register(
    "conj conj_physical real imag T mT H mH t permute narrow select diagonal", _linear_in_first
)
_register("unbind split chunk tensor_split unflatten ", _linear_in_first)
_register(
    "cumsum diff flip fliplr flipud roll gather index_select take_along_dim", _linear_in_first
)
_register("repeat tile repeat_interleave tril triu trace ravel", _linear_in_first)
_register("fft ifft rfft irfft fft2 ifft2 fftn ifftn fftshift ifftshift", _linear_in_first)
_register("stack hstack vstack dstack column_stack", _linear_in_list)
_register("mv dot inner outer ger cross kron tensordot vecdot", _multilinear)
_register("conv1d conv2d conv3d", _affine_in_first)
VIEWS |= functions("real imag conj T mT H mH t permute narrow select diagonal ravel")
VIEWS |= functions("unbind split chunk tensor_split unflatten")


@rule("expand_as", "view_as", "reshape_as", view=True)
def _like(x, other):
    grown = _expand if other.ndim > x.ndim or other.numel() > x.numel() else _reshape
    return grown(x, tuple(other.shape))


@rule("pad")
def _pad(input, pad, mode="constant", value=None):
    return joint(functional.pad, (input, pad, mode, value), (0, 3))


@rule("complex")
def _complex(real, imag):
    return joint(torch.complex, (real, imag), (0, 1))


@rule("einsum")
def _einsum(equation, *operands):
    operands = operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands
    return multilinear(torch.einsum, (equation, *operands))


# --- values only: comparisons, shapes, and what has no slope -------------------------------------

VALUES |= functions(
    """
    eq ne lt le gt ge less less_equal greater greater_equal not_equal isclose equal allclose
    isnan isinf isfinite isreal logical_and logical_or logical_not logical_xor signbit
    argmax argmin argsort nonzero any all count_nonzero searchsorted bucketize
    floor ceil round trunc fix sign sgn floor_divide floordiv heaviside
    zeros_like ones_like empty_like full_like rand_like randn_like randint_like
    new_zeros new_ones new_empty new_full new_tensor
    detach data item tolist bool int long short byte char contains len index format
    size dim ndimension numel nelement element_size itemsize nbytes stride storage_offset
    is_floating_point is_complex is_contiguous get_device is_same_size is_signed is_conj
    is_neg is_inference is_nonzero is_cuda is_cpu is_meta is_sparse is_quantized is_tensor
    layout names result_type can_cast is_mkldnn is_mps is_xpu is_nested
    """
)
