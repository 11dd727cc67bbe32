"""The losses of the papers, each as where it is sampled and its error at each point."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from inrkit.calculus import gradient, hessian, laplacian
from inrkit.training.protocol import Batch, Errors, Samplable


class SquaredError:
    """Squared error of a field, or of an operator on it, as a mean over its channels."""

    operator: Callable[[nn.Module, Tensor], Tensor] | None = None

    def error(self, model: nn.Module, coords: Tensor, values: Tensor) -> Tensor:
        """At each point, ``(*signals, n)``."""
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
        return (found - values).square().mean(-1)


@dataclass(frozen=True)
class Regression(SquaredError):
    r"""A field is fitted to samples of a signal (SIREN, Sec. 3.1; SPDER, Eq. 4).

    .. math:: L = \frac{1}{n c} \sum_{i=1}^{n} \|D\Phi(x_i) - f(x_i)\|^2

    Args:
        coords: points x, ``(n, d)`` or ``(*signals, n, d)``.
        values: samples f(x), ``(n, c)`` or ``(*signals, n, c)``.
        operator: D, called as ``operator(model, coords)``; the identity unless given.
        passes: evaluations that the operator amounts to.

    Raises:
        ValueError: for other shapes, or values that are not finite.
    """

    coords: Tensor
    values: Tensor
    operator: Callable[[nn.Module, Tensor], Tensor] | None = None
    passes: int = 1

    def __post_init__(self):
        pair = (self.coords, self.values)
        if not all(isinstance(x, Tensor) and not x.is_complex() for x in pair):
            raise TypeError("coordinates and values are tensors of real numbers")
        shapes = tuple(self.coords.shape), tuple(self.values.shape)
        if min(map(len, shapes)) < 2 or shapes[0][-2] != shapes[1][-2]:
            raise ValueError(
                "coordinates (*signals, n, d) and as many values (*signals, n, c) are needed, got "
                f"shapes {shapes[0]} and {shapes[1]}"
            )
        if not torch.isfinite(self.values).all():
            raise ValueError("the signal holds values that are not finite numbers")

    def sample(self, step: Tensor) -> Batch:
        """All samples."""
        return self.coords, self.values


def gradient_regression(coords: Tensor, gradients: Tensor) -> Regression:
    r"""A field is fitted to samples of a signal's gradient alone (SIREN, Eq. 5, left).

    .. math:: L = \frac{1}{n c d} \sum_i \|\nabla\Phi(x_i) - \nabla f(x_i)\|^2

    The paper prints the norm; its released code squares it, and so do we.

    Args:
        coords: points, ``(n, d)``.
        gradients: ``(n, c, d)``.
    """
    return Regression(coords, gradients.flatten(-2), operator=_slopes, passes=2)


def laplacian_regression(coords: Tensor, laplacians: Tensor) -> Regression:
    r"""A field is fitted to samples of a signal's Laplacian alone (SIREN, Eq. 5, right).

    .. math:: L = \frac{1}{n c} \sum_i \|\Delta\Phi(x_i) - \Delta f(x_i)\|^2

    Args:
        coords: points, ``(n, d)``.
        laplacians: ``(n, c)``.
    """
    return Regression(coords, laplacians, operator=laplacian, passes=2 + coords.shape[-1])


def _slopes(model: nn.Module, coords: Tensor) -> Tensor:
    return gradient(model, coords)[1].flatten(-2)


@dataclass(frozen=True)
class Minibatch(SquaredError):
    """Regression at ``size`` samples of a signal, drawn anew each step."""

    signal: Samplable
    size: int

    def sample(self, step: Tensor) -> Batch:
        """Coordinates and values."""
        return self.signal.sample(self.size)


@dataclass(frozen=True)
class Blurred(SquaredError):
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

    def sample(self, step: Tensor) -> Batch:
        """A point within each pixel's kernel, and the pixel's value."""
        tent = torch.rand_like(self.coords) + torch.rand_like(self.coords) - 1
        return self.coords + tent * self.spacing, self.values


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

    def sample(self, step: Tensor) -> Batch:
        """Points."""
        return (2 * torch.rand(self.size, self.dimensions, device=self.device) - 1,)

    def error(self, model: nn.Module, points: Tensor) -> Tensor:
        """The seminorm there."""
        return self.seminorm(model, points)


def total_variation(size: int, dimensions: int, device: torch.device | str = "cpu") -> Prior:
    r"""The prior of few edges, :math:`\frac{1}{n} \sum_i \|\nabla\Phi(x_i)\|_1` (SIREN, Eq. 21).

    Args:
        size: number n of points; SIREN takes half as many as there are pixels.
        dimensions: d.
        device: where points are drawn.
    """
    return Prior(_sum_of_slopes, size, dimensions, 2, device)


def hessian_frobenius(size: int, dimensions: int, device: torch.device | str = "cpu") -> Prior:
    r"""The prior of few bends, :math:`\frac{1}{n} \sum_i \|\mathrm{Hess}\,\Phi(x_i)\|_F`.

    Over all channels (SIREN, Eq. 22); arguments are those of :func:`total_variation`.
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

    def sample(self, step: Tensor) -> Batch:
        """Points, those of the cloud first, normals there, and whether they lie on the surface."""
        chosen = torch.randint(len(self.points), (self.size,), device=self.points.device)
        on = self.points[chosen]
        points = torch.cat([on, 2 * torch.rand_like(on) - 1])
        normals = torch.cat([self.normals[chosen], torch.zeros_like(on)])
        return points, normals, torch.arange(len(points), device=on.device)[:, None] < self.size

    def error(self, model: nn.Module, points: Tensor, normals: Tensor, on: Tensor) -> Errors:
        """The four terms, weighted."""
        value, slopes = gradient(model, points)
        distance, slopes, on = value[..., 0], slopes[..., 0, :], on[..., 0]
        facing = torch.cosine_similarity(slopes, normals, dim=-1)
        off = torch.exp(-self.alpha * distance.abs())
        return {
            "eikonal": self.eikonal * (torch.linalg.vector_norm(slopes, dim=-1) - 1).abs(),
            "surface": torch.where(on, self.surface * distance.abs(), 0),
            "normal": torch.where(on, self.normal * (1 - facing), 0),
            "off surface": torch.where(on, 0, self.off_surface * off),
        }
