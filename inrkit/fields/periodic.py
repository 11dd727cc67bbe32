r"""Networks that control frequency and amplitude of a wave: FINER's other baselines.

FINER's supplement compares with them (Sec. 5, Table 1) but gives none of their settings. What it
leaves open is chosen here, and each docstring says so.
"""

from math import log2, sqrt

import torch
from torch import Tensor, nn

from inrkit.fields.activations import identity
from inrkit.fields.layers import Layer, affine, uniform_
from inrkit.fields.mlp import GAIN, _Sequential

FAR = -46.0  # exp(-46) is 1e-20: below lie numbers that a processor is slow with


class GaborLayer(nn.Module):
    r"""A layer of complex Gabor wavelets (WIRE, Saragadam et al. 2023, Eq. 3).

    .. math:: \psi(z) = e^{j \omega z}\, e^{-|s z|^2}, \qquad z = W x + b

    with complex W, b, and complex x after the first layer. Complex numbers travel as their real
    parts followed by their imaginary parts: with :math:`z = p + jq`,

    .. math:: \psi(z) = e^{-\omega q - s^2 (p^2 + q^2)}\, (\cos \omega p + j \sin \omega p).

    Args:
        in_features: number of inputs, complex ones counted once.
        out_features: number of complex outputs.
        omega: frequency :math:`\omega`.
        scale: inverse width s.
        first: whether inputs, weights and biases are real.
    """

    def __init__(
        self, in_features: int, out_features: int, *, omega: float, scale: float, first: bool
    ):
        super().__init__()
        self.omega, self.scale, self.first = omega, scale, first
        parts = 1 if first else 2  # real, imaginary
        self.weight = nn.Parameter(torch.empty(parts * out_features, in_features))
        self.bias = nn.Parameter(torch.empty(parts * out_features))
        uniform_(self.weight, 1 / sqrt(in_features))
        uniform_(self.bias, 1 / sqrt(in_features))

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            p = affine(x, self.weight, self.bias)
            exponent = -(self.scale**2) * (p * p)
        else:
            real, imaginary = self.weight.chunk(2, dim=-2)
            matrix = torch.cat([self.weight, torch.cat([-imaginary, real], dim=-2)], dim=-1)
            z = affine(x, matrix, self.bias)
            width = z.shape[-1] // 2
            p, q = z[..., :width], z[..., width:]
            exponent = -self.omega * q - self.scale**2 * (p * p + q * q)
        envelope = torch.exp(torch.where(exponent > FAR, exponent, FAR))
        wave = torch.cat([torch.cos(self.omega * p), torch.sin(self.omega * p)], dim=-1)
        return torch.cat([envelope, envelope], dim=-1) * wave


class WIRE(nn.Module):
    r"""Wavelet implicit representation (Saragadam et al. 2023), a baseline of FINER.

    Layers of :class:`GaborLayer`, then the real part of a complex linear map. Real and imaginary
    parts of weights and biases start from :math:`U(\pm 1/\sqrt{\text{fan-in}})`, as PyTorch starts
    a complex layer.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: complex neurons a hidden layer; :math:`256/\sqrt 2` have as many parameters as 256
            real ones.
        hidden_layers: number of activated layers.
        omega: frequency of the wavelets; FINER's comparison has 20.
        scale: their inverse width; FINER's comparison has 10.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 181,
        hidden_layers: int = 4,
        omega: float = 20.0,
        scale: float = 10.0,
    ):
        super().__init__()
        widths = [in_features, *[width] * hidden_layers]
        self.layers = nn.ModuleList(
            GaborLayer(n, m, omega=omega, scale=scale, first=i == 0)
            for i, (n, m) in enumerate(zip(widths, widths[1:], strict=False))
        )
        self.layers.append(Layer(2 * width, out_features, activation=identity))
        for parameter in (self.layers[-1].weight, self.layers[-1].bias):
            uniform_(parameter, 1 / sqrt(width))

    def forward(self, coords: Tensor) -> Tensor:
        x = coords
        for layer in self.layers:
            x = layer(x)
        return x


class ModulatedSIREN(nn.Module):
    r"""Modulated periodic activations (Mehta et al. 2021), MPA in FINER's Table 1.

    A synthesis network of sines, whose amplitudes come from a ReLU network on a code z:

    .. math:: h_i = \alpha_i \odot \sin(\omega_0 (W_i h_{i-1} + b_i)), \qquad
              \alpha_i = \mathrm{ReLU}(W'_i [\alpha_{i-1}, z] + b'_i),

    with :math:`h_0 = x` and nothing before :math:`\alpha_1` but z. In the auto-encoder setting an
    encoder computes z from the signal. A fit to one signal shows the encoder one input for ever,
    so that all it can give is a constant: here z is trained itself, which represents the same
    functions. Chosen: synthesis weights start as SIREN's, the modulator's as He et al. for ReLU,
    and z from N(0, 1).

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer, of both networks.
        hidden_layers: number of modulated sine layers.
        omega_0: frequency factor of every sine.
        code: length of z.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 4,
        omega_0: float = 30.0,
        code: int = 256,
    ):
        super().__init__()
        widths = [in_features, *[width] * hidden_layers]
        self.layers = nn.ModuleList(
            Layer(n, m, activation=torch.sin, omega=omega_0)
            for n, m in zip(widths, widths[1:], strict=False)
        )
        self.last = Layer(width, out_features, activation=identity)
        uniform_(self.layers[0].weight, 1 / in_features)
        for layer in (*self.layers[1:], self.last):
            uniform_(layer.weight, sqrt(6 / width) / omega_0)
        inputs = [code, *[width + code] * (hidden_layers - 1)]
        self.modulators = nn.ModuleList(Layer(n, width, activation=torch.relu) for n in inputs)
        for layer in self.modulators:
            nn.init.normal_(layer.weight, std=GAIN[torch.relu] / sqrt(layer.weight.shape[-1]))
        self.code = nn.Parameter(torch.randn(code))

    def amplitudes(self) -> list[Tensor]:
        r"""The :math:`\alpha_i` of every layer, ``(*signals, 1, width)``."""
        z = self.code.unsqueeze(-2)
        found = [self.modulators[0](z)]
        for modulator in self.modulators[1:]:
            found.append(modulator(torch.cat([found[-1], z], dim=-1)))
        return found

    def forward(self, coords: Tensor) -> Tensor:
        x = coords
        for layer, amplitude in zip(self.layers, self.amplitudes(), strict=True):
            x = amplitude * layer(x)
        return self.last(x)


