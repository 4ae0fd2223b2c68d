"""Ranks methods over tasks and paired seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from quantbench.results.methods import Layout
from quantbench.results.scores import Scores, Values, scores
from quantbench.results.statistics import LEVEL, RESAMPLES, Estimate

SIGNIFICANT = 1 - LEVEL

Resamples = list[NDArray[np.int64]]
"""For each task (resamples, seeds): which seeds are drawn."""


@dataclass(frozen=True)
class Standing:
    """One method.

    Attributes:
        center: interquartile mean of the metric (Agarwal et al. 2021); infinite where a quarter of the trials failed.
        improves: probability that it is better than the next one in the table; None for the last.
        mean_rank: over tasks, 1 for the best of all; NaN where no task has every method.
        groups: numbers of the groups (see ``Ranking.groups``) that it belongs to.
    """

    method: str
    center: Estimate
    improves: Estimate | None
    mean_rank: float
    groups: list[int]
    trials: int
    failed: int
    tasks: int


@dataclass(frozen=True)
class Ranking:
    """Methods, the best one first.

    Attributes:
        groups: the largest sets of methods (by place in ``standings``) of which no two differ significantly.
        p_values: (methods, methods) of Wilcoxon's signed-rank test over tasks and seeds, adjusted by Holm.
        blocks: how many pairs of task and seed every method has; ranks and tests are over these.
    """

    metric: str
    sign: int
    standings: list[Standing]
    groups: list[list[int]]
    p_values: Values
    blocks: int
    tasks: list[str]
    notes: list[str]

    @property
    def separable(self) -> bool:
        """Whether there are blocks enough for any difference to be significant."""
        pairs = len(self.standings) * (len(self.standings) - 1) // 2
        return bool(self.blocks) and 2.0 ** (1 - self.blocks) * max(pairs, 1) < SIGNIFICANT

    def significant(self, first: int, second: int) -> bool:
        """Whether two methods differ, by their places."""
        return bool(self.p_values[first, second] < SIGNIFICANT)


def rank(table: pd.DataFrame, parts: Layout, metric: str) -> Ranking:
    """Rank the methods of a table by their interquartile mean, those alike by their mean rank.

    A trial that failed or diverged is worse than any that did not. Means are over the tasks that every method has; where there
    is none, over those that each one has. Seeds are resampled within each task, the same ones for all methods.

    Raises:
        ConfigError: see ``scores``.
    """
    found = scores(table, parts, metric)
    common = found.common()
    chosen = common or list(range(len(found.tasks)))
    notes = list(found.notes)
    if not common:
        notes.append("no task has a trial of every method: each mean is over other tasks, and there are no ranks")
    values = [found.values[task] for task in chosen]
    resamples = resampled_seeds(values)
    centers = [_interval(*_center(values, resamples, place)) for place in range(len(found.methods))]
    blocks = _blocks([found.values[task] for task in common], len(found.methods))
    ranks = mean_ranks(blocks)
    order = sorted(range(len(found.methods)), key=lambda place: (centers[place].mean, ranks[place], place))
    p_values = wilcoxon_holm(np.hstack(blocks)[order] if blocks else np.empty((len(order), 0)))
    groups = cliques(p_values >= SIGNIFICANT)
    standings = []
    for place, method in enumerate(order):
        following = order[place + 1] if place + 1 < len(order) else None
        standings.append(
            Standing(
                found.methods[method],
                _signed(centers[method], found.sign),
                None if following is None else improvement(found.values, method, following),
                float(ranks[method]),
                [number for number, group in enumerate(groups) if place in group],
                found.trials[method],
                found.failed[method],
                int(found.has()[method].sum()),
            )
        )
    count = sum(block.shape[1] for block in blocks)
    ranking = Ranking(metric, found.sign, standings, groups, p_values, count, [found.tasks[task] for task in chosen], notes)
    notes += _few(found, ranking)
    return ranking


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


def resampled_seeds(values: Sequence[Values]) -> Resamples:
    """Seeds of each task, drawn with replacement; the same draws for equal tables, so that the output does not change."""
    generator = np.random.default_rng(0)
    return [generator.integers(cells.shape[1], size=(RESAMPLES, cells.shape[1])) for cells in values]


def improvement(values: Sequence[Values], better: int, worse: int) -> Estimate:
    """Probability that one method is better than another in a task, over the tasks that both have (Agarwal et al. 2021, eq. 2).

    Each trial of one meets each of the other, ties count half; the interval resamples the seeds that both have, in pairs.
    """
    generator = np.random.default_rng(0)
    points, drawn, most = [], [], 0
    for cells in values:
        pair = cells[[better, worse]]
        a, b = pair[:, ~np.isnan(pair).any(axis=0)]
        if size := len(a):
            once = np.ones((1, size), np.int64)
            points.append(_wins(a, b, once)[0])
            drawn.append(_wins(a, b, generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)))
            most = max(most, size)
    if not points:
        return Estimate(np.nan, np.nan, np.nan)
    return _interval(float(np.mean(points)), np.mean(drawn, axis=0) if most > 1 else None)


def _wins(a: Values, b: Values, counts: NDArray[np.int64]) -> Values:
    """Share of pairs in which ``a`` is less than ``b``, ties half, for each resample: how often it has each place."""
    ordered = np.argsort(b, kind="stable")
    left, right = (np.searchsorted(b[ordered], a, side=side) for side in ("left", "right"))
    up_to = np.cumsum(np.pad(counts[:, ordered], ((0, 0), (1, 0))), axis=1)
    greater = up_to[:, -1:] - (up_to[:, right] + up_to[:, left]) / 2
    return np.asarray((greater * counts).sum(axis=1) / counts.sum(axis=1) ** 2)


def mean_ranks(blocks: Sequence[Values]) -> Values:
    """Mean rank of each method: over the seeds of a task, then over tasks. NaN without a block."""
    if not blocks:
        return np.empty(0)
    known = [stats.rankdata(block, axis=0).mean(axis=1) for block in blocks if block.shape[1]]
    return np.mean(known, axis=0) if known else np.full(len(blocks[0]), np.nan)


def wilcoxon_holm(values: Values) -> Values:
    """P-values (methods, methods) of Wilcoxon's signed-rank tests (1945) over blocks, adjusted by Holm (1979).

    Args:
        values: (methods, blocks). Two failures are no difference; one is the largest difference there is.
    """
    found = np.ones((len(values), len(values)))
    pairs = list(combinations(range(len(values)), 2))
    if not pairs or not values.shape[1]:
        return found
    for (i, j), p in zip(pairs, holm([_wilcoxon(values[i], values[j]) for i, j in pairs]), strict=True):
        found[i, j] = found[j, i] = p
    return found


def holm(p_values: Sequence[float]) -> Values:
    """P-values adjusted for the number of tests, step-down (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    found = np.empty_like(p)
    found[order] = adjusted
    return found


def cliques(alike: NDArray[np.bool_]) -> list[list[int]]:
    """The largest sets of which all pairs are alike, in the order of their members (Bron and Kerbosch 1973, with a pivot)."""
    neighbours = [{int(j) for j in np.flatnonzero(row) if j != i} for i, row in enumerate(alike)]
    found: list[list[int]] = []

    def grow(clique: list[int], candidates: set[int], done: set[int]) -> None:
        if not candidates and not done:
            found.append(sorted(clique))
            return
        pivot = max(sorted(candidates | done), key=lambda place: len(candidates & neighbours[place]))
        for place in sorted(candidates - neighbours[pivot]):
            grow([*clique, place], candidates & neighbours[place], done & neighbours[place])
            candidates = candidates - {place}
            done = done | {place}

    grow([], set(range(len(alike))), set())
    return sorted(found)


def _center(values: Sequence[Values], resamples: Resamples, method: int) -> tuple[float, Values | None]:
    point = float(interquartile_mean(np.concatenate([cells[method] for cells in values])))
    if max((int((~np.isnan(cells[method])).sum()) for cells in values), default=0) < 2:
        return point, None
    drawn = np.hstack([cells[method][chosen] for cells, chosen in zip(values, resamples, strict=True)])
    return point, interquartile_mean(drawn)


def _interval(point: float, resampled: Values | None) -> Estimate:
    """The percentile interval; an end is infinite where resamples there are."""
    if resampled is None or np.isnan(point):
        return Estimate(point, np.nan, np.nan)
    # Not interpolated where infinity is near: its neighbour times zero would be NaN.
    method: Literal["linear", "inverted_cdf"] = "linear" if np.isfinite(resampled).all() else "inverted_cdf"
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method=method)
    return Estimate(point, float(low), float(high))


