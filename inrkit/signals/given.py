"""What callers give: arrays, tensors and numbers, checked, each refusal one sentence."""

import hashlib
import math
import operator
import os

import numpy as np
import torch


def described(error: Exception) -> str:
    """The first line of a library's message, or the kind of error where it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def whole(name: str, value: object, of: str, *, most: float = math.inf) -> int:
    """A whole number of at least 1.

    Args:
        name: of the argument, for the message.
        value: what was given; a float such as 3.0 is taken.
        of: what it counts.
        most: the largest that is taken.

    Raises:
        ValueError: it is something else.
    """
    try:
        number = operator.index(int(value) if value == math.floor(value) else value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if isinstance(value, (bool, np.bool_)) or not 1 <= number <= most:
        limit = "" if most == math.inf else f" and at most {most:,}"
        raise ValueError(f"{name} is a whole number of {of}, at least 1{limit}, got {value!r}")
    return number


def positive(name: str, value: object, of: str) -> float:
    """A finite number above 0.

    Raises:
        ValueError: it is something else.
    """
    try:
        number = float(value) if not isinstance(value, (str, bytes, bool)) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{name} is {of}, above 0 and finite, got {value!r}")
    return number


def array(source: object, kind: str) -> tuple[np.ndarray, str] | None:
    """An array or tensor as a plain array with the SHA-256 of its bytes in C order; else None.

    Args:
        source: array, tensor, or the name or path of a file, for which None is returned.
        kind: what is wanted, for the message: "an image".

    Raises:
        ValueError: the source is none of these, or its numbers cannot be had.
    """
    if isinstance(source, torch.Tensor):
        try:
            tensor = source.detach().cpu()
            tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
            found = tensor.resolve_conj().resolve_neg().numpy()
        except (TypeError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"the tensor has no plain numbers: {described(error)}") from error
    elif isinstance(source, np.ndarray):
        if np.ma.is_masked(source):
            raise ValueError("the array hides some of its numbers behind a mask: fill them first")
        found = np.asarray(source)
    elif isinstance(source, (str, os.PathLike)):
        return None
    else:
        raise ValueError(
            f"{kind} comes as a name, path, array or tensor, not as {type(source).__name__}"
        )
    if found.dtype.kind not in "biufc":
        raise ValueError(f"{kind} is made of numbers, the array has {found.dtype}")
    return found, hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest()
