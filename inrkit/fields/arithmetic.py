r"""How the layers of a chain are computed: fused or not, compiled or not, in which precision.

None of it changes a model, and only the precision changes a result beyond rounding.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor
from torch.backends import cuda, mkldnn

from inrkit.calculus import value_and_slope
from inrkit.calculus.compiled import compiled, compiling

PRECISIONS = ("float32", "tf32", "bf16")
COORDINATES = 16  # fewer columns are coordinates or values, which must not be rounded


@dataclass(frozen=True)
class Arithmetic:
    """How layers are computed within :func:`computing`.

    Attributes:
        fused: whether a chain of layers is one operation of autograd.
        compiled: whether activations are compiled, those of jets too (a CPU only, with a C++
            compiler).
        precision: of the factors in matrix products, whose sums are always single precision:
            "float32", "tf32" (CUDA) or "bf16".
    """

    fused: bool = True
    compiled: bool = False
    precision: str = "float32"
    kernels: dict = field(default_factory=dict, repr=False, compare=False)

    def kernel(self, activation: Callable, x: Tensor, weight: Tensor) -> Callable | None:
        """A compiled activation of ``x`` times ``weight``, where that is asked for."""
        if not self.compiled or x.is_cuda:
            return None
        shape = torch.broadcast_shapes(x.shape[:-2], weight.shape[:-2])
        key = (activation, shape, x.shape[-2], weight.shape[:-1], x.dtype)
        if key not in self.kernels:
            example = x.new_zeros(*shape, x.shape[-2], weight.shape[-2])
            bias = x.new_zeros(*weight.shape[:-2], 1, weight.shape[-2])
            self.kernels[key] = _compile(activation, example, bias)
        return self.kernels[key]


_current = Arithmetic(fused=False)


def current() -> Arithmetic:
    """The arithmetic in force."""
    return _current


@contextmanager
def computing(arithmetic: Arithmetic) -> Iterator[None]:
    """Compute layers in this way within the block."""
    global _current
    before, rounding = _current, (cuda.matmul.fp32_precision, mkldnn.matmul.fp32_precision)
    _current = arithmetic
    _round_products(arithmetic.precision)
    try:
        with compiling(arithmetic.kernels if arithmetic.compiled else None):
            yield
    finally:
        _current = before
        cuda.matmul.fp32_precision, mkldnn.matmul.fp32_precision = rounding


def _round_products(precision: str) -> None:
    cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    mkldnn.matmul.fp32_precision = "bf16" if precision == "bf16" else "ieee"


def check_precision(precision: str, device: torch.device) -> None:
    """Raise where a device has no such matrix products."""
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"tf32 needs a CUDA device, this is {device.type}; take float32 or bf16")
    if precision == "bf16" and device.type == "cpu" and not _rounds():
        warnings.warn("this processor rounds no factors to bf16; float32 is used", stacklevel=4)


@cache
def _rounds() -> bool:
    """Whether products on this processor are rounded where that is asked for."""
    before, mkldnn.matmul.fp32_precision = mkldnn.matmul.fp32_precision, "bf16"
    try:
        x = torch.full((512, 512), 1 + 2**-10)  # a number between two of bf16
        return bool((x @ x)[0, 0] < 512 * (1 + 2**-11))
    finally:
        mkldnn.matmul.fp32_precision = before


@contextmanager
def sparing(*columns: int) -> Iterator[None]:
    """Round no product within the block if one of its factors has few columns."""
    spared = _current.precision != "float32" and min(columns) < COORDINATES
    if spared:
        _round_products("float32")
    try:
        yield
    finally:
        if spared:
            _round_products(_current.precision)


def product(x: Tensor, matrix: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    r"""The matrix product :math:`s (x M + b)`, one for all signals or one a signal.

    Args:
        x: ``(*signals, n, in)``.
        matrix: ``(*signals, in, out)``.
        scale: the factor s.
        bias: ``(*signals, out)``, or None for no bias.
    """
    columns = x.shape[-1], matrix.shape[-1]
    if _current.precision == "bf16" and x.is_cuda and min(columns) >= COORDINATES:
        y = scale * _half_product(x, matrix)
        return y if bias is None else y + scale * bias.unsqueeze(-2)
    with sparing(*columns):
        return _product(x, matrix, scale, bias)


def _half_product(x: Tensor, matrix: Tensor) -> Tensor:
    """On CUDA: factors in half precision, sums in single."""
    if x.ndim == matrix.ndim == 2:
        return torch.mm(x.bfloat16(), matrix.bfloat16(), out_dtype=torch.float32)
    shape = torch.broadcast_shapes(x.shape[:-2], matrix.shape[:-2])
    a, b = (t.bfloat16().expand(*shape, -1, -1).flatten(0, -3) for t in (x, matrix))
    return torch.bmm(a, b, out_dtype=torch.float32).unflatten(0, shape)


def _product(x: Tensor, matrix: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    add = bias if bias is not None else x.new_empty(())
    factors = {"beta": scale if bias is not None else 0, "alpha": scale}
    if x.ndim == matrix.ndim == 2:
        return torch.addmm(add, x, matrix, **factors)
    if x.ndim == matrix.ndim == 3 and len(x) == len(matrix):
        return torch.baddbmm(add if bias is None else add.unsqueeze(-2), x, matrix, **factors)
    y = x @ (scale * matrix)
    return y if bias is None else y + scale * bias.unsqueeze(-2)


def _compile(activation: Callable, product: Tensor, bias: Tensor) -> Callable | None:
    """Value and slope of an activation as one loop; the slope takes the product's place."""

    def activate(product: Tensor, bias: Tensor) -> Tensor:
        value, slope = value_and_slope(activation, product + bias)
        product.copy_(slope)
        return value

    loop = compiled(activate, product, bias)
    if loop is None:
        return None

    def kernel(product: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return loop(product, bias), product

    return kernel
