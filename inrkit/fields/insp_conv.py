r"""Convolutional networks on fields: layers of differential operators (INSP-ConvNet).

Every layer takes derivatives of the field that the layer before is. ReLU has no second derivative
and a slope of 0 or 1, and a normalization is affine: so the derivatives of a layer follow exactly
from those of its input, and all layers from the derivatives of the first field.
"""

from collections.abc import Sequence
from functools import cache
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from inrkit.calculus import partials, total_degree
from inrkit.fields.insp import INSPNet
from inrkit.fields.layers import uniform_

EPSILON = 1e-5  # added to variances, as PyTorch's instance normalization does


class INSPConvLayer(nn.Module):
    r"""One layer of an INSP-ConvNet (Xu et al. 2022, Algorithm 1; App. C).

    .. math:: z = V \bigl( \theta_{ij} \cdot (D^\alpha y_i)_{|\alpha| \le K} \bigr)_{ij}, \qquad
              y' = \mathrm{ReLU}\Bigl( \frac{z - \mu}{\sqrt{v + \epsilon}} \Bigr)

    First several operators :math:`\theta_{ij}` on each channel i, then a linear map V that mixes
    channels, as App. C has it; mean :math:`\mu` and variance v of each field and channel are taken
    over its points. With a single operator a channel, all channels made of a grey picture would be
    multiples of one.

    Args:
        in_channels: c.
        out_channels: c'.
        order: K.
        multiplier: operators a channel.
        dimensions: m.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        order: int,
        multiplier: int = 4,
        dimensions: int = 2,
    ):
        super().__init__()
        self.order, self.dimensions = order, dimensions
        count = len(total_degree(dimensions, order).indices)
        self.operators = nn.Parameter(torch.empty(in_channels, multiplier, count))
        self.mixing = nn.Parameter(torch.empty(out_channels, in_channels, multiplier))
        uniform_(self.operators, 1 / sqrt(count))
        uniform_(self.mixing, 1 / sqrt(in_channels * multiplier))

    def matrix(self) -> Tensor:
        """Operators and mixing as one map, ``(c', c M)``."""
        return torch.einsum("oim,imk->oik", self.mixing, self.operators).flatten(1)

    def forward(self, derivatives: Tensor) -> Tensor:
        r"""Derivatives of the layer's output from those of its input.

        Args:
            derivatives: :math:`D^\gamma y` up to total degree R, ``(rows, *signals, n, c)``.

        Returns:
            :math:`D^\beta y'` up to degree R - K, ``(fewer rows, *signals, n, c')``.
        """
        z = self.responses(derivatives).movedim(0, -2)  # as it lies in memory
        mean, deviation = (found.unsqueeze(-2) for found in statistics(z[..., 0, :]))
        value = functional.relu((z[..., :1, :] - mean) / deviation)
        slopes = torch.where(value > 0, z[..., 1:, :] / deviation, 0)
        return torch.cat([value, slopes], dim=-2).movedim(-2, 0)

    def responses(self, derivatives: Tensor) -> Tensor:
        """The derivatives of z, before normalization, ``(fewer rows, *signals, n, c')``.

        One matrix product: a block is V theta where a derivative of z takes one of y, else zero.
        """
        order = _order(len(derivatives), self.dimensions) - self.order
        if order < 0:
            raise ValueError(
                f"a layer of order {self.order} needs as many derivatives of its input, got "
                f"{len(derivatives)} of them"
            )
        sources = _sources(self.dimensions, order, self.order)
        blocks = self.matrix().unflatten(-1, (self.operators.shape[0], -1)).unbind(-1)
        none, columns = torch.zeros_like(blocks[0]), range(len(derivatives))
        joint = [
            torch.cat([blocks[rows.index(j)] if j in rows else none for j in columns], dim=-1)
            for rows in sources
        ]
        together = derivatives.movedim(0, -2).flatten(-2)
        z = functional.linear(together, torch.cat(joint))
        return z.unflatten(-1, (len(sources), -1)).movedim(-2, 0)


@cache
def _sources(dimensions: int, order: int, operators: int) -> list[list[int]]:
    r"""For each :math:`\beta` the rows of :math:`D^{\alpha + \beta} y`, by :math:`\alpha`."""
    known = total_degree(dimensions, order + operators).indices
    row = {index: i for i, index in enumerate(known)}
    return [
        [
            row[tuple(a + b for a, b in zip(alpha, beta, strict=True))]
            for alpha in total_degree(dimensions, operators).indices
        ]
        for beta in total_degree(dimensions, order).indices
    ]


def statistics(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the points of each field, ``(*signals, 1, c)``."""
    variance, mean = torch.var_mean(z, dim=-2, correction=0, keepdim=True)
    return mean, (variance + EPSILON).sqrt()


def _order(rows: int, dimensions: int) -> int:
    """The total degree up to which there are so many derivatives."""
    order = 0
    while len(total_degree(dimensions, order).indices) < rows:
        order += 1
    return order


class _Normalized(nn.Module):
    """A layer as a fusion of derivatives, with statistics that are known."""

    def __init__(self, matrix: Tensor):
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.register_buffer("mean", matrix.new_zeros(()))
        self.register_buffer("deviation", matrix.new_ones(()))

    def responses(self, features: Tensor) -> Tensor:
        return features.flatten(-2) @ self.matrix.mT

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu((self.responses(features) - self.mean) / self.deviation)


class INSPConvNet(nn.Module):
    r"""A classifier of fields (Xu et al. 2022, Eq. 6 and Algorithm 1).

    Layers of differential operators, averages over cells of the domain, and a linear map to the
    classes. The paper does not say how a field becomes a class; with one cell it is an average over
    all points.

    Args:
        channels: c of the fields.
        classes: number of classes.
        averages: weights of the points in each cell, ``(cells, n)``; see :func:`cell_averages`.
        orders: K of each layer; derivatives up to their sum are needed.
        width: channels of each layer.
        unit: length in which derivatives are taken, :math:`\ell^{|\alpha|} D^\alpha`: about the
            fields' shortest wavelength over :math:`2\pi`, so that all are of one size.
        multiplier: operators a channel, of each layer.
        dimensions: m.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        averages: Tensor,
        orders: Sequence[int] = (2, 2),
        width: int = 16,
        unit: float = 1.0,
        multiplier: int = 4,
        dimensions: int = 2,
    ):
        super().__init__()
        self.unit, self.dimensions, self.order = unit, dimensions, sum(orders)
        widths = [channels, *[width] * len(orders)]
        self.layers = nn.ModuleList(
            INSPConvLayer(a, b, order=k, multiplier=multiplier, dimensions=dimensions)
            for a, b, k in zip(widths, widths[1:], orders, strict=False)
        )
        self.register_buffer("averages", averages)
        self.head = nn.Linear(len(averages) * widths[-1], classes)

    def derivatives(self, field: nn.Module, coords: Tensor) -> Tensor:
        r"""What the network sees of a field or of a stack of them, in its unit of length.

        Args:
            field: from ``(*signals, n, m)`` to ``(*signals, n, c)``.
            coords: ``(*signals, n, m)``.

        Returns:
            :math:`\ell^{|\alpha|} D^\alpha \Phi`, ``(rows, *signals, n, c)``, without a graph.
        """
        with torch.no_grad():
            found = partials(field, coords, self.order)
        powers = [self.unit ** sum(index) for index in found.indices]
        powers = found.values.new_tensor(powers)
        return found.values * powers.reshape(-1, *[1] * (found.values.ndim - 1))

    def maps(self, derivatives: Tensor) -> Tensor:
        """Channels of the last layer at every point, ``(*signals, n, width)``."""
        for layer in self.layers:
            derivatives = layer(derivatives)
        return derivatives[0]

    def forward(self, derivatives: Tensor) -> Tensor:
        """Scores of the classes, ``(*signals, classes)``.

        Args:
            derivatives: as :meth:`derivatives` gives them; more orders than needed do no harm.
        """
        rows = len(total_degree(self.dimensions, self.order).indices)
        return self.head((self.averages @ self.maps(derivatives[:rows])).flatten(-2))

    def field(self, field: nn.Module, coords: Tensor) -> nn.Module:
        r"""The last layer as a field, with statistics over given points.

        Algorithm 1 to the letter: each layer is a field made of derivatives of the one before.

        Args:
            field: one field.
            coords: points of the statistics, ``(n, m)``.
        """
        current = field
        for layer in self.layers:
            powers = torch.arange(layer.order + 1, dtype=coords.dtype, device=coords.device)
            scales = self.unit**powers
            matrix = layer.matrix().detach()
            fusion = _Normalized(matrix)
            layered = INSPNet(
                current, fusion, order=layer.order, dimensions=self.dimensions, scales=scales
            ).to(coords)
            with torch.no_grad():
                responses = fusion.responses(layered.features(coords))
            fusion.mean, fusion.deviation = statistics(responses)
            current = layered
        return current


def cell_averages(coords: Tensor, side: int, *, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Weights that average over each cell of a regular grid, ``(side^m, n)``.

    Args:
        coords: points, ``(n, m)``; those outside count to the cell that is nearest.
        side: cells along each axis.
        low, high: ends of the domain along each axis.

    Raises:
        ValueError: a cell holds no point.
    """
    position = ((coords - low) / (high - low) * side).floor().long().clamp(0, side - 1)
    cell = torch.zeros_like(position[..., 0])
    for axis in range(coords.shape[-1]):
        cell = cell * side + position[..., axis]
    count = side ** coords.shape[-1]
    members = (cell == torch.arange(count, device=coords.device)[:, None]).to(coords.dtype)
    sizes = members.sum(-1, keepdim=True)
    if not (sizes > 0).all():
        raise ValueError(f"{int((sizes == 0).sum())} of {count} cells hold no point: take fewer")
    return members / sizes


class DepthwiseConvNet(nn.Module):
    r"""A convolutional network on pixels of the same structure as :class:`INSPConvNet`.

    Filters of 3 x 3 pixels on each channel instead of operators, a linear map that mixes channels,
    instance normalization and ReLU in each layer, then the same averages over cells and the same
    linear map to the classes (the baseline of Xu et al. 2022, Table 1).

    Args:
        channels: c of the pictures.
        classes: number of classes.
        shape: rows and columns of the pictures.
        averages: weights of the pixels in each cell, ``(cells, n)``; see :func:`cell_averages`.
        layers: number of layers.
        width: channels of each layer.
        multiplier: filters a channel, of each layer.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        shape: tuple[int, int],
        averages: Tensor,
        layers: int = 2,
        width: int = 16,
        multiplier: int = 4,
    ):
        super().__init__()
        self.shape, stages = tuple(shape), []
        for c in [channels, *[width] * (layers - 1)]:
            stages += [
                nn.Conv2d(c, c * multiplier, 3, padding=1, groups=c, bias=False),
                nn.Conv2d(c * multiplier, width, 1, bias=False),
                nn.InstanceNorm2d(width, eps=EPSILON),
                nn.ReLU(),
            ]
        self.stages = nn.Sequential(*stages)
        self.register_buffer("averages", averages)
        self.head = nn.Linear(len(averages) * width, classes)

    def forward(self, values: Tensor) -> Tensor:
        """Scores of the classes, ``(signals, classes)``, of pixels ``(signals, n, c)``."""
        maps = self.stages(values.mT.unflatten(-1, self.shape)).flatten(-2).mT
        return self.head((self.averages @ maps).flatten(-2))
