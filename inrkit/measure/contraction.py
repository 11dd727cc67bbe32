r"""How contractive the cell of an implicit field is ((Implicit)^2, Suppl. A)."""

import torch
from torch import Tensor

from inrkit.fields import Cell


def contraction_bound(cell: Cell) -> Tensor:
    r"""The certificate :math:`\prod_i \|\bar W_i\|_2`, a Lipschitz constant of F in z.

    Filters are at most 1 in size, and the sine's slope is (Thm. 1 and 2). Below 1 the cell is
    contractive. The norms are exact, by singular values.

    Returns:
        ``(*signals)``.
    """
    with torch.no_grad():
        norms = [torch.linalg.matrix_norm(hidden.matrix(), 2) for hidden in cell.hidden]
    return torch.stack(norms).prod(0)


def jacobian_norms(cell: Cell, coords: Tensor, z: Tensor) -> Tensor:
    r"""Spectral norms of :math:`J_F = \partial F(z; x) / \partial z`, sample by sample.

    Forms the Jacobians, ``(*signals, n, width, width)``: take a few hundred samples.

    Args:
        cell: F.
        coords: x, ``(*signals, n, d)``.
        z: states, ``(*signals, n, width)``.

    Returns:
        ``(*signals, n)``.
    """
    with torch.no_grad():
        f = cell.conditioned(coords)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        units = f(z).unbind(-1)
        rows = [torch.autograd.grad(u.sum(), z, retain_graph=True)[0] for u in units]
    return torch.linalg.matrix_norm(torch.stack(rows, dim=-2), 2)
