"""Intervals, tests and adjustments: all that any command or page says of chance comes from here.

docs/statistics.md says what each is for and what it assumes; `scripts/calibration.py` measures what each one holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, betaincinv, ndtr, stdtr, stdtrit

from quantbench.results.bands import BestOf, best_of, distribution_band
from quantbench.results.estimate import INTERVAL, Estimate

LEVEL = 0.95
SIGNIFICANT = 0.05

ROUNDING = 1e-6
"""Trainings are in single precision: differences below this share of the values are rounding, and count as none."""

EXACT = 50
"""Up to so many seeds p-values of Wilcoxon's test are counted out, ties and all; beyond, the normal approximation is good."""

TRIMMED = 1.19
"""Variance of an interquartile mean of normal values over that of their mean: at most so much for any number of them."""

DOUBTFUL = 0.2
"""Approximate p-values above it decide nothing, and are not counted out where pairs of methods are very many."""

MOST_COUNTED = 20_000
"""... that is, where more than so many pairs of methods are tested."""

Values = NDArray[np.float64]


NOTHING = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Difference:
    """Paired differences over seeds.

    Attributes:
        estimate: their mean with its interval.
        p: of Student's test that it is zero; 1 where a single pair allows no test.
        pairs: how many there are.
    """

    estimate: Estimate
    p: float
    pairs: int


def mean_interval(values: Values) -> Estimate:
    """The mean and its Student-t interval; NaN for no values.

    It covers the mean of normal values in 95 % of cases for any number of them; of skewed ones less (docs/statistics.md).
    Values in steps, as the usage of a codebook, are taken to vary by a step's rounding at least.
    """
    if len(values) == 0:
        return NOTHING
    if not np.isfinite(values).all():
        return _of_infinite(values)
    return _interval(float(values.mean()), max(_spread(values), step_of(values) / math.sqrt(12)), len(values))


def mean_intervals(values: Values) -> tuple[Values, Values, Values]:
    """``mean_interval`` of each row of finite values (rows, count): means, lows, highs."""
    count = values.shape[1]
    mean = values.mean(axis=1)
    if count == 1:
        return mean, np.full(len(mean), np.nan), np.full(len(mean), np.nan)
    spread = np.maximum(values.std(axis=1, ddof=1), _steps(values) / math.sqrt(12))
    half = _quantile(count - 1) * spread / math.sqrt(count)
    return mean, mean - half, mean + half


def _spread(values: Values) -> float:
    """Standard deviation; 0 for a single value."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _interval(mean: float, spread: float, count: int) -> Estimate:
    if count == 1:
        return Estimate(mean, np.nan, np.nan)
    half = _quantile(count - 1) * spread / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half)


@lru_cache(maxsize=1024)
def _quantile(degrees: int) -> float:
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def step_of(values: Values) -> float:
    """The step of values that are whole multiples of one apart; 0 where they are not.

    Three values or more that are no multiples of a step hardly ever look like it.
    """
    return float(_steps(values[None])[0])


def _steps(values: Values) -> Values:
    """``step_of`` each row (rows, count)."""
    if values.shape[1] < 2:
        return np.zeros(len(values))
    ordered = np.sort(values, axis=1)
    gaps = ordered[:, 1:] - ordered[:, :-1]
    largest = np.maximum(np.abs(ordered[:, :1]), np.abs(ordered[:, -1:]))
    gaps = np.where(gaps > ROUNDING * largest, gaps, np.inf)
    least = gaps.min(axis=1)
    known = np.isfinite(gaps)
    multiples = np.where(known, gaps, 0.0) / least[:, None]
    whole = np.abs(multiples - np.rint(multiples)).max(axis=1) < 1e-3
    return np.where(whole & np.isfinite(least), least, 0.0)


def geometric_interval(values: Values) -> Estimate:
    """The geometric mean of positive values, with the interval of their logarithms' mean."""
    with np.errstate(over="ignore"):
        return Estimate(*(float(np.exp(end)) for end in mean_interval(np.log(values[values > 0]))))


def _of_infinite(values: Values) -> Estimate:
    """Failures are infinitely bad, and so is a mean over them; no interval is."""
    return Estimate(float(values.mean()) if len(set(np.sign(values[np.isinf(values)]))) == 1 else np.nan, np.nan, np.nan)


