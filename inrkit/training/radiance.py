"""Radiance fields: density and colour from pictures of a scene."""

from dataclasses import dataclass

from torch import Tensor, nn

from inrkit.signals.cameras import Rays, Views
from inrkit.signals.volume import emission, render
from inrkit.training.protocol import Batch


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

    @property
    def passes(self) -> int:
        """Evaluations a ray."""
        return self.coarse + self.fine

    def sample(self, step: Tensor) -> Batch:
        """Rays, and their colours."""
        rays, colours = self.views.sample(self.size)
        return rays.origins, rays.directions, colours

    def error(
        self, model: nn.Module, origins: Tensor, directions: Tensor, colours: Tensor
    ) -> Tensor:
        """The mean over channels for each ray."""
        found = render(
            lambda points: emission(model(points)),
            Rays(origins, directions),
            coarse=self.coarse,
            fine=self.fine,
            background=self.background,
            directional=self.directional,
        )
        return (found - colours).square().mean(-1)
