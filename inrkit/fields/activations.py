r"""Damping functions of SPDER, and sine multiplied by them.

SPDER (Eq. 3) activates with :math:`\sin(u)\,\delta(u)`. Each :math:`\delta` here is defined at
zero such that the product and its first derivative take their limits (or, for the logarithm, whose
slope diverges, a finite value) there instead of NaN. The second derivative of
:math:`\sin(u)\sqrt{|u|}` diverges like :math:`|u|^{-1/2}` at zero.
"""

import torch
from torch import Tensor
from torch.autograd import Function

from inrkit.calculus import elementwise
from inrkit.calculus.series import GAUSSIAN_END


class _SqrtAbs(Function):
    """Square root of |u| with slope sign(u) / (2 sqrt|u|), and zero at zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor) -> Tensor:
        return u.abs().sqrt()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        u, y = ctx.saved_tensors
        # the root of the smallest subnormal is far above the smallest normal number, so that the
        # clamp acts at u = 0 alone, where the sign makes the slope zero
        return g * u.sign() / (2 * y).clamp(min=torch.finfo(y.dtype).tiny)

    jvp = backward  # the slope times what comes in, either way


class _LogAbs(Function):
    """Logarithm of |u| with slope 1/u; at zero finite, with slope zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor) -> Tensor:
        return u.abs().clamp(min=torch.finfo(u.dtype).tiny).log()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return g * u.sign() / u.abs().clamp(min=torch.finfo(u.dtype).tiny)

    jvp = backward


@elementwise
def sqrt_abs(u: Tensor) -> Tensor:
    r"""Damping :math:`\delta(u) = \sqrt{|u|}`, the default of SPDER (Sec. 3.2)."""
    return _SqrtAbs.apply(u)


@elementwise
def log_abs(u: Tensor) -> Tensor:
    r"""Damping :math:`\delta(u) = \log|u|` (SPDER, Sec. 3.2)."""
    return _LogAbs.apply(u)


@elementwise
def sqrt_relu(u: Tensor) -> Tensor:
    r"""Damping :math:`\delta(u) = \sqrt{\mathrm{ReLU}(u)}` (SPDER, Sec. 3.2)."""
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


@elementwise
def finer(u: Tensor) -> Tensor:
    r"""The variable-periodic activation :math:`\sin((|u| + 1)\,u)` of FINER."""
    return torch.sin((u.abs() + 1) * u)


class VariableSine(torch.nn.Module):
    r"""The activation :math:`\sin(\omega\,(|z| + 1)\,z)` of :math:`u = \omega z`.

    FINER's, with the frequency factor outside: the period shortens with the size of the unscaled
    z. With :math:`\omega = 1` it is :func:`finer`.

    Args:
        omega: the factor :math:`\omega` that u has in it already.
        frozen: whether derivatives take :math:`|z| + 1` for a constant, as in the released code;
            the supplement's are :math:`(2|z| + 1) \cos(\omega\,(|z| + 1)\,z)`.
    """

    def __init__(self, omega: float, *, frozen: bool = False):
        super().__init__()
        self.omega, self.frozen = omega, frozen

    def forward(self, u: Tensor) -> Tensor:
        size = u.abs() / self.omega
        return torch.sin(((size.detach() if self.frozen else size) + 1) * u)

    def extra_repr(self) -> str:
        return f"omega={self.omega:g}, frozen={self.frozen}"


@elementwise
def gaussian(u: Tensor) -> Tensor:
    r"""The bell :math:`\exp(-u^2)`, and zero where that is below 1e-20.

    Out there lie the subnormal numbers, with which a processor computes twenty times as slowly.
    """
    square = u * u
    return torch.exp(-square).masked_fill(square > GAUSSIAN_END, 0)


class Gaussian(torch.nn.Module):
    r"""The activation :math:`\exp(-(s u)^2)` of Gauss networks.

    Args:
        scale: the factor s.
    """

    def __init__(self, scale: float = 30.0):
        super().__init__()
        self.scale = scale

    def forward(self, u: Tensor) -> Tensor:
        return gaussian(self.scale * u)

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"


def identity(u: Tensor) -> Tensor:
    """No activation: the output layer's."""
    return u
