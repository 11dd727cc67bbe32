r"""The neural tangent kernel: what gradient descent does to a field near its start.

With gradients of the trained parameters :math:`\theta` at each point,

.. math:: K(x, x') = \Bigl\langle \frac{\partial f(x)}{\partial\theta},
          \frac{\partial f(x')}{\partial\theta} \Bigr\rangle .

A field whose gradients stay as they are moves its residual r at n points, under gradient descent on
the mean squared error with rate :math:`\eta`, by :math:`r \leftarrow (I - 2 \eta K / n)\, r`: each
eigenvector of K by itself, at the speed of its eigenvalue (Jacot et al. 2018).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from scipy.special import roots_legendre
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from inrkit.measure.metrics import as_array

gauss_legendre = lru_cache(roots_legendre)

MEMORY = 2**24  # numbers in a block of Jacobians: 64 MiB in float32


def ntk(model: nn.Module, coords: Tensor, others: Tensor | None = None, *, memory: int = MEMORY):
    r"""The empirical kernel :math:`K(x_i, x'_j)` of a field, over the parameters that train.

    Args:
        model: one field, not a stack; parameters without ``requires_grad`` are constants.
        coords: points x, ``(n, d)``.
        others: points x', ``(m, d)``; x itself by default.
        memory: numbers in the largest block of Jacobians that is formed at once.

    Returns:
        ``(n c, m c)`` for c values a point, those of a point side by side.
    """
    return sum(ntk_by_layer(model, coords, others, memory=memory).values())


def ntk_by_layer(
    model: nn.Module, coords: Tensor, others: Tensor | None = None, *, memory: int = MEMORY
) -> dict[str, Tensor]:
    """The shares of the kernel that come from each layer's own parameters; see :func:`ntk`."""
    alone = others is None
    others = coords if alone else others
    rows = _block_rows(model, coords, memory)
    kernels: dict[str, list[Tensor]] = {}
    for i, left in enumerate(_jacobians(model, coords, rows)):
        strips: dict[str, list[Tensor]] = {name: [] for name in left}
        for j, right in enumerate(_jacobians(model, others, rows, first=i if alone else 0)):
            same = alone and j == 0  # the block on the diagonal is known already
            for name, block in left.items():
                strips[name].append(block @ (block if same else right[name]).mT)
        for name, parts in strips.items():
            kernels.setdefault(name, []).append(torch.cat(parts, dim=-1))
    return {name: _assemble(parts, alone) for name, parts in kernels.items()}


def _assemble(strips: list[Tensor], symmetric: bool) -> Tensor:
    """Blocks of rows one below the other; of a symmetric kernel they begin at the diagonal."""
    if not symmetric:
        return torch.cat(strips)
    size = strips[0].shape[-1]
    kernel = torch.cat([nn.functional.pad(s, (size - s.shape[-1], 0)) for s in strips])
    done = 0
    for strip in strips:
        end = done + len(strip)
        kernel[end:, done:end] = strip[:, len(strip) :].mT
        done = end
    return kernel


def _trained(model: nn.Module) -> dict[str, Tensor]:
    found = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError("the kernel needs at least one parameter that trains (requires_grad)")
    return found


