"""The one linear layer that every field is made of, and its initializations."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from inrkit.fields.precision import spared


def uniform_(tensor: Tensor, bound: float) -> Tensor:
    """Fill in place from U(-bound, bound)."""
    with torch.no_grad():
        return tensor.uniform_(-bound, bound)


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    r"""The map :math:`x W^\top + b`, one for all signals or one a signal.

    Args:
        x: ``(*signals, n, in)``.
        weight: ``(*signals, out, in)``.
        bias: ``(*signals, out)``.
    """
    if spared(*weight.shape[-2:]):
        return _affine(x.double(), weight.double(), bias.double()).to(weight.dtype)
    return _affine(x, weight, bias)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.ndim == 2:
        return functional.linear(x, weight, bias)
    return x @ weight.mT + bias.unsqueeze(-2)


class Layer(nn.Module):
    r"""A layer :math:`\phi(\omega (W x + b))` (SIREN, Eq. 4, with the factor of Suppl. 1.5).

    Weights and biases start as PyTorch's ``nn.Linear`` does, from
    :math:`U(\pm 1/\sqrt{\text{fan-in}})`.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        activation: elementwise :math:`\phi`.
        omega: frequency factor :math:`\omega`, folded into the weights when applied.

    Attributes:
        weight: ``(*signals, out, in)``.
        bias: ``(*signals, out)``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: Callable[[Tensor], Tensor],
        omega: float = 1.0,
    ):
        super().__init__()
        self.activation = activation
        self.omega = omega
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        uniform_(self.weight, 1 / sqrt(in_features))
        uniform_(self.bias, 1 / sqrt(in_features))

    def preactivation(self, x: Tensor) -> Tensor:
        r"""The argument :math:`\omega (W x + b)` of the activation, ``(*signals, n, out)``."""
        if self.omega == 1:
            return affine(x, self.weight, self.bias)
        return affine(x, self.omega * self.weight, self.omega * self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.preactivation(x))

    def extra_repr(self) -> str:
        *signals, rows, columns = self.weight.shape
        stacked = f", signals={tuple(signals)}" if signals else ""
        name = getattr(self.activation, "__name__", repr(self.activation))
        return f"{columns}, {rows}, activation={name}, omega={self.omega:g}{stacked}"
