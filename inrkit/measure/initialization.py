r"""What SIREN's activations are at initialization, exactly, for wide layers.

A hidden layer computes :math:`u = \omega_0 (W y + b)` from the outputs y of n sines, with
:math:`W \sim U(\pm\sqrt{6/n}/\omega_0)` and :math:`b \sim U(\pm r)`. Then

* :math:`\mathrm{Var}[\omega_0 W_{ij}] = 2/n`, so that the weighted sum g is Gaussian for large n
  with variance :math:`v = 2\,E[y^2]`;
* :math:`\beta = \omega_0 b` is uniform on :math:`\pm B`, :math:`B = \omega_0 r`, so that the
  variance before the sine is :math:`v + B^2/3`;
* :math:`E[\sin^2(g + \beta)] = \tfrac12 \bigl(1 - e^{-2v}\,\frac{\sin 2B}{2B}\bigr)`.

Together, from one layer to the next,

.. math:: v' = 1 - e^{-2v}\,\frac{\sin 2B}{2B}.

SIREN (Suppl. 1, Theorem 1.8) takes the outputs as arcsine-distributed, :math:`E[y^2] = 1/2`, and
so finds 1 instead.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import lambertw, ndtr

from inrkit.measure.metrics import as_array

arcsine = stats.arcsine(loc=-1, scale=2)  # on [-1, 1]: variance 1/2, standard deviation 0.7071


@dataclass(frozen=True)
class Variances:
    """Predicted variances, one a sine layer: before the sine and after it."""

    before: np.ndarray
    after: np.ndarray


def variance_recursion(
    hidden_layers: int,
    *,
    width: int,
    omega_0: float = 30.0,
    bias_range: float | None = None,
    coords=None,
) -> Variances:
    r"""Variances before and after each sine of a SIREN at initialization.

    The first layer, :math:`\omega_0 (w \cdot x + b)` with :math:`w_j \sim U(\pm 1/d)`, has variance
    :math:`\omega_0^2 (|x|^2 / 3d^2 + r^2/3)` at the point x, and
    :math:`E[y^2] = \tfrac12 \bigl(1 - \mathrm{s}(2 \omega_0 r) \prod_j
    \mathrm{s}(2 \omega_0 x_j / d)\bigr)` with :math:`\mathrm{s}(z) = \sin(z)/z`; the others follow
    the recursion of this module at each x. The mean over the points is returned.

    Args:
        hidden_layers: number of sines.
        width: n, neurons in a hidden layer.
        bias_range: r of every layer; :math:`1/\sqrt{\text{fan-in}}`, PyTorch's, by default.
        coords: points ``(n, d)``; by default the :math:`2^8` of the paper, from -1 to 1.
    """
    x = np.linspace(-1, 1, 256)[:, None] if coords is None else as_array(coords)
    d = x.shape[-1]
    r = d**-0.5 if bias_range is None else bias_range
    B = omega_0 * (width**-0.5 if bias_range is None else bias_range)
    before = omega_0**2 * (np.square(x).sum(-1) / (3 * d**2) + r**2 / 3)
    squares = (1 - _s(2 * omega_0 * r) * _s(2 * omega_0 * x / d).prod(-1)) / 2
    variances = [(before.mean(), squares.mean())]
    for _ in range(hidden_layers - 1):
        v = 2 * squares
        squares = (1 - np.exp(-2 * v) * _s(2 * B)) / 2
        variances.append(((v + B**2 / 3).mean(), squares.mean()))
    return Variances(*np.array(variances).T)


def fixed_point(*, width: int, omega_0: float = 30.0, bias_range: float | None = None) -> float:
    r"""Variance before the sine that deep layers settle at.

    :math:`v = 1 - c\,e^{-2v}` with :math:`c = \sin(2B)/2B` is solved by Lambert's W,
    :math:`v = 1 + W_0(-2c/e^2)/2`, to which the bias adds :math:`B^2/3`. Without biases (c = 1) it
    is 0.797.
    """
    B = omega_0 * (width**-0.5 if bias_range is None else bias_range)
    return float(1 + lambertw(-2 * _s(2 * B) * np.exp(-2)).real / 2 + B**2 / 3)


def _s(z):
    """sin(z)/z; NumPy's sinc has pi in it."""
    return np.sinc(np.asarray(z) / np.pi)


def sine_of_gaussian_pdf(y, variance: float) -> np.ndarray:
    r"""Density of :math:`y = \sin u`, :math:`u \sim N(0, v)`, on (-1, 1).

    Every period has two branches, :math:`a = \arcsin y` and :math:`\pi - a`:

    .. math:: p(y) = \frac{1}{\sqrt{1 - y^2}} \sum_k \bigl[\varphi_v(a + 2\pi k)
              + \varphi_v(\pi - a + 2\pi k)\bigr].
    """
    y = as_array(y)[..., None]
    a, k = np.arcsin(y), _periods(variance)
    density = stats.norm(scale=np.sqrt(variance)).pdf
    branches = density(a + k) + density(np.pi - a + k)
    return branches.sum(-1) / np.sqrt(1 - y[..., 0] ** 2)


def sine_of_gaussian_cdf(y, variance: float) -> np.ndarray:
    r"""Probability that :math:`\sin u \le y` for :math:`u \sim N(0, v)`.

    :math:`\sin u \le y` for :math:`-\pi - a \le u - 2\pi k \le a`, :math:`a = \arcsin y`.
    """
    a, k, scale = np.arcsin(as_array(y))[..., None], _periods(variance), np.sqrt(variance)
    return (ndtr((k + a) / scale) - ndtr((k - np.pi - a) / scale)).sum(-1)


def _periods(variance: float) -> np.ndarray:
    """Shifts by whole periods that reach ten standard deviations to either side."""
    most = int(np.ceil(10 * np.sqrt(variance) / (2 * np.pi))) + 1
    return 2 * np.pi * np.arange(-most, most + 1)
