"""How factors of matrix products are rounded while a fit runs; their sums are always float32."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch.backends import cuda, mkldnn

PRECISIONS = {"float32": ("ieee", "ieee"), "tf32": ("tf32", "ieee"), "bf16": ("ieee", "bf16")}
COORDINATES = 16  # fewer columns are coordinates or values, which must not be rounded

_rounded = False


def spared(*columns: int) -> bool:
    """Whether a product whose factors have so many columns is kept from being rounded."""
    return _rounded and min(columns) < COORDINATES


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Round factors within the block, on CUDA ("tf32") or a CPU ("bf16")."""
    global _rounded
    before = _rounded, cuda.matmul.fp32_precision, mkldnn.matmul.fp32_precision
    _rounded = precision != "float32"
    cuda.matmul.fp32_precision, mkldnn.matmul.fp32_precision = PRECISIONS[precision]
    try:
        yield
    finally:
        _rounded, cuda.matmul.fp32_precision, mkldnn.matmul.fp32_precision = before


def check_precision(precision: str, device: torch.device) -> None:
    """Raise where a device has no such matrix products, and warn where it leaves them as they are.

    Raises:
        ValueError: naming the device.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    needs = {"tf32": "cuda", "bf16": "cpu"}.get(precision, device.type)
    if needs != device.type:
        raise ValueError(f"{precision} is for {needs.upper()}, this is {device.type}")
    if precision == "bf16" and not _rounds():
        warnings.warn("this processor rounds no factors to bf16; float32 is used", stacklevel=4)


@cache
def _rounds() -> bool:
    """Whether products on this processor are rounded where that is asked for."""
    with rounding("bf16"):
        x = torch.full((512, 512), 1 + 2**-10)  # a number between two of bf16
        return bool((x @ x)[0, 0] < 512 * (1 + 2**-11))
