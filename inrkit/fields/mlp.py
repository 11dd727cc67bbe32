"""Coordinate networks: ordinary activations, SIREN and SPDER."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from inrkit.fields.activations import DampedSine, Gaussian, VariableSine, identity, sqrt_abs
from inrkit.fields.layers import Layer, uniform_

# Standard deviation of weights times sqrt(fan-in) at which activations neither die nor explode:
# He et al. for ReLU and its smooth forms, Klambauer et al. for SELU, Glorot for tanh.
GAIN = {
    torch.relu: sqrt(2),
    functional.relu: sqrt(2),
    functional.softplus: sqrt(2),
    functional.elu: sqrt(1.55),
    functional.selu: 1.0,
    torch.tanh: 1.0,
}


class _Sequential(nn.Module):
    layers: nn.ModuleList

    def forward(self, coords: Tensor) -> Tensor:
        x = coords
        for layer in self.layers:
            x = layer(x)
        return x


class MLP(_Sequential):
    r"""A multilayer perceptron with an ordinary activation.

    .. math:: \Phi(x) = W_n (\phi_{n-1} \circ \cdots \circ \phi_0)(x) + b_n, \qquad
              \phi_i(x_i) = \phi(W_i x_i + b_i)

    :func:`encoded` puts an encoding in front.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer.
        hidden_layers: number of activated layers; SIREN's "5 layers" are 4 and the output.
        activation: elementwise :math:`\phi`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 4,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ):
        super().__init__()
        widths = [in_features, *[width] * hidden_layers]
        self.layers = nn.ModuleList(
            Layer(n, m, activation=activation) for n, m in zip(widths, widths[1:], strict=False)
        )
        self.layers.append(Layer(widths[-1], out_features, activation=identity))
        if activation in GAIN:
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=GAIN[activation] / sqrt(layer.weight.shape[-1]))


def encoded(
    encoding: nn.Module, network: Callable[[int, int], nn.Module], out_features: int = 1
) -> nn.Sequential:
    r"""A network behind an encoding, :math:`\Phi(\gamma(x))`.

    Args:
        encoding: module with an ``out_features``.
        network: called with the numbers of its inputs and outputs.
        out_features: number of values c.
    """
    return nn.Sequential(encoding, network(encoding.out_features, out_features))


class _Sinusoidal(_Sequential):
    def __init__(
        self, in_features, out_features, *, width, hidden_layers, omega_0, activation,
        hidden_omega=None,
    ):  # fmt: skip
        super().__init__()
        later = omega_0 if hidden_omega is None else hidden_omega
        widths = [in_features, *[width] * hidden_layers]
        omegas = [omega_0, *[later] * (hidden_layers - 1)]
        self.layers = nn.ModuleList(
            Layer(n, m, activation=activation(omega), omega=omega)
            for n, m, omega in zip(widths, widths[1:], omegas, strict=False)
        )
        self.layers.append(Layer(widths[-1], out_features, activation=identity))
        uniform_(self.layers[0].weight, 1 / in_features)
        for layer in self.layers[1:]:
            uniform_(layer.weight, sqrt(6 / width) / later)


class SIREN(_Sinusoidal):
    r"""Sinusoidal representation network (Sitzmann et al. 2020, Eq. 4).

    .. math:: \Phi(x) = W_n (\phi_{n-1} \circ \cdots \circ \phi_0)(x) + b_n, \qquad
              \phi_i(x_i) = \sin(\omega_0 (W_i x_i + b_i))

    The first weights start from U(-1/d, 1/d), all others from
    :math:`U(\pm\sqrt{6/n}/\omega_0)` (Suppl. 1.5 with c = 6, whose printed
    :math:`\sqrt{c/(\omega_0^2 n)}` is the same), biases from :math:`U(\pm 1/\sqrt{n})`, n the
    fan-in. The text gives the first layer the same range as the rest; the authors' code does not.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer.
        hidden_layers: number of sine layers; the paper's "5 layers" are 4 and the output.
        omega_0: frequency factor of every sine layer.
        activation: elementwise, in place of the sine; SPDER's released ReLU networks run through
            SIREN's layers, with the same factor and starting weights.
        hidden_omega: that of all but the first, where it is another.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 4,
        omega_0: float = 30.0,
        activation: Callable[[Tensor], Tensor] = torch.sin,
        hidden_omega: float | None = None,
    ):
        super().__init__(
            in_features,
            out_features,
            width=width,
            hidden_layers=hidden_layers,
            omega_0=omega_0,
            activation=lambda omega: activation,
            hidden_omega=hidden_omega,
        )


class SPDER(_Sinusoidal):
    r"""Semiperiodic damping-enabled object representation (Shah and Sitawarin 2023, Eq. 3).

    .. math:: \phi_i(x_i) = \sin(u)\,\delta(u), \qquad u = \omega_0 (W_i x_i + b_i)

    initialized as SIREN. The paper's Sec. 4.1 prints :math:`\sin(\omega_0 i)\,\delta(i)`, with the
    damping of the unscaled input; that form does not reach its numbers.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer.
        hidden_layers: number of activated layers; the paper's "5-layer" network has 6 and the
            output.
        omega_0: frequency factor of every damped layer.
        damping: the sublinear :math:`\delta`, any elementwise callable.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 6,
        omega_0: float = 30.0,
        damping: Callable[[Tensor], Tensor] = sqrt_abs,
    ):
        super().__init__(
            in_features,
            out_features,
            width=width,
            hidden_layers=hidden_layers,
            omega_0=omega_0,
            activation=lambda omega: DampedSine(damping),
        )