def _block_rows(model: nn.Module, coords: Tensor, memory: int) -> int:
    with torch.no_grad():
        values = model(coords[:1]).shape[-1]
    return max(memory // (values * sum(p.numel() for p in _trained(model).values())), 1)


def _jacobians(
    model: nn.Module, coords: Tensor, rows: int, first: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Blocks of Jacobians, for each layer ``(points c, parameters)``, from block ``first`` on."""
    trained = _trained(model)

    def value(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, parameters, (x.unsqueeze(0),))[0]

    each = vmap(jacrev(value), in_dims=(None, 0))
    for points in coords.split(rows)[first:]:
        layers: dict[str, list[Tensor]] = {}
        for name, slopes in each(trained, points).items():
            layers.setdefault(name.rpartition(".")[0], []).append(slopes.flatten(2))
        yield {name: torch.cat(parts, -1).flatten(0, 1) for name, parts in layers.items()}


@dataclass(frozen=True)
class Eigen:
    """A kernel's eigenvalues ``(n,)``, falling, and eigenvectors, the columns of ``(n, n)``."""

    values: np.ndarray
    vectors: np.ndarray

    def decay(self, steps, lr: float) -> np.ndarray:
        r"""Predicted residual of each eigenvector after t steps, :math:`(1 - 2\eta\lambda_i/n)^t`.

        Args:
            steps: numbers of steps t, ``(m,)``.
            lr: rate :math:`\eta` of gradient descent on the mean squared error.

        Returns:
            relative to the start, ``(m, n)``.
        """
        factors = 1 - 2 * lr * self.values / len(self.values)
        return factors ** as_array(steps)[:, None]

    def components(self, residual) -> np.ndarray:
        """Of a residual along each eigenvector: ``(..., n)`` to ``(..., n)``."""
        return as_array(residual) @ self.vectors

    def largest_rate(self) -> float:
        r"""The rate :math:`n / \lambda_1` above which gradient descent diverges."""
        return float(len(self.values) / self.values[0])

    def effective_rank(self) -> float:
        r"""How many eigenvalues share the trace, :math:`(\sum_i \lambda_i)^2 / \sum_i \lambda_i^2`.

        n for a multiple of the identity, 1 for a kernel of rank one.
        """
        return float(self.values.sum() ** 2 / np.square(self.values).sum())


def eigen(kernel) -> Eigen:
    """Eigenvalues and eigenvectors of a symmetric kernel ``(n, n)``, the largest first."""
    values, vectors = np.linalg.eigh(as_array(kernel))
    return Eigen(values[::-1], vectors[:, ::-1])


def mean_product(
    function: Callable[[np.ndarray], np.ndarray], x, y, *, weight: float, bias: float, scale=1.0
) -> np.ndarray:
    r"""Expectation :math:`E[h(g(x))\, h(g(y))]` over one random neuron of a single input.

    The neuron is :math:`g(x) = \omega (w x + b)` with :math:`w \sim U(\pm a)`,
    :math:`b \sim U(\pm k)`. By Gauss-Legendre quadrature over panels that end where g is zero, so
    that a kink or jump of h there does no harm.

    Args:
        function: h, elementwise, smooth on either side of zero.
        x, y: points, of shapes that broadcast.
        weight, bias: ranges a and k.
        scale: frequency factor :math:`\omega`.
    """
    x, y = np.broadcast_arrays(as_array(x), as_array(y))
    flat = [
        _neuron_mean(function, p, q, weight, bias, scale)
        for p, q in zip(x.ravel(), y.ravel(), strict=True)
    ]
    return np.array(flat).reshape(x.shape)


def _neuron_mean(h: Callable, x: float, y: float, a: float, k: float, scale: float) -> float:
    reach = scale * (a * max(abs(x), abs(y)) + k)
    # h may turn as often as cos(u^2): nodes for the phase of two factors over the widest panel
    count = ceil(24 + 1.3 * (reach**2 + reach))
    nodes, weights = gauss_legendre(count)
    ends = np.array([-a, 0, a, *(s * k / abs(p) for p in (x, y) if p != 0 for s in (-1, 1))])
    ends = np.unique(np.clip(ends, -a, a))  # where a zero leaves the range of b, or two meet
    w, w_weights = _panels(ends, *gauss_legendre(24 + count // 8))
    total = 0.0
    for slope, share in zip(w, w_weights, strict=True):
        zeros = np.clip([-slope * x, -slope * y], -k, k)
        b, b_weights = _panels(np.unique([-k, *zeros, k]), nodes, weights)
        product = h(scale * (slope * x + b)) * h(scale * (slope * y + b))
        total += share * (b_weights @ product)
    return total / (4 * a * k)


def _panels(ends: np.ndarray, nodes: np.ndarray, weights: np.ndarray):
    """Nodes and weights of a rule on [-1, 1] in every interval between neighbouring ends."""
    half, middle = np.diff(ends) / 2, (ends[1:] + ends[:-1]) / 2
    return (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def shallow_kernel(
    slope: Callable[[np.ndarray], np.ndarray], x, y, *, weight: float, bias: float, scale=1.0
) -> np.ndarray:
    r"""Kernel of an infinitely wide hidden layer; output weights stay :math:`\pm 1/\sqrt n`.

    .. math:: K(x, y) = \omega^2 (x y + 1)\, E[\phi'(g(x))\, \phi'(g(y))]

    FINER, Suppl. Eq. 5, for any activation; arguments are those of :func:`mean_product`, the
    function being the slope :math:`\phi'`.
    """
    moment = mean_product(slope, x, y, weight=weight, bias=bias, scale=scale)
    return scale**2 * (as_array(x) * as_array(y) + 1) * moment