def _signed(center: Estimate, sign: int) -> Estimate:
    return center if sign > 0 else Estimate(-center.mean, -center.high, -center.low)


def _blocks(values: Sequence[Values], methods: int) -> list[Values]:
    """The seeds of each task that every method has."""
    return [cells[:, ~np.isnan(cells).any(axis=0)] for cells in values] or [np.empty((methods, 0))]


def _wilcoxon(a: Values, b: Values) -> float:
    both = np.isinf(a) & np.isinf(b)
    with np.errstate(invalid="ignore"):
        differences = np.where(both, 0.0, a - b)
    if not differences.any():
        return 1.0
    finite = np.abs(differences[np.isfinite(differences)])
    differences = np.clip(differences, -2 * finite.max(initial=1.0), 2 * finite.max(initial=1.0))
    return float(stats.wilcoxon(differences).pvalue)


def _few(found: Scores, ranking: Ranking) -> list[str]:
    """What to say where there is too little to be sure of anything."""
    notes = []
    if max(int((~np.isnan(cells)).sum(axis=1).max()) for cells in found.values) < 2:
        notes.append("a single seed: no intervals")
    if ranking.blocks and len(ranking.standings) > 1 and not ranking.separable:
        notes.append(
            f"{ranking.blocks} pairs of task and seed cannot separate {len(ranking.standings)} methods by Wilcoxon's test with "
            f"Holm's adjustment, however much they differ: groups need more seeds or tasks"
        )
    return notes


__all__ = ["Ranking", "Standing", "cliques", "holm", "improvement", "interquartile_mean", "mean_ranks", "rank", "wilcoxon_holm"]