class FINER(_Sinusoidal):
    r"""Flexible spectral-bias tuning network (Liu et al. 2024).

    .. math:: \phi_i(x_i) = \sin(\omega_0\,(|z| + 1)\,z), \qquad z = W_i x_i + b_i

    The supplement prints :math:`\sin((|x| + 1)\,x)` without :math:`\omega_0`; in the released code
    the factor is that of the unscaled z.

    Weights start as SIREN's. The biases of the first layer start from U(-k, k): the larger the
    range k, the higher the frequencies that lie near.

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer.
        hidden_layers: number of activated layers.
        omega_0: frequency factor of every activated layer.
        hidden_omega: that of all but the first, where it is another.
        bias_range: k of the first layer; the default is that of the authors' image experiments.
        frozen: whether derivatives take :math:`|z| + 1` for a constant, as in the released code.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 4,
        omega_0: float = 30.0,
        hidden_omega: float | None = None,
        bias_range: float = sqrt(0.5),
        frozen: bool = False,
    ):
        super().__init__(
            in_features,
            out_features,
            width=width,
            hidden_layers=hidden_layers,
            omega_0=omega_0,
            activation=lambda omega: VariableSine(omega, frozen=frozen),
            hidden_omega=hidden_omega,
        )
        uniform_(self.layers[0].bias, bias_range)


class Gauss(_Sequential):
    r"""A network of Gaussian activations, a baseline of FINER.

    .. math:: \phi_i(x_i) = \exp(-(s\,(W_i x_i + b_i))^2)

    Args:
        in_features: number of coordinates d.
        out_features: number of values c.
        width: neurons a hidden layer.
        hidden_layers: number of activated layers.
        scale: the factor s.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 4,
        scale: float = 30.0,
    ):
        super().__init__()
        widths = [in_features, *[width] * hidden_layers]
        self.layers = nn.ModuleList(
            Layer(n, m, activation=Gaussian(scale))
            for n, m in zip(widths, widths[1:], strict=False)
        )
        self.layers.append(Layer(width, out_features, activation=identity))


def evaluate(field: nn.Module, coords: Tensor, rows: int = 2**14) -> Tensor:
    """Values at any number of points, so many at a time that only the values take memory.

    Args:
        field: any callable that treats each point on its own.
        coords: ``(*signals, n, d)``.
        rows: points a pass.

    Returns:
        ``(*signals, n, c)``, without a graph.
    """
    with torch.no_grad():
        return torch.cat([field(part) for part in coords.split(rows, dim=-2)], dim=-2)


def siren_gradient(model: SIREN, coords: Tensor) -> Tensor:
    r"""The gradient of a SIREN in closed form (Sitzmann et al. 2020, Suppl. 2, Eq. 7).

    Since :math:`\sin'(u) = \sin(u + \pi/2)`, every factor of the chain rule is a forward pass
    through sine layers, the last with its phase shifted by a quarter period.

    Args:
        model: one field, not a stack.
        coords: ``(n, d)``.

    Returns:
        derivatives of each value by each coordinate, ``(n, c, d)``.
    """
    *hidden, last = model.layers
    x, jacobian = coords, torch.eye(coords.shape[-1], dtype=coords.dtype, device=coords.device)
    for layer in hidden:
        u = layer.preactivation(x)
        shifted = torch.sin(u + torch.pi / 2)
        jacobian = shifted.unsqueeze(-1) * ((layer.omega * layer.weight) @ jacobian)
        x = torch.sin(u)
    return last.weight @ jacobian
