r"""Fixed points :math:`z^* = F(z^*)`: one loop, and methods that are data plus one step.

Points are ``(*signals, n, width)``. Every row is a problem of its own, since F acts on each sample
alone: methods keep the history of rows, and take no sums over them. Only the rule that stops the
loop may look at all rows of a signal together. Signals never mix.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    r"""Where a solver ended.

    One number a signal, ``(*signals)``, where all its rows stop together, or one a sample,
    ``(*signals, n)``.

    Attributes:
        value: the last :math:`F(z)` of each, ``(*signals, n, width)``.
        residual: :math:`\|F(z) - z\| / \|F(z)\|` there.
        steps: applications of F.
        converged: whether the residual came down to the tolerance.
    """

    value: Tensor = field(repr=False)
    residual: Tensor
    steps: Tensor
    converged: Tensor


class Method(Protocol):
    """How the next point follows from what is known."""

    def begin(self, z: Tensor) -> object:
        """What the method remembers, empty, for points in the shape of ``z``."""

    def step(self, z: Tensor, fz: Tensor, memory: object) -> Tensor:
        """The next point after ``z``, which F takes to ``fz``."""


@dataclass(frozen=True)
class Forward:
    r"""Forward iteration :math:`z_{k+1} = F(z_k)`: linear convergence where F is contractive."""

    def begin(self, z: Tensor) -> None:
        """Nothing to remember."""

    def step(self, z: Tensor, fz: Tensor, memory: None) -> Tensor:
        """The next point."""
        return fz


class _History:
    """The last differences between points and between residuals, ``(*signals, n, memory, width)``.

    Places that are not filled yet hold zeros.
    """

    def __init__(self, memory: int, z: Tensor):
        shape = (*z.shape[:-1], memory, z.shape[-1])
        self.first, self.second = z.new_zeros(shape), z.new_zeros(shape)
        self.last: tuple[Tensor, Tensor] | None = None
        self.count = 0

    def differences(self, z: Tensor, change: Tensor) -> tuple[Tensor, Tensor] | None:
        """Of ``z`` and ``change`` to those of the call before."""
        before, self.last = self.last, (z, change)
        return before and (z - before[0], change - before[1])

    def append(self, first: Tensor, second: Tensor) -> None:
        """In the place of the oldest pair."""
        self.put(first, second)
        self.count += 1

    def put(self, first: Tensor | float, second: Tensor | float) -> None:
        """What the next :meth:`append` will write over."""
        place = self.count % self.first.shape[-2]
        self.first[..., place, :], self.second[..., place, :] = first, second


@dataclass(frozen=True)
class Anderson:
    r"""Anderson's acceleration: the residuals of the last steps, combined to the least.

    With :math:`g_k = F(z_k) - z_k` and the last m differences :math:`\Delta Z, \Delta G` of points
    and residuals as columns,

    .. math:: z_{k+1} = F(z_k) - (\Delta Z + \Delta G)\,\gamma, \qquad
              \gamma = \arg\min_\gamma \|g_k - \Delta G\,\gamma\|^2
              + \lambda \textstyle\sum_i \|\Delta G_i\|^2 \gamma_i^2

    Walker and Ni 2011; the ridge is SciPy's :math:`w_0^2`. A ridge measured by the differences
    themselves can slow the method down, never stop it: without differences it is forward iteration.

    Args:
        memory: number of differences m.
        ridge: :math:`\lambda`.
    """

    memory: int = 5
    ridge: float = 1e-4

    def begin(self, z: Tensor) -> _History:
        """Differences of points, and of residuals."""
        return _History(self.memory, z)

    def step(self, z: Tensor, fz: Tensor, memory: _History) -> Tensor:
        """The next point."""
        change = fz - z
        new = memory.differences(z, change)
        if new is None:
            return fz
        memory.append(*new)
        points, residuals = memory.first, memory.second
        products = residuals @ residuals.mT
        squares = products.diagonal(dim1=-2, dim2=-1)
        scale = torch.where(squares > 0, squares, 1).rsqrt()
        normal = scale.unsqueeze(-1) * products * scale.unsqueeze(-2)
        normal = torch.where(_diagonal(normal), 1 + self.ridge, normal)
        right = scale.unsqueeze(-1) * (residuals @ change.unsqueeze(-1))
        weights = scale.unsqueeze(-1) * torch.linalg.solve_ex(normal, right).result
        return fz - ((points + residuals).mT @ weights).squeeze(-1)


def _diagonal(matrices: Tensor) -> Tensor:
    return torch.eye(matrices.shape[-1], dtype=torch.bool, device=matrices.device)


@dataclass(frozen=True)
class Broyden:
    r"""Broyden's first method for :math:`g(z) = F(z) - z = 0`, with limited memory.

    The inverse Jacobian starts as :math:`H = -I`, and of its updates of rank one the last m stay:

    .. math:: z_{k+1} = z_k - H g_k, \qquad
              H \leftarrow H + \frac{(\Delta z - H \Delta g)\,\Delta z^\top H}
                                    {\Delta z^\top H\,\Delta g}

    Broyden 1965.

    Args:
        memory: number of updates m.
    """

    memory: int = 5

    def begin(self, z: Tensor) -> _History:
        """Left and right factors of the updates."""
        return _History(self.memory, z)

    def step(self, z: Tensor, fz: Tensor, memory: _History) -> Tensor:
        """The next point."""
        change = fz - z
        new = memory.differences(z, change)
        if new is not None:
            moved, changed = new
            memory.put(0.0, 0.0)  # the oldest update goes before the new one is formed
            right = _low_rank(memory.second, memory.first, moved)
            left = moved - _low_rank(memory.first, memory.second, changed)
            product = (right * changed).sum(-1, keepdim=True)
            known = product != 0  # a row that stands still has nothing to tell
            left = torch.where(known, left / torch.where(known, product, 1), 0)
            memory.append(left, right)
        return z - _low_rank(memory.first, memory.second, change)


def _low_rank(left: Tensor, right: Tensor, x: Tensor) -> Tensor:
    r"""The product :math:`(-I + \sum_i l_i r_i^\top)\,x` of each row."""
    return (left.mT @ (right @ x.unsqueeze(-1))).squeeze(-1) - x


FORWARD = Forward()


def solve(
    f: Map,
    z0: Tensor,
    method: Method = FORWARD,
    *,
    tolerance: float = 1e-3,
    limit: int = 100,
    per_sample: bool = False,
) -> Solution:
    r"""Iterate until :math:`\|F(z) - z\| \le \tau \|F(z)\|`, without recording a graph.

    A problem that has converged keeps its value while others go on, so that signals, and samples
    where they stop on their own, end as they would alone. One that has not converged after
    ``limit`` steps says so in the solution; with a limit of 0, F is not applied at all.

    Args:
        f: the map F, any function that treats each sample on its own.
        z0: where to start, ``(*signals, n, width)``.
        method: how to go on, see :class:`Forward`, :class:`Anderson`, :class:`Broyden`.
        tolerance: :math:`\tau`; the default is that of (Implicit)^2's released code.
        limit: largest number of applications of F.
        per_sample: whether norms are those of each sample or of all n together. The latter is the
            rule of the released code; it depends on which samples are solved together.

    Raises:
        ValueError: F changes the shape of its argument.
    """
    axes = (-1,) if per_sample else (-2, -1)
    shape = z0.shape[: z0.ndim - len(axes)]
    steps = torch.zeros(shape, dtype=torch.long, device=z0.device)
    converged = torch.zeros(shape, dtype=torch.bool, device=z0.device)
    residual = torch.full(shape, torch.inf, dtype=z0.dtype, device=z0.device)
    value, done = z0, 0
    with torch.no_grad():
        z, memory = z0.detach(), method.begin(z0)
        for _ in range(limit):
            fz = f(z)
            if fz.shape != z.shape:
                raise ValueError(
                    f"a fixed point needs a map that keeps the shape, this one takes "
                    f"{tuple(z.shape)} to {tuple(fz.shape)}"
                )
            now = _residual(fz, fz - z, axes)
            value = torch.where(_over(converged, axes), value, fz) if done else fz
            residual = torch.where(converged, residual, now)
            steps += ~converged
            converged = converged | (now <= tolerance)
            done = int(converged.sum())
            if done == converged.numel():
                break
            z = method.step(z, fz, memory)
    return Solution(value.detach(), residual, steps, converged)


def _residual(fz: Tensor, change: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The relative change; infinite where iterates are no longer finite, or their norm is not."""
    size, moved = (torch.linalg.vector_norm(x, dim=axes) for x in (fz, change))
    relative = moved / size.clamp(min=torch.finfo(size.dtype).tiny)
    return torch.where(size.isfinite(), relative, torch.inf)


def _over(converged: Tensor, axes: tuple[int, ...]) -> Tensor:
    return converged.reshape(*converged.shape, *[1] * len(axes))