def interquartile_mean(values: Values) -> Values:
    """Mean of the middle half along the last axis, as ``scipy.stats.trim_mean(values, 0.25)``; NaN is left out.

    Infinity is a value like others: it is the mean once it reaches the middle half.
    """
    ordered = np.sort(values, axis=-1)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    cut = count // 4
    places = np.arange(values.shape[-1])
    middle = np.where((places >= cut) & (places < count - cut), ordered, 0.0)
    kept = (count - 2 * cut)[..., 0]
    return np.asarray(np.divide(middle.sum(axis=-1), kept, out=np.full(kept.shape, np.nan), where=kept > 0))


def interquartile_interval(values: Values) -> Estimate:
    """The mean over tasks of the interquartile mean of each task's seeds, with its interval for these tasks.

    Student's, of the means over tasks that single seeds have: what a seed does to all tasks alike stays in it. The variance is
    that of a mean times ``TRIMMED``, as for normal values; heavier tails make it safer. It is of the seeds that every task has;
    where these are fewer than two, the tasks' variances are added as if their seeds were others (Welch 1947, Biometrika
    34(1-2)). Where trials failed, values are winsorised in each task first (Tukey & McLaughlin 1963, Sankhya A 25(3)); then an
    end is infinite where a quarter of all trials of a task may fail for all that these seeds tell (Clopper & Pearson 1934,
    Biometrika 26(4)).

    Args:
        values: (tasks, seeds), NaN for what is missing.
    """
    values = values[~np.isnan(values).all(axis=1)]
    if not len(values):
        return NOTHING
    mean = float(interquartile_mean(values).mean())
    rows = [row[~np.isnan(row)] for row in values]
    if not np.isfinite(mean) or min(map(len, rows)) < 2:
        return Estimate(mean, np.nan, np.nan)
    shared = values[:, ~np.isnan(values).any(axis=0)]
    failed = bool(np.isinf(values).any())
    if shared.shape[1] < 2:
        half = _half_of_sum(rows)
    elif failed:
        squared, degrees = _trimmed_variance(np.mean([_winsorised(row) for row in shared], axis=0), winsorised=True)
        half = _quantile(degrees) * math.sqrt(squared)
    else:
        found = mean_interval(shared.mean(axis=0))
        half = (found.high - found.low) / 2 * math.sqrt(TRIMMED if shared.shape[1] > 3 else 1.0)
    return Estimate(mean, mean - half, np.inf if failed and any(map(_may_fail, rows)) else mean + half)


def _half_of_sum(tasks: Sequence[Values]) -> float:
    """Half the interval of a mean of interquartile means of independent values."""
    variances, degrees = (np.array(one) for one in zip(*map(_trimmed_variance, tasks), strict=True))
    total = float(variances.sum())
    free = total**2 / float((variances**2 / degrees).sum()) if total else 1.0
    return float(stdtrit(free, (1 + LEVEL) / 2)) * math.sqrt(total) / len(tasks)


