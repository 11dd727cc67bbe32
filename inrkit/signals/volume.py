r"""Volume rendering: the colour of a ray through matter that absorbs and glows (NeRF, Sec. 4).

A ray at distance t meets density :math:`\sigma` and colour c. What arrives is

.. math:: C = \int T(t)\,\sigma(t)\,c(t)\,dt + T(\infty)\,c_b, \qquad
          T(t) = \exp\Bigl(-\int_0^t \sigma(s)\,ds\Bigr),

over a background :math:`c_b`. All matter lies in :math:`[-1, 1]^3`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from inrkit.signals.cameras import Rays

Emission = Callable[[Tensor], tuple[Tensor, Tensor]]

DENSEST = 8.0  # logarithm of the largest density: light falls to 1/e within 0.0003
FLOOR = 1e-4  # weight of every interval for importance sampling: none is shut out


def emission(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Density and colour from a field's four values ``(..., 4)``: exponential and logistic.

    Returns:
        ``(...)`` and ``(..., 3)``.
    """
    density = torch.exp(torch.clamp(raw[..., 0], max=DENSEST))
    return density, torch.sigmoid(raw[..., 1:])


def crossing(rays: Rays) -> tuple[Tensor, Tensor]:
    """Distances ``(n,)`` at which rays enter and leave the cube; equal where they miss it."""
    slopes = torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
    ends = torch.stack([(-1 - rays.origins) / slopes, (1 - rays.origins) / slopes])
    near = ends.amin(0).amax(-1).clamp(min=0)
    return near, torch.maximum(ends.amax(0).amin(-1), near)


def stratified(near: Tensor, far: Tensor, n: int, *, random: bool = True) -> Tensor:
    """A distance in each of n equal parts of every ray, ``(rays, n)``: at random or its middle."""
    within = torch.rand(len(near), n, device=near.device) if random else 0.5
    share = (torch.arange(n, device=near.device) + within) / n
    return near.unsqueeze(-1) + (far - near).unsqueeze(-1) * share


def edges(distances: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Ends of the intervals that sorted distances stand for: ``(n, s)`` to ``(n, s + 1)``."""
    middles = (distances[..., 1:] + distances[..., :-1]) / 2
    return torch.cat([near.unsqueeze(-1), middles, far.unsqueeze(-1)], dim=-1)


def weights(density: Tensor, lengths: Tensor) -> Tensor:
    r"""Share of each interval in a ray's colour, :math:`T_i (1 - e^{-\sigma_i \delta_i})`.

    NeRF, Eq. 3 and 5; exact for a density that is constant in each interval.

    Args:
        density: :math:`\sigma`, ``(..., n, s)``.
        lengths: :math:`\delta`, ``(n, s)``.
    """
    depth = density * lengths
    before = torch.cumsum(depth, dim=-1) - depth
    return torch.exp(-before) * -torch.expm1(-depth)


def importance(ends: Tensor, shares: Tensor, n: int, *, random: bool = True) -> Tensor:
    """More distances where there is something to see (NeRF, Sec. 5.2), by the inverse distribution.

    Args:
        ends: of the intervals, ``(rays, s + 1)``.
        shares: their weights, ``(rays, s)``.
        n: distances a ray.
        random: stratified at random, else the middles of n equal parts.

    Returns:
        ``(rays, n)``, rising.
    """
    shares = shares + FLOOR
    cdf = torch.cumsum(shares, dim=-1) / shares.sum(-1, keepdim=True)
    cdf = torch.cat([torch.zeros_like(cdf[..., :1]), cdf], dim=-1)
    zero, one = torch.zeros_like(cdf[..., 0]), torch.ones_like(cdf[..., 0])
    u = stratified(zero, one, n, random=random)
    right = torch.searchsorted(cdf, u.contiguous(), right=True).clamp(1, cdf.shape[-1] - 1)
    low, high = cdf.gather(-1, right - 1), cdf.gather(-1, right)
    start, end = ends.gather(-1, right - 1), ends.gather(-1, right)
    return start + (end - start) * ((u - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)


def render(
    matter: Emission,
    rays: Rays,
    *,
    coarse: int = 64,
    fine: int = 64,
    random: bool = True,
    background: float = 1.0,
    directional: bool = False,
) -> Tensor:
    """Colours of rays, ``(n, 3)``; differentiable in what ``matter`` depends on.

    Args:
        matter: points ``(m, 3)`` to density ``(m,)`` and colour ``(m, 3)``.
        rays: n rays.
        coarse: distances a ray that are evenly spread.
        fine: distances more, drawn by the weights of the coarse ones; 0 for none.
        random: whether distances are random, as in training, or fixed.
        background: brightness behind the scene, 1 for white.
        directional: whether ``matter`` takes the direction behind each point, ``(m, 6)``.
    """
    near, far = crossing(rays)
    distances = stratified(near, far, coarse, random=random)
    if fine:
        with torch.no_grad():
            ends = edges(distances, near, far)
            density = _seen(matter, rays, distances, directional)[0]
            extra = importance(ends, weights(density, ends.diff()), fine, random=random)
        distances = torch.cat([distances, extra], dim=-1).sort(-1).values
    density, colour = _seen(matter, rays, distances, directional)
    shares = weights(density, edges(distances, near, far).diff()).unsqueeze(-1)
    return (shares * colour).sum(-2) + background * (1 - shares.sum(-2))


def _seen(
    matter: Emission, rays: Rays, distances: Tensor, directional: bool
) -> tuple[Tensor, Tensor]:
    points = rays.at(distances)
    if directional:
        points = torch.cat([points, rays.directions.unsqueeze(1).expand_as(points)], dim=-1)
    density, colour = matter(points.flatten(0, 1))
    return density.unflatten(-1, distances.shape), colour.unflatten(-2, distances.shape)


def picture(matter: Emission, rays: Rays, *, rows: int = 2**12, **settings) -> Tensor:
    """Colours of any number of rays, so many at a time, without a graph; see :func:`render`."""
    with torch.no_grad():
        parts = [
            render(matter, rays[i : i + rows], random=False, **settings)
            for i in range(0, len(rays), rows)
        ]
    return torch.cat(parts).clamp(0, 1)
