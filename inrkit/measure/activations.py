"""What happens inside a field: activations of every layer, and where an activation is flat."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from scipy.optimize.elementwise import find_root
from scipy.special import ndtri
from torch import Tensor, nn

from inrkit.calculus import derivative
from inrkit.fields import Layer
from inrkit.measure.metrics import as_array

Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer's values at n points: before (pre) and after (post) its activation, ``(n, out)``.

    ``gradient`` is that of the summed output of the last layer in ``post``.
    """

    pre: Tensor
    post: Tensor
    gradient: Tensor | None = None


def capture(model: nn.Module, coords: Tensor, *, gradients: bool = False) -> list[LayerRecord]:
    """Records of every :class:`~inrkit.fields.Layer` that a forward pass goes through, in order.

    Args:
        coords: points, ``(*signals, n, d)``.
        gradients: back-propagate the sum of the last layer's activations to every layer's
            (SIREN, Suppl. 1.4).
    """
    pairs: list[tuple[Tensor, Tensor]] = []

    def keep(layer: Layer, inputs: tuple[Tensor], post: Tensor):
        pairs.append((layer.preactivation(inputs[0]).detach(), post))

    hooks = [m.register_forward_hook(keep) for m in model.modules() if isinstance(m, Layer)]
    try:
        with torch.set_grad_enabled(gradients):
            model(coords.detach().requires_grad_(gradients))
    finally:
        for hook in hooks:
            hook.remove()
    if not pairs:
        raise ValueError("the model has no layers of inrkit.fields.Layer to look into")
    posts = [post for _, post in pairs]
    slopes = torch.autograd.grad(posts[-1].sum(), posts) if gradients else [None] * len(posts)
    return [
        LayerRecord(pre, post.detach(), slope)
        for (pre, post), slope in zip(pairs, slopes, strict=True)
    ]


def ks_distance(values, cdf: Callable) -> float:
    r"""Kolmogorov-Smirnov distance :math:`\sup_x |F_n(x) - F(x)|` of values to a distribution."""
    return float(stats.ks_1samp(as_array(values).ravel(), cdf, method="asymp").statistic)


@dataclass(frozen=True)
class StationaryPoints:
    """Where :math:`f' = 0`: positions x, ascending, and values f(x)."""

    x: np.ndarray
    values: np.ndarray

    @property
    def magnitudes(self) -> np.ndarray:
        """Distinct absolute values of f(x), ascending."""
        return np.unique(np.abs(self.values).round(9))


def stationary_points(
    function: Elementwise, low: float, high: float, *, samples: int = 4096
) -> StationaryPoints:
    r"""All extrema of f on [low, high]: sign changes of :math:`f'`, refined to float64 precision.

    Points where :math:`f'` touches zero without changing sign (0 for :math:`\sin(u)\sqrt{|u|}`) or
    jumps over it are left out, as are pairs nearer than (high - low) / samples.
    """

    def slope(x: np.ndarray) -> np.ndarray:
        return derivative(function, torch.from_numpy(np.asarray(x, np.float64))).numpy()

    x = np.linspace(low, high, samples)
    x = x[slope(x) != 0]
    turns = np.flatnonzero(np.diff(np.sign(slope(x))))
    roots = find_root(slope, (x[turns], x[turns + 1])).x
    beside = slope(np.stack([roots - 1e-8, roots + 1e-8]))
    roots = roots[np.abs(beside).max(0, initial=0) < 1e-4]  # not where the slope jumps over zero
    return StationaryPoints(roots, function(torch.from_numpy(roots)).numpy())


def share_near(values, points, *, tolerance: float) -> float:
    """Share of the values whose magnitude is within ``tolerance`` of one of the points."""
    points = np.unique(np.abs(as_array(points)))
    magnitudes = np.abs(as_array(values)).ravel()
    above = np.searchsorted(points, magnitudes).clip(max=len(points) - 1)
    nearest = [np.abs(magnitudes - points[i]) for i in (above, (above - 1).clip(min=0))]
    return float((np.minimum(*nearest) <= tolerance).mean())


def peak_ratios(values, points, *, window: float) -> np.ndarray:
    r"""How far a histogram of magnitudes peaks at each point p.

    The density in :math:`[p - w, p + w]` over that in its flanks, :math:`w` to :math:`3w` to either
    side and not below zero: 1 for a density that is straight there, above 1 for a peak; NaN if no
    value is near.
    """
    magnitudes = np.sort(np.abs(as_array(values)).ravel())
    points = np.abs(as_array(points)).ravel()

    def within(reach: float) -> np.ndarray:  # (count, length) of [p - reach, p + reach]
        ends = np.stack([(points - reach).clip(min=0), points + reach])
        low, high = np.searchsorted(magnitudes, ends)
        return np.stack([high - low, ends[1] - ends[0]])

    inside, outside = within(window), within(3 * window)
    (count, length), (flank_count, flank_length) = inside, outside - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        return (count / length) / (flank_count / flank_length)


def gaussian_surrogate(pre: Tensor, activation: Elementwise) -> Tensor:
    """The activation of a normal sample with the mean and deviation of ``pre``.

    The baseline for peaks: those that any smooth distribution before the activation gives, without
    the network seeking them. The sample is the normal quantiles, as many as ``pre`` has values.
    """
    n = pre.numel()
    quantiles = torch.from_numpy(ndtri((np.arange(n) + 0.5) / n)).to(pre.device)
    return activation(pre.double().mean() + pre.double().std() * quantiles)


def lipschitz_bound(damping: Elementwise, x: Tensor) -> Tensor:
    r"""The bound :math:`|\delta(x)| + |\delta'(x)|` on the slope of :math:`\sin(x)\,\delta(x)`.

    SPDER, A.1, Eq. 12, at each x by itself.
    """

    def delta(u: Tensor) -> Tensor:
        return damping(u) + 0 * u  # a constant damping may be a plain number

    return delta(x).abs() + derivative(delta, x).abs()
