"""How tensor operations other than elementwise functions act on jets."""

import torch
from torch import Tensor
from torch.nn import functional

from inrkit.calculus.jet import RULES, Jet, UnknownOperation, from_rows, multiply, rule, trained
from inrkit.calculus.series import SERIES


def _align(jet: Jet, ndim: int) -> Tensor:
    """Coefficients with ones inserted behind the rows, so that ``ndim`` axes broadcast."""
    rows, *shape = jet.coefficients.shape
    return jet.coefficients.reshape(rows, *[1] * max(ndim - jet.ndim, 0), *shape)


def _ndim(x) -> int:
    return x.ndim if isinstance(x, Jet | Tensor) else 0


@rule("add", "radd")
def _add(x, y, *, alpha=1):
    if not isinstance(x, Jet):
        return _add(y, x) if alpha == 1 else _add(_mul(y, alpha), x)
    truncation = x.truncation
    if isinstance(y, Jet):
        a, b = _align(x, y.ndim), alpha * _align(y, x.ndim)
        common = min(len(a), len(b))
        shape = torch.broadcast_shapes(a.shape[1:], b.shape[1:])
        longer = a if len(a) > common else b
        tail = longer[common:].expand(-1, *shape)
        return Jet(torch.cat([a[:common] + b[:common], tail]), truncation)
    a = _align(x, _ndim(y))
    first = a[:1] + alpha * y
    return Jet(torch.cat([first, a[1:].expand(-1, *first.shape[1:])]), truncation)


@rule("neg", "negative")
def _neg(x):
    return Jet(-x.coefficients, x.truncation)


@rule("sub")
def _sub(x, y, *, alpha=1):
    return _add(x, _mul(y, -alpha) if isinstance(y, Jet) else -alpha * y)


@rule("rsub")
def _rsub(x, y, *, alpha=1):
    return _sub(y, x, alpha=alpha)


@rule("mul", "rmul", "multiply")
def _mul(x, y):
    if isinstance(x, Jet) and isinstance(y, Jet):
        rows = multiply(_align(x, y.ndim), _align(y, x.ndim), x.truncation)
        return from_rows(rows, x.truncation)
    if not isinstance(x, Jet):
        x, y = y, x
    return Jet(_align(x, _ndim(y)) * y, x.truncation)


@rule("truediv", "div", "true_divide", "divide")
def _div(x, y):
    return _mul(x, y.reciprocal()) if isinstance(y, Jet) else _mul(x, 1 / y)


@rule("rtruediv")
def _rdiv(x, y):
    return _div(y, x)


@rule("matmul", "mm", "bmm")
def _matmul(x, y):
    if isinstance(y, Jet):
        raise TypeError("a Jet multiplies a matrix from the left only: jet @ matrix")
    return Jet(_align(x, y.ndim) @ y, x.truncation)


@rule("linear")
def _linear(x, weight, bias=None):
    if bias is None:
        return Jet(functional.linear(x.coefficients, weight), x.truncation)
    apply = _Affine.apply if trained(x.coefficients, weight, bias) else _affine
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


@rule("sum")
def _sum(x, dim, keepdim=False):
    return Jet(x.coefficients.sum(_behind(dim, x.ndim), keepdim=keepdim), x.truncation)


@rule("mean")
def _mean(x, dim, keepdim=False):
    return Jet(x.coefficients.mean(_behind(dim, x.ndim), keepdim=keepdim), x.truncation)


@rule("linalg_vector_norm")
def _length(x, ord=2, dim=None, keepdim=False):
    if ord != 2 or dim is None:
        raise UnknownOperation("there is a Taylor rule for the Euclidean length along an axis only")
    return _mul(x, x).sum(dim, keepdim=keepdim).sqrt()


@rule("hypot")
def _hypot(x, y):
    squares = [_mul(z, z) if isinstance(z, Jet) else z * z for z in (x, y)]
    return _add(*squares).sqrt()


@rule("prod")
def _prod(x, dim, keepdim=False):
    factors = x.movedim(dim, 0)
    total = factors[0]
    for i in range(1, len(factors)):
        total = _mul(total, factors[i])
    return total.unsqueeze(dim) if keepdim else total


def _behind(dim, ndim: int):
    """Axes counted from the back, where rows in front do not matter."""
    if isinstance(dim, tuple | list):
        return tuple(_behind(d, ndim) for d in dim)
    return dim if dim < 0 else dim - ndim


@rule("unsqueeze")
def _unsqueeze(x, dim):
    return Jet(x.coefficients.unsqueeze(_behind(dim, x.ndim + 1)), x.truncation)


@rule("squeeze")
def _squeeze(x, dim):
    return Jet(x.coefficients.squeeze(_behind(dim, x.ndim)), x.truncation)


@rule("movedim")
def _movedim(x, source, destination):
    source, destination = _behind(source, x.ndim), _behind(destination, x.ndim)
    return Jet(x.coefficients.movedim(source, destination), x.truncation)


@rule("transpose", "swapaxes")
def _transpose(x, first, second):
    return Jet(
        x.coefficients.transpose(_behind(first, x.ndim), _behind(second, x.ndim)), x.truncation
    )


@rule("reshape", "view")
def _reshape(x, *shape):
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    return Jet(x.coefficients.reshape(len(x.coefficients), *shape), x.truncation)


@rule("flatten")
def _flatten(x, start_dim=0, end_dim=-1):
    start, end = _behind(start_dim, x.ndim), _behind(end_dim, x.ndim)
    return Jet(x.coefficients.flatten(start, end), x.truncation)


@rule("expand")
def _expand(x, *shape):
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    return Jet(_align(x, len(shape)).expand(-1, *shape), x.truncation)


def _coefficients(z, jet: Jet, ndim: int, rows: int) -> Tensor:
    """Coefficients of z, a jet or a constant, with ``ndim`` axes behind ``rows`` rows."""
    if not isinstance(z, Jet):
        z = Jet(torch.as_tensor(z, dtype=jet.dtype, device=jet.device)[None], jet.truncation)
    known = _align(z, ndim)
    return torch.cat([known, known.new_zeros(rows - len(known), *known.shape[1:])])


@rule("cat", "concat", "concatenate")
def _cat(parts, dim=0):
    jets = [part for part in parts if isinstance(part, Jet)]
    rows, ndim = max(len(jet.coefficients) for jet in jets), jets[0].ndim
    full = [_coefficients(part, jets[0], ndim, rows) for part in parts]
    return Jet(torch.cat(full, _behind(dim, ndim)), jets[0].truncation)


@rule("where")
def _where(condition, x, y):
    jets = [z for z in (x, y) if isinstance(z, Jet)]
    rows, ndim = max(len(jet.coefficients) for jet in jets), max(map(_ndim, (condition, x, y)))
    full = [_coefficients(z, jets[0], ndim, rows) for z in (x, y)]
    return Jet(torch.where(condition, *full), jets[0].truncation)


def _of_value(name: str):
    """Piecewise constant functions: derivatives vanish, a plain tensor comes out."""

    def apply(x, *args, **kwargs):
        plain = [a.value if isinstance(a, Jet) else a for a in (x, *args)]
        return getattr(torch, name)(*plain, **kwargs)

    return apply


for _name in ("floor", "ceil", "round", "sign", "lt", "le", "gt", "ge", "eq", "ne", "detach"):
    RULES[_name] = _of_value(_name)
for _name in ("zeros_like", "ones_like", "isfinite"):
    RULES[_name] = _of_value(_name)
SERIES["arctan"] = SERIES["atan"]
