"""Radiance fields: density and colour from pictures of a scene."""

from dataclasses import dataclass

from torch import Tensor, nn

from inrkit.signals.cameras import Rays, Views
from inrkit.signals.volume import emission, render


@dataclass(frozen=True, eq=False)
class Radiance:
    r"""Squared error of rendered rays, ``size`` of them drawn anew each step (NeRF, Sec. 5.3).

    .. math:: L = \frac{1}{3n} \sum_{i=1}^{n} \|\hat C(r_i) - C(r_i)\|^2

    The field maps points to four values, of which
    :func:`~inrkit.signals.volume.emission` makes density and colour. One field serves the coarse
    and the fine samples, and only what both give together is compared.

    Args:
        views: of the scene.
        size: rays n a step.
        coarse: evenly spread samples a ray.
        fine: samples more where the coarse ones found something.
        background: brightness behind the scene, 1 for white.
        directional: whether the field takes the ray's direction behind each point, as
            :class:`~inrkit.fields.RadianceField` does.
    """

    views: Views
    size: int
    coarse: int = 64
    fine: int = 64
    background: float = 1.0
    directional: bool = False

    def __len__(self) -> int:
        return self.size

    @property
    def passes(self) -> int:
        """Evaluations a ray."""
        return self.coarse + self.fine

    def draw(self) -> "_RadianceStep":
        """The loss of one step."""
        return _RadianceStep(self, *self.views.sample(self.size))


@dataclass(frozen=True, eq=False)
class _RadianceStep:
    loss: Radiance
    rays: Rays
    colours: Tensor

    def __len__(self) -> int:
        return len(self.rays)

    def __call__(self, model: nn.Module, rows: slice) -> Tensor:
        settings = self.loss
        found = render(
            lambda points: emission(model(points)),
            self.rays[rows],
            coarse=settings.coarse,
            fine=settings.fine,
            background=settings.background,
            directional=settings.directional,
        )
        return (found - self.colours[rows]).square().sum((-2, -1)) / (3 * len(self))
