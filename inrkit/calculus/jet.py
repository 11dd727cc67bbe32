r"""Truncated Taylor expansions that flow through a model's own ``forward``.

A :class:`Jet` carries the Taylor coefficients of a tensor-valued function at a point,

.. math:: f(x + h) = \sum_{\alpha \in A} c_\alpha h^\alpha, \qquad
          c_\alpha = \frac{1}{\alpha!} \, \partial^\alpha f(x),

for a downward-closed set :math:`A` of multi-indices: all of total degree at most :math:`K`, or
only the powers along the axes that a Laplacian needs. Linear maps act on every coefficient alike;
an elementwise function is composed through its own Taylor series. One pass yields all partials,
and since the pass is made of ordinary tensor operations, it can be back-propagated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import torch
from torch import Tensor

from inrkit.calculus.compiled import loop
from inrkit.calculus.series import SERIES

MultiIndex = tuple[int, ...]
Product = tuple[int, int, float]  # rows of two series, and the weight of their product
Elementwise = tuple[str, tuple, tuple]  # name of a series, and arguments of the function


class UnknownOperation(NotImplementedError):
    """A model used an operation that has no Taylor rule."""


@dataclass(frozen=True)
class Truncation:
    """A downward-closed set of multi-indices, sorted by total degree, zero first."""

    indices: tuple[MultiIndex, ...]

    @property
    def order(self) -> int:
        """The largest total degree K."""
        return sum(self.indices[-1])

    @cached_property
    def products(self) -> tuple[tuple[Product, ...], ...]:
        """For each index g the rows (a, b) with a + b = g: the truncated product of two series."""
        row = {index: i for i, index in enumerate(self.indices)}
        table: list[list[Product]] = [[] for _ in self.indices]
        for (i, a), (j, b) in product(enumerate(self.indices), repeat=2):
            total = tuple(p + q for p, q in zip(a, b, strict=True))
            if total in row:
                table[row[total]].append((i, j, 1.0))
        return tuple(map(tuple, table))


def _sorted(indices) -> Truncation:
    return Truncation(tuple(sorted(set(indices), key=lambda a: (sum(a), tuple(-i for i in a)))))


@lru_cache
def total_degree(dimensions: int, order: int) -> Truncation:
    """All multi-indices of ``dimensions`` entries with total degree at most ``order``."""
    grid = product(range(order + 1), repeat=dimensions)
    return _sorted(index for index in grid if sum(index) <= order)


@lru_cache
def along_axes(dimensions: int, order: int) -> Truncation:
    """Only the pure powers along each axis: what a gradient or a Laplacian needs."""
    unit = torch.eye(dimensions, dtype=torch.int64).tolist()
    return _sorted(tuple(k * e for e in axis) for axis in unit for k in range(order + 1))


@dataclass(frozen=True)
class Traced(Truncation):
    r"""Value, gradient, and a weighted sum of pure second derivatives in one row.

    The algebra of :math:`h_i h_j = w_i \delta_{ij} \eta` and :math:`h_i \eta = 0`, in which the
    coefficient of :math:`\eta` is half of :math:`D = \sum_i w_i \partial_i^2`:
    :math:`D f(u) = f'(u) D u + f''(u) \sum_i w_i (\partial_i u)^2`. Its row is labelled as the
    first pure second derivative.
    """

    weights: tuple[float, ...]

    @cached_property
    def products(self) -> tuple[tuple[Product, ...], ...]:
        """As above."""
        last = len(self.indices) - 1
        gradient = tuple(((0, i, 1.0), (i, 0, 1.0)) for i in range(1, last))
        squares = tuple((i, i, w) for i, w in enumerate(self.weights, start=1))
        return ((0, 0, 1.0),), *gradient, ((0, last, 1.0), (last, 0, 1.0), *squares)


@lru_cache
def traced(weights: tuple[float, ...]) -> Traced:
    """What such a sum needs, in d + 2 rows instead of the 2 d + 1 of :func:`along_axes`."""
    value, *gradient = along_axes(len(weights), 1).indices
    return Traced((value, *gradient, tuple(2 * i for i in gradient[0])), weights)


class Jet:
    """Taylor coefficients of a tensor, in the shape that the tensor itself would have.

    Args:
        coefficients: ``(rows, *shape)``, one row a multi-index of ``truncation`` in its order;
            rows beyond the last one given are zero.
        truncation: the multi-indices that are kept.
    """

    __slots__ = ("coefficients", "truncation")

    def __init__(self, coefficients: Tensor, truncation: Truncation):
        self.coefficients = coefficients
        self.truncation = truncation

    @classmethod
    def identity(cls, coords: Tensor, truncation: Truncation) -> "Jet":
        """The jet of the coordinates themselves: value x, first derivatives the unit vectors.

        Args:
            coords: ``(*signals, n, d)``.
        """
        d = coords.shape[-1]
        if truncation.order == 0:
            return cls(coords[None], truncation)
        unit = torch.eye(d, dtype=coords.dtype, device=coords.device)  # made where it is used
        unit = unit.reshape(d, *[1] * (coords.ndim - 1), d).expand(d, *coords.shape)
        return cls(torch.cat([coords[None], unit]), truncation)

    @property
    def value(self) -> Tensor:
        """The tensor itself: the coefficient of degree zero."""
        return self.coefficients[0]

    shape = property(lambda self: self.coefficients.shape[1:])
    ndim = property(lambda self: self.coefficients.ndim - 1)
    dtype = property(lambda self: self.coefficients.dtype)
    device = property(lambda self: self.coefficients.device)

    def size(self, dim: int | None = None):
        """As for a tensor."""
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Jet(shape={tuple(self.shape)}, order={self.truncation.order})"

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = function.__name__.strip("_")
        return _apply(name, args, kwargs or {})

    def __getattr__(self, name: str):
        if name in RULES or name in SERIES:
            return lambda *args, **kwargs: _apply(name, (self, *args), kwargs)
        raise AttributeError(f"a Jet has no attribute or Taylor rule {name!r}")

    def __getitem__(self, index) -> "Jet":
        index = index if isinstance(index, tuple) else (index,)
        return Jet(self.coefficients[(slice(None), *index)], self.truncation)


def _apply(name: str, args: tuple, kwargs: dict):
    if name in SERIES and isinstance(args[0], Jet):
        jet, *rest = args
        return _elementwise((name, tuple(rest), tuple(sorted(kwargs.items()))), jet)
    if name in RULES:
        return RULES[name](*args, **kwargs)
    raise UnknownOperation(f"no Taylor rule for {name!r}; register one or use nested autograd")


def _elementwise(function: Elementwise, jet: Jet) -> Jet:
    """The jet of f(u), in one operation of autograd where it will be back-propagated."""
    if trained(jet.coefficients):
        coefficients = _Composition.apply(function, jet.truncation, jet.coefficients)
        return Jet(coefficients, jet.truncation)
    return compose(_series(function, jet.value, jet.truncation.order), jet)


def _series(function: Elementwise, u: Tensor, order: int) -> Sequence[Tensor]:
    name, arguments, named = function
    return SERIES[name](u, order, *arguments, **dict(named))


def trained(*tensors: Tensor) -> bool:
    """Whether these will be back-propagated, by plain reverse mode."""
    alone = torch._C._functorch.peek_interpreter_stack() is None  # no function transform
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors) and alone


class _Composition(torch.autograd.Function):
    r"""The jet of f(u), back-propagated by :math:`d f(u) = f'(u)\, du`, a product of series.

    The jet of f'(u) is formed along with that of f(u), while all is in cache.
    """

    @staticmethod
    def forward(ctx, function, truncation, coefficients):
        def both(coefficients: Tensor) -> tuple[Tensor, Tensor]:
            jet = Jet(coefficients, truncation)
            terms = _series(function, jet.value, truncation.order + 1)
            slopes = _slopes(terms, jet.value)
            return (
                compose(terms[: truncation.order + 1], jet).coefficients,
                compose(slopes, jet).coefficients,
            )

        value, slope = loop(both, ("forward", function, truncation), coefficients)
        ctx.both, ctx.truncation = both, truncation
        ctx.save_for_backward(coefficients, slope)
        return value

    @staticmethod
    def backward(ctx, grad):
        coefficients, slope = ctx.saved_tensors
        rows, truncation = len(coefficients), ctx.truncation

        def back(slope: Tensor, grad: Tensor) -> Tensor:
            return _transposed_product(slope, grad, rows, truncation)

        if torch.is_grad_enabled():  # this pass will be differentiated in its turn
            return None, None, back(ctx.both(coefficients)[1], grad)
        return None, None, loop(back, ("backward", rows, truncation), slope, grad)


def _slopes(terms: Sequence[Tensor], u: Tensor) -> list[Tensor]:
    """The Taylor series of f' from that of f."""
    return [k * term for k, term in enumerate(terms)][1:] or [torch.zeros_like(u)]


