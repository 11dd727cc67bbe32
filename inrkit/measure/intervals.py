"""Confidence intervals over items and seeds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from inrkit.measure.metrics import as_array


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided confidence interval, mean +- half_width.

    Attributes:
        mean: of the n values.
        std: their standard deviation, with n - 1 below the root; NaN for a single value.
        half_width: of the interval; NaN for a single value.
        n: number of values.
    """

    mean: float
    std: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width


def interval(values, *, confidence: float = 0.95) -> Interval:
    r"""Student's interval :math:`\bar x \pm t_{n-1} s / \sqrt n` of independent values."""
    values = _finite(values)
    n = values.size
    if n == 1:
        return Interval(float(values.mean()), np.nan, np.nan, 1)
    std = values.std(ddof=1)
    t = stats.t.ppf((1 + confidence) / 2, df=n - 1)
    return Interval(float(values.mean()), float(std), float(t * std / np.sqrt(n)), n)


def paired_interval(first, second, *, confidence: float = 0.95) -> Interval:
    """Interval of the difference first - second of two models on the same items, item by item."""
    first, second = as_array(first), as_array(second)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many of each, got {first.shape} and {second.shape}")
    return interval(first - second, confidence=confidence)


@dataclass(frozen=True)
class Bounds:
    """An estimate with the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def bootstrap(
    values,
    *,
    statistic: Callable = np.median,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Bounds:
    """Bootstrap interval (bias-corrected and accelerated) of a statistic, by SciPy."""
    values = _finite(values)
    result = stats.bootstrap(
        (values,),
        statistic,
        confidence_level=confidence,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Bounds(float(statistic(values)), float(low), float(high))


def _finite(values) -> np.ndarray:
    values = as_array(values).ravel()
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"an interval needs finite values, got {values}")
    return values
