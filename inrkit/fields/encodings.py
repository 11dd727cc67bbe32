"""Encodings of coordinates in front of an ordinary network."""

from math import log2, pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from inrkit.fields.layers import uniform_


class PositionalEncoding(nn.Module):
    r"""Sines and cosines of doubling frequency (SIREN, Suppl. 6.4; SPDER, Eq. 7).

    .. math:: \gamma(x) = [x, \sin(2^0 \pi x), \cos(2^0 \pi x), \ldots,
              \sin(2^{L-1} \pi x), \cos(2^{L-1} \pi x)]

    Args:
        in_features: number of coordinates d.
        bands: number of frequencies L; there are d (1 + 2L) features.
        lowest: the first frequency, in radians a unit; FINER's comparison has 1 instead of
            :math:`\pi`.
    """

    def __init__(self, in_features: int, *, bands: int = 7, lowest: float = pi):
        super().__init__()
        self.out_features = in_features * (1 + 2 * bands)
        self.lowest = lowest
        self.register_buffer("octaves", 2 ** torch.arange(bands))

    def forward(self, x: Tensor) -> Tensor:
        u = (self.lowest * x.unsqueeze(-1) * self.octaves).flatten(-2)
        return torch.cat([x, torch.sin(u), torch.cos(u)], dim=-1)


class FourierFeatures(nn.Module):
    r"""Gaussian random Fourier features, :math:`[x, \sin(2\pi B x), \cos(2\pi B x)]`.

    Entries of B are drawn from :math:`N(0, s^2)`. SPDER appends 20 encodings of a standard Gaussian
    (Sec. 4.1).

    Args:
        in_features: number of coordinates d.
        features: number of frequencies; there are d + 2 ``features`` features.
        scale: their standard deviation s, in cycles per unit.
    """

    def __init__(self, in_features: int, *, features: int = 20, scale: float = 1.0):
        super().__init__()
        self.out_features = in_features + 2 * features
        self.register_buffer("frequencies", 2 * pi * scale * torch.randn(features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        u = x @ self.frequencies.mT
        x = x.expand(*u.shape[:-1], x.shape[-1])  # one copy a signal where they share points
        return torch.cat([x, torch.sin(u), torch.cos(u)], dim=-1)


FAR = 40.0  # exp(-40) is 4e-18


class RBF(nn.Module):
    r"""Gaussian radial basis functions with learnt centres and widths (SIREN, Suppl. 6.4).

    .. math:: \gamma_j(x) = \exp(-\|x - \mu_j\|^2 / (2 \sigma_j^2))

    Args:
        in_features: number of coordinates d.
        features: number of basis functions, centred at random in [-1, 1]^d.
        width: standard deviation :math:`\sigma_j` at the start; the default is the spacing of
            ``features`` centres on a regular grid over [-1, 1]^d.
    """

    def __init__(self, in_features: int, *, features: int = 256, width: float | None = None):
        super().__init__()
        self.out_features = features
        width = 2 / features ** (1 / in_features) if width is None else width
        self.centres = nn.Parameter(uniform_(torch.empty(features, in_features), 1.0))
        self.precision = nn.Parameter(torch.full((features,), 1 / (2 * width**2)))

    def forward(self, x: Tensor) -> Tensor:
        # |x - mu|^2 expanded, so that no (n, features, d) tensor is formed
        squared = (x * x).sum(-1, keepdim=True) - 2 * (x @ self.centres.mT)
        squared = squared + (self.centres**2).sum(-1).unsqueeze(-2)
        exponent = squared * self.precision.unsqueeze(-2)
        # far tails would be subnormal numbers, far slower to multiply with
        return torch.exp(-torch.where(exponent < FAR, exponent, FAR))


PRIMES = (1, 2_654_435_761, 805_459_861)


class HashGrid(nn.Module):
    r"""Multiresolution hash encoding (Mueller et al. 2022, the encoding of Instant-NGP).

    Level l divides [-1, 1]^d into :math:`N_l = \lfloor N_0 b^l \rfloor` cells an axis, whose
    corners index a table of ``features`` learnt values each: directly where the table is large
    enough, by :math:`\bigoplus_i x_i \pi_i \bmod T` otherwise. A point's features are the
    multilinear interpolation of its cell's corners, all levels concatenated.

    Args:
        in_features: number of coordinates d, at most 3.
        levels: number of resolutions.
        features: values an entry.
        log2_table_size: binary logarithm of the entries T a level.
        coarsest: cells an axis :math:`N_0` of the first level.
        finest: cells an axis of the last level.
    """

    def __init__(
        self,
        in_features: int,
        *,
        levels: int = 16,
        features: int = 2,
        log2_table_size: int = 15,
        coarsest: int = 16,
        finest: int = 256,
    ):
        super().__init__()
        if in_features > len(PRIMES):
            raise ValueError(f"a hash grid takes at most {len(PRIMES)} coordinates")
        self.out_features = levels * features
        self.size = 2**log2_table_size
        growth = 2 ** (log2(finest / coarsest) / max(levels - 1, 1))
        cells = torch.floor(coarsest * growth ** torch.arange(levels) + 1e-6).long()
        corners = torch.cartesian_prod(*[torch.arange(2)] * in_features)
        self.register_buffer("cells", cells)
        self.register_buffer("corners", corners.reshape(2**in_features, in_features))
        self.register_buffer("offsets", self.size * torch.arange(levels).unsqueeze(-1))
        self.table = nn.Parameter(uniform_(torch.empty(levels * self.size, features), 1e-4))

    def rows(self, corner: Tensor) -> Tensor:
        """Table rows ``(*signals, n, levels, corners)`` of integer corner positions (..., d)."""
        d = corner.shape[-1]
        hashed = torch.zeros_like(corner[..., 0])
        direct = torch.zeros_like(hashed)
        stride = torch.ones_like(self.cells)
        for i in range(d):
            hashed = hashed ^ (corner[..., i] * PRIMES[i])
            direct = direct + corner[..., i] * stride.unsqueeze(-1)
            stride = stride * (self.cells + 1)
        fits = ((self.cells + 1) ** d <= self.size).unsqueeze(-1)
        return torch.where(fits, direct, hashed % self.size) + self.offsets

    def forward(self, x: Tensor) -> Tensor:
        position = (0.5 * (x + 1)).unsqueeze(-2) * self.cells.unsqueeze(-1).to(x.dtype)
        last = (self.cells - 1).unsqueeze(-1)
        cell = torch.minimum(torch.floor(position).long().clamp(min=0), last)
        inside = (position - cell.to(x.dtype)).unsqueeze(-2)  # (..., n, levels, 1, d)
        weights = torch.where(self.corners.bool(), inside, 1 - inside).prod(-1)
        values = self._gather(self.rows(cell.unsqueeze(-2) + self.corners))
        return (weights.unsqueeze(-1) * values).sum(-2).flatten(-2)

    def _gather(self, rows: Tensor) -> Tensor:
        """Entries ``(*signals, n, levels, corners, features)`` of each signal's own table."""
        *signals, entries, features = self.table.shape
        flat = self.table.reshape(-1, features)
        if signals:
            count = flat.shape[0] // entries
            first = entries * torch.arange(count, device=rows.device).reshape(*signals, 1, 1, 1)
            rows = rows + first
        return functional.embedding(rows, flat)
