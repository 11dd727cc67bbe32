r"""Losses: one small callable an equation.

A loss knows its points and can evaluate itself on a few of them. ``loss(model, rows)`` returns the
share of those rows, such that the shares of all rows add up to the loss: this is what lets
:func:`~inrkit.training.fit` take one full-batch step in chunks that stay in cache.

A loss at random points has ``draw()`` instead, which returns the loss at the points of one step.
One that changes as training goes on has ``at(step)``, which returns the loss as it is then.
Derivatives in a loss are computed with the value in one pass (:mod:`inrkit.calculus`); ``passes``
says how many plain evaluations that amounts to: 2 for a gradient, which is a reverse pass, and the
number of Taylor coefficients where these are carried along.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from inrkit.calculus import gradient, hessian, laplacian


class Loss(Protocol):
    """What :func:`~inrkit.training.fit` asks of a loss: its points, and its share on a few of them.

    ``passes``, ``draw()`` and ``at(step)`` are optional, as above.
    """

    def __len__(self) -> int: ...

    def __call__(self, model: nn.Module, rows: slice) -> Tensor: ...


class Samplable(Protocol):
    """What can be sampled at random: ``sample(n)`` gives coordinates and values there."""

    def sample(self, n: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class SquaredError:
    r"""Mean squared error of a field, or of an operator on it, at given points.

    .. math:: L = \frac{1}{n c} \sum_{i=1}^{n} \|D\Phi(x_i) - f(x_i)\|^2

    Args:
        coords: points x, ``(n, d)`` or ``(*signals, n, d)``.
        values: samples f(x), ``(n, c)`` or ``(*signals, n, c)``.
        operator: D, called as ``operator(model, coords)``; the identity unless given.
        passes: evaluations that the operator amounts to.
    """

    coords: Tensor
    values: Tensor
    operator: Callable[[nn.Module, Tensor], Tensor] | None = None
    passes: int = 1

    def __post_init__(self):
        if not all(
            isinstance(x, Tensor) and not x.is_complex() for x in (self.coords, self.values)
        ):
            raise TypeError("coordinates and values are tensors of real numbers")
        shapes = tuple(self.coords.shape), tuple(self.values.shape)
        if min(map(len, shapes)) < 2 or shapes[0][-2] != shapes[1][-2]:
            raise ValueError(
                "coordinates (*signals, n, d) and as many values (*signals, n, c) are needed, got "
                f"shapes {shapes[0]} and {shapes[1]}"
            )

    def __len__(self) -> int:
        return self.coords.shape[-2]

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        """This share of the loss, ``(*signals)``."""
        coords, values = self.coords[..., rows, :], self.values[..., rows, :]
        found = self.operator(model, coords) if self.operator else model(coords)
        if not isinstance(found, Tensor) or found.is_complex():
            raise TypeError(
                "the network gives one tensor of real numbers (*signals, n, c), this one gives "
                + ("complex numbers" if isinstance(found, Tensor) else str(type(found)))
            )
        if found.shape[-2:] != values.shape[-2:]:
            raise ValueError(
                f"the network gives shape {tuple(found.shape)} where the signal has "
                f"{tuple(values.shape)}; points and channels must be as many"
            )
        return (found - values).square().sum((-2, -1)) / (len(self) * self.values.shape[-1])


@dataclass(frozen=True)
class Regression(SquaredError):
    """A field is fitted to samples of a signal (SIREN, Sec. 3.1; SPDER, Eq. 4)."""

    def __post_init__(self):
        super().__post_init__()
        if not torch.isfinite(self.values).all():
            raise ValueError("the signal holds values that are not finite numbers")


def gradient_regression(coords: Tensor, gradients: Tensor) -> Regression:
    r"""A field is fitted to samples of a signal's gradient alone (SIREN, Eq. 5, left).

    .. math:: L = \frac{1}{n c d} \sum_i \|\nabla\Phi(x_i) - \nabla f(x_i)\|^2

    The paper prints the norm; its released code squares it, and so do we.

    Args:
        coords: points, ``(n, d)``.
        gradients: ``(n, c, d)``.
    """
    return Regression(coords, gradients.flatten(-2), _slopes, passes=2)


def laplacian_regression(coords: Tensor, laplacians: Tensor) -> Regression:
    r"""A field is fitted to samples of a signal's Laplacian alone (SIREN, Eq. 5, right).

    .. math:: L = \frac{1}{n c} \sum_i \|\Delta\Phi(x_i) - \Delta f(x_i)\|^2

    Args:
        coords: points, ``(n, d)``.
        laplacians: ``(n, c)``.
    """
    return Regression(coords, laplacians, laplacian, passes=2 + coords.shape[-1])


def _slopes(model: nn.Module, coords: Tensor) -> Tensor:
    return gradient(model, coords)[1].flatten(-2)


@dataclass(frozen=True)
class Minibatch:
    """Regression at ``size`` samples of a signal, drawn anew each step."""

    signal: Samplable
    size: int

    def __len__(self) -> int:
        return self.size

    def draw(self) -> SquaredError:
        """The loss of one step."""
        return SquaredError(*self.signal.sample(self.size))


@dataclass(frozen=True)
class Blurred:
    r"""Regression on pixels as averages of the field over a kernel (SIREN, Eq. 19, 23, 24).

    .. math:: L = \frac{1}{n c} \sum_i \|(h * \Phi)(x_i) - b_i\|^2, \qquad
              (h * \Phi)(x) \approx \Phi(x + \xi), \quad \xi \sim h

    The kernel is the tent :math:`h(\xi) = \prod_k \max(0, 1 - |\xi_k| / s_k) / s_k`, whose integral
    is one (the factor 1/2 that the paper prints before it would make it one half); one point a
    pixel and step, as in the paper.

    Args:
        coords: pixels' centres, ``(n, d)``.
        values: ``(n, c)``.
        spacing: distance s between pixels along every axis, ``(d,)``.
    """

    coords: Tensor
    values: Tensor
    spacing: Tensor

    def __len__(self) -> int:
        return self.coords.shape[-2]

    def draw(self) -> SquaredError:
        """The loss of one step."""
        tent = torch.rand_like(self.coords) + torch.rand_like(self.coords) - 1
        return SquaredError(self.coords + tent * self.spacing, self.values)


@dataclass(frozen=True)
class Prior:
    """Mean of a seminorm of the field at random points of :math:`[-1, 1]^d`, drawn anew each step.

    Args:
        seminorm: called as ``seminorm(model, points)``, gives ``(*signals, n)``.
        size: number n of points.
        dimensions: d.
        passes: evaluations that the seminorm amounts to.
        device: where points are drawn.
    """

    seminorm: Callable[[nn.Module, Tensor], Tensor]
    size: int
    dimensions: int
    passes: int
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return self.size

    def draw(self) -> "PointwiseMean":
        """The loss of one step."""
        points = 2 * torch.rand(self.size, self.dimensions, device=self.device) - 1
        return PointwiseMean(self.seminorm, points, self.passes)


@dataclass(frozen=True)
class PointwiseMean:
    """Mean of a function of the field over given points ``(n, d)``."""

    function: Callable[[nn.Module, Tensor], Tensor]
    points: Tensor
    passes: int = 1

    def __len__(self) -> int:
        return self.points.shape[-2]

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        """This share of the loss, ``(*signals)``."""
        return self.function(model, self.points[..., rows, :]).sum(-1) / len(self)


def total_variation(size: int, dimensions: int, device: torch.device | str = "cpu") -> Prior:
    r"""The prior of few edges, :math:`\frac{1}{n} \sum_i \|\nabla\Phi(x_i)\|_1` (SIREN, Eq. 21).

    Args:
        size: number n of points; SIREN takes half as many as there are pixels.
        dimensions: d.
        device: where points are drawn.
    """
    return Prior(_sum_of_slopes, size, dimensions, 2, device)


def hessian_frobenius(size: int, dimensions: int, device: torch.device | str = "cpu") -> Prior:
    r"""The prior of few bends, :math:`\frac{1}{n} \sum_i \|\mathrm{Hess}\,\Phi(x_i)\|_F`
    (SIREN, Eq. 22), over all channels.

    Arguments are those of :func:`total_variation`.
    """
    passes = (dimensions + 1) * (dimensions + 2) // 2
    return Prior(_bend, size, dimensions, passes, device)


def _sum_of_slopes(model: nn.Module, points: Tensor) -> Tensor:
    return gradient(model, points)[1].abs().sum((-2, -1))


def _bend(model: nn.Module, points: Tensor) -> Tensor:
    return torch.linalg.vector_norm(hessian(model, points), dim=(-3, -2, -1))


@dataclass(frozen=True)
class SignedDistance:
    r"""A signed distance function from an oriented point cloud (SIREN, Eq. 6, weights of Eq. 9).

    .. math:: L = \lambda_1 \bigl| |\nabla\Phi| - 1 \bigr|
              + \mathbf{1}_{\Omega_0} \bigl( \lambda_2 |\Phi|
              + \lambda_3 (1 - \cos\angle(\nabla\Phi, n)) \bigr)
              + \mathbf{1}_{\Omega \setminus \Omega_0} \lambda_4\, e^{-\alpha |\Phi|}

    as a mean over ``size`` points of the cloud and as many of :math:`U(-1, 1)^3`, drawn anew each
    step. The normal's term is a cosine, as in the released code; the paper prints the inner
    product, which is the same where the gradient has length one. It prints one weight for
    :math:`\lambda_2` and :math:`\lambda_4`; the code has the 100 for the latter.

    Args:
        points: on the surface :math:`\Omega_0`, ``(N, 3)`` in [-1, 1].
        normals: outward unit vectors there, ``(N, 3)``.
        size: points of the cloud a step.
        eikonal, surface, normal, off_surface: :math:`\lambda_1` to :math:`\lambda_4`.
        alpha: decay :math:`\alpha`.
    """

    points: Tensor
    normals: Tensor
    size: int
    eikonal: float = 50.0
    surface: float = 3000.0
    normal: float = 100.0
    off_surface: float = 100.0
    alpha: float = 100.0
    passes: ClassVar[int] = 2

    def __len__(self) -> int:
        return 2 * self.size

    def draw(self) -> "_SignedDistanceStep":
        """The loss of one step."""
        chosen = torch.randint(len(self.points), (self.size,), device=self.points.device)
        on = self.points[chosen]
        return _SignedDistanceStep(
            self, torch.cat([on, 2 * torch.rand_like(on) - 1]), self.normals[chosen]
        )


@dataclass(frozen=True)
class _SignedDistanceStep:
    """One step's points, those of the surface first, and the normals there."""

    loss: SignedDistance
    points: Tensor
    normals: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        value, slopes = gradient(model, self.points[rows])
        distance, slopes, w = value[..., 0], slopes[..., 0, :], self.loss
        on = max(
            min(rows.stop, w.size) - rows.start, 0
        )  # how many of these rows lie on the surface
        normals = self.normals[rows.start : rows.start + on]
        length = torch.linalg.vector_norm(slopes, dim=-1)
        facing = torch.cosine_similarity(slopes[..., :on, :], normals, dim=-1)
        total = w.eikonal * (length - 1).abs().sum(-1)
        total = total + w.surface * distance[..., :on].abs().sum(-1)
        total = total + w.normal * (1 - facing).sum(-1)
        off = torch.exp(-w.alpha * distance[..., on:].abs())
        return (total + w.off_surface * off.sum(-1)) / len(self)


