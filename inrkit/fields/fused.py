r"""A chain of layers as one operation of autograd.

The slope :math:`\phi'(u)` is formed along with the value, while u is in the processor's cache or in
registers, and waits in u's place for the backward pass, which is then a product and two matrix
products a layer, in buffers of its own. :func:`~inrkit.fields.arithmetic.computing` asks for it, as
:func:`~inrkit.training.fit` does. Layers run one by one, as they are written, wherever it cannot
serve: without a backward pass, under jets and function transforms, where an activation has
parameters of its own, and where somebody listens to a layer.
"""

from collections.abc import Sequence
from types import BuiltinFunctionType

import torch
from torch import Tensor, nn
from torch.autograd import Function, forward_ad

from inrkit.calculus import value_and_slope
from inrkit.fields import arithmetic, kernels
from inrkit.fields.activations import identity
from inrkit.fields.arithmetic import product
from inrkit.fields.layers import Layer

METHODS = Layer.forward, Layer.preactivation
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def chain(x: Tensor, layers: Sequence[nn.Module]) -> Tensor:
    r"""Layers :math:`\phi(\omega (x W^\top + b))` one after the other.

    Args:
        x: ``(*signals, n, in)``.
        layers: of :class:`~inrkit.fields.Layer`, each takes what the one before gives.

    Returns:
        ``(*signals, n, out)``.
    """
    if _fusible(x, layers):
        parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
        if any(tensor.requires_grad for tensor in (x, *parameters)):
            settings = [(layer.omega, layer.activation) for layer in layers]
            return _Chain.apply(settings, x, *parameters)
    for layer in layers:
        x = layer(x)
    return x


def _fusible(x: Tensor, layers: Sequence[nn.Module]) -> bool:
    return (
        arithmetic.current().fused
        and torch.is_grad_enabled()
        and type(x) is Tensor
        and x.ndim > 1
        and all(_plain(layer, x) for layer in layers)
        and not torch.is_autocast_enabled(x.device.type)
        and torch._C._functorch.peek_interpreter_stack() is None
        and forward_ad._current_level < 0
        and not torch.compiler.is_compiling()
    )


def _plain(layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer does as :class:`Layer` says, nobody listens, and its activation is fixed."""
    kind = type(layer)  # a parametrized layer has a class of its own, with the same methods
    return (
        (getattr(kind, "forward", None), getattr(kind, "preactivation", None)) == METHODS
        and not any(getattr(m, hooks, None) for m in (layer, layer.activation) for hooks in HOOKS)
        and (
            isinstance(layer.activation, BuiltinFunctionType)
            or not layer.activation(x.new_zeros(1)).requires_grad  # nothing to learn within
        )
    )


class _Chain(Function):
    @staticmethod
    def forward(ctx, settings, x, *parameters):
        values, slopes = _forward(settings, x, parameters)
        ctx.settings = settings
        ctx.save_for_backward(*parameters, *values[:-1], *slopes)
        return values[-1]

    @staticmethod
    def backward(ctx, grad):
        count = len(ctx.settings)
        parameters, saved = ctx.saved_tensors[: 2 * count], ctx.saved_tensors[2 * count :]
        inputs, slopes = saved[:count], saved[count:]
        graph = torch.is_grad_enabled()  # this pass will be differentiated in its turn
        if graph:
            values, slopes = _forward(ctx.settings, inputs[0], parameters)
            inputs = values[:-1]
        grads: list[Tensor] = []
        for i in reversed(range(count)):
            omega, activation = ctx.settings[i]
            weight, own = parameters[2 * i], i < count - 1 and not graph
            needs_input = i > 0 or ctx.needs_input_grad[1]
            if not graph and _has_kernel(activation, inputs[i], weight) and _in_memory(grad):
                pieces = (grad, slopes[i], inputs[i], weight, omega)
                way = arithmetic.current()
                grad, *new = kernels.backward(*pieces, way.precision, needs_input)
            else:
                g = grad if slopes[i] is None else _times(grad, slopes[i], own)
                new = [product(g.mT, inputs[i], omega), omega * g.sum(-2)]
                grad = product(g, weight, omega) if needs_input else None
            grads = [*new, *grads]
        likes = (inputs[0], *parameters)
        return None, *map(_sum_to, (grad, *grads), likes)


def _forward(settings, x, parameters):
    """The values before and after every layer, and the slopes between."""
    values, slopes = [x], []
    pairs = zip(parameters[::2], parameters[1::2], strict=True)
    for (omega, activation), (weight, bias) in zip(settings, pairs, strict=True):
        value, slope = _activated(values[-1], weight, bias, omega, activation)
        values.append(value)
        slopes.append(slope)
    return values, slopes


def _activated(x, weight, bias, omega, activation) -> tuple[Tensor, Tensor | None]:
    way, graph = arithmetic.current(), torch.is_grad_enabled()
    if activation is identity:
        return product(x, weight.mT, omega, bias), None
    if not graph and _has_kernel(activation, x, weight):
        return kernels.forward(x, weight, bias, activation, omega, way.precision)
    if activation is torch.sin and not graph:  # as fast as a compiled loop
        u = product(x, weight.mT, omega, bias)
        return torch.sin(u), u.cos_()
    if not graph and (kernel := way.kernel(activation, x, weight)):
        return kernel(product(x, weight.mT, omega), omega * bias.unsqueeze(-2))
    return value_and_slope(activation, product(x, weight.mT, omega, bias))


def _has_kernel(activation, x: Tensor, weight: Tensor) -> bool:
    alike = x.ndim == 2 or weight.ndim == 2 or x.shape[:-2] == weight.shape[:-2]
    return alike and kernels.supports(activation, x, weight)


def _in_memory(grad: Tensor) -> bool:
    """Whether a kernel can be pointed to it; many gradients at once, for one, lie nowhere."""
    try:
        return grad.data_ptr() is not None
    except RuntimeError:
        return False


def _times(grad: Tensor, slope: Tensor, own: bool) -> Tensor:
    """Their product, in the place of ``grad`` where nobody else holds it."""
    return grad.mul_(slope) if own else grad * slope


def _sum_to(gradient: Tensor | None, like: Tensor) -> Tensor | None:
    """Summed over the signals that shared ``like``."""
    if gradient is None or gradient.shape == like.shape:
        return gradient
    return gradient.sum_to_size(like.shape)
