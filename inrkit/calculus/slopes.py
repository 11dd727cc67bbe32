r"""Value and first derivative of an elementwise function, together and in closed form."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function_unary

from inrkit.calculus.compositions import of_series
from inrkit.calculus.jet import RULES, Jet, UnknownOperation, trace
from inrkit.calculus.series import SERIES
from inrkit.calculus.truncation import total_degree


def elementwise(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Let jets pass through a function of one tensor, by the Taylor series under its name."""

    @wraps(function)
    def wrapped(u: Tensor) -> Tensor:
        if has_torch_function_unary(u):
            return handle_torch_function(wrapped, (u,), u)
        return function(u)

    wrapped.series = SERIES[function.__name__]
    RULES[wrapped] = of_series(function.__name__)
    return wrapped


def value_and_slope(function: Callable[[Tensor], Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    r"""The values :math:`\phi(u)` and slopes :math:`\phi'(u)` of an elementwise function.

    From the function's own method ``value_and_slope`` where it has one, else from its Taylor
    series, else from a jet of first order through its body, else from autograd.

    Args:
        function: elementwise :math:`\phi`.
        u: any shape.

    Returns:
        two tensors in the shape of ``u``.
    """
    if own := getattr(function, "value_and_slope", None):
        return own(u)
    if series := _series_of(function):
        value, *slope = series(u, 1)
        return value, slope[0] if slope else torch.zeros_like(u)
    try:
        jet = trace(function, Jet(torch.stack([u, torch.ones_like(u)]), total_degree(1, 1)))
    except UnknownOperation:
        return _by_autograd(function, u)
    if not isinstance(jet, Jet):  # a number
        return torch.full_like(u, jet), torch.zeros_like(u)
    value, *slope = jet.coefficients
    return value, slope[0] if slope else torch.zeros_like(u)


def _by_autograd(function: Callable[[Tensor], Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    graph = torch.is_grad_enabled()
    with torch.enable_grad():
        x = u if graph and u.requires_grad else u.detach().requires_grad_()
        value = torch.broadcast_to(function(x), x.shape)
        if not value.requires_grad:  # piecewise constant
            return value.to(u), torch.zeros_like(u)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=graph, materialize_grads=True)
    return (value, slope) if graph else (value.detach(), slope)


def _series_of(function: Callable) -> Callable | None:
    """The series of a function made with :func:`elementwise`, or of one of PyTorch's own.

    A stranger that only bears the same name has none.
    """
    name = getattr(function, "__name__", "")
    if function is getattr(torch, name, None) or function is getattr(functional, name, None):
        return SERIES.get(name)
    return getattr(function, "series", None)
