r"""Triton kernels of an activated layer and of its derivatives, for CUDA devices.

The layer :math:`y = \phi(u)`, :math:`u = \omega (x W^\top + b)` (SIREN, Eq. 4) is one kernel, which
stores the slope :math:`\phi'(u)` along with y while u is still in registers. With
:math:`g = \omega\, \bar y \odot \phi'(u)`, formed in registers too, its derivatives are

.. math:: \bar x = g W, \qquad \bar W = g^\top x, \qquad \bar b = \textstyle\sum_n g_n

Nothing is accumulated atomically: the same call gives the same bits. Triton is optional, and
:func:`supports` says whether the kernels can be called. Within them i, j and k count rows, outputs
and inputs, and BI, BJ and BK are the sides of a tile. Of Triton's library they use built-in
functions alone, which its interpreter replaces even where Triton was imported without it.
"""

from collections.abc import Callable
from math import ceil

import torch
from torch import Tensor

from inrkit.fields.activations import DampedSine, VariableSine, log_abs, one, sqrt_abs
from inrkit.fields.arithmetic import COORDINATES

try:
    import triton
    from triton import language as tl
    from triton.language import constexpr
except ImportError:
    triton = constexpr = None

# names in the kernels of a DampedSine, by its damping
DAMPINGS = [(one, "sin"), (sqrt_abs, "sqrt_abs"), (log_abs, "log_abs")]

PROGRAMS = 512  # that share the rows of a sum over them: several for each multiprocessor


def _jit(function: Callable) -> Callable:
    """The function as Triton's, or as it stands, never to be called, where Triton is missing."""
    # a last, smaller chunk needs no kernels of its own
    return triton.jit(function, do_not_specialize=["rows"]) if triton else function


@_jit
def _sin(u):
    return tl.sin(u), tl.cos(u)


@_jit
def _sqrt_abs(u):
    sine, cosine, root = tl.sin(u), tl.cos(u), tl.sqrt(tl.abs(u))
    size = sine / tl.where(root > 0, 2 * root, 1.0)
    return sine * root, cosine * root + tl.where(u < 0, -size, size)


@_jit
def _log_abs(u):
    sine, cosine = tl.sin(u), tl.cos(u)
    size = tl.maximum(tl.abs(u), 1.1754943508222875e-38)  # the smallest normal number
    log = tl.log(size)
    return sine * log, cosine * log + tl.where(u < 0, -sine, sine) / size


@_jit
def _finer(u, growth):
    size = growth * tl.abs(u)
    return tl.sin((size + 1) * u), tl.cos((size + 1) * u) * (2 * size + 1)


@_jit
def _value_and_slope(u, growth, PHI: constexpr):
    if PHI == "sin":
        value, slope = _sin(u)
    elif PHI == "sqrt_abs":
        value, slope = _sqrt_abs(u)
    elif PHI == "log_abs":
        value, slope = _log_abs(u)
    else:
        value, slope = _finer(u, growth)
    return value, slope


@_jit
def _load(matrix, i, j, rows, columns):
    """A tile of a row-major matrix, zero outside of it."""
    inside = (i[:, None] < rows) & (j[None, :] < columns)
    return tl.load(matrix + i[:, None] * columns + j[None, :], mask=inside, other=0.0)


@_jit
def _store(matrix, tile, i, j, rows, columns):
    inside = (i[:, None] < rows) & (j[None, :] < columns)
    tl.store(matrix + i[:, None] * columns + j[None, :], tile, mask=inside)


@_jit
def _dot(a, b, total, PRECISION: constexpr):
    if PRECISION == "bf16":
        total = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), total)
    elif PRECISION == "rounded":
        a, b = a.to(tl.bfloat16).to(tl.float32), b.to(tl.bfloat16).to(tl.float32)
        total = tl.dot(a, b, total, input_precision="ieee")
    else:
        total = tl.dot(a, b, total, input_precision=PRECISION)
    return total


