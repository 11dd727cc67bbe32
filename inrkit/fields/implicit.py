r"""Implicit networks, whose hidden state is a fixed point, and the reuse of fixed points."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from inrkit.calculus import Jet
from inrkit.fields.mfn import Explicit
from inrkit.solvers.adjoint import TRUNCATED, Gradient, Truncated, fixed_point
from inrkit.solvers.fixed_point import FORWARD, Method, Solution

Rows = slice | Tensor


class FixedPointCache(nn.Module):
    r"""The last fixed point found for each sample of a signal ((Implicit)^2, Suppl. C).

    Within :meth:`at`, a field that is trained starts from them, and leaves new ones. A sample that
    is met for the first time, in a chunk or a batch, is solved in full together with the rest of
    it. The cache is part of the field's state: an interrupted fit finds it in its checkpoint.

    Args:
        shape: number N of samples and width, ``(*signals, N, width)``.
        limit: steps that the solver may take from known points. With 0, the paper's reuse for
            images, a step of training applies the cell once.
    """

    def __init__(self, *shape: int, limit: int = 0):
        super().__init__()
        self.limit = limit
        self.register_buffer("values", torch.zeros(shape))
        self.register_buffer("known", torch.zeros(shape[-2], dtype=torch.bool))
        self.rows: Rows | None = None

    @contextmanager
    def at(self, rows: Rows) -> Iterator[None]:
        """Coordinates within the block are those of these samples.

        Args:
            rows: a slice of 0 to N, or indices ``(n,)``.
        """
        self.rows = rows
        try:
            yield
        finally:
            self.rows = None

    def read(self) -> tuple[Tensor, bool]:
        """The points of the rows in force, ``(*signals, n, width)``, and whether all are known."""
        return self.values[..., self.rows, :].clone(), bool(self.known[self.rows].all())

    def write(self, values: Tensor) -> None:
        """New points in their place."""
        self.values[..., self.rows, :] = values.detach()
        self.known[self.rows] = True

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.values.shape))}, limit={self.limit}"


class ImplicitField(nn.Module):
    r"""A field read off a fixed point, :math:`\Phi(x) = V z^* + c`, :math:`z^* = F(z^*; x)`.

    ``ImplicitField(FourierMFN(2, 1))`` is the Fourier-iMFN of the paper, and ``GaborMFN`` and
    ``InjectedSIREN`` make the Gabor-iMFN and the iSIREN; each has exactly the parameters of the
    explicit network that it is made from. Where the norms of the W are below 1, the fixed point
    exists, is unique, and forward iteration finds it ((Implicit)^2, Suppl. A, Thm. 1 and 2). What
    is solved together is one call: in a step of several chunks, each stops for itself.

    Derivatives by the coordinates are those of autograd with the
    :class:`~inrkit.solvers.Implicit` gradient; there are no Taylor series of a fixed point.

    Args:
        network: an explicit network, whose cell and output are taken.
        method, tolerance, limit, per_sample: of the solver, :func:`~inrkit.solvers.solve`.
        gradient: :class:`~inrkit.solvers.Implicit`, :class:`~inrkit.solvers.Truncated` or
            :class:`~inrkit.solvers.Unrolled`.

    Attributes:
        cache: a :class:`FixedPointCache` to be set by who wants to reuse fixed points, or None.
        solution: how the last call was solved, as a :class:`~inrkit.solvers.Solution`; no steps
            where a known point was taken without.
    """

    has_data_dependent_steps = True
    transient = ("solution",)

    def __init__(
        self,
        network: Explicit,
        *,
        method: Method = FORWARD,
        gradient: Gradient = TRUNCATED,
        tolerance: float = 1e-3,
        limit: int = 100,
        per_sample: bool = False,
    ):
        super().__init__()
        self.cell, self.output = network.cell, network.output
        self.method, self.gradient = method, gradient
        self.tolerance, self.limit, self.per_sample = tolerance, limit, per_sample
        self.register_module("cache", None)
        self.solution: Solution | None = None

    def forward(self, coords: Tensor) -> Tensor:
        if isinstance(coords, Jet):
            raise ValueError(
                "a fixed point has no Taylor series: take torch.autograd and gradient=Implicit(), "
                "or the explicit network"
            )
        wanted = torch.is_grad_enabled() and coords.requires_grad
        if wanted and isinstance(self.gradient, Truncated):
            raise ValueError(
                "derivatives by the coordinates would be cut short: take gradient=Implicit()"
            )
        f = self.cell.conditioned(coords)
        cache = self.cache if self._reuses() else None
        start, limit = torch.zeros_like(f.entry), self.limit
        if cache is not None:
            start, known = cache.read()
            limit = cache.limit if known else limit
        rules = {"tolerance": self.tolerance, "limit": limit, "per_sample": self.per_sample}
        solution = fixed_point(f, start, method=self.method, gradient=self.gradient, **rules)
        if cache is not None:
            cache.write(solution.value)
        self.solution = replace(solution, value=solution.value.detach())
        return self.output(solution.value)

    def _reuses(self) -> bool:
        return torch.is_grad_enabled() and self.cache is not None and self.cache.rows is not None

    def extra_repr(self) -> str:
        names = ("method", "gradient", "tolerance", "limit", "per_sample")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)
