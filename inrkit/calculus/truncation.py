"""Sets of multi-indices: which partial derivatives a truncated Taylor expansion keeps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

MultiIndex = tuple[int, ...]
Product = tuple[int, int, float]  # rows of two series, and the weight of their product


@dataclass(frozen=True)
class Truncation:
    """A downward-closed set of multi-indices, sorted by total degree, zero first.

    Attributes:
        indices: the set.
        products: for each index g the rows (a, b) with a + b = g, and a weight: the truncated
            product of two series.
    """

    indices: tuple[MultiIndex, ...]
    products: tuple[tuple[Product, ...], ...] = field(repr=False, compare=False)

    @property
    def order(self) -> int:
        """The largest total degree K."""
        return sum(self.indices[-1])


def _truncation(found: Iterable[MultiIndex]) -> Truncation:
    indices = tuple(sorted(set(found), key=lambda a: (sum(a), tuple(-i for i in a))))
    row = {index: i for i, index in enumerate(indices)}
    table: list[list[Product]] = [[] for _ in indices]
    for (i, a), (j, b) in product(enumerate(indices), repeat=2):
        total = tuple(p + q for p, q in zip(a, b, strict=True))
        if total in row:
            table[row[total]].append((i, j, 1.0))
    return Truncation(indices, tuple(map(tuple, table)))


@lru_cache
def total_degree(dimensions: int, order: int) -> Truncation:
    """All multi-indices of ``dimensions`` entries with total degree at most ``order``."""
    grid = product(range(order + 1), repeat=dimensions)
    return _truncation(index for index in grid if sum(index) <= order)


@lru_cache
def along_axes(dimensions: int, order: int) -> Truncation:
    """Only the pure powers along each axis: what a gradient or a Laplacian needs."""
    axes = range(dimensions)
    return _truncation(tuple(k * (i == j) for j in axes) for i in axes for k in range(order + 1))


@dataclass(frozen=True)
class Traced(Truncation):
    r"""Value, gradient, and a weighted sum of pure second derivatives in one row.

    The algebra of :math:`h_i h_j = w_i \delta_{ij} \eta` and :math:`h_i \eta = 0`, in which the
    coefficient of :math:`\eta` is half of :math:`D = \sum_i w_i \partial_i^2`:
    :math:`D f(u) = f'(u) D u + f''(u) \sum_i w_i (\partial_i u)^2`. Its row is labelled as the
    first pure second derivative. This is the collapsed Taylor mode of Dangel et al. (2025).
    """

    weights: tuple[float, ...]


@lru_cache
def traced(weights: tuple[float, ...]) -> Traced:
    """What such a sum needs, in d + 2 rows instead of the 2 d + 1 of :func:`along_axes`."""
    indices = along_axes(len(weights), 1).indices
    last = len(indices)
    gradient = [((0, i, 1.0), (i, 0, 1.0)) for i in range(1, last)]
    squares = [(i, i, w) for i, w in enumerate(weights, start=1)]
    products = (((0, 0, 1.0),), *gradient, ((0, last, 1.0), (last, 0, 1.0), *squares))
    return Traced((*indices, tuple(2 * i for i in indices[1])), products, weights)
