"""Elementwise functions of several operations as one compiled loop, on a CPU."""

import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

_kernels: dict | None = None


@contextmanager
def compiling(kernels: dict | None) -> Iterator[None]:
    """Within the block, :func:`loop` compiles what it is given, and keeps it in ``kernels``."""
    global _kernels
    before, _kernels = _kernels, kernels
    try:
        yield
    finally:
        _kernels = before


def loop(function: Callable, name: Hashable, *tensors: Tensor):
    """What a function of tensors returns: as one compiled loop where :func:`compiling` asks for it.

    Args:
        function: made of tensor operations, without side effects.
        name: tells it from others.
        tensors: its arguments; each shape is compiled for itself.
    """
    if _kernels is None or any(x.is_cuda for x in tensors):
        return function(*tensors)
    tensors = tuple(x.contiguous() for x in tensors)
    key = (name, *((x.shape, x.dtype) for x in tensors))
    if key not in _kernels:
        _kernels[key] = compiled(function, *tensors) or function
    return _kernels[key](*tensors)


def compiled(function: Callable, *example: Tensor) -> Callable | None:
    """The function as one loop for arguments like these; None, with a warning, where that fails."""
    from torch import _inductor  # takes seconds, and only this needs it

    try:
        with torch.no_grad(), _inductor.config.patch(compile_threads=1):
            kernel = _inductor.compile(make_fx(function)(*example), list(example))
            kernel(*example)
    except Exception as error:  # whatever ails the compiler, one can do without
        warnings.warn(f"{function} is not compiled: {error}", stacklevel=2)
        return None
    return kernel
