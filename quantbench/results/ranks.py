"""How well one ranking predicts another, with intervals over seeds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from quantbench.results.items import Matrix
from quantbench.results.statistics import LEVEL, RESAMPLES, Estimate


@dataclass(frozen=True)
class Pair:
    """Two items, and by how much the first is better than the second (negative: worse) in each table.

    Attributes:
        separated: whether the real codec tells them apart.
        agrees: whether the toy orders them as the real codec does.
    """

    first: int
    second: int
    toy: Estimate
    real: Estimate

    @property
    def separated(self) -> bool:
        return _apart(self.real)

    @property
    def toy_separated(self) -> bool:
        return _apart(self.toy)

    @property
    def agrees(self) -> bool:
        return self.toy.mean * self.real.mean > 0


def _apart(difference: Estimate) -> bool:
    return bool(difference.low > 0 or difference.high < 0)


def correlation(toy: Matrix, real: Matrix, name: str) -> Estimate:
    """Kendall's tau-b or Spearman's rho between the items' means, with a bootstrap interval over seeds (Efron 1979).

    Args:
        toy, real: values (items, seeds); seeds of either table are resampled by themselves.
        name: ``kendall`` or ``spearman``.
    """
    measure = stats.kendalltau if name == "kendall" else stats.spearmanr

    def of(a: Matrix, b: Matrix) -> float:
        return float(measure(a, b).statistic)

    return _bootstrap(toy, real, of)


def agreement(toy: Matrix, real: Matrix, pairs: list[Pair]) -> Estimate:
    """Of the pairs that the real codec separates, the share that the toy orders the same way; interval as above."""
    separated = np.array([(pair.first, pair.second) for pair in pairs if pair.separated], dtype=int).reshape(-1, 2)
    if not len(separated):
        return Estimate(np.nan, np.nan, np.nan)
    first, second = separated.T

    def of(a: Matrix, b: Matrix) -> float:
        return float(np.mean((a[first] - a[second]) * (b[first] - b[second]) > 0))

    return _bootstrap(toy, real, of)


def pairs_of(toy: Matrix, real: Matrix) -> list[Pair]:
    """All pairs of items."""
    count = len(toy)
    return [
        Pair(i, j, _difference(toy[j] - toy[i]), _difference(real[j] - real[i]))
        for i in range(count)
        for j in range(i + 1, count)
    ]


def _difference(paired: Matrix) -> Estimate:
    """Mean difference of the seeds that both items have, with Student's interval.

    Three seeds resample into ten samples, whose percentiles say far too little of what a fourth seed would bring; Student's
    distribution takes the small number into account.
    """
    known = paired[~np.isnan(paired)]
    if len(known) < 2:
        return Estimate(float(known.mean()) if len(known) else np.nan, np.nan, np.nan)
    mean, error = float(known.mean()), float(known.std(ddof=1)) / len(known) ** 0.5
    width = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1)) * error
    return Estimate(mean, mean - width, mean + width)


def _bootstrap(toy: Matrix, real: Matrix, measure: Callable[[Matrix, Matrix], float]) -> Estimate:
    random = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of means of nothing, and of rankings without differences
        value = measure(np.nanmean(toy, axis=1), np.nanmean(real, axis=1))
        if toy.shape[1] < 2 and real.shape[1] < 2:
            return Estimate(value, np.nan, np.nan)
        drawn = []
        for _ in range(RESAMPLES):
            means = [np.nanmean(one[:, random.integers(one.shape[1], size=one.shape[1])], axis=1) for one in (toy, real)]
            if not np.isnan(means).any():
                drawn.append(measure(*means))
    known = [one for one in drawn if not np.isnan(one)]
    if not known:
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
