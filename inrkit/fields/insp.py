r"""Fields made from the derivatives of a field: differential operators as networks.

A processed field is :math:`\Psi(x) = \Pi(D^\alpha \Phi(x), |\alpha| \le K)` (Xu et al. 2022,
Eq. 3). It is a module from coordinates to values like the field that it came from: it can be
sampled anywhere, saved, differentiated, and processed again.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from math import factorial, prod, sqrt

import torch
from torch import Tensor, nn

from inrkit.calculus import Jet, partials, total_degree
from inrkit.calculus.products import from_rows, multiply
from inrkit.calculus.truncation import MultiIndex, Traced
from inrkit.fields.mlp import MLP

Field = Callable[[Tensor], Tensor]


class INSPNet(nn.Module):
    r"""A field processed by a pointwise function of its partial derivatives (Xu et al., Eq. 3).

    .. math:: \Psi(x) = \Pi\bigl( (s_{|\alpha|} D^\alpha \Phi(x))_{|\alpha| \le K} \bigr)

    The partials are distinct, :math:`M = \binom{m + K}{K}` of each channel, sorted by order; one
    scale s an order keeps them of one size. Only the fusion :math:`\Pi` is trained: the field is
    copied and frozen.

    Args:
        field: :math:`\Phi`, from ``(*signals, n, m)`` to ``(*signals, n, c)``, or a stack of them.
        fusion: :math:`\Pi`, any callable from ``(*signals, n, c, M)`` to ``(*signals, n, c')``.
        order: K.
        dimensions: m.
        scales: s, ``(K + 1,)``; ones unless given. See :func:`order_scales`.
    """

    def __init__(
        self,
        field: nn.Module,
        fusion: Callable[[Tensor], Tensor],
        *,
        order: int,
        dimensions: int = 2,
        scales: Tensor | None = None,
    ):
        super().__init__()
        if order < 0:
            raise ValueError(f"the highest order of derivatives is at least 0, got {order}")
        if scales is not None and scales.shape != (order + 1,):
            raise ValueError(
                f"there is one scale an order, {order + 1} in all, got {tuple(scales.shape)}"
            )
        self.field = deepcopy(field).requires_grad_(False)
        self.fusion, self.order = fusion, order
        degrees = [sum(index) for index in total_degree(dimensions, order).indices]
        scales = torch.ones(order + 1) if scales is None else scales
        held = next(chain(field.parameters(), field.buffers()), scales)
        self.register_buffer("scales", scales[degrees].to(held.device, copy=True))

    def features(self, coords: Tensor) -> Tensor:
        """The scaled partials, ``(*signals, n, c, M)``; of a jet of coordinates, their jet."""
        if isinstance(coords, Jet):
            found = _partials_of_jet(self.field, coords, self.order)
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and coords.requires_grad):
                found = partials(self.field, coords, self.order).values.movedim(0, -1)
        return found * self.scales.unsqueeze(-2).unsqueeze(-2)

    def forward(self, coords: Tensor) -> Tensor:
        return self.fusion(self.features(coords))

    def extra_repr(self) -> str:
        return f"order={self.order}"


def _partials_of_jet(field: Field, coords: Jet, order: int) -> Jet:
    r"""The jet of :math:`D^\alpha \Phi(x(h))`, from a deeper one of :math:`\Phi`.

    Its shape is ``(*signals, n, c, M)``.

    With :math:`\Phi(u + \delta) = \sum_\gamma c_\gamma \delta^\gamma`, the coefficient of
    :math:`\delta^\beta` in :math:`D^\alpha \Phi` is :math:`c_{\alpha+\beta}
    (\alpha + \beta)! / \beta!`, and :math:`\delta(h) = x(h) - x(0)` is then put in.
    """
    truncation, d = coords.truncation, coords.shape[-1]
    deep = total_degree(d, order + truncation.order)
    known = field(Jet.identity(coords.value, deep)).coefficients
    row = {index: i for i, index in enumerate(deep.indices)}

    def coefficient(beta: MultiIndex) -> Tensor:
        terms = []
        for alpha in total_degree(d, order).indices:
            both = tuple(a + b for a, b in zip(alpha, beta, strict=True))
            factor = prod(map(factorial, both)) / prod(map(factorial, beta))
            i = row[both]
            terms.append(factor * known[i] if i < len(known) else torch.zeros_like(known[0]))
        return torch.stack(terms, dim=-1)

    if _is_identity(coords):
        rows = [coefficient(beta) for beta in truncation.indices]
        return from_rows(rows, truncation)
    rows: list[Tensor | None] = [None] * len(truncation.indices)
    for beta, monomial in _monomials(coords).items():
        term = coefficient(beta)
        for i, power in enumerate(monomial):
            if power is not None:
                product = power.unsqueeze(-1).unsqueeze(-1) * term
                rows[i] = product if rows[i] is None else rows[i] + product
    return from_rows(rows, truncation)


def _is_identity(coords: Jet) -> bool:
    """Whether the jet is that of the coordinates themselves."""
    d, rows = coords.shape[-1], coords.coefficients
    if isinstance(coords.truncation, Traced) or len(rows) != d + 1:
        return False
    unit = torch.eye(d, dtype=rows.dtype, device=rows.device)
    return bool((rows[1:] == unit.reshape(d, *[1] * (rows.ndim - 2), d)).all())


def _monomials(coords: Jet) -> dict[MultiIndex, list[Tensor | None]]:
    r"""Rows of :math:`\delta^\beta` for every :math:`\beta` up to the truncation's order."""
    truncation, d = coords.truncation, coords.shape[-1]
    one = torch.ones_like(coords.value[..., 0])
    increments = [[None, *coords.coefficients[1:, ..., axis]] for axis in range(d)]
    powers: dict[MultiIndex, list[Tensor | None]] = {(0,) * d: [one]}
    for beta in total_degree(d, truncation.order).indices[1:]:
        axis = next(i for i, power in enumerate(beta) if power)
        lower = tuple(p - (i == axis) for i, p in enumerate(beta))
        powers[beta] = multiply(increments[axis], powers[lower], truncation)
    return powers


def order_scales(fields: Sequence[Field], coords: Tensor, order: int) -> Tensor:
    r"""One fixed scale an order, from the fields' own frequency content.

    .. math:: s_k = \sqrt{r_0 / r_k}, \qquad r_k = \operatorname{mean} \frac{1}{m^k}
              \sum_{|\alpha| = k} \frac{k!}{\alpha!} \, (D^\alpha \Phi)^2

    over points, channels and fields: derivatives become as large as the values, which keep
    :math:`s_0 = 1`. By Parseval's theorem :math:`r_k` is the moment of order 2k of the power
    spectrum, so that a field of one frequency w has :math:`s_k \sim |w|^{-k}`. Partials of one
    order share a scale: rotations mix them.

    Args:
        fields: those that the fusion is trained on.
        coords: points, ``(n, m)``.
        order: K.

    Returns:
        s, ``(K + 1,)``, for :class:`INSPNet`.

    Raises:
        ValueError: all derivatives of an order vanish.
    """
    indices = total_degree(coords.shape[-1], order).indices
    weights = multiplicities(coords.shape[-1], order)
    squares = torch.zeros(len(indices), dtype=torch.float64)
    with torch.no_grad():
        for field in fields:
            values = partials(field, coords, order).values
            squares += values.double().square().flatten(1).mean(-1).cpu()
    total = torch.zeros(order + 1, dtype=torch.float64)
    degrees = torch.tensor([sum(index) for index in indices])
    total.index_add_(0, degrees, weights * squares / len(fields))
    if not (total > 0).all():
        empty = int((total <= 0).nonzero()[0])
        raise ValueError(f"all derivatives of order {empty} vanish: take a lower order")
    means = total / coords.shape[-1] ** torch.arange(order + 1)
    return (means[0] / means).sqrt().to(coords.dtype).to(coords.device)


def multiplicities(dimensions: int, order: int) -> Tensor:
    r"""How often each distinct partial stands in :math:`\nabla^k \Phi`: :math:`k! / \alpha!`."""
    indices = total_degree(dimensions, order).indices
    counts = [factorial(sum(index)) / prod(map(factorial, index)) for index in indices]
    return torch.tensor(counts, dtype=torch.float64)


class LinearFusion(nn.Module):
    r"""A polynomial in the gradient, :math:`p(\nabla) = \sum_\alpha \theta_\alpha D^\alpha`.

    It is the same for every channel (Xu et al., Eq. 5, "INSP-Conv").

    Args:
        coefficients: :math:`\theta`, ``(M,)``, sorted as :func:`~inrkit.calculus.total_degree`.
    """

    def __init__(self, coefficients: Tensor):
        super().__init__()
        self.coefficients = nn.Parameter(coefficients.clone())

    def forward(self, features: Tensor) -> Tensor:
        return (features * self.coefficients.unsqueeze(-2).unsqueeze(-2)).sum(-1)


class NormFusion(nn.Module):
    r"""A function of the length of all derivatives, :math:`f(\|y\|)` (Xu et al., Theorem 1).

    .. math:: \|y\|^2 = \sum_k \sum_{|\alpha| = k} \frac{k!}{\alpha!} \, y_\alpha^2

    A mixed partial counts as often as it stands in the full tensor :math:`\nabla^k \Phi`. Only so
    is the length the same in all rotated frames; counted once, as in a vector "without
    multiplicity", it is not.

    Args:
        dimensions: m.
        order: K.
        function: elementwise f; the identity unless given.
        lowest: the lowest order that counts; 1 leaves the value out.
    """

    def __init__(
        self,
        dimensions: int,
        order: int,
        function: Callable[[Tensor], Tensor] | None = None,
        *,
        lowest: int = 0,
    ):
        super().__init__()
        self.function = function
        degrees = [sum(index) for index in total_degree(dimensions, order).indices]
        counts = multiplicities(dimensions, order)
        pairs = zip(counts.tolist(), degrees, strict=True)
        self.weights = [count if degree >= lowest else 0.0 for count, degree in pairs]

    def forward(self, features: Tensor) -> Tensor:
        weights = torch.tensor(self.weights, dtype=features.dtype, device=features.device)
        length = (features * features * weights).sum(-1).sqrt()
        return self.function(length) if self.function else length


class MLPFusion(nn.Module):
    r"""A fusion learnt from data: a multilayer perceptron of all channels' partials.

    .. math:: \Pi(y) = y_0 + \mathrm{MLP}(y)

    It starts as the field itself: the last layer's weights are zero, and the network learns what
    is to be changed (the residual form of Xu et al., Eq. 41). Where the numbers of channels differ,
    there is no :math:`y_0`.

    Args:
        channels: c.
        partials: M, of each channel.
        out_features: number of values; c unless given.
        width: neurons a hidden layer.
        hidden_layers: number of activated layers; the released code has 4 of 256.
        activation: elementwise.
    """

    def __init__(
        self,
        channels: int,
        partials: int,
        *,
        out_features: int | None = None,
        width: int = 256,
        hidden_layers: int = 4,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ):
        super().__init__()
        out_features = out_features or channels
        self.residual = out_features == channels
        self.network = MLP(
            channels * partials,
            out_features,
            width=width,
            hidden_layers=hidden_layers,
            activation=activation,
        )
        if self.residual:
            nn.init.zeros_(self.network.layers[-1].weight)
            nn.init.zeros_(self.network.layers[-1].bias)

    def forward(self, features: Tensor) -> Tensor:
        change = self.network(features.flatten(-2))
        return features[..., 0] + change if self.residual else change


class Transformed(nn.Module):
    r"""A field in other coordinates, :math:`\Phi(A x + v)`: moved, turned, or zoomed.

    Args:
        field: :math:`\Phi`.
        matrix: A, ``(m, m)``; the identity unless given.
        shift: v, ``(m,)``; zero unless given.
    """

    def __init__(
        self, field: nn.Module, *, matrix: Tensor | None = None, shift: Tensor | None = None
    ):
        super().__init__()
        self.field = field
        self.register_buffer("matrix", matrix)
        self.register_buffer("shift", shift)

    def forward(self, coords: Tensor) -> Tensor:
        coords = coords if self.matrix is None else coords @ self.matrix.mT
        return self.field(coords if self.shift is None else coords + self.shift)


def polynomial(field: nn.Module, terms: Mapping[MultiIndex, float]) -> INSPNet:
    r"""The field :math:`p(\nabla)\Phi = \sum_\alpha a_\alpha D^\alpha \Phi` (Xu et al., Eq. 5).

    Args:
        field: :math:`\Phi`.
        terms: :math:`\alpha \mapsto a_\alpha`, such as ``{(2, 0): 1.0, (0, 2): 1.0}``, the
            Laplacian in the plane.

    Raises:
        ValueError: there are no terms, or their indices differ in length.
    """
    if not terms or len({len(index) for index in terms}) != 1:
        raise ValueError(f"terms have multi-indices of one length, got {list(terms)}")
    dimensions = len(next(iter(terms)))
    order = max(map(sum, terms))
    indices = total_degree(dimensions, order).indices
    example = next(field.parameters(), torch.empty(0))
    theta = torch.tensor(
        [float(terms.get(index, 0)) for index in indices], dtype=example.dtype,
        device=example.device,
    )  # fmt: skip
    net = INSPNet(field, LinearFusion(theta), order=order, dimensions=dimensions)
    return net.to(example.device, example.dtype)


def heat_step(field: nn.Module, time: float, *, dimensions: int = 2) -> INSPNet:
    r"""An explicit Euler step of the heat equation, :math:`\Psi = \Phi + t \Delta \Phi` (Eq. 41).

    Args:
        field: :math:`\Phi`.
        time: t.
        dimensions: m.
    """
    terms = {(0,) * dimensions: 1.0}
    for axis in range(dimensions):
        terms[tuple(2 * (i == axis) for i in range(dimensions))] = time
    return polynomial(field, terms)


def gaussian_terms(deviation: float, order: int, *, dimensions: int = 2) -> dict:
    r"""Taylor's polynomial of a Gaussian filter: :math:`e^{\sigma^2 \Delta / 2}` up to order K.

    .. math:: a_{2\nu} = \frac{(\sigma^2 / 2)^{|\nu|}}{\nu!}

    It converges where the field is band-limited, but slowly once :math:`\sigma |w| > 1`.

    Args:
        deviation: :math:`\sigma`, in units of the coordinates.
        order: K.
        dimensions: m.
    """
    half = deviation / sqrt(2)
    indices = total_degree(dimensions, order // 2).indices
    return {
        tuple(2 * k for k in index): half ** (2 * sum(index)) / prod(map(factorial, index))
        for index in indices
    }