def _transposed_product(x: Tensor, grad: Tensor, rows: int, truncation: Truncation) -> Tensor:
    """What comes back to y, of so many rows, from the truncated product of the series x and y."""
    totals: list[Tensor | None] = [None] * rows
    for products, g in zip(truncation.products, grad, strict=False):
        for a, b, weight in products:
            if a < len(x) and b < rows:
                totals[b] = _added(totals[b], x[a], g, weight)
    zero = torch.zeros_like(grad[0])
    return torch.stack([zero if total is None else total for total in totals])


def multiply(
    x: Sequence[Tensor | None], y: Sequence[Tensor | None], truncation: Truncation
) -> list[Tensor | None]:
    """Rows of the truncated product of two series; ``None`` stands for a row of zeros."""
    rows: list[Tensor | None] = []
    for products in truncation.products:
        total = None
        for a, b, weight in products:
            if a < len(x) and b < len(y) and x[a] is not None and y[b] is not None:
                total = _added(total, x[a], y[b], weight)
        rows.append(total)
    return rows


def _added(total: Tensor | None, x: Tensor, y: Tensor, weight: float) -> Tensor:
    """The total, where there is one, and the weighted product, in place."""
    if total is not None:
        return total.addcmul_(x, y, value=weight)
    return x * y if weight == 1 else (x * y).mul_(weight)


