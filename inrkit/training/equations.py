r"""Losses of fields that solve an equation of waves.

Each is a mean of absolute residuals (the paper's sums, divided by the number of points). Signs are
those of :mod:`inrkit.solvers.helmholtz` and :mod:`inrkit.solvers.wave`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor, nn

from inrkit.calculus import hessian_trace, second_order
from inrkit.training.protocol import Batch

CUT = 1e-5  # density below which a Gaussian source counts as zero
SLOWEST = -0.999  # of squared slowness less one, so that it stays positive


@dataclass(frozen=True)
class Helmholtz:
    r"""Fields of Gaussian sources in an absorbing square (SIREN, Sec. 4.3; Suppl. Eq. 11).

    .. math:: L = \frac{1}{n} \sum_i \sum_s \lambda(x_i) \|R_s(x_i)\|_1, \qquad
              R_s = H \Phi_s - f_s,

    .. math:: H \Phi = \frac{e_2}{e_1} \Bigl( \partial_1^2 \Phi - \frac{e_1'}{e_1} \partial_1 \Phi
              \Bigr) + \frac{e_1}{e_2} \Bigl( \partial_2^2 \Phi - \frac{e_2'}{e_2} \partial_2 \Phi
              \Bigr) + e_1 e_2 k^2 m \, \Phi,

    .. math:: e_i = 1 - j a_0 \, (\max(|x_i| - 1 + L, 0) / L)^2, \qquad
              f_s = a \, e^{-|x - x_s|^2 / 2v} / (2 \pi v),

    :math:`\lambda` the source weight where f is not zero (above 1e-5 a) and one elsewhere,
    :math:`\|\cdot\|_1` the sum of absolute real and imaginary parts. The network has two outputs a
    source, real and imaginary. The paper writes :math:`H \Phi + f`, whose fields have the other
    sign; its source weight is n / 5000, its released code's n / 1000. Points are drawn anew each
    step: some round each source, with uniform angle and distance (the released code's are uniform
    in area, in a disc that holds the source alone), the rest uniform in the square.

    Args:
        wavenumber: k where m = 1.
        centres: :math:`x_s`, ``(s, 2)``; their device is where points are drawn.
        size: number n of points a step, all kinds together.
        source_weight: :math:`\lambda` at sources.
        variance: v.
        amplitude: a.
        near: points round each source.
        radius: largest distance of these; a reduced run needs half of all points, and one about as
            large as the square, for a field to leave its source.
        slowness_squared: the medium, m as a function of points ``(n, 2)``; one unless given.
        width, strength: L and :math:`a_0` of the absorbing layer.
    """

    wavenumber: float
    centres: Tensor
    size: int
    source_weight: float
    variance: float | Tensor = 1e-4
    amplitude: complex = 1 + 1j
    near: int = 100
    radius: float = 0.05
    slowness_squared: Callable[[Tensor], Tensor] | None = None
    width: float = 0.5
    strength: float = 5.0
    passes: ClassVar[int] = 5

    def __post_init__(self):
        if self.size < self.near * len(self.centres):
            raise ValueError(
                f"a step of {self.size} points cannot hold {self.near} in the disc of each of "
                f"{len(self.centres)} sources"
            )

    def sample(self, step: Tensor) -> Batch:
        """Points, those in discs first."""
        return (self.points(self.size),)

    def error(self, model: nn.Module, x: Tensor) -> Tensor:
        r"""The sum over sources of :math:`\lambda \|R\|_1`, ``(*signals, n)``."""
        return self.residual(second_order(model, x), x, self.medium(x))

    def points(self, size: int) -> Tensor:
        """Points of one step, ``(size, 2)``, those in discs first."""
        discs = self.centres[:, None] + _disc(self.centres[:, None], self.near, self.radius)
        rest = self.centres.new_empty(size - discs.shape[0] * discs.shape[1], 2).uniform_(-1, 1)
        return torch.cat([discs.flatten(0, 1).clamp(-1, 1), rest])

    def medium(self, x: Tensor) -> Tensor:
        """m at points, ``(n,)``."""
        return self.slowness_squared(x) if self.slowness_squared else torch.ones_like(x[:, 0])

    def residual(self, jets: tuple[Tensor, Tensor, Tensor], x: Tensor, m: Tensor) -> Tensor:
        r"""The sum over sources of :math:`\lambda \|R\|_1`, ``(*signals, n)``.

        Args:
            jets: values ``(*signals, n, 2 s)``, gradients and pure second derivatives.
            x: points, ``(n, 2)``.
            m: squared slowness, ``(n,)`` or ``(*signals, n)``.
        """
        squares = (x[:, None] - self.centres).square().sum(-1)
        density = torch.exp(-squares / (2 * self.variance)) / (2 * pi * self.variance)
        on = density > CUT
        f = self.amplitude * torch.where(on, density, 0.0)
        residual = torch.view_as_real(self.operator(jets, x, m) - f).abs().sum(-1)
        return (torch.where(on, self.source_weight, 1.0) * residual).sum(-1)

    def operator(self, jets: tuple[Tensor, Tensor, Tensor], x: Tensor, m: Tensor) -> Tensor:
        r""":math:`H \Phi`, complex, ``(*signals, n, s)``; arguments as for :meth:`residual`."""
        value, slopes, bends = jets
        beyond = (x.abs() - 1 + self.width).clamp(min=0) / self.width
        e = torch.complex(torch.ones_like(x), -self.strength * beyond**2)
        e_slope = -2j * self.strength / self.width * beyond * x.sign()
        result = (self.wavenumber**2 * e.prod(-1) * m).unsqueeze(-1) * _complex(value)
        for i, k in ((0, 1), (1, 0)):
            flux = _complex(bends[..., i]) - _at(e_slope / e, i) * _complex(slopes[..., i])
            result = result + _at(e, k) / _at(e, i) * flux
        return result


def perturbed(output: Tensor, x: Tensor, half_width: float = 0.75) -> Tensor:
    r"""Squared slowness from an output y of a network: :math:`1 + \max(y, -0.999)`, or 1 far out.

    Args:
        output: y, ``(*signals, n)``.
        x: points, ``(n, 2)``.
        half_width: of the square within which the slowness is sought.
    """
    inside = x.abs().amax(-1) <= half_width
    return torch.where(inside, 1 + output.clamp(min=SLOWEST), 1.0)


@dataclass(frozen=True)
class Pretraining:
    r"""The start of an inversion: fields in a known medium, and its slowness (SIREN, Eq. 13).

    .. math:: L = L_\mathrm{Helmholtz} + \frac{\mu}{n} \sum_i |1 + y(x_i) - m(x_i)|

    The network has two outputs a source, and y last.

    Args:
        equation: of the fields, with its medium m.
        slowness_weight: :math:`\mu`; the paper's is n.
    """

    equation: Helmholtz
    slowness_weight: float
    passes: ClassVar[int] = 5

    def sample(self, step: Tensor) -> Batch:
        """The equation's."""
        return self.equation.sample(step)

    def error(self, model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        """Both terms."""
        y, jets = _parted(second_order(model, x))
        m = self.equation.medium(x)
        return {
            "equation": self.equation.residual(jets, x, m),
            "slowness": self.slowness_weight * (1 + y - m).abs(),
        }


@dataclass(frozen=True)
class Inversion:
    r"""Fields and slowness from data at receivers, by a penalty (SIREN, Suppl. Eq. 14).

    .. math:: L = L_\mathrm{Helmholtz}(m) + \frac{\mu}{R} \sum_{r, s}
              \|\Phi_s(x_r) - d_{s r}\|_1, \qquad m = 1 + \max(y, -0.999) \text{ or } 1

    where :func:`perturbed` says. The network has two outputs a source, and y last; receivers are
    among the points at which the equation is asked for.

    Args:
        equation: of the fields; its medium is not used.
        receivers: :math:`x_r`, ``(R, 2)``.
        data: d, complex, ``(s, R)``.
        data_weight: :math:`\mu`; R for the n of the released code.
        half_width: of the square within which the slowness is sought.
    """

    equation: Helmholtz
    receivers: Tensor
    data: Tensor
    data_weight: float
    half_width: float = 0.75
    passes: ClassVar[int] = 5

    def __post_init__(self):
        if self.data.shape != (len(self.equation.centres), len(self.receivers)):
            raise ValueError(
                "data must be one row a source and one column a receiver, got shape "
                f"{tuple(self.data.shape)}"
            )

    def sample(self, step: Tensor) -> Batch:
        """Points, receivers first, real and imaginary data there, and whether there are any."""
        ears, size = self.receivers, self.equation.size
        points = torch.cat([ears, self.equation.points(size - len(ears))])
        data = points.new_zeros(size, 2 * len(self.data))
        data[: len(ears)] = torch.view_as_real(self.data.mT).flatten(-2)
        return points, data, torch.arange(size, device=points.device)[:, None] < len(ears)

    def error(self, model: nn.Module, x: Tensor, data: Tensor, heard: Tensor) -> dict[str, Tensor]:
        """Both terms; the mean over receivers as one over all points."""
        y, jets = _parted(second_order(model, x))
        weight = self.data_weight * self.equation.size / len(self.receivers)
        misfit = (jets[0] - data).abs().sum(-1)
        medium = perturbed(y, x, self.half_width)
        return {
            "equation": self.equation.residual(jets, x, medium),
            "data": torch.where(heard[:, 0], weight * misfit, 0),
        }


@dataclass(frozen=True)
class Wave:
    r"""A field of the wave equation that starts from rest (SIREN, Suppl. 5.4, 5.5).

    .. math:: L = \frac{1}{n} \sum_i |\partial_t^2 \Phi - c^2 \Delta \Phi|
              + \frac{1}{n_0} \sum_{t_i = 0}
              \bigl( \lambda_1 |\partial_t \Phi| + \lambda_2 |\Phi - f| \bigr)

    with coordinates :math:`(t, x_1, x_2)`; the paper's Eq. 15 and 18 print first derivatives.
    Points are drawn anew each step, t uniform in [0, T]. Half of the :math:`n_0` points at t = 0
    lie in a disc round the origin, and a share of the others in the disc that has grown with the
    front, with uniform angle and distance; the rest is uniform in the square :math:`[-1, 1]^2`.

    Args:
        initial: f, as a function of points ``(n, 2)``, gives ``(n, 1)``.
        size: number n of points a step, all kinds together.
        at_rest: number :math:`n_0` of points at t = 0.
        horizon: T; let it grow by :class:`~inrkit.training.Scheduled`.
        radius: of the disc that holds f.
        front: share of the later points within the radius plus c t.
        rate_weight: :math:`\lambda_1`.
        value_weight: :math:`\lambda_2`; the paper's n / 100 and n / 10 of sums are
            :math:`n_0 / 100` and :math:`n_0 / 10` here.
        c: speed.
        device: where points are drawn.
    """

    initial: Callable[[Tensor], Tensor]
    size: int
    at_rest: int
    horizon: float | Tensor
    radius: float = 0.25
    front: float = 0.0
    rate_weight: float = 20.0
    value_weight: float = 200.0
    c: float = 1.0
    device: torch.device | str = "cpu"
    passes: ClassVar[int] = 5

    def __post_init__(self):
        if not 0 < self.at_rest <= self.size:
            raise ValueError(
                f"of {self.size} points a step, {self.at_rest} cannot lie at t = 0; take 1 to all"
            )

    def sample(self, step: Tensor) -> Batch:
        """Points, those at t = 0 first, and whether they are."""
        t = self.horizon * torch.rand(self.size, 1, device=self.device)
        x = torch.empty(self.size, 2, device=self.device).uniform_(-1, 1)
        first, later = self.at_rest // 2, round(self.front * (self.size - self.at_rest))
        t[: self.at_rest] = 0
        x[:first] = _disc(x, first, self.radius)
        if later:
            x[-later:] = _disc(x, later, self.radius + self.c * t[-later:])
        at_rest = torch.arange(self.size, device=self.device)[:, None] < self.at_rest
        return torch.cat([t, x], dim=-1), at_rest

    def error(self, model: nn.Module, x: Tensor, at_rest: Tensor) -> dict[str, Tensor]:
        """The three terms; means over points at t = 0 as ones over all."""
        value, slopes, residual = hessian_trace(model, x, (1.0, -(self.c**2), -(self.c**2)))
        rate = slopes[..., 0].abs().sum(-1)
        error = (value - self.initial(x[:, 1:])).abs().sum(-1)
        share, on = self.size / self.at_rest, at_rest[:, 0]
        return {
            "equation": residual.abs().sum(-1),
            "rate": torch.where(on, share * self.rate_weight * rate, 0),
            "value": torch.where(on, share * self.value_weight * error, 0),
        }


def _disc(like: Tensor, size: int, radius: float | Tensor) -> Tensor:
    """Points in a disc round the origin, angle and distance uniform: densest in the middle.

    ``(*like.shape[:-2], size, 2)``
    """
    shape = (*like.shape[:-2], size, 1)
    r = radius * torch.rand(shape, dtype=like.dtype, device=like.device)
    angle = 2 * pi * torch.rand(shape, dtype=like.dtype, device=like.device)
    return torch.cat([r * torch.cos(angle), r * torch.sin(angle)], dim=-1)


def _complex(values: Tensor) -> Tensor:
    """Pairs of real and imaginary parts along the last axis as complex numbers."""
    return torch.view_as_complex(values.unflatten(-1, (-1, 2)).contiguous())


def _parted(jets: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """The last output's value, and the jets of all others."""
    value, slopes, bends = jets
    return value[..., -1], (value[..., :-1], slopes[..., :-1, :], bends[..., :-1, :])


def _at(pair: Tensor, axis: int) -> Tensor:
    """One of two columns, to stand beside ``(*signals, n, s)``."""
    return pair[:, axis, None]
