r"""Damping functions of SPDER, and sine multiplied by them.

SPDER (Eq. 3) activates with :math:`\sin(u)\,\delta(u)`. Each :math:`\delta` here is defined at
zero such that the product and its first derivative take their limits (or, for the logarithm, whose
slope diverges, a finite value) there instead of NaN. The second derivative of
:math:`\sin(u)\sqrt{|u|}` diverges like :math:`|u|^{-1/2}` at zero.
"""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import handle_torch_function, has_torch_function_unary


class _SqrtAbs(Function):
    """Square root of |u| with slope sign(u) / (2 sqrt|u|), and zero at zero."""

    @staticmethod
    def forward(ctx, u: Tensor) -> Tensor:
        y = u.abs().sqrt_()
        ctx.save_for_backward(u, y)
        return y

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        u, y = ctx.saved_tensors
        # the root of the smallest subnormal is far above the smallest normal number, so that the
        # clamp acts at u = 0 alone, where the sign makes the slope zero
        return g * u.sign() / (2 * y).clamp(min=torch.finfo(y.dtype).tiny)


class _LogAbs(Function):
    """Logarithm of |u| with slope 1/u; at zero finite, with slope zero."""

    @staticmethod
    def forward(ctx, u: Tensor) -> Tensor:
        size = u.abs().clamp_(min=torch.finfo(u.dtype).tiny)
        ctx.save_for_backward(u)
        return size.log_()

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return g * u.sign() / u.abs().clamp(min=torch.finfo(u.dtype).tiny)


def sqrt_abs(u: Tensor) -> Tensor:
    r"""Damping :math:`\delta(u) = \sqrt{|u|}`, the default of SPDER (Sec. 3.2)."""
    if has_torch_function_unary(u):
        return handle_torch_function(sqrt_abs, (u,), u)
    return _SqrtAbs.apply(u)


def log_abs(u: Tensor) -> Tensor:
    r"""Damping :math:`\delta(u) = \log|u|` (SPDER, Sec. 3.2)."""
    if has_torch_function_unary(u):
        return handle_torch_function(log_abs, (u,), u)
    return _LogAbs.apply(u)


def sqrt_relu(u: Tensor) -> Tensor:
    r"""Damping :math:`\delta(u) = \sqrt{\mathrm{ReLU}(u)}` (SPDER, Sec. 3.2)."""
    if has_torch_function_unary(u):
        return handle_torch_function(sqrt_relu, (u,), u)
    return torch.where(u > 0, _SqrtAbs.apply(u.clamp(min=0)), 0)


def one(u: Tensor) -> float:
    r"""Damping :math:`\delta(u) = 1`: no damping, which is SIREN."""
    return 1.0


class DampedSine(torch.nn.Module):
    r"""The semiperiodic activation :math:`\sin(u)\,\delta(u)` (SPDER, Eq. 3).

    Args:
        damping: the sublinear :math:`\delta`, any elementwise callable.
    """

    def __init__(self, damping=sqrt_abs):
        super().__init__()
        self.damping = damping

    def forward(self, u: Tensor) -> Tensor:
        return torch.sin(u) * self.damping(u)

    def extra_repr(self) -> str:
        return f"damping={getattr(self.damping, '__name__', repr(self.damping))}"


def identity(u: Tensor) -> Tensor:
    """No activation: the output layer's."""
    return u
