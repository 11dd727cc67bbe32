"""Sets of multi-indices: which partial derivatives a truncated Taylor expansion keeps."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import torch

MultiIndex = tuple[int, ...]
Product = tuple[int, int, float]  # rows of two series, and the weight of their product


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
