"""What a training step costs: seconds and bytes."""

import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


@dataclass(frozen=True)
class StepTimes:
    """Seconds of several steps, measured in turn.

    Attributes:
        names: of the steps, the reference first.
        seconds: ``(rounds, steps)``.
    """

    names: tuple[str, ...]
    seconds: np.ndarray

    @property
    def median(self) -> dict[str, float]:
        """Median seconds of each step."""
        return dict(zip(self.names, np.median(self.seconds, axis=0).tolist(), strict=True))

    def ratio(self, name: str) -> tuple[float, float, float]:
        """Time of one step over the reference's in the same round: median and quartiles."""
        ratios = self.seconds[:, self.names.index(name)] / self.seconds[:, 0]
        low, median, high = np.percentile(ratios, (25, 50, 75)).tolist()
        return median, low, high


def step_times(
    steps: Mapping[str, Callable[[], object]], *, rounds: int = 20, warmup: int = 3
) -> StepTimes:
    """Time several steps in turn, so that a busy machine slows all of them alike.

    Args:
        steps: name and callable without arguments; the first is the reference.
        rounds: how often each is timed, after ``warmup`` rounds that do not count.
    """
    seconds = np.array(
        [[_seconds(step) for step in steps.values()] for _ in range(warmup + rounds)]
    )
    return StepTimes(tuple(steps), seconds[warmup:])


def _seconds(step: Callable[[], object]) -> float:
    _synchronize()
    start = time.perf_counter()
    step()
    _synchronize()
    return time.perf_counter() - start


def _synchronize():
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class PeakMemory:
    """Peak bytes of a step.

    Attributes:
        saved: held for the backward pass at one time, each storage counted once, parameters too.
        allocated: all that CUDA's allocator held; None on a CPU.
    """

    saved: int
    allocated: int | None


class _Saved:
    """A tensor held for the backward pass; weak references to it tell when it is let go."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def peak_memory(step: Callable[[], object]) -> PeakMemory:
    """Peak memory of one training step, forward and backward."""
    holders: Counter[int] = Counter()  # storage address -> how many saved tensors lie in it
    held = peak = 0

    def pack(tensor: Tensor) -> _Saved:
        nonlocal held, peak
        storage, saved = tensor.untyped_storage(), _Saved(tensor.detach())
        if not holders[storage.data_ptr()]:
            held += storage.nbytes()
        holders[storage.data_ptr()] += 1
        peak = max(peak, held)
        weakref.finalize(saved, release, storage.data_ptr(), storage.nbytes())
        return saved

    def release(address: int, size: int):
        nonlocal held
        holders[address] -= 1
        if not holders[address]:
            held -= size

    on_gpu = torch.cuda.is_initialized()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with saved_tensors_hooks(pack, lambda saved: saved.tensor):
        step()
    return PeakMemory(peak, torch.cuda.max_memory_allocated() if on_gpu else None)
