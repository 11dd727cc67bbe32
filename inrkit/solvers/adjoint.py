r"""Gradients through a fixed point.

At :math:`z^* = F(z^*; \theta)` with the Jacobian :math:`J = \partial F / \partial z`, a gradient g
of some loss by :math:`z^*` goes on to :math:`\theta` as

.. math:: \frac{\partial L}{\partial \theta} = \Bigl(\frac{\partial F}{\partial \theta}
          \Bigr)^{\!\top} v, \qquad (I - J^\top)\,v = g .

F is applied once more with a graph, at the fixed point taken as a constant; autograd then brings v
to everything that F is made of. A strategy says how v is found: :class:`Implicit` solves,
:class:`Truncated` takes a few terms of :math:`v = \sum_k (J^\top)^k g`, :class:`Unrolled` leaves
all to autograd.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd import Function

from inrkit.solvers.fixed_point import FORWARD, Map, Method, Solution, solve

Gradient = Callable[[Map, Tensor], Tensor]  # (F, z) -> F(z), with a way back


@dataclass(frozen=True)
class Implicit:
    r"""The exact gradient: :math:`v = J^\top v + g` is a fixed point too, and solved like one.

    Args:
        method, tolerance, limit, per_sample: those of :func:`~inrkit.solvers.solve`.
    """

    method: Method = FORWARD
    tolerance: float = 1e-3
    limit: int = 100
    per_sample: bool = False

    def __call__(self, f: Map, z: Tensor) -> Tensor:
        """F(z); warns in the backward pass where that does not converge."""
        return _attached(f, z, self._adjoint)

    def _adjoint(self, transposed: Map, g: Tensor) -> Tensor:
        rules = {"tolerance": self.tolerance, "limit": self.limit, "per_sample": self.per_sample}
        solution = solve(lambda v: g + transposed(v), g, self.method, **rules)
        if not solution.converged.all():
            warnings.warn(
                f"the gradient through a fixed point has not converged after {self.limit} steps: "
                f"relative residual {solution.residual.max().item():.1e}, wanted "
                f"{self.tolerance:.1e}",
                stacklevel=2,
            )
        return solution.value


@dataclass(frozen=True)
class Truncated:
    r"""The first terms :math:`v \approx \sum_{k=0}^{T} (J^\top)^k g`.

    Args:
        terms: number T of products with the Jacobian; 0 is called one-step or Jacobian-free, 1 is
            what (Implicit)^2's released code takes.
    """

    terms: int = 1

    def __call__(self, f: Map, z: Tensor) -> Tensor:
        """F(z)."""
        return _attached(f, z, self._adjoint) if self.terms else f(z.detach())

    def _adjoint(self, transposed: Map, g: Tensor) -> Tensor:
        v = g
        for _ in range(self.terms):
            v = g + transposed(v)
        return v


@dataclass(frozen=True)
class Unrolled:
    """Autograd through further applications of F: for comparison, its memory grows with them.

    Args:
        steps: number of applications; the gradient is that of ``Truncated(steps - 1)``.
    """

    steps: int

    def __call__(self, f: Map, z: Tensor) -> Tensor:
        """F applied ``steps`` times."""
        z = z.detach()
        for _ in range(self.steps):
            z = f(z)
        return z


TRUNCATED = Truncated()


def fixed_point(
    f: Map,
    z0: Tensor,
    *,
    method: Method = FORWARD,
    gradient: Gradient = TRUNCATED,
    tolerance: float = 1e-3,
    limit: int = 100,
    per_sample: bool = False,
) -> Solution:
    r"""A fixed point of F that can be differentiated by everything that F is made of.

    Its value is that of :func:`~inrkit.solvers.solve`, and one application of F more. The start has
    no influence on the gradient.

    Args:
        f: the map F, with parameters and data inside.
        z0: where to start, ``(*signals, n, width)``.
        gradient: :class:`Implicit`, :class:`Truncated` or :class:`Unrolled`.
        method, tolerance, limit, per_sample: those of :func:`~inrkit.solvers.solve`.
    """
    rules = {"tolerance": tolerance, "limit": limit, "per_sample": per_sample}
    solution = solve(f, z0, method, **rules)
    apply = gradient if torch.is_grad_enabled() else _plain
    return replace(solution, value=apply(f, solution.value))


def _plain(f: Map, z: Tensor) -> Tensor:
    return f(z)


def _attached(f: Map, z: Tensor, adjoint: Callable[[Map, Tensor], Tensor]) -> Tensor:
    z = z.detach().requires_grad_()
    return _Adjoint.apply(f(z), z, adjoint)


class _Adjoint(Function):
    """The identity, behind which gradients become adjoints."""

    @staticmethod
    def forward(ctx, fz, z, adjoint):
        ctx.save_for_backward(fz, z)
        ctx.adjoint = adjoint
        return fz.view_as(fz)

    @staticmethod
    def backward(ctx, g):
        fz, z = ctx.saved_tensors

        def transposed(v: Tensor) -> Tensor:
            return torch.autograd.grad(fz, z, v, retain_graph=True)[0]

        with torch.no_grad():
            v = ctx.adjoint(transposed, g)
        if torch.is_grad_enabled():  # this pass may be differentiated, in which v is no constant
            v = _Once.apply(v, fz)
        return v, None, None


class _Once(Function):
    """The adjoint v at F(z), for autograd a function of it that cannot be differentiated."""

    @staticmethod
    def forward(ctx, v, fz):
        return v.view_as(v)

    @staticmethod
    def backward(ctx, g):
        raise NotImplementedError(
            "a fixed point has first derivatives only; gradient=Unrolled(steps) has all"
        )