def compose(terms: Sequence[Tensor], jet: Jet) -> Jet:
    r"""The jet of f(u) from that of u: :math:`\sum_k \frac{f^{(k)}(u_0)}{k!} (u - u_0)^k`."""
    increment: list[Tensor | None] = [None, *jet.coefficients[1:]]
    power, rows = increment, [terms[0]]
    for k, term in enumerate(terms[1:], start=1):
        for i, coefficient in enumerate(power):
            if coefficient is None:
                continue
            if i < len(rows) and rows[i] is not None:
                rows[i] = torch.addcmul(rows[i], term, coefficient)
            else:
                rows += [None] * (i + 1 - len(rows))
                rows[i] = term * coefficient
        if k + 1 < len(terms):
            power = multiply(increment, power, jet.truncation)
    return from_rows(rows, jet.truncation)


def from_rows(rows: Sequence[Tensor | None], truncation: Truncation) -> Jet:
    """A jet from rows that need no common shape yet; trailing rows of zeros are dropped."""
    while rows[-1] is None:
        rows = rows[:-1]
    shape = torch.broadcast_shapes(*(row.shape for row in rows if row is not None))
    zero = torch.zeros((), dtype=rows[0].dtype, device=rows[0].device)
    full = [(zero if row is None else row).expand(shape) for row in rows]
    return Jet(torch.stack(full), truncation)


RULES: dict = {}


def rule(*names: str):
    """Register how a tensor operation acts on jets, under the operation's names."""

    def register(function):
        for name in names:
            RULES[name] = function
        return function

    return register


def _operator(name: str):
    return lambda self, *others: _apply(name, (self, *others), {})


for _name in ("add", "sub", "mul", "truediv", "matmul", "radd", "rsub", "rmul", "rtruediv"):
    setattr(Jet, f"__{_name}__", _operator(_name))
for _name in ("pow", "neg", "abs", "lt", "le", "gt", "ge"):
    setattr(Jet, f"__{_name}__", _operator(_name))
