r"""Weights that are functions of trained ones: bounded in norm, or split into length and direction.

A normalization is made for a weight ``(*signals, out, in)`` as it starts, and called with it ever
after. ``torch.nn.Identity`` is none. (PyTorch's own take a leading axis for part of the matrix.)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

ROUNDING = 16  # units in the last place by which one product may differ, computed in other ways


class SpectralNorm(nn.Module):
    r"""A weight whose largest singular value is at most :math:`\tau`.

    .. math:: \bar W = W / \max(1, \sigma / \tau), \qquad \sigma = u^\top W v

    Unlike the usual form (Miyato et al. 2018) it leaves smaller weights as they are, as in
    (Implicit)^2's released code. The singular vectors u, v are exact at the start, and constants
    for the gradient. When the weight is found changed, as after an optimizer's step, they follow by
    power iteration, once: all chunks of a step see one weight.

    Args:
        weight: as it starts.
        target: :math:`\tau`.
        iterations: power iterations after a change.
    """

    def __init__(self, weight: Tensor, *, target: float = 0.97, iterations: int = 5):
        super().__init__()
        self.target, self.iterations = target, iterations
        weight = weight.detach()
        left = torch.linalg.eigh(weight @ weight.mT).eigenvectors[..., -1]
        right = _unit(weight.mT, left)
        self.register_buffer("left", left)
        self.register_buffer("right", right)
        self.register_buffer("product", _times(weight, right))

    def forward(self, weight: Tensor) -> Tensor:
        """The normalized weight."""
        self._follow(weight.detach())
        left, right = self.left.clone(), self.right.clone()  # what a graph holds must not change
        norm = (left * _times(weight, right)).sum(-1)
        return weight / (norm / self.target).clamp(min=1).unsqueeze(-1).unsqueeze(-1)

    def _follow(self, weight: Tensor) -> None:
        """Bring u and v after a weight that is not the one that their product came from."""
        change = _norm(_times(weight, self.right) - self.product)
        # the vectors may be older than the number format; the norm is exact to the square of this
        rounding = max(torch.finfo(dtype).eps for dtype in (weight.dtype, torch.float32))
        changed = change > ROUNDING * rounding * _norm(self.product)
        left, right = self.left, self.right
        for _ in range(self.iterations):
            right = _unit(weight.mT, left)
            left = _unit(weight, right)
        self.left.copy_(torch.where(changed, left, self.left))
        self.right.copy_(torch.where(changed, right, self.right))
        self.product.copy_(_times(weight, self.right))

    def extra_repr(self) -> str:
        return f"target={self.target:g}, iterations={self.iterations}"


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _unit(matrix: Tensor, vector: Tensor) -> Tensor:
    return functional.normalize(_times(matrix, vector), dim=-1)


class WeightNorm(nn.Module):
    r"""Rows of a weight as length times direction, :math:`\bar W_i = \ell_i W_i / \|W_i\|`.

    Salimans and Kingma 2016. The lengths start as those of the rows.

    Args:
        weight: as it starts.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        self.lengths = nn.Parameter(_norm(weight).detach())

    def forward(self, weight: Tensor) -> Tensor:
        """The normalized weight."""
        return weight * (self.lengths / _norm(weight))


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)
