r"""Multiplicative filter networks, and the cells that they share with implicit networks.

A cell is a function :math:`F(z; x)` of a state and of coordinates, which enter through filters. An
explicit network applies it once, to the state zero; an implicit one
(:mod:`inrkit.fields.implicit`) seeks its fixed point. Both have the same parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor, nn

from inrkit.fields.activations import identity
from inrkit.fields.encodings import FAR
from inrkit.fields.layers import Layer, affine, uniform_
from inrkit.fields.normalization import SpectralNorm

Normalization = Callable[[Tensor], nn.Module]


class FourierFilter(nn.Module):
    r"""Sines of random frequency, :math:`g(x) = \sin(U x + \phi)` (Fathony et al. 2021).

    U starts from :math:`U(\pm s/\sqrt d)`, phases :math:`\phi` from :math:`U(-\pi, \pi)`.

    Args:
        in_features: number of coordinates d.
        width: number of sines.
        scale: s.
    """

    def __init__(self, in_features: int, width: int, *, scale: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(uniform_(torch.empty(width, in_features), _bound(in_features)))
        self.phase = nn.Parameter(uniform_(torch.empty(width), pi))
        with torch.no_grad():
            self.weight *= scale

    def forward(self, coords: Tensor) -> Tensor:
        return torch.sin(affine(coords, self.weight, self.phase))


class GaborFilter(FourierFilter):
    r"""Sines within Gaussian windows (Fathony et al. 2021).

    .. math:: g_i(x) = \sin(u_i^\top x + \phi_i)\, e^{-\gamma_i \|x - \mu_i\|^2 / 2}

    Centres :math:`\mu_i` start from U(-1, 1)^d, precisions :math:`\gamma_i` from
    :math:`\Gamma(\alpha, 1)`, and the frequencies are those of a :class:`FourierFilter` times
    :math:`\sqrt{\gamma_i}`. A precision that training drives below zero counts as zero, so that
    :math:`|g| \le 1` always.

    Args:
        in_features: number of coordinates d.
        width: number of filters.
        scale: of the frequencies.
        alpha: shape of the Gamma distribution.
    """

    def __init__(self, in_features: int, width: int, *, scale: float = 1.0, alpha: float = 6.0):
        super().__init__(in_features, width, scale=scale)
        self.centres = nn.Parameter(uniform_(torch.empty(width, in_features), 1.0))
        self.precision = nn.Parameter(torch.distributions.Gamma(alpha, 1.0).sample((width,)))
        with torch.no_grad():
            self.weight *= self.precision.sqrt().unsqueeze(-1)

    def forward(self, coords: Tensor) -> Tensor:
        # |x - mu|^2 expanded, so that no (n, width, d) tensor is formed
        squared = (coords * coords).sum(-1, keepdim=True) - 2 * (coords @ self.centres.mT)
        squared = squared + (self.centres**2).sum(-1).unsqueeze(-2)
        exponent = squared * (0.5 * self.precision).unsqueeze(-2)
        exponent = torch.where(exponent > 0, exponent, 0)  # below zero by training or rounding
        # far tails would be subnormal numbers, far slower to multiply with
        window = torch.exp(-torch.where(exponent < FAR, exponent, FAR))
        return super().forward(coords) * window


def _bound(in_features: int) -> float:
    return 1 / sqrt(in_features)


class Hidden(nn.Module):
    r"""The linear map :math:`\bar W z + b` from state to state, its weight normalized.

    The weight starts from :math:`U(\pm\sqrt{c/h})` with h the width and c the weight scale, biases
    from :math:`U(\pm B)`.

    Args:
        width: h.
        normalization: made for the weight, gives the :math:`\bar W` that is applied.
        weight_scale: c.
        bias_range: B; :math:`1/\sqrt h` unless given.
    """

    def __init__(
        self,
        width: int,
        *,
        normalization: Normalization,
        weight_scale: float = 1.0,
        bias_range: float | None = None,
    ):
        super().__init__()
        bias_range = _bound(width) if bias_range is None else bias_range
        self.weight = nn.Parameter(uniform_(torch.empty(width, width), sqrt(weight_scale / width)))
        self.bias = nn.Parameter(uniform_(torch.empty(width), bias_range))
        self.normalization = normalization(self.weight)

    def matrix(self) -> Tensor:
        r"""The :math:`\bar W` that is applied."""
        return self.normalization(self.weight)


@dataclass(frozen=True)
class Conditioned:
    """A cell as a function of the state alone: filters and weights at given coordinates.

    Attributes:
        entry: what is added to the state first, ``(*signals, n, width)``.
        layers: weight, bias and filter of each layer.
        join: how a filter acts on the state.
    """

    entry: Tensor
    layers: list[tuple[Tensor, Tensor, Tensor]]
    join: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, z: Tensor | float) -> Tensor:
        z = z + self.entry
        for weight, bias, given in self.layers:
            z = self.join(affine(z, weight, bias), given)
        return z


class Cell(nn.Module):
    r"""A function :math:`F(z; x)`, in (Implicit)^2's notation for one layer.

    .. math:: F(z; x) &= (\bar W (z + g_0(x)) + b) \circ g_1(x), \\
              F(z; x) &= \sin(\bar W (z + g_0(x)) + b + U x)

    (Eq. 1 and 8 of its supplement); more layers go on with their own :math:`\bar W`, b and filter.

    Args:
        entry: the filter :math:`g_0`.
        hidden: the linear maps of the state.
        filters: one for each of them, called with coordinates.
        join: the product, or :func:`sine_of_sum`.
    """

    def __init__(
        self,
        entry: nn.Module,
        hidden: list[Hidden],
        filters: list[nn.Module],
        join: Callable[[Tensor, Tensor], Tensor],
    ):
        super().__init__()
        self.entry = entry
        self.hidden = nn.ModuleList(hidden)
        self.filters = nn.ModuleList(filters)
        self.join = join

    def conditioned(self, coords: Tensor) -> Conditioned:
        """The cell at coordinates ``(*signals, n, d)``."""
        layers = [
            (hidden.matrix(), hidden.bias, given(coords))
            for hidden, given in zip(self.hidden, self.filters, strict=True)
        ]
        return Conditioned(self.entry(coords), layers, self.join)

    def extra_repr(self) -> str:
        return f"join={self.join.__name__}"


def sine_of_sum(z: Tensor, injected: Tensor) -> Tensor:
    """How coordinates enter a SIREN cell."""
    return torch.sin(z + injected)


class Explicit(nn.Module):
    r"""A network that applies its cell once, to the state zero: :math:`\Phi(x) = V F(0; x) + c`.

    V and c start from :math:`U(\pm 1/\sqrt h)`.

    Args:
        cell: F.
        width: number h of its states.
        out_features: number of values.
    """

    def __init__(self, cell: Cell, width: int, out_features: int):
        super().__init__()
        self.cell = cell
        self.output = Layer(width, out_features, activation=identity)

    def forward(self, coords: Tensor) -> Tensor:
        return self.output(self.cell.conditioned(coords)(0.0))


class FourierMFN(Explicit):
    r"""Multiplicative filter network of sines (Fathony et al. 2021).

    .. math:: z_0 &= g_0(x), \\
              z_i &= (\bar W_i z_{i-1} + b_i) \circ g_i(x), \\
              \Phi(x) &= V z_L + c

    As (Implicit)^2 has it, with which it shares the defaults: spectrally normalized.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a layer.
        layers: number L of linear maps between states; there are L + 1 filters.
        scale: of the frequencies, shared out as :math:`1/\sqrt{L+1}`.
        weight_scale: c of :class:`Hidden`.
        normalization: of the W; ``torch.nn.Identity`` for none, as in the original.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        layers: int = 1,
        scale: float = 256.0,
        weight_scale: float = 1.0,
        normalization: Normalization = SpectralNorm,
    ):
        share = scale / sqrt(layers + 1)
        filters = [FourierFilter(in_features, width, scale=share) for _ in range(layers + 1)]
        hidden = _hidden(layers, width, weight_scale, normalization)
        super().__init__(Cell(filters[0], hidden, filters[1:], torch.mul), width, out_features)