@dataclass(frozen=True)
class Sum:
    r"""Several losses at once, :math:`\sum_k \lambda_k L_k`, such as data and a prior.

    Args:
        terms: the losses :math:`L_k`, each with its own points.
        weights: :math:`\lambda_k`.
    """

    terms: tuple[Loss, ...]
    weights: tuple[float, ...]

    def __len__(self) -> int:
        return sum(map(len, self.terms))

    @property
    def passes(self) -> int:
        """Of the term that computes most."""
        return max(passes(term) for term in self.terms)

    def at(self, step: Tensor) -> "Sum":
        """The loss as it is at a step."""
        return replace(self, terms=tuple(at(term, step) for term in self.terms))

    def draw(self) -> "Sum":
        """The loss of one step."""
        return replace(self, terms=tuple(map(drawn, self.terms)))

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        """This share of the loss, ``(*signals)``: the rows of all terms, one after the other."""
        total, first = 0, 0
        for term, weight in zip(self.terms, self.weights, strict=True):
            start, stop = max(rows.start - first, 0), min(rows.stop - first, len(term))
            if start < stop:
                total = total + weight * term(model, slice(start, stop))
            first += len(term)
        return total


def at(loss: Loss, step: Tensor) -> Loss:
    """The loss as it is at a step, a number on its device: itself, where it does not change."""
    return loss.at(step) if hasattr(loss, "at") else loss


def drawn(loss: Loss) -> Loss:
    """The loss of one step: at new points where they are random."""
    return loss.draw() if hasattr(loss, "draw") else loss


def passes(loss: Loss) -> int:
    """Plain evaluations that one of a loss amounts to."""
    return getattr(loss, "passes", 1)
