"""Bands that hold a whole distribution function at once, and what they say of the best of several tries.

Part of ``statistics``, which gives these to whoever needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, gammaln

Values = NDArray[np.float64]


@dataclass(frozen=True)
class BestOf:
    """The median of the least of 1, 2, ... values of a distribution, with bands that hold for all of them at once.

    Attributes:
        middle, low, high: one for each number of values; infinite where the sample sets no bound.
    """

    middle: Values
    low: Values
    high: Values


def best_of(values: Values, most: int, level: float = 0.95) -> BestOf:
    """The median of the least of 1 to ``most`` values (Lourie et al. 2024, arXiv 2311.09480).

    With ``F`` the distribution function, the least of k values has the median at which ``F = 1 - 2**(-1/k)``. ``F`` is that of
    the sample, or an end of its band: of independent values, the bands of all k hold together with probability ``level``.

    Args:
        values: of which less is better; infinite ones are failures.
    """
    ordered = np.sort(np.asarray(values, float))
    count = len(ordered)
    below, above = distribution_band(count, level)
    wanted = 1 - 0.5 ** (1 / np.arange(1, most + 1))
    shares = np.arange(1, count + 1) / count
    middle = ordered[np.minimum(np.searchsorted(shares, wanted * (1 - 1e-12)), count - 1)]
    # F is at least below[j] and at most above[j] from the j-th value on.
    ends = np.append(ordered, np.inf)
    high = ends[np.searchsorted(below[1:], wanted)]
    low = np.append(-np.inf, ordered)[np.minimum(np.searchsorted(above, wanted), count)]
    return BestOf(middle, low, high)


@lru_cache(maxsize=64)
def distribution_band(count: int, level: float = 0.95) -> tuple[Values, Values]:
    """Bounds of a distribution function after none, one, ... of ``count`` ordered values, (count + 1,) each.

    The i-th of n ordered values has a share below it that is distributed as Beta(i, n + 1 - i). The bounds are equal tails of
    these, as wide as it takes for all of them to hold together with probability ``level`` (Aldor-Noiman et al. 2013, The
    American Statistician 67(4)). That probability is counted out, not simulated.
    """
    places = np.arange(1, count + 1)

    def ends(tail: float) -> tuple[Values, Values]:
        return (
            np.asarray(betaincinv(places, count + 1 - places, tail)),
            np.asarray(betaincinv(places, count + 1 - places, 1 - tail)),
        )

    tail = brentq(lambda one: _held(*ends(one)) - level, 1e-9 * (1 - level), (1 - level) / 2 * (1 + 1e-9), xtol=1e-14)
    low, high = ends(float(tail))
    return np.append(0.0, low), np.append(high, 1.0)


def _held(low: Values, high: Values) -> float:
    """Probability that each of ordered uniform values lies between its ends.

    How many values lie below a point grows from point to point by binomial numbers; where it leaves what the ends allow, it is
    lost.
    """
    count = len(low)
    share = np.zeros(count + 1)
    share[0] = 1.0
    before = 0.0
    numbers = np.arange(count + 1)
    for point in np.unique(np.concatenate([low, high])):
        grow = (point - before) / (1 - before)
        share = share @ _binomial(count, float(grow))
        share[(numbers < (high <= point).sum()) | (numbers > (low < point).sum())] = 0
        before = float(point)
    return float(share.sum())


def _binomial(count: int, chance: float) -> Values:
    """(count + 1, count + 1): from how many of ``count`` are below a point to how many are below the next one."""
    start, end = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
    left, new = count - start, end - start
    possible = new >= 0
    new = np.where(possible, new, 0)
    chance = min(max(chance, 1e-300), 1 - 1e-16)
    ways = gammaln(left + 1) - gammaln(new + 1) - gammaln(left - new + 1)
    return np.asarray(np.where(possible, np.exp(ways + new * np.log(chance) + (left - new) * np.log1p(-chance)), 0.0))


__all__ = ["BestOf", "best_of", "distribution_band"]
