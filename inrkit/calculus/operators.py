r"""Differential operators on fields, by jets: one pass instead of repeated back-propagation.

A field maps coordinates ``(*signals, n, d)`` to values ``(*signals, n, c)``, each point on its own.
Results can be back-propagated, so that a derivative may stand in a loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial, prod

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from inrkit.calculus.guard import (
    Field,
    check_connected,
    checked_shape,
    dimensions,
    trusted,
    uncompiled,
    warn_of_detour,
)
from inrkit.calculus.jet import Jet, UnknownOperation, trace
from inrkit.calculus.truncation import (
    MultiIndex,
    Traced,
    Truncation,
    along_axes,
    total_degree,
    traced,
)

CHUNK = 512  # points a pass at most: the fastest for matrix products of a 256-wide layer,
COEFFICIENTS = 5120  # and points times partials, so that memory does not grow with the order


@dataclass(frozen=True)
class Partials:
    r"""Partial derivatives :math:`\partial^\alpha \Phi` of a field at n points.

    ``indices`` holds the multi-indices :math:`\alpha`, ``values`` is ``(rows, *signals, n, c)``.
    """

    indices: tuple[MultiIndex, ...]
    values: Tensor

    def __getitem__(self, index: MultiIndex) -> Tensor:
        if tuple(index) not in self.indices:
            raise KeyError(f"no partial {index}; there are {', '.join(map(str, self.indices))}")
        return self.values[self.indices.index(tuple(index))]


def partials(field: Field, coords: Tensor, order: int) -> Partials:
    r"""All distinct partial derivatives up to total degree ``order``.

    Args:
        field: any callable that treats each point on its own.
        coords: points, ``(*signals, n, d)``.
        order: largest total degree K; there are :math:`\binom{d + K}{K}` partials, value included.

    Raises:
        ValueError: the order is no whole number from 0 on, or the field mixes points.
    """
    if not isinstance(order, int) or order < 0:
        raise ValueError(f"the order of a derivative is a whole number, 0 or more, got {order!r}")
    return _partials(field, coords, total_degree(dimensions(coords), order))


@uncompiled()
def _partials(field: Field, coords: Tensor, truncation: Truncation) -> Partials:
    evaluate = _evaluate
    if truncation.order and not trusted(field, coords, _by_jets, nested_autograd, truncation.order):
        warn_of_detour("Taylor series disagree with autograd on this field")
        evaluate = _nested
    if torch.is_grad_enabled():
        return Partials(truncation.indices, evaluate(field, coords, truncation))
    points = min(CHUNK, max(COEFFICIENTS // len(truncation.indices), 64))
    chunks = [evaluate(field, part, truncation) for part in coords.split(points, dim=-2)]
    return Partials(truncation.indices, torch.cat(chunks, dim=-2))


def _by_jets(field: Field, coords: Tensor, order: int) -> Partials:
    truncation = total_degree(coords.shape[-1], order)
    return Partials(truncation.indices, _scaled(_jet(field, coords, truncation)))


def _evaluate(field: Field, coords: Tensor, truncation: Truncation) -> Tensor:
    try:
        jet = _jet(field, coords, truncation)
    except UnknownOperation as error:
        values = _nested(field, coords, truncation)
        warn_of_detour(str(error))
        return values
    values = _scaled(jet)
    return values if torch.is_grad_enabled() else values.detach()


def _jet(field: Field, coords: Tensor, truncation: Truncation) -> Jet:
    return checked_shape(trace(field, Jet.identity(coords, truncation)), coords)


def _scaled(jet: Jet) -> Tensor:
    """Partials from Taylor coefficients: times factorials."""
    indices = jet.truncation.indices
    scale = [prod([factorial(power) for power in index]) for index in indices]
    # numbers instead of a tensor: a copy to the device could not be captured with a step
    values = torch.stack([row * k for row, k in zip(jet.coefficients, scale, strict=False)])
    missing = len(indices) - len(values)
    return torch.cat([values, values.new_zeros(missing, *values.shape[1:])]) if missing else values


def _nested(field: Field, coords: Tensor, truncation: Truncation) -> Tensor:
    if not isinstance(truncation, Traced):
        return nested_autograd(field, coords, truncation.indices)
    d = coords.shape[-1]
    values = nested_autograd(field, coords, along_axes(d, 2).indices)
    weights = values.new_tensor(truncation.weights)
    bends = torch.tensordot(weights, values[d + 1 :], 1)
    return torch.cat([values[: d + 1], bends[None]])


@sdpa_kernel(SDPBackend.MATH)  # the others have no second derivatives
def nested_autograd(field: Field, coords: Tensor, indices: tuple[MultiIndex, ...]) -> Tensor:
    """The same partials by repeated reverse mode, each computed once from a lower one.

    Works for every differentiable operation: the fallback for operations without a Taylor rule,
    and the oracle that jets are tested against.
    """
    keep = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        x = coords if coords.requires_grad else coords.clone().detach().requires_grad_()
        value = checked_shape(field(x.clone()), coords)  # a copy may be changed in place
        if len(indices) > 1 and not _connected(value, x):
            check_connected(field, coords)
        parts = torch.view_as_real(value).flatten(-2) if value.is_complex() else value
        extra = parts.shape[: parts.ndim - coords.ndim]  # signals that share their coordinates
        flat = parts.flatten(0, len(extra) - 1) if extra else parts[None]
        channels = []
        for channel in (c for signal in flat for c in signal.unbind(-1)):
            known = {indices[0]: channel}
            for index in indices[1:]:
                axis = next(i for i, power in enumerate(index) if power)
                lower = tuple(p - (i == axis) for i, p in enumerate(index))
                known[index] = _slope(known[lower], x, axis)
            channels.append(torch.stack([known[index] for index in indices]))
    values = torch.stack(channels, dim=-1).unflatten(-1, (len(flat), -1)).movedim(-2, 1)
    values = values.unflatten(1, extra) if extra else values.squeeze(1)
    if value.is_complex():
        values = torch.view_as_complex(values.unflatten(-1, (-1, 2)).contiguous())
    return values if keep else values.detach()


def _connected(value: Tensor, x: Tensor) -> bool:
    if not value.requires_grad:
        return False
    (slope,) = torch.autograd.grad(value.real.sum(), x, retain_graph=True, allow_unused=True)
    return slope is not None


def _slope(y: Tensor, x: Tensor, axis: int) -> Tensor:
    if not y.requires_grad:
        return torch.zeros_like(y)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)
    return torch.zeros_like(y) if slope is None else slope[..., axis]


def _unit(d: int, *axes: int) -> MultiIndex:
    return tuple(axes.count(i) for i in range(d))


def gradient(field: Field, coords: Tensor) -> tuple[Tensor, Tensor]:
    r"""Values and gradients :math:`\partial \Phi_c / \partial x_i`.

    Where the result is to be trained on, by one reverse pass a channel: that back-propagates in
    half the time of a jet, which carries d coefficients and the value. Else, and within
    :mod:`torch.func`, which differentiates functions alone, by a jet.

    Returns:
        values ``(*signals, n, c)`` and gradients ``(*signals, n, c, d)``.
    """
    d = dimensions(coords)
    if torch.is_grad_enabled() and torch._C._functorch.peek_interpreter_stack() is None:
        return _reverse_gradient(field, coords)
    p = _partials(field, coords, along_axes(d, 1))
    return p.values[0], torch.stack([p[_unit(d, i)] for i in range(d)], dim=-1)


@uncompiled()
@sdpa_kernel(SDPBackend.MATH)
def _reverse_gradient(field: Field, coords: Tensor) -> tuple[Tensor, Tensor]:
    trusted(field, coords, _by_jets, nested_autograd, 0)
    with torch.no_grad():
        one = coords[..., :1, :].clone()  # which may be changed in place
        try:
            found = field(one)
        except Exception:  # one point does not suit it
            found = field(one := coords.clone())
        signals = checked_shape(found, one).shape[:-2]
    x = coords.expand(*signals, *coords.shape[-2:])  # each signal has gradients of its own
    x = x if x.requires_grad else x.detach().requires_grad_()
    value = checked_shape(field(x.clone()), x)
    parts = torch.view_as_real(value).flatten(-2) if value.is_complex() else value
    ones = torch.ones_like(parts[..., 0])
    slopes = [_reverse_slope(channel, x, ones) for channel in parts.unbind(-1)]
    if all(slope is None for slope in slopes):
        check_connected(field, coords)
    slopes = torch.stack([torch.zeros_like(x) if s is None else s for s in slopes], dim=-2)
    if value.is_complex():
        slopes = torch.view_as_complex(slopes.unflatten(-2, (-1, 2)).mT.contiguous())
    return value, slopes


def _reverse_slope(channel: Tensor, x: Tensor, ones: Tensor) -> Tensor | None:
    if not channel.requires_grad:
        return None
    return torch.autograd.grad(channel, x, ones, create_graph=True, allow_unused=True)[0]


def divergence(field: Field, coords: Tensor) -> Tensor:
    r"""Divergence :math:`\sum_i \partial \Phi_i / \partial x_i` of a vector field with c = d."""
    _, slopes = gradient(field, coords)
    if slopes.shape[-1] != slopes.shape[-2]:
        raise ValueError(
            f"the divergence needs as many values as coordinates, got {slopes.shape[-2]} values "
            f"of {slopes.shape[-1]} coordinates"
        )
    return slopes.diagonal(dim1=-2, dim2=-1).sum(-1)


def laplacian(field: Field, coords: Tensor) -> Tensor:
    r"""Laplacian :math:`\sum_i \partial^2 \Phi_c / \partial x_i^2`, ``(*signals, n, c)``."""
    return hessian_trace(field, coords, [1.0] * dimensions(coords))[-1]


def hessian_trace(
    field: Field, coords: Tensor, weights: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Values, gradients and :math:`\sum_i w_i \partial_i^2 \Phi_c` in one pass.

    Cheaper than :func:`second_order` where an equation needs no single second derivative: a wave
    equation has the weights 1 and :math:`-c^2`.

    Args:
        field: any callable that treats each point on its own.
        coords: points, ``(*signals, n, d)``.
        weights: w, a number an axis.

    Returns:
        values ``(*signals, n, c)``, gradients ``(*signals, n, c, d)`` and sums
        ``(*signals, n, c)``.
    """
    d = dimensions(coords)
    if len(weights) != d:
        raise ValueError(f"{d} coordinates need as many weights, got {len(weights)}")
    if any(isinstance(w, Tensor) and w.requires_grad for w in weights):
        raise ValueError("weights are fixed numbers; those that are trained go with second_order")
    p = _partials(field, coords, traced(tuple(map(float, weights))))
    return p.values[0], p.values[1 : d + 1].movedim(0, -1), p.values[-1]