@_jit
def _place(columns, WIDTH: constexpr):
    """Row and column of this program's tile among those of a matrix."""
    tiles = (columns + WIDTH - 1) // WIDTH
    return tl.program_id(0) // tiles, tl.program_id(0) % tiles


@_jit
def _forward_kernel(
    x,  # (signals or 1, rows, n_in)
    weight,  # (signals, n_out, n_in)
    bias,  # (signals, n_out)
    value,  # (signals, rows, n_out)
    slope,  # (signals, rows, n_out)
    rows,
    omega,
    growth,
    n_in: constexpr,
    n_out: constexpr,
    SHARED: constexpr,
    PHI: constexpr,
    PRECISION: constexpr,
    BI: constexpr,
    BJ: constexpr,
    BK: constexpr,
):
    signal = tl.program_id(1).to(tl.int64)
    down, across = _place(n_out, BJ)
    i, j = tl.arange(0, BI), across * BJ + tl.arange(0, BJ)
    top = down.to(tl.int64) * BI
    start, left = signal * rows + top, rows - top
    x += (top if SHARED else start) * n_in
    weight += signal * n_out * n_in
    u = tl.full((BI, BJ), 0.0, tl.float32)
    for first in range(0, n_in, BK):
        k = first + tl.arange(0, BK)
        W = _load(weight, j, k, n_out, n_in)
        u = _dot(_load(x, i, k, left, n_in), tl.trans(W), u, PRECISION)
    b = tl.load(bias + signal * n_out + j, mask=j < n_out, other=0.0)
    y, dy = _value_and_slope(omega * (u + b[None, :]), growth, PHI)
    _store(value + start * n_out, y, i, j, left, n_out)
    _store(slope + start * n_out, dy, i, j, left, n_out)


@_jit
def _input_kernel(
    grad,  # (signals, rows, n_out)
    slope,  # (signals, rows, n_out)
    weight,  # (signals, n_out, n_in)
    to_x,  # (signals, rows, n_in)
    rows,
    omega,
    n_in: constexpr,
    n_out: constexpr,
    PRECISION: constexpr,
    BI: constexpr,
    BJ: constexpr,
    BK: constexpr,
):
    signal = tl.program_id(1).to(tl.int64)
    down, across = _place(n_in, BK)
    i, k = tl.arange(0, BI), across * BK + tl.arange(0, BK)
    top = down.to(tl.int64) * BI
    start, left = signal * rows + top, rows - top
    grad += start * n_out
    slope += start * n_out
    weight += signal * n_out * n_in
    total = tl.full((BI, BK), 0.0, tl.float32)
    for first in range(0, n_out, BJ):
        j = first + tl.arange(0, BJ)
        g = _load(grad, i, j, left, n_out) * _load(slope, i, j, left, n_out)
        total = _dot(g, _load(weight, j, k, n_out, n_in), total, PRECISION)
    _store(to_x + start * n_in, omega * total, i, k, left, n_in)


@_jit
def _weight_kernel(
    grad,  # (signals, rows, n_out)
    slope,  # (signals, rows, n_out)
    x,  # (signals or 1, rows, n_in)
    to_weight,  # (parts, signals, n_out, n_in)
    to_bias,  # (parts, signals, BI, n_out)
    rows,
    omega,
    n_in: constexpr,
    n_out: constexpr,
    steps: constexpr,  # tiles of BI rows in each part
    SHARED: constexpr,
    PRECISION: constexpr,
    BI: constexpr,
    BJ: constexpr,
    BK: constexpr,
):
    signal, part = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    down, across = _place(n_in, BK)
    i, j, k = tl.arange(0, BI), down * BJ + tl.arange(0, BJ), across * BK + tl.arange(0, BK)
    top = part * steps * BI
    start, left = signal * rows + top, rows - top
    grad += start * n_out
    slope += start * n_out
    x += (top if SHARED else start) * n_in
    W = tl.full((BJ, BK), 0.0, tl.float32)
    b = tl.full((BI, BJ), 0.0, tl.float32)
    for _ in range(steps):
        g = _load(grad, i, j, left, n_out) * _load(slope, i, j, left, n_out)
        W = _dot(tl.trans(g), _load(x, i, k, left, n_in), W, PRECISION)
        b += g
        grad += BI * n_out
        slope += BI * n_out
        x += BI * n_in
        left -= BI
    stack = part * tl.num_programs(1) + signal
    _store(to_weight + stack * n_out * n_in, omega * W, j, k, n_out, n_in)
    if across == 0:
        _store(to_bias + stack * BI * n_out, omega * b, i, j, BI, n_out)


