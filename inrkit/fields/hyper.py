r"""Fields whose parameters a network emits, from a few samples of the signal.

A signal known on some points of a grid is encoded as a vector z, and z decoded as a field:

.. math:: O \mapsto z = C(O), \qquad z \mapsto \theta = \Psi(z), \qquad x \mapsto \Phi_\theta(x)

(SIREN, Eq. 9 and 10; Suppl. 9). What is known, the context, is given as all pixels with a mask,
so that one batch can hold contexts of any sizes; pixels outside the mask are never read.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from inrkit.fields.layers import Layer, uniform_
from inrkit.fields.mlp import MLP


class SetEncoder(nn.Module):
    r"""The mean of embeddings of known samples, in whatever order: :math:`z = \overline{h(x, c)}`.

    Args:
        network: h, from coordinates and values of a sample to its embedding. The paper's have two
            hidden layers, of sines or as in conditional neural processes of ReLU.
        coords: x of all pixels, ``(n, d)``.
    """

    def __init__(self, network: nn.Module, coords: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("coords", coords)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """z, ``(batch, k)``, of values ``(batch, n, c)`` known where ``mask`` ``(batch, n)`` is."""
        known = mask.unsqueeze(-1)
        coords = self.coords.expand(len(values), *self.coords.shape)
        samples = torch.cat([coords, values.where(known, 0.0)], dim=-1)
        total = self.network(samples).where(known, 0.0).sum(-2)
        return total / known.sum(-2).clamp(min=1)


class PartialConv2d(nn.Module):
    r"""A convolution over known pixels alone (Liu et al. 2018, SIREN's reference for it).

    .. math:: y = W * (x \odot M) \; \frac{|W|}{1 * M} + b, \qquad M' = [1 * M > 0],

    :math:`1 * M` the number of known pixels under the kernel and :math:`|W|` all pixels under it;
    y is zero where none is known.

    Args:
        in_channels, out_channels: of x and y.
        kernel: side of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
        self.register_buffer("ones", torch.ones(1, 1, kernel, kernel))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """y and the new mask, of x ``(batch, c, H, W)`` and its mask ``(batch, 1, H, W)``."""
        count = functional.conv2d(mask.to(x.dtype), self.ones, padding=self.conv.padding)
        weights = functional.conv2d(x.where(mask, 0.0), self.conv.weight, padding=self.conv.padding)
        scaled = weights * (self.ones.numel() / count.clamp(min=1))
        known = count > 0.5
        return (scaled + self.conv.bias[:, None, None]).where(known, 0.0), known


class _PlainConv2d(nn.Conv2d):
    """A convolution that takes a mask and leaves it alone."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 3):
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x), mask


class ConvEncoder(nn.Module):
    r"""A convolutional network over a sparse image, unknown pixels zero (SIREN, Suppl. 9.1).

    One convolution, residual blocks :math:`x + W_2 * \mathrm{ReLU}(W_1 * x)` with ReLU after each,
    then a weighted sum over pixels, whose weights are learnt and shared by all channels.

    Args:
        shape: height and width of the image.
        channels: c of the values.
        width: channels of every map, and of z.
        blocks: number of residual blocks.
        kernel: side of the kernels, odd; the paper does not print it.
        partial: convolutions over known pixels alone.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        channels: int = 3,
        *,
        width: int = 256,
        blocks: int = 4,
        kernel: int = 3,
        partial: bool = False,
    ):
        super().__init__()
        self.shape = tuple(shape)
        conv = PartialConv2d if partial else _PlainConv2d
        self.first = conv(channels, width, kernel=kernel)
        self.blocks = nn.ModuleList(
            nn.ModuleList([conv(width, width, kernel=kernel) for _ in range(2)])
            for _ in range(blocks)
        )
        self.gather = nn.Linear(shape[0] * shape[1], 1)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """z, ``(batch, width)``, of values ``(batch, n, c)`` known where ``mask`` is."""
        x = values.where(mask.unsqueeze(-1), 0.0).mT.unflatten(-1, self.shape)
        x, known = self.first(x, mask.unsqueeze(-2).unflatten(-1, self.shape))
        x = torch.relu(x)
        for first, second in self.blocks:
            inner, between = first(x, known)
            outer, known = second(torch.relu(inner), between)
            x = torch.relu(x + outer)
        return self.gather(x.flatten(-2)).squeeze(-1)


