r"""Univariate Taylor series of elementwise functions, in closed form.

A series rule takes the expansion point :math:`u` and the order :math:`K` and returns
:math:`[f(u), f'(u), f''(u)/2!, \ldots, f^{(K)}(u)/K!]`, shorter where all later terms vanish.
:class:`~inrkit.calculus.Jet` composes these series with its coefficients.
"""

from collections.abc import Callable, Sequence
from math import comb, factorial, log, pi, sqrt

import torch
from torch import Tensor
from torch.nn import functional

SERIES: dict[str, Callable[..., Sequence[Tensor]]] = {}
HOLOMORPHIC = {"sin", "cos", "exp", "exp2", "log", "log1p", "pow", "sqrt", "square", "reciprocal"}
HOLOMORPHIC |= {"tanh", "sigmoid", "atan"}


def series(name: str):
    """Register the Taylor series of the elementwise function called ``name``."""

    def register(rule):
        SERIES[name] = rule
        return rule

    return register


def _cycle(u: Tensor, order: int, phase: int) -> list[Tensor]:
    # the derivatives of sin run through sin, cos, -sin, -cos; those of cos start one later
    terms = [torch.cos(u) if (k + phase) % 2 else torch.sin(u) for k in range(min(order + 1, 2))]
    signs = [-1 if (k + phase) % 4 > 1 else 1 for k in range(order + 1)]
    scaled = [term if sign == 1 else -term for term, sign in zip(terms, signs, strict=False)]
    return scaled + [signs[k] / factorial(k) * terms[k % 2] for k in range(2, order + 1)]


@series("sin")
def _sin(u: Tensor, order: int) -> list[Tensor]:
    return _cycle(u, order, 0)


@series("cos")
def _cos(u: Tensor, order: int) -> list[Tensor]:
    return _cycle(u, order, 1)


@series("exp")
def _exp(u: Tensor, order: int) -> list[Tensor]:
    value = torch.exp(u)
    return [value / factorial(k) for k in range(order + 1)]


@series("log")
def _log(u: Tensor, order: int) -> list[Tensor]:
    return [torch.log(u), *((-1) ** (k - 1) / (k * u**k) for k in range(1, order + 1))]


@series("log_abs")
def _log_abs(u: Tensor, order: int) -> list[Tensor]:
    value = torch.log(u.abs().clamp(min=torch.finfo(u.dtype).tiny))
    slopes = [(-1) ** (k - 1) / (k * u**k) for k in range(1, order + 1)]
    return [value, *(torch.where(u == 0, 0, slope) for slope in slopes)]


def _binomial(power: float | Tensor, k: int) -> float | Tensor:
    value = power**0
    for i in range(k):
        value *= (power - i) / (i + 1)
    return value


@series("pow")
def _pow(u: Tensor, order: int, exponent: float) -> list[Tensor]:
    if exponent >= 0 and exponent == int(exponent):
        order = min(order, int(exponent))
        return [comb(int(exponent), k) * u ** (int(exponent) - k) for k in range(order + 1)]
    return [_binomial(exponent, k) * u ** (exponent - k) for k in range(order + 1)]


def powers(u: Tensor, order: int, exponent: Tensor) -> list[Tensor]:
    """The series of :math:`u^p`, with an exponent p for each element."""
    factors = [_binomial(exponent, k) for k in range(order + 1)]
    # a whole power has an end, beyond which zero to a negative power would enter
    return [torch.where(f == 0, 0, f * u ** (exponent - k)) for k, f in enumerate(factors)]


@series("sqrt")
def _sqrt(u: Tensor, order: int) -> list[Tensor]:
    return _pow(u, order, 0.5)


@series("sqrt_abs")
def _sqrt_abs(u: Tensor, order: int) -> list[Tensor]:
    # each term is the one before times (1/2 - k)/(k + 1)/u; zero where u is
    zero = u == 0
    u = u.masked_fill(zero, 1)
    terms = [u.abs().sqrt()]
    for k in range(order):
        terms.append((0.5 - k) / (k + 1) * (terms[k] / u))
    return [term.masked_fill(zero, 0) for term in terms]


@series("sqrt_relu")
def _sqrt_relu(u: Tensor, order: int) -> list[Tensor]:
    return [torch.where(u > 0, term, 0) for term in _pow(torch.where(u > 0, u, 1), order, 0.5)]


GAUSSIAN_END = 46.0  # exp(-46) is 1e-20


@series("gaussian")
def _gaussian(u: Tensor, order: int) -> list[Tensor]:
    # y' = -2 u y, solved term by term
    square = u * u
    terms = [torch.exp(-square).masked_fill(square > GAUSSIAN_END, 0)]
    for k in range(1, order + 1):
        before = terms[k - 2] if k > 1 else 0
        terms.append((-2 / k) * (u * terms[k - 1] + before))
    return terms


