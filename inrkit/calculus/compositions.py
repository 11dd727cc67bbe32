"""Elementwise functions of jets, and those that are made of others: quotients, norms, softmax."""

from collections.abc import Callable
from functools import wraps
from math import log, pi, sqrt

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from inrkit.calculus.jet import RULES, Jet, UnknownOperation, rule
from inrkit.calculus.products import compose, elementwise_jet, from_rows
from inrkit.calculus.rules import joint
from inrkit.calculus.series import HOLOMORPHIC, SERIES, powers


def of_series(name: str):
    """The rule of an elementwise function by the Taylor series of that name."""

    def apply(jet, *arguments, **named):
        if jet.coefficients.is_complex() and name not in HOLOMORPHIC:
            raise UnknownOperation(f"no Taylor rule for {name!r} of complex numbers")
        return elementwise_jet((name, arguments, tuple(sorted(named.items()))), jet)

    return apply


for _name in SERIES:
    rule(_name)(of_series(_name))
rule("arctan")(of_series("atan"))
rule("expit")(of_series("sigmoid"))


def elementwise(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Let jets pass through a function of one tensor, by the Taylor series under its name."""

    @wraps(function)
    def wrapped(u: Tensor) -> Tensor:
        if has_torch_function_unary(u):
            return handle_torch_function(wrapped, (u,), u)
        return function(u)

    RULES[wrapped] = of_series(function.__name__)
    return wrapped


# --- quotients and powers ------------------------------------------------------------------------


@rule("div", "truediv", "true_divide", "divide")
def _div(x, y, *, rounding_mode=None):
    if rounding_mode is not None:
        plain = [z.value if isinstance(z, Jet) else z for z in (x, y)]
        return torch.div(*plain, rounding_mode=rounding_mode)
    return x * torch.reciprocal(y) if isinstance(y, Jet) else x * (1 / y)


@rule("rtruediv", "rdiv")
def _rdiv(x, y):
    return _div(y, x)


@rule("remainder", "mod")
def _remainder(x, y):
    return x - torch.floor(x / y) * y


@rule("rmod")
def _rmod(x, y):
    return _remainder(y, x)


@rule("fmod")
def _fmod(x, y):
    return x - torch.trunc(x / y) * y


@rule("pow")
def _pow(x, exponent):
    if isinstance(exponent, Jet):
        base = torch.log(x if isinstance(x, Tensor) else exponent.value.new_tensor(x))
        return torch.exp(exponent * base)
    if isinstance(exponent, Tensor):
        terms = powers(x.value, x.truncation.order, exponent)
        shape = torch.broadcast_shapes(x.shape, exponent.shape)
        rows = compose(terms, x.expand(shape).coefficients, x.truncation)
        return from_rows(rows, x.truncation)
    return of_series("pow")(x, exponent)


@rule("rpow")
def _rpow(x, base):
    return _pow(base, x)


@rule("rsqrt")
def _rsqrt(x):
    return x**-0.5


@rule("hypot")
def _hypot(x, y):
    return (x * x + y * y).sqrt()


@rule("prod")
def _prod(x, dim=None, keepdim=False):
    if dim is None:
        return _prod(x.flatten(), 0)
    first, *others = x.movedim(dim, 0)[:, None].unbind() if keepdim else x.movedim(dim, 0).unbind()
    for factor in others:
        first = first * factor
    return first.movedim(0, dim) if keepdim else first


# --- piecewise linear ----------------------------------------------------------------------------


@rule("maximum", "fmax")
def _maximum(x, y):
    return _chosen(x > y, x == y, x, y)


@rule("minimum", "fmin")
def _minimum(x, y):
    return _chosen(x < y, x == y, x, y)


def _chosen(first: Tensor, either: Tensor, x, y):
    """x or y, and where both have the same value the mean of both, as in autograd."""
    x, y = (z if isinstance(z, Tensor) else torch.as_tensor(z).to(first.device) for z in (x, y))
    return torch.where(either, (x + y) / 2, torch.where(first, x, y))


@rule("clamp", "clip")
def _clamp(x, min=None, max=None):
    if isinstance(min, Jet) or isinstance(max, Jet):
        raise UnknownOperation("no Taylor rule for 'clamp' between jets")
    clamped = torch.clamp(x.value, min, max)
    return torch.where(clamped == x.value, x, clamped)


@rule("clamp_min")
def _clamp_min(x, min):
    return _clamp(x, min)


@rule("clamp_max")
def _clamp_max(x, max):
    return _clamp(x, None, max)


@rule("hardtanh")
def _hardtanh(x, min_val=-1.0, max_val=1.0):
    clamped = torch.clamp(x.value, min_val, max_val)
    inside = (x.value > min_val) & (x.value < max_val)  # autograd has no slope at the ends
    return torch.where(inside, x, clamped)


@rule("leaky_relu")
def _leaky_relu(x, negative_slope=0.01):
    return torch.where(x > 0, x, negative_slope * x)


@rule("relu6")
def _relu6(x):
    return _hardtanh(x, 0.0, 6.0)


@rule("max")
def _max(x, dim=None, keepdim=False):
    return _extreme(torch.max, _maximum, x, dim, keepdim)


@rule("min")
def _min(x, dim=None, keepdim=False):
    return _extreme(torch.min, _minimum, x, dim, keepdim)


def _extreme(function, of_two, x, dim, keepdim):
    if isinstance(dim, Tensor):
        return of_two(x, dim)
    if dim is None:
        raise UnknownOperation(f"no Taylor rule for {function.__name__!r} over all points")
    found = function(x.value, dim, keepdim=True)
    values = joint(torch.gather, (x, dim, found.indices), (0,))
    if not keepdim:
        return type(found)((values.squeeze(dim), found.indices.squeeze(dim)))
    return type(found)((values, found.indices))


# --- networks' own -------------------------------------------------------------------------------


@rule("linalg_vector_norm", "vector_norm", "norm")
def _norm(x, ord=2, dim=None, keepdim=False, *, p="fro", dtype=None, out=None):
    euclidean = ord in (2, "fro", None) and p in (2, "fro", None)
    along_one = isinstance(dim, int) or (dim is not None and len(dim) == 1)
    if not (euclidean and along_one) or dtype is not None or out is not None:
        raise UnknownOperation("there is a Taylor rule for the Euclidean length along an axis only")
    squared = (x * x).sum(dim, keepdim=keepdim)
    zero = squared.value == 0  # where autograd takes the slope zero
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squared).sqrt())


@rule("normalize")
def _normalize(x, p=2.0, dim=1, eps=1e-12, out=None):
    return x / _norm(x, p=p, dim=dim, keepdim=True).clamp(min=eps)


@rule("softmax")
def _softmax(x, dim, _stacklevel=3, dtype=None):
    if dtype is not None:
        raise UnknownOperation("no Taylor rule for 'softmax' to another number format")
    power = torch.exp(x - x.value.amax(dim, keepdim=True))
    return power / power.sum(dim, keepdim=True)


@rule("logsumexp")
def _logsumexp(x, dim, keepdim=False):
    top = x.value.amax(dim, keepdim=True)
    total = torch.exp(x - top).sum(dim, keepdim=True).log() + top
    return total if keepdim else total.squeeze(dim)


@rule("log_softmax")
def _log_softmax(x, dim, _stacklevel=3, dtype=None):
    if dtype is not None:
        raise UnknownOperation("no Taylor rule for 'log_softmax' to another number format")
    return x - _logsumexp(x, dim, keepdim=True)


@rule("layer_norm")
def _layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    dims = tuple(range(-len(normalized_shape), 0))
    centred = x - x.mean(dims, keepdim=True)
    normal = centred * ((centred * centred).mean(dims, keepdim=True) + eps) ** -0.5
    normal = normal if weight is None else normal * weight
    return normal if bias is None else normal + bias


@rule("silu")
def _silu(x):
    return x * torch.sigmoid(x)


@rule("gelu")
def _gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + torch.erf(x / sqrt(2)))


@rule("tan")
def _tan(x):
    return torch.sin(x) / torch.cos(x)


@rule("sinh")
def _sinh(x):
    return (torch.exp(x) - torch.exp(-x)) / 2


@rule("cosh")
def _cosh(x):
    return (torch.exp(x) + torch.exp(-x)) / 2


@rule("log2")
def _log2(x):
    return torch.log(x) / log(2)


@rule("addcmul")
def _addcmul(x, first, second, *, value=1):
    return x + value * first * second


@rule("scaled_dot_product_attention")
def _attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
    if dropout_p or is_causal or attn_mask is not None:
        raise UnknownOperation("no Taylor rule for masked attention")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return _softmax(query @ key.mT * scale, -1) @ value


@rule("dropout")
def _dropout(x, p=0.5, training=True):
    if training and p:
        raise UnknownOperation("no Taylor rule for 'dropout' in training")
    return x
