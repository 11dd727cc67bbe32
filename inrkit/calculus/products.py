r"""Products and compositions of truncated series, as rows of coefficients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from inrkit.calculus.jet import Jet
from inrkit.calculus.series import SERIES
from inrkit.calculus.truncation import Truncation

Elementwise = tuple[str, tuple, tuple]  # name of a series, and arguments of the function


def elementwise_jet(function: Elementwise, jet: Jet) -> Jet:
    """The jet of f(u), in one operation of autograd where it will be back-propagated."""
    if trained(jet.coefficients) and not jet.coefficients.is_complex():
        coefficients = _Composition.apply(function, jet.truncation, jet.coefficients)
        return Jet(coefficients, jet.truncation)
    terms = _series(function, jet.value, jet.truncation.order)
    return from_rows(compose(terms, jet.coefficients, jet.truncation), jet.truncation)


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
            terms = _series(function, coefficients[0], truncation.order + 1)
            slopes = [k * term for k, term in enumerate(terms)][1:]  # the series of f'
            slopes = slopes or [torch.zeros_like(coefficients[0])]
            return (
                stacked(compose(terms[: truncation.order + 1], coefficients, truncation)),
                stacked(compose(slopes, coefficients, truncation)),
            )

        value, slope = both(coefficients)
        ctx.both, ctx.truncation = both, truncation
        ctx.save_for_backward(coefficients, slope)
        return value

    @staticmethod
    def backward(ctx, grad):
        coefficients, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # this pass will be differentiated in its turn
            slope = ctx.both(coefficients)[1]
        return None, None, _transposed_product(slope, grad, len(coefficients), ctx.truncation)


def _transposed_product(x: Tensor, grad: Tensor, rows: int, truncation: Truncation) -> Tensor:
    """What comes back to y, of so many rows, from the truncated product of the series x and y."""
    totals: list[Tensor | None] = [None] * rows
    for products, g in zip(truncation.products, grad, strict=False):
        for a, b, weight in products:
            if a < len(x) and b < rows:
                totals[b] = _added(totals[b], x[a], g, weight)
    zero = torch.zeros_like(grad[0])
    return torch.stack([zero if total is None else total for total in totals])


Rows = Sequence[Tensor | None]


def multiply(x: Rows, y: Rows, truncation: Truncation) -> list[Tensor | None]:
    """Rows of the truncated product of two series; ``None`` stands for a row of zeros."""
    return convolve(_added, x, y, truncation)


def convolve(add: Callable, x: Rows, y: Rows, truncation: Truncation) -> list[Tensor | None]:
    """As above, for any product; ``add(total, x, y, weight)`` adds one to a total or None."""
    rows: list[Tensor | None] = []
    for products in truncation.products:
        total = None
        for a, b, weight in products:
            if a < len(x) and b < len(y) and x[a] is not None and y[b] is not None:
                total = add(total, x[a], y[b], weight)
        rows.append(total)
    return rows


def _added(total: Tensor | None, x: Tensor, y: Tensor, weight: float) -> Tensor:
    """The total, where there is one, and the weighted product, in place."""
    if total is not None:
        return total.addcmul_(x, y, value=weight)
    return x * y if weight == 1 else (x * y).mul_(weight)


def compose(terms: Sequence[Tensor], coefficients: Tensor, truncation: Truncation) -> Rows:
    r"""Rows of f(u) from those of u: :math:`\sum_k \frac{f^{(k)}(u_0)}{k!} (u - u_0)^k`."""
    increment: list[Tensor | None] = [None, *coefficients[1:]]
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
            power = multiply(increment, power, truncation)
    return rows


def stacked(rows: Rows) -> Tensor:
    """Coefficients from rows that need no common shape yet; trailing rows of zeros are dropped."""
    while rows[-1] is None:
        rows = rows[:-1]
    shape = torch.broadcast_shapes(*(row.shape for row in rows if row is not None))
    zero = torch.zeros((), dtype=rows[0].dtype, device=rows[0].device)
    return torch.stack([(zero if row is None else row).expand(shape) for row in rows])


def from_rows(rows: Rows, truncation: Truncation) -> Jet:
    """A jet from such rows."""
    return Jet(stacked(rows), truncation)