class GaborMFN(Explicit):
    r"""Multiplicative filter network of windowed sines (Fathony et al. 2021).

    The equations are those of :class:`FourierMFN`, with a :class:`GaborFilter`.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a layer.
        layers: number L of linear maps between states; there are L + 1 filters.
        scale: of the frequencies, shared out as :math:`1/\sqrt{L+1}`.
        alpha: of the windows' precisions in the layers, shared out as :math:`1/(L+1)`.
        entry_alpha: the same of the entry filter, which (Implicit)^2's released code leaves at the
            default of Fathony et al. while it gives 3 to the layers.
        weight_scale: c of :class:`Hidden`.
        normalization: of the W; ``torch.nn.Identity`` for none, as in the original.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        layers: int = 1,
        scale: float = 256.0,
        alpha: float = 3.0,
        entry_alpha: float = 6.0,
        weight_scale: float = 1.0,
        normalization: Normalization = SpectralNorm,
    ):
        share, alphas = scale / sqrt(layers + 1), [entry_alpha] + [alpha] * layers
        filters = [
            GaborFilter(in_features, width, scale=share, alpha=a / (layers + 1)) for a in alphas
        ]
        hidden = _hidden(layers, width, weight_scale, normalization)
        super().__init__(Cell(filters[0], hidden, filters[1:], torch.mul), width, out_features)


class InjectedSIREN(Explicit):
    r"""A SIREN that is given the coordinates at every layer ((Implicit)^2, "input inj.").

    .. math:: z_0 &= \sin(U_0 x + \phi_0), \\
              z_i &= \sin(\bar W_i z_{i-1} + b_i + U_i x), \\
              \Phi(x) &= V z_L + c

    There is no :math:`\omega_0`: U starts as in :class:`FourierFilter`, W as in :class:`Hidden`,
    and biases from :math:`U(-\pi, \pi)`.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a layer.
        layers: number L of linear maps between states.
        scale: of the U, shared out as :math:`1/\sqrt{L+1}`.
        normalization: of the W; ``torch.nn.Identity`` for none.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        layers: int = 1,
        scale: float = 256.0,
        normalization: Normalization = SpectralNorm,
    ):
        share = scale / sqrt(layers + 1)
        entry = FourierFilter(in_features, width, scale=share)
        injections = [Injection(in_features, width, scale=share) for _ in range(layers)]
        hidden = _hidden(layers, width, 1.0, normalization, pi)
        super().__init__(Cell(entry, hidden, injections, sine_of_sum), width, out_features)


class Injection(nn.Module):
    r"""The coordinates' part U x of a SIREN layer, U from :math:`U(\pm s/\sqrt d)`.

    Args:
        in_features: number of coordinates d.
        width: number of sines.
        scale: s.
    """

    def __init__(self, in_features: int, width: int, *, scale: float):
        super().__init__()
        bound = scale * _bound(in_features)
        self.weight = nn.Parameter(uniform_(torch.empty(width, in_features), bound))

    def forward(self, coords: Tensor) -> Tensor:
        return coords @ self.weight.mT


def _hidden(layers, width, weight_scale, normalization, bias_range=None) -> list[Hidden]:
    settings = {"normalization": normalization, "weight_scale": weight_scale}
    return [Hidden(width, bias_range=bias_range, **settings) for _ in range(layers)]