INTERPRETED = triton is not None and not isinstance(_forward_kernel, triton.JITFunction)


def _launch(kernel, grid: tuple, tensors: tuple, *numbers, sides: tuple, **constants):
    constants |= dict(zip(("BI", "BJ", "BK"), sides, strict=True))
    tensors = [tensor.contiguous() for tensor in tensors]
    with torch.cuda.device_of(tensors[0]):  # Triton itself goes by the current device
        kernel[grid](*tensors, *numbers, **constants)


def _width(size: int, largest: int) -> int:
    """The side of a tile: a power of two, and for ``tl.dot`` at least 16."""
    return max(16, min(largest, triton.next_power_of_2(size)))


def _precision(precision: str, n_in: int) -> str:
    if n_in < COORDINATES or precision == "float32":
        return "ieee"
    # the interpreter multiplies the bits of bfloat16 as if they were integers
    return "rounded" if precision == "bf16" and INTERPRETED else precision


def _matrices(x: Tensor, weight: Tensor) -> Tensor:
    """The inputs as ``(signals, rows, in)``, or ``(1, rows, in)`` where all signals share them."""
    signals, inputs = weight.shape[:-2], x.shape[:-2]
    if 1 in (signals.numel(), inputs.numel()):
        return x.reshape(1, -1, x.shape[-1])
    if inputs != signals:
        raise ValueError(
            f"inputs for {tuple(inputs)} signals do not fit weights of {tuple(signals)}: give "
            "inputs for each signal, or one (n, in) for all"
        )
    return x.reshape(signals.numel(), -1, x.shape[-1])


def _name(activation: Callable) -> str | None:
    if activation is torch.sin:
        return "sin"
    if type(activation) is VariableSine:
        return None if activation.frozen else "finer"
    damping = activation.damping if type(activation) is DampedSine else None
    return next((name for known, name in DAMPINGS if known is damping), None)


def supports(activation: Callable[[Tensor], Tensor], *tensors: Tensor) -> bool:
    """Whether there are kernels for this activation, and these tensors can be passed to them.

    Args:
        activation: :func:`torch.sin`, a :class:`VariableSine`, or a :class:`DampedSine` with the
            damping ``one``, ``sqrt_abs`` or ``log_abs``.
        tensors: of single precision and on a CUDA device, or anywhere if Triton's interpreter is
            on.
    """
    return (
        triton is not None
        and _name(activation) is not None
        and all(t.dtype == torch.float32 and (t.is_cuda or INTERPRETED) for t in tensors)
    )


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    activation: Callable[[Tensor], Tensor],
    omega: float,
    precision: str = "float32",
) -> tuple[Tensor, Tensor]:
    r"""The value :math:`\phi(u)` and slope :math:`\phi'(u)` at :math:`u = \omega (x W^\top + b)`.

    Slopes that diverge at u = 0 are there what :func:`inrkit.calculus.value_and_slope` says.

    Args:
        x: ``(*signals, n, in)``, or ``(n, in)`` for all signals.
        weight: ``(*signals, out, in)``.
        bias: ``(*signals, out)``.
        activation: one that :func:`supports` knows.
        omega: frequency factor.
        precision: of the factors of the matrix product, summed in single precision: ``"float32"``,
            ``"tf32"`` or ``"bf16"``. Fewer than 16 inputs are coordinates, and never rounded.

    Returns:
        two tensors ``(*signals, n, out)``.

    Raises:
        ValueError: inputs for other signals than the weights'.
    """
    signals, (n_out, n_in) = weight.shape[:-2], weight.shape[-2:]
    matrices = _matrices(x, weight)
    leading = torch.broadcast_shapes(x.shape[:-2], signals)
    value = x.new_empty(*leading, x.shape[-2], n_out)
    slope = torch.empty_like(value)
    growth = 1 / activation.omega if type(activation) is VariableSine else 0.0
    # 16 values a thread: with 32, sine and cosine take all registers, and half the threads fit
    rows, sides = matrices.shape[1], (64, _width(n_out, 64), _width(n_in, 32))
    _launch(
        _forward_kernel,
        (ceil(rows / sides[0]) * ceil(n_out / sides[1]), signals.numel()),
        (matrices, weight, bias, value, slope),
        *(rows, float(omega), growth, n_in, n_out),
        sides=sides,
        num_warps=8,
        SHARED=len(matrices) == 1,
        PHI=_name(activation),
        PRECISION=_precision(precision, n_in),
    )
    return value, slope


