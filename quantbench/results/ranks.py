"""How alike two orders of the same items are. All from the signs of differences, for one order or for many resamples at once.

Values have the items last; a smaller one is better. scipy gives the same numbers (the tests compare), one order at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    above, below = np.broadcast_arrays(above, below)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


TAU_INTERVAL = "[interval]"


def tau_interval(toy: NDArray[np.float64], real: NDArray[np.float64]) -> tuple[float, float]:
    return float("nan"), float("nan")