class MetaSin(nn.Module):
    r"""A learnt sum of sines in the place of an activation (Salehi et al. 2023).

    .. math:: \phi(u) = \sum_{j=1}^{J} a_j \sin(f_j u + p_j)

    with amplitudes, frequencies and phases of its own for each neuron. Chosen: f starts as
    :math:`1, \dots, J`, a as :math:`\sqrt{2 / \sum_j j^{-2}} / j`, such that a spread argument
    gives a value of variance 1, and p as zero.

    Args:
        width: number of neurons.
        components: J.
    """

    def __init__(self, width: int, *, components: int = 5):
        super().__init__()
        j = torch.arange(1.0, components + 1).unsqueeze(-1)
        amplitude = sqrt(2 / float((j**-2).sum())) / j
        self.amplitude = nn.Parameter(amplitude.repeat(1, width))  # (*signals, J, width)
        self.frequency = nn.Parameter(j.repeat(1, width))
        self.phase = nn.Parameter(torch.zeros(components, width))

    def forward(self, u: Tensor) -> Tensor:
        parts = zip(
            *(p.unsqueeze(-2).unbind(-3) for p in (self.amplitude, self.frequency, self.phase)),
            strict=True,
        )
        return sum(a * torch.sin(f * u + p) for a, f, p in parts)


class MetaSinMLP(_Sequential):
    r"""A multilayer perceptron with :class:`MetaSin` activations, MS-MLP in FINER's Table 1.

    Chosen: weights from :math:`U(\pm\sqrt{3/n})`, n the fan-in, whose arguments have variance 1;
    those of the first layer :math:`U(\pm 1)`.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer.
        hidden_layers: number of activated layers.
        components: sines an activation.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 4,
        components: int = 5,
    ):
        super().__init__()
        widths = [in_features, *[width] * hidden_layers]
        self.layers = nn.ModuleList(
            Layer(n, m, activation=MetaSin(m, components=components))
            for n, m in zip(widths, widths[1:], strict=False)
        )
        uniform_(self.layers[0].weight, 1.0)
        for layer in self.layers[1:]:
            uniform_(layer.weight, sqrt(3 / width))
        self.layers.append(Layer(width, out_features, activation=identity))


class ComposedMLP(nn.Module):
    r"""A ReLU network behind sines of a linear map, SC-MLP in FINER's Table 1 (Chen et al. 2023).

    .. math:: h = \sin\bigl(m \odot (W_1 x + b_1)\bigr)

    in place of the first layer: NeuRBF's sinusoidal composition without its basis functions. The
    multipliers m are constants, evenly spaced in their logarithm; their range is chosen.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer.
        hidden_layers: number of activated layers, that of sines among them.
        lowest, highest: ends of the multipliers.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 4,
        lowest: float = 2.0**-3,
        highest: float = 2.0**12,
    ):
        super().__init__()
        self.register_buffer("multipliers", torch.logspace(log2(lowest), log2(highest), width, 2))
        self.first = Layer(in_features, width, activation=identity)
        widths = [width] * hidden_layers
        self.layers = nn.ModuleList(
            Layer(n, m, activation=torch.relu) for n, m in zip(widths, widths[1:], strict=False)
        )
        self.layers.append(Layer(width, out_features, activation=identity))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=GAIN[torch.relu] / sqrt(width))

    def forward(self, coords: Tensor) -> Tensor:
        x = torch.sin(self.multipliers.unsqueeze(-2) * self.first(coords))
        for layer in self.layers:
            x = layer(x)
        return x
