"""Means with bootstrap intervals."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

RESAMPLES = 2000
LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean and its 95 % interval; the ends are NaN where one value allows no interval."""

    mean: float
    low: float
    high: float


@lru_cache(maxsize=64)
def _resamples(size: int) -> NDArray[np.int64]:
    """The same resamples for equal sizes, so that a table does not change from run to run."""
    return np.random.default_rng(0).integers(size, size=(RESAMPLES, size))


def bootstrap_mean(values: NDArray[np.float64]) -> Estimate:
    """The mean and its percentile bootstrap interval (Efron 1979). NaN for no values."""
    if len(values) == 0:
        return Estimate(np.nan, np.nan, np.nan)
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(mean, np.nan, np.nan)
    means = values[_resamples(len(values))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(mean, float(low), float(high))


def student_mean(values: NDArray[np.float64]) -> Estimate:
    """The mean and its Student-t interval. NaN for no values.

    The percentile bootstrap of n values is about as wide as ``1.96 sqrt((n - 1) / n)`` standard errors; the t interval, which
    covers the mean of a normal in 95 % of cases, is ``t`` of them. With 3 seeds the bootstrap's is 0.37 of that width, with 5
    it is 0.63, with 20 it is 0.91. Where an interval decides, few seeds therefore need this one.
    """
    if len(values) == 0:
        return Estimate(np.nan, np.nan, np.nan)
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(mean, np.nan, np.nan)
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)