@series("finer")
def _finer(u: Tensor, order: int) -> list[Tensor]:
    # sin(v) of v = (|u| + 1) u, whose own series ends with the second power
    size = u.abs()
    inner = [(size + 1) * u, 2 * size + 1, u.sign()]
    outer = _sin(inner[0], order)
    terms, power = [outer[0], *([0] * order)], [1]
    for k in range(1, order + 1):
        power = [
            sum(power[j] * inner[i - j] for j in range(len(power)) if 1 <= i - j <= 2)
            for i in range(min(2 * k, order) + 1)
        ]
        terms = [t + outer[k] * p for t, p in zip(terms, power, strict=False)] + terms[len(power) :]
    return terms


@series("square")
def _square(u: Tensor, order: int) -> list[Tensor]:
    return _pow(u, order, 2)


@series("reciprocal")
def _reciprocal(u: Tensor, order: int) -> list[Tensor]:
    return _pow(u, order, -1)


@series("abs")
def _abs(u: Tensor, order: int) -> list[Tensor]:
    return [u.abs(), u.sign()][: order + 1]


@series("relu")
def _relu(u: Tensor, order: int) -> list[Tensor]:
    return [torch.relu(u), (u > 0).to(u.dtype)][: order + 1]


def _logistic_like(value: Tensor, order: int, constant: float, linear: float) -> list[Tensor]:
    # y' = constant + linear y - y^2, solved term by term
    terms = [value]
    for k in range(order):
        slope = linear * terms[k] - sum(terms[i] * terms[k - i] for i in range(k + 1))
        terms.append((slope + constant if k == 0 else slope) / (k + 1))
    return terms


@series("tanh")
def _tanh(u: Tensor, order: int) -> list[Tensor]:
    return _logistic_like(torch.tanh(u), order, 1.0, 0.0)


@series("sigmoid")
def _sigmoid(u: Tensor, order: int) -> list[Tensor]:
    return _logistic_like(torch.sigmoid(u), order, 0.0, 1.0)


@series("softplus")
def _softplus(u: Tensor, order: int, beta: float = 1.0, threshold: float = 20.0) -> list[Tensor]:
    slopes = _sigmoid(beta * u, max(order - 1, 0))
    linear = beta * u > threshold  # where torch's softplus is the identity
    terms = [functional.softplus(u, beta, threshold)]
    for k in range(1, order + 1):
        term = slopes[k - 1] * beta ** (k - 1) / k
        terms.append(torch.where(linear, float(k == 1), term))
    return terms


@series("elu")
def _elu(u: Tensor, order: int, alpha: float = 1.0) -> list[Tensor]:
    tail = alpha * torch.exp(u.clamp(max=0))
    terms = [functional.elu(u, alpha)]
    for k in range(1, order + 1):
        terms.append(torch.where(u > 0, float(k == 1), tail / factorial(k)))
    return terms


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@series("selu")
def _selu(u: Tensor, order: int) -> list[Tensor]:
    return [SELU_SCALE * term for term in _elu(u, order, SELU_ALPHA)]


@series("atan")
def _atan(u: Tensor, order: int) -> list[Tensor]:
    # atan' = 1/(1 + u^2); the series of the reciprocal of (1 + u^2) + 2u h + h^2
    slopes = [1 / (1 + u * u)]
    for k in range(1, order):
        before = slopes[k - 2] if k > 1 else 0
        slopes.append(-(2 * u * slopes[k - 1] + before) * slopes[0])
    return [torch.atan(u), *(slopes[k - 1] / k for k in range(1, order + 1))]


@series("log1p")
def _log1p(u: Tensor, order: int) -> list[Tensor]:
    return [torch.log1p(u), *_log(1 + u, order)[1:]]


@series("erf")
def _erf(u: Tensor, order: int) -> list[Tensor]:
    # erf' = 2/sqrt(pi) exp(-u^2), whose series y has k y_k = -2 (u y_(k-1) + y_(k-2))
    slopes = [2 / sqrt(pi) * torch.exp(-u * u)]
    for k in range(1, order):
        before = slopes[k - 2] if k > 1 else 0
        slopes.append((-2 / k) * (u * slopes[k - 1] + before))
    return [torch.erf(u), *(slopes[k - 1] / k for k in range(1, order + 1))]


@series("exp2")
def _exp2(u: Tensor, order: int) -> list[Tensor]:
    value = torch.exp2(u)
    return [value * log(2) ** k / factorial(k) for k in range(order + 1)]
