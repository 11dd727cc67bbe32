"""Shapes with exact signed distances: ground truth for fields that represent surfaces.

All have ``distance(points)``, ``inside(points)`` and ``surface_points(n)``, as a mesh has.
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from inrkit.signals.meshes import OrientedPoints


class Shape(ABC):
    r"""A solid with the exact signed distance to its surface.

    The distance f is negative inside, f = 0 on the surface, and :math:`|\nabla f| = 1` almost
    everywhere. A subclass is a frozen dataclass, whose text names it.
    """

    @property
    def name(self) -> str:
        """The shape with its measures, such as ``Sphere(radius=0.5)``."""
        return repr(self)

    @property
    def sha256(self) -> str:
        """Of the name, which says all about an analytic shape."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @abstractmethod
    def distance(self, points: Tensor) -> Tensor:
        """Signed distance, ``(n, 3)`` to ``(n, 1)``; can be differentiated."""

    @abstractmethod
    def _surface(self, n: int) -> tuple[Tensor, Tensor]:
        """Points uniform by area and outward unit normals, ``(n, 3)`` in float64."""

    def inside(self, points: Tensor) -> Tensor:
        """Which points lie inside, ``(n, 3)`` to ``(n,)``."""
        return self.distance(points)[..., 0] < 0

    def surface_points(self, n: int) -> OrientedPoints:
        """Points uniform by area with exact normals, drawn by PyTorch's generator."""
        points, normals = self._surface(n)
        return OrientedPoints(self.name, points.float(), normals.float(), self.sha256)


@dataclass(frozen=True)
class Sphere(Shape):
    r""":math:`f(x) = |x| - r`."""

    radius: float = 0.5

    def distance(self, points: Tensor) -> Tensor:
        return torch.linalg.vector_norm(points, dim=-1, keepdim=True) - self.radius

    def _surface(self, n: int) -> tuple[Tensor, Tensor]:
        normals = torch.nn.functional.normalize(torch.randn(n, 3, dtype=torch.float64), dim=-1)
        return self.radius * normals, normals


@dataclass(frozen=True)
class Torus(Shape):
    r""":math:`f(x) = \bigl|\bigl(\sqrt{x_1^2 + x_2^2} - R,\ x_3\bigr)\bigr| - r`, R > r.

    Attributes:
        major: radius R of the circle within.
        minor: radius r of the tube.
    """

    major: float = 0.6
    minor: float = 0.25

    def distance(self, points: Tensor) -> Tensor:
        to_circle = torch.linalg.vector_norm(points[..., :2], dim=-1) - self.major
        return torch.hypot(to_circle, points[..., 2]).unsqueeze(-1) - self.minor

    def _surface(self, n: int) -> tuple[Tensor, Tensor]:
        along = 2 * torch.pi * torch.rand(n, dtype=torch.float64)
        inwards = _round_tube(torch.full_like(along, self.minor / self.major))
        outwards = -torch.cos(inwards)
        normals = torch.stack(
            [outwards * torch.cos(along), outwards * torch.sin(along), torch.sin(inwards)], dim=-1
        )
        circle = torch.stack([torch.cos(along), torch.sin(along), torch.zeros_like(along)], dim=-1)
        return self.major * circle + self.minor * normals, normals


@dataclass(frozen=True)
class RoundedBox(Shape):
    r"""All points within r of a box, :math:`f(x) = |\max(q, 0)| + \min(\max_k q_k, 0) - r`.

    Here :math:`q_k = |x_k| - b_k`.

    Attributes:
        half: half the sides b of the inner box.
        radius: r.
    """

    half: tuple[float, float, float] = (0.6, 0.4, 0.25)
    radius: float = 0.1

    def distance(self, points: Tensor) -> Tensor:
        q = points.abs() - points.new_tensor(self.half)
        beyond = torch.linalg.vector_norm(q.clamp(min=0), dim=-1, keepdim=True)
        return beyond + q.amax(-1, keepdim=True).clamp(max=0) - self.radius

    def _surface(self, n: int) -> tuple[Tensor, Tensor]:
        b, r = torch.tensor(self.half, dtype=torch.float64), self.radius
        one = torch.eye(3, dtype=torch.float64)
        # flat sides, quarter cylinders along the edges, the corners' sphere: where a normal has
        # components, the point lies at an end of the inner box, elsewhere anywhere along it
        has_component = torch.cat([one, 1 - one, torch.ones(1, 3, dtype=torch.float64)])
        sides = 8 * b.prod() / b
        areas = torch.cat([sides, 4 * torch.pi * r * b, b.new_tensor([4 * torch.pi * r**2])])
        mask = has_component[torch.multinomial(areas, n, replacement=True)]
        normals = torch.nn.functional.normalize(mask * torch.randn(n, 3, dtype=b.dtype), dim=-1)
        anywhere = 2 * torch.rand(n, 3, dtype=b.dtype) - 1
        core = b * torch.where(mask > 0, normals.sign(), anywhere)
        return core + r * normals, normals


