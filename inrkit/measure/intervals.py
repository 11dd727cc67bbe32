"""Confidence and prediction intervals over independent items or seeds."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from inrkit.measure.metrics import as_array

FEW = 20  # from this many values on, the bootstrap is wide enough


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided confidence interval.

    Attributes:
        mean: of the n values.
        std: their standard deviation, with n - 1 below the root; NaN for a single value.
        low, high: ends of the interval; NaN for a single value.
        n: number of values.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half of its length; NaN for a single value."""
        return (self.high - self.low) / 2


def interval(values, *, confidence: float = 0.95) -> Interval:
    r"""The mean of independent values and the interval that holds it.

    Of fewer than 20 values Student's interval :math:`\bar x \pm t_{n-1} s / \sqrt n`, where a
    bootstrap is too narrow; from 20 on the bias-corrected and accelerated bootstrap, by SciPy, with
    fixed random numbers.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    values = as_array(values).ravel()
    n = values.size
    if n == 0 or not np.isfinite(values).all():
        raise ValueError(f"an interval needs finite values, got {values}")
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, np.nan, np.nan, np.nan, 1)
    std = float(values.std(ddof=1))
    if n < FEW or np.ptp(values) == 0:
        half = stats.t.ppf((1 + confidence) / 2, df=n - 1) * std / np.sqrt(n)
        low, high = mean - half, mean + half
    else:
        low, high = stats.bootstrap(
            (values,), np.mean, confidence_level=confidence, rng=np.random.default_rng(0)
        ).confidence_interval
    return Interval(mean, std, float(low), float(high), n)


def paired_interval(
    first, second, *, confidence: float = 0.95, logarithmic: bool = False
) -> Interval:
    """Interval of the difference first - second of two models on the same items, item by item.

    Args:
        first, second: values of the two models, in the same order of items.
        confidence: of the interval.
        logarithmic: for losses: the difference of decimal logarithms, in decades.

    Raises:
        ValueError: there are not as many of each, or a logarithm of what is not positive.
    """
    first, second = as_array(first), as_array(second)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many of each, got {first.shape} and {second.shape}")
    if logarithmic:
        if min(first.min(initial=1), second.min(initial=1)) <= 0:
            raise ValueError("decades need positive values")
        first, second = np.log10(first), np.log10(second)
    return interval(first - second, confidence=confidence)


def prediction_interval(
    mean: float, std: float, n: int, m: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    r"""Where the mean of m new values falls, if they are of the kind of n that were seen.

    .. math:: \bar x \pm t_{n-1}\, s \sqrt{\tfrac1n + \tfrac1m}

    Args:
        mean, std: of the n values, as published.
        n: number of values behind them, 2 or more.
        m: number of new values.
        confidence: of the interval.

    Source: Patil, Peng and Leek, "What should researchers expect when they replicate studies?",
    2016; Spence and Stanley, "Prediction interval: what to expect when you're expecting a
    replication", 2016. Neither the new values' own spread nor their noise widens it.

    Raises:
        ValueError: n is below 2 or m below 1.
    """
    if n < 2 or m < 1:
        raise ValueError(f"a prediction needs 2 or more values seen and 1 or more new: {n}, {m}")
    half = stats.t.ppf((1 + confidence) / 2, df=n - 1) * std * np.sqrt(1 / n + 1 / m)
    return float(mean - half), float(mean + half)