def _trimmed_variance(values: Values, winsorised: bool = False) -> tuple[float, int]:
    """Squared standard error of an interquartile mean, and its degrees of freedom."""
    count = len(values)
    kept = count - 2 * (count // 4)
    spread = _spread(values if winsorised else _winsorised(values))
    return spread**2 * (count - 1) / (kept * (kept - 1)), kept - 1


def _winsorised(values: Values) -> Values:
    """Values of which a quarter at each end is brought to the next one."""
    cut = len(values) // 4
    ordered = np.sort(values)
    return np.clip(values, ordered[cut], ordered[len(values) - cut - 1])


def _may_fail(values: Values) -> bool:
    """Whether failures among values may be a quarter of all that there could be."""
    bad = int(np.isinf(values).sum())
    return bad > 0 and bool(betaincinv(bad + 1, len(values) - bad, (1 + LEVEL) / 2) >= 0.25)


def paired_difference(differences: Values, scale: float | None = None) -> Difference:
    """The mean of paired differences, one a seed, its Student-t interval, and the test that it is zero.

    Where nothing changed, differences of equally distributed values are symmetric, whatever the values' distribution: the
    test then errs in at most 5 % of cases, or hardly more (docs/statistics.md). Differences that are all the same allow no
    estimate of their spread; only their signs speak then, with ``p = 2**(1 - pairs)``. Those in steps are taken to vary as two
    roundings do, at least.

    Args:
        scale: the size of the values that were subtracted; differences below ``ROUNDING`` of it count as zero.
    """
    differences = without_rounding(differences, scale)
    count = len(differences)
    if count < 2 or not np.isfinite(differences).all():
        return Difference(mean_interval(differences), 1.0, count)
    mean, spread = float(differences.mean()), _spread(differences)
    if spread <= ROUNDING * abs(mean):
        # No spread, no interval; where nothing differs at all, that is the interval.
        alike = Estimate(mean, mean, mean) if not mean else Estimate(mean, np.nan, np.nan)
        return Difference(alike, 2.0 ** (1 - count) if mean else 1.0, count)
    spread = max(spread, step_of(np.append(differences, 0.0)) / math.sqrt(2))
    statistic = abs(mean) / (spread / math.sqrt(count))
    return Difference(_interval(mean, spread, count), float(2 * stdtr(count - 1, -statistic)), count)


def without_rounding(differences: Values, scale: float | None) -> Values:
    """Differences with zero in the place of those that are rounding."""
    if not scale or not np.isfinite(scale):
        return differences
    return np.where(np.abs(differences) <= ROUNDING * scale, 0.0, differences)


def size_of(*values: Values) -> float:
    """The largest finite magnitude among values; 0 for none."""
    return max((float(np.abs(one[np.isfinite(one)]).max(initial=0.0)) for one in values), default=0.0)


def more_failures(before: int, after: int, pairs: int) -> float:
    """P-value that failures became more, or fewer, among paired trials.

    The difference of two binomial numbers with the same rate is most spread where that rate is a half; there it is
    ``Binomial(2 pairs, 1/2) - pairs`` (a test without conditioning, as of Barnard 1947). Paired trials that fail together make
    it err less.

    Args:
        before, after: how many failed.
    """
    return min(1.0, float(2 * bdtrc(pairs + abs(after - before) - 1, 2 * pairs, 0.5)))


def holm(p_values: Sequence[float] | Values) -> Values:
    """P-values adjusted for the number of tests, step-down (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    found = np.empty_like(p)
    found[order] = adjusted
    return found


def wilcoxon(differences: Values, scale: Values | float | None = None, always_exact: bool = True) -> Values:
    """P-values of Wilcoxon's signed-rank test (1945), one for each of ``differences`` (tests, tasks, seeds) or (tests, seeds).

    Differences of zero are left out, equal ones share the mean of their ranks, and what differs by rounding is equal. Of
    several tasks each is ranked by itself, and a seed's signed ranks are added: under the hypothesis its differences change
    their signs together, for what a seed does to one task it may do to others. Up to ``EXACT`` seeds all signs are counted
    out; beyond, the normal approximation.

    Args:
        differences: NaN for a pair that is none. An infinite one is larger than all others.
        scale: of each test, the size of the values that were subtracted; by default that of the differences.
        always_exact: whether p-values above ``DOUBTFUL`` are counted out, too.
    """
    signed = _signed_ranks(differences, scale)
    sizes = np.abs(signed)
    above, total = np.where(signed > 0, sizes, 0).sum(axis=1), sizes.sum(axis=1)
    count = (sizes > 0).sum(axis=1)
    deviation = np.sqrt((sizes.astype(float) ** 2).sum(axis=1)) / 2
    z = np.divide(np.abs(above - total / 2), deviation, out=np.zeros(len(sizes)), where=deviation > 0)
    found = np.where(count > 0, 2 * ndtr(-z), 1.0)
    for row in np.flatnonzero((count > 0) & (count <= EXACT) & (always_exact | (found < DOUBTFUL))):
        tail = _tails(np.sort(sizes[row][sizes[row] > 0]).astype(np.int32).tobytes())
        found[row] = min(1.0, 2 * tail[int(min(above[row], total[row] - above[row]))])
    return np.minimum(found, 1.0)


def leaning(differences: Values, scale: Values | float | None = None) -> Values:
    """Which way Wilcoxon's test of each row leans: the sign of the sum of its signed ranks. See ``wilcoxon``."""
    return np.asarray(np.sign(_signed_ranks(differences, scale).sum(axis=1)), float)


def _signed_ranks(differences: Values, scale: Values | float | None) -> NDArray[np.int64]:
    """Twice the signed rank of each difference within its task, added over tasks (tests, seeds); 0 for no difference."""
    if differences.ndim == 2:
        differences = differences[:, None]
    tests, tasks, seeds = differences.shape
    if scale is None:
        scale = np.abs(np.where(np.isfinite(differences), differences, 0.0)).max(axis=(1, 2), initial=0.0)
    tolerance = np.repeat(np.broadcast_to(ROUNDING * np.asarray(scale, float), tests), tasks)[:, None]
    flat = differences.reshape(tests * tasks, seeds)
    sizes = np.abs(flat)
    ranks = _mid_ranks(np.where(sizes > tolerance, sizes, np.nan), tolerance)
    return np.asarray(np.where(flat > 0, ranks, -ranks).reshape(tests, tasks, seeds).sum(axis=1))


def _mid_ranks(sizes: Values, tolerance: Values) -> NDArray[np.int64]:
    """Twice the mid-rank of each value within its row, NaN 0; values nearer than the tolerance to the next share one."""
    order = np.argsort(sizes, axis=1, kind="stable")  # NaN last
    ordered = np.take_along_axis(sizes, order, axis=1)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        steps = np.diff(ordered, axis=1) > tolerance
    group = np.concatenate([np.zeros((len(sizes), 1), int), np.cumsum(steps, axis=1)], axis=1)
    if not sizes.shape[1]:
        return np.zeros(sizes.shape, np.int64)
    place = np.arange(sizes.shape[1])
    same_before = np.concatenate([np.zeros((len(sizes), 1), bool), ~steps], axis=1)
    first = np.maximum.accumulate(np.where(same_before, 0, place), axis=1)
    known = ~np.isnan(ordered)
    joined = group + np.arange(len(sizes))[:, None] * sizes.shape[1]
    members = np.bincount(joined[known], minlength=sizes.size).reshape(sizes.shape)
    count = np.take_along_axis(members, group, axis=1)
    doubled = np.where(known, 2 * first + count + 1, 0)
    found = np.zeros(sizes.shape, np.int64)
    np.put_along_axis(found, order, doubled, axis=1)
    return found


@lru_cache(maxsize=4096)
def _tails(pattern: bytes) -> Values:
    """By twice the sum of ranks: the probability of so little or less, over all signs of these (doubled) ranks."""
    ranks = np.frombuffer(pattern, np.int32)
    share = np.zeros(int(ranks.sum()) + 1)
    share[0] = 1.0
    for rank in ranks.tolist():
        moved = np.zeros_like(share)
        moved[rank:] = share[: len(share) - rank]
        share = (share + moved) / 2
    return np.cumsum(share)


def mean_ranks(blocks: Sequence[Values]) -> Values:
    """Mean rank of each method: over the seeds of a task, then over tasks. NaN without a block."""
    if not blocks:
        return np.empty(0)
    level = np.zeros((1, 1))
    known = [_mid_ranks(block.T, level).mean(axis=0) / 2 for block in blocks if block.shape[1]]
    return np.mean(known, axis=0) if known else np.full(len(blocks[0]), np.nan)


def blocks_needed(methods: int) -> int:
    """Seeds (or tasks) from which Wilcoxon's test with Holm's adjustment can find any difference between so many methods."""
    tests = max(methods * (methods - 1) // 2, 1)
    return int(np.floor(np.log2(tests / SIGNIFICANT))) + 2


__all__ = [
    "INTERVAL",
    "BestOf",
    "Difference",
    "Estimate",
    "best_of",
    "blocks_needed",
    "distribution_band",
    "geometric_interval",
    "holm",
    "interquartile_interval",
    "interquartile_mean",
    "leaning",
    "mean_interval",
    "mean_intervals",
    "mean_ranks",
    "more_failures",
    "paired_difference",
    "size_of",
    "step_of",
    "wilcoxon",
]