def second_order(field: Field, coords: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Values, gradients and pure second derivatives in one pass, for equations that need them all.

    Returns:
        values ``(*signals, n, c)``, :math:`\partial \Phi_c / \partial x_i` and
        :math:`\partial^2 \Phi_c / \partial x_i^2`, ``(*signals, n, c, d)`` each.
    """
    d = dimensions(coords)
    p = _partials(field, coords, along_axes(d, 2))
    slopes = torch.stack([p[_unit(d, i)] for i in range(d)], dim=-1)
    bends = torch.stack([p[_unit(d, i, i)] for i in range(d)], dim=-1)
    return p.values[0], slopes, bends


def hessian(field: Field, coords: Tensor) -> Tensor:
    r"""Second derivatives :math:`\partial^2 \Phi_c / \partial x_i \partial x_j`.

    Returns:
        ``(*signals, n, c, d, d)``.
    """
    d = dimensions(coords)
    p = partials(field, coords, 2)
    rows = [torch.stack([p[_unit(d, i, j)] for j in range(d)], dim=-1) for i in range(d)]
    return torch.stack(rows, dim=-2)


def derivative(function: Callable[[Tensor], Tensor], x: Tensor, order: int = 1) -> Tensor:
    r"""The derivative :math:`f^{(k)}(x)` of an elementwise function, in the shape of ``x``."""
    flat = partials(function, x.reshape(-1, 1), order)
    return flat[(order,)].reshape(x.shape)