class Hypernetwork(nn.Module):
    r"""Networks from z to each tensor of another network's parameters, :math:`\theta = \Psi(z)`.

    ReLU networks with one hidden layer. Their last weights start as Kaiming's times 1/100, and
    their last biases from :math:`U(\pm 1/n)`, n the fan-in of the layer that is emitted: at the
    start, every z gives nearly one and the same field (SIREN, Suppl. 9.1).

    Args:
        field: of the architecture that is emitted, made of :class:`~inrkit.fields.Layer`; its own
            parameters are not used.
        latent: k, length of z.
        width: neurons of the hidden layers.
    """

    def __init__(self, field: nn.Module, latent: int = 256, *, width: int = 256):
        super().__init__()
        self.field = field.requires_grad_(False)
        layers = {name: m for name, m in field.named_modules() if isinstance(m, Layer)}
        self.shapes, networks = {}, []
        for name, layer in layers.items():
            for leaf in ("weight", "bias"):
                tensor = getattr(layer, leaf)
                network = MLP(latent, tensor.numel(), width=width, hidden_layers=1)
                with torch.no_grad():
                    network.layers[-1].weight.mul_(1e-2)
                uniform_(network.layers[-1].bias, 1 / layer.weight.shape[-1])
                self.shapes[f"{name}.{leaf}"] = tuple(tensor.shape)
                networks.append(network)
        if set(self.shapes) != {name for name, _ in field.named_parameters()}:
            raise ValueError("a hypernetwork emits layers; this field has other parameters besides")
        self.networks = nn.ModuleList(networks)

    def emit(self, z: Tensor) -> dict[str, Tensor]:
        """Parameters by name, ``(batch, *shape)``, of z ``(batch, k)``."""
        pairs = zip(self.shapes.items(), self.networks, strict=True)
        return {name: network(z).unflatten(-1, shape) for (name, shape), network in pairs}

    def forward(self, z: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
        r"""Values ``(batch, n, c)`` at ``coords``, and :math:`\|\theta\|^2 / l`, ``(batch,)``."""
        theta = self.emit(z)
        flat = torch.cat([tensor.flatten(1) for tensor in theta.values()], dim=-1)
        return functional_call(self.field, theta, (coords,)), flat.square().mean(-1)


class ConditionalDecoder(nn.Module):
    r"""One network for all signals, told which by its input: :math:`\Phi(x, z)`.

    The decoder of a conditional neural process (Garnelo et al. 2018), without its variances.

    Args:
        network: from coordinates and z together to values.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(batch, n, c)``, and zeros ``(batch,)``: it emits no parameters."""
        points = coords.expand(len(z), *coords.shape[-2:])
        codes = z.unsqueeze(-2).expand(-1, points.shape[-2], -1)
        return self.network(torch.cat([points, codes], dim=-1)), z.new_zeros(len(z))


class Completed(NamedTuple):
    r"""Signals completed from contexts.

    Attributes:
        values: ``(batch, n, c)``.
        latent: z, ``(batch, k)``.
        weights: :math:`\|\theta\|^2 / l`, ``(batch,)``.
    """

    values: Tensor
    latent: Tensor
    weights: Tensor


class Completer(nn.Module):
    """An encoder of contexts and a decoder of what it finds.

    Args:
        encoder: from values and a mask to z.
        decoder: from z and coordinates to values and the mean square of emitted parameters.
    """

    def __init__(
        self,
        encoder: Callable[[Tensor, Tensor], Tensor],
        decoder: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    ):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, values: Tensor, mask: Tensor, coords: Tensor) -> Completed:
        """Values at any ``coords`` ``(n', d)``, of ``values`` known where ``mask`` is."""
        z = self.encoder(values, mask)
        found, weights = self.decoder(z, coords)
        return Completed(found, z, weights)
