"""How alike two orders of the same items are. All from the signs of differences, for one order or for many resamples at once.

Values have the items last; a smaller one is better. scipy gives the same numbers (the tests compare), one order at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantbench.results.statistics import LEVEL, RESAMPLES, Estimate

TIED = 1e-12
"""Differences below this share of the largest value are rounding errors of the means: the two are tied."""

Signs = NDArray[np.int8]


def signs(values: NDArray[np.float64]) -> Signs:
    """The sign of value i less value j, in the last two axes; 0 for ties."""
    differences = values[..., :, None] - values[..., None, :]
    scale = np.abs(values).max(axis=-1)[..., None, None]
    return np.sign(np.where(np.abs(differences) <= TIED * scale, 0.0, differences)).astype(np.int8)


def kendall(a: Signs, b: Signs) -> NDArray[np.float64]:
    """Kendall's tau-b (Kendall 1945); NaN where all items are tied in one of the orders."""
    both = (a * b).sum((-2, -1), dtype=float)
    untied = [np.abs(one).sum((-2, -1), dtype=float) for one in (a, b)]
    return _ratio(both, np.sqrt(untied[0] * untied[1]))


def spearman(a: Signs, b: Signs) -> NDArray[np.float64]:
    """Spearman's rho, with mid-ranks for ties; NaN where all items are tied in one of the orders."""
    # Mid-ranks less their mean are half the sums of signs; the half drops out.
    x, y = a.sum(-1, dtype=float), b.sum(-1, dtype=float)
    return _ratio((x * y).sum(-1), np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def agreement(a: Signs, b: Signs, pairs: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of ``pairs`` (a mask of i, j) that both orders put the same way; a tie is not the same way. NaN for no pair."""
    return _ratio(((a * b)[..., pairs] > 0).sum(-1).astype(float), np.asarray(float(pairs.sum())))


def resampled_means(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Bootstrap means (resamples, items) of values (items, seeds).

    All items are resampled together, so that what a seed does to all of them cancels in their order.
    """
    chosen = generator.integers(values.shape[1], size=(RESAMPLES, values.shape[1]))
    return np.asarray(values[:, chosen].mean(axis=2).T)


def interval(value: NDArray[np.float64], resampled: NDArray[np.float64] | None) -> Estimate:
    """A number with its percentile interval; without one where there are no resamples, or the number itself is NaN."""
    if resampled is None or np.isnan(value) or np.isnan(resampled).all():
        return Estimate(float(value), np.nan, np.nan)
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    above, below = np.broadcast_arrays(above, below)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