@dataclass(frozen=True)
class TorusKnot(Shape):
    r"""A tube round a curve that winds about a torus: :math:`f(x) = \min_t |x - c(t)| - r`.

    .. math:: c(t) = \bigl(\rho \cos pt,\ \rho \sin pt,\ a \sin qt\bigr), \qquad
              \rho = R + a \cos qt, \quad 0 \le t < 2\pi

    The nearest t is that of the nearest of many points on the curve, refined by Newton's method;
    the error is below 1e-6.

    Attributes:
        turns: p and q, without a common factor: turns about the axis and about the circle.
        major: radius R of the torus.
        minor: radius a of the torus.
        radius: r of the tube.

    Raises:
        ValueError: the tube touches itself.
    """

    turns: tuple[int, int] = (2, 3)
    major: float = 0.5
    minor: float = 0.26
    radius: float = 0.14

    SAMPLES = 2**14  # spacing h: two branches at distance d are confused only within h^2 / 8d

    def __post_init__(self):
        limit = self._reach()
        if not 0 < self.radius < limit:
            raise ValueError(
                f"the tube of {self.name} touches itself: its radius lies between 0 and {limit:.3f}"
            )

    def distance(self, points: Tensor) -> Tensor:
        x = points.reshape(-1, 3).double()
        t = self._parameter(x.detach().cpu().numpy())
        nearest = torch.from_numpy(self._curve(t)[0]).to(x.device)
        lengths = torch.linalg.vector_norm(x.detach() - nearest, dim=-1)
        t = torch.from_numpy(t).to(x.device)
        moving = torch.linalg.vector_norm(x - self._curve(self._step(t, x), torch)[0], dim=-1)
        lengths = lengths + (moving - moving.detach())
        return (lengths - self.radius).to(points.dtype).reshape(*points.shape[:-1], 1)

    def _surface(self, n: int) -> tuple[Tensor, Tensor]:
        speed = np.linalg.norm(self._curve(self._samples)[1], axis=-1)
        step = torch.multinomial(torch.from_numpy(speed), n, replacement=True)
        spacing = 2 * torch.pi / self.SAMPLES
        t = spacing * (step + torch.rand(n, dtype=torch.float64) - 0.5)
        c, velocity, acceleration = map(torch.from_numpy, self._curve(t.numpy()))
        tangent = torch.nn.functional.normalize(velocity, dim=-1)
        bending = acceleration - (acceleration * tangent).sum(-1, keepdim=True) * tangent
        curvature = torch.linalg.vector_norm(bending, dim=-1) / velocity.square().sum(-1)
        first = torch.nn.functional.normalize(bending, dim=-1)
        second = torch.linalg.cross(tangent, first)
        angle = _round_tube(self.radius * curvature).unsqueeze(-1)
        normals = torch.cos(angle) * first + torch.sin(angle) * second
        return c + self.radius * normals, normals

    @cached_property
    def _samples(self) -> np.ndarray:
        return 2 * np.pi * np.arange(self.SAMPLES) / self.SAMPLES

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self._curve(self._samples)[0], leafsize=64)

    def _curve(self, t, of=np) -> tuple:
        """The curve with its first and second derivatives, ``(n, 3)`` each, by either library."""
        p, q = self.turns
        a, cos_q, sin_q = self.minor, of.cos(q * t)[:, None], of.sin(q * t)[:, None]
        rho, rho_1, rho_2 = self.major + a * cos_q, -a * q * sin_q, -a * q**2 * cos_q
        zero = of.zeros_like(t)
        out = of.stack([of.cos(p * t), of.sin(p * t), zero], -1)
        side = of.stack([-of.sin(p * t), of.cos(p * t), zero], -1)
        up = of.stack([zero, zero, zero + 1], -1)
        return (
            rho * out + a * sin_q * up,
            rho_1 * out + rho * p * side + a * q * cos_q * up,
            (rho_2 - rho * p**2) * out + 2 * rho_1 * p * side - a * q**2 * sin_q * up,
        )

    def _parameter(self, x: np.ndarray) -> np.ndarray:
        """Parameter t of the nearest point on the curve."""
        t = self._samples[self._tree.query(x)[1]]
        spacing = 2 * np.pi / self.SAMPLES
        for _ in range(3):
            c, velocity, acceleration = self._curve(t)
            slope = ((c - x) * velocity).sum(-1)
            speed = np.square(velocity).sum(-1)
            curvature = speed + ((c - x) * acceleration).sum(-1)
            t = t - np.clip(slope / np.maximum(curvature, 1e-3 * speed), -spacing, spacing)
        return t

    def _step(self, t: Tensor, x: Tensor) -> Tensor:
        """How the nearest point's t moves with x: a step of Newton's, exact in first derivatives.

        The distance is least there, so that its own are exact to the third.
        """
        c, velocity, acceleration = self._curve(t, torch)
        speed = velocity.square().sum(-1)
        curvature = speed + ((c - x) * acceleration).sum(-1)
        return t - ((c - x) * velocity).sum(-1) / torch.maximum(curvature, 1e-3 * speed)

    def _reach(self) -> float:
        r"""The largest radius of a tube that does not touch itself.

        Federer's :math:`\min_{s \ne t} |d|^2 / 2 |d_\perp|`, where d leads from c(s) to c(t) and
        :math:`d_\perp` is its part across the curve at c(s).
        """
        c, velocity, _ = self._curve(self._samples[:: self.SAMPLES // 512])
        tangent = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
        d = c[None] - c[:, None]
        squared = np.square(d).sum(-1)
        along = (d * tangent[:, None]).sum(-1)
        across = np.sqrt(np.maximum(squared - along**2, 0))
        np.fill_diagonal(across, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.nanmin(np.where(across > 0, squared / (2 * across), np.inf)))


def _round_tube(bend: Tensor) -> Tensor:
    r"""Angles round a tube, from the side where the curve bends to, uniform by area.

    The area at an angle is proportional to :math:`1 - b \cos\phi`, b the tube's radius over the
    curve's. A uniform angle is kept with half that probability and else mirrored, which is exact
    since the areas at an angle and its mirror image add up to a constant.
    """
    angle = 2 * torch.pi * torch.rand_like(bend)
    keep = 2 * torch.rand_like(bend) < 1 - bend * torch.cos(angle)
    return torch.where(keep, angle, torch.pi - angle)