def backward(
    grad: Tensor,
    slope: Tensor,
    x: Tensor,
    weight: Tensor,
    omega: float,
    precision: str = "float32",
    needs_input: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    r"""The gradients :math:`g W`, :math:`g^\top x` and :math:`\sum_n g_n`.

    Here :math:`g = \omega\, \bar y \odot \phi'(u)`. Each has the shape of what it belongs to.

    Args:
        grad: the gradient :math:`\bar y` by the values, ``(*signals, n, out)``.
        slope: :math:`\phi'(u)` from :func:`forward`, ``(*signals, n, out)``.
        x: ``(*signals, n, in)``, or ``(n, in)`` for all signals, over which its gradient is summed.
        weight: ``(*signals, out, in)``.
        omega: frequency factor.
        precision: as in :func:`forward`.
        needs_input: whether the gradient by x is wanted; else it is None.
    """
    matrices, precision = _matrices(x, weight), _precision(precision, weight.shape[-1])
    to_x = _to_input(grad, slope, matrices, weight, omega, precision) if needs_input else None
    to_weight, to_bias = _to_weight(grad, slope, matrices, weight, omega, precision)
    return (
        None if to_x is None else to_x.reshape(x.shape),
        to_weight.reshape(weight.shape),
        to_bias.reshape(weight.shape[:-1]),
    )


def _to_input(grad, slope, x, weight, omega, precision) -> Tensor:
    signals, (n_out, n_in) = weight.shape[:-2].numel(), weight.shape[-2:]
    rows, sides = x.shape[1], (128, _width(n_out, 32), _width(n_in, 64))
    to_x = x.new_empty(signals, rows, n_in)
    _launch(
        _input_kernel,
        (ceil(rows / sides[0]) * ceil(n_in / sides[2]), signals),
        (grad, slope, weight, to_x),
        *(rows, float(omega), n_in, n_out),
        sides=sides,
        num_warps=8,
        PRECISION=precision,
    )
    return to_x.sum(0) if len(x) < signals else to_x


def _to_weight(grad, slope, x, weight, omega, precision) -> tuple[Tensor, Tensor]:
    signals, (n_out, n_in) = weight.shape[:-2].numel(), weight.shape[-2:]
    rows, sides = x.shape[1], (32, _width(n_out, 64), _width(n_in, 64))
    tiles, blocks = ceil(n_out / sides[1]) * ceil(n_in / sides[2]), max(1, ceil(rows / sides[0]))
    steps = triton.next_power_of_2(ceil(blocks / max(1, PROGRAMS // (tiles * signals))))
    parts = ceil(blocks / steps)
    to_weight = x.new_empty(parts, signals, n_out, n_in)
    to_bias = x.new_empty(parts, signals, sides[0], n_out)
    _launch(
        _weight_kernel,
        (tiles, signals, parts),
        (grad, slope, x, to_weight, to_bias),
        *(rows, float(omega), n_in, n_out, steps),
        sides=sides,
        num_warps=4,
        SHARED=len(x) == 1,
        PRECISION=precision,
    )
    return to_weight.sum(0), to_bias.sum((0, 2))
