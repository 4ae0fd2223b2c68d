"""Means with bootstrap intervals."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
