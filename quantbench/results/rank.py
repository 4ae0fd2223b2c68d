"""Ranks methods over tasks and paired seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantbench.metrics import Metric
from quantbench.results.frame import POLICIES, WORST, Frame, Values
from quantbench.results.groups import groups
from quantbench.results.layout import RATE
from quantbench.results.statistics import (
    MOST_COUNTED,
    NOTHING,
    SIGNIFICANT,
    Estimate,
    blocks_needed,
    holm,
    interquartile_interval,
    interquartile_mean,
    leaning,
    mean_interval,
    mean_ranks,
    wilcoxon,
)

SEEDS, TASKS = "seeds", "tasks"
Over = Literal["seeds", "tasks"]

NUMBERS_AT_ONCE = 2_000_000
"""Differences that are ranked at a time."""
MOST_TESTED = 2_000
"""Methods of a list of which all pairs are tested: more take minutes, and gigabytes."""
MOST_UNMATCHED = 40


@dataclass(frozen=True)
class Standing:
    """One method.

    Attributes:
        rate: what it takes, nominal or the mean spent; NaN where that is not known, and where it stands at several.
        center: mean over tasks of the interquartile mean of each task's seeds (Agarwal et al. 2021); infinite where a quarter
            of the trials of a task failed.
        improves: probability that it is better than the next one in the table; NaN for the last.
        mean_rank: over tasks, 1 for the best of all; NaN where no task has every method.
        groups: numbers of the groups (see ``Ranking.groups``) that it belongs to.
    """

    method: str
    rate: float
    center: Estimate
    improves: float
    mean_rank: float
    groups: list[int]
    trials: int
    diverged: int
    failed: int
    tasks: int


@dataclass(frozen=True)
class Ranking:
    """Methods of one rate, or of the same rates, the best one first.

    Attributes:
        rate: the rate at which all of them stand, as text; None where they have the same rates, or none is known.
        over: what letters and intervals speak of: ``seeds``, other seeds of these tasks; ``tasks``, other tasks like these.
        groups: the largest sets of methods (by place in ``standings``) of which no two differ significantly.
        p_values: (methods, methods), of those that have a value, of Wilcoxon's signed-rank test over blocks, adjusted by Holm;
            1 where there are too few blocks.
        values: (methods, tasks, seeds) what is tested, or (methods, 1, tasks) where that is over tasks; less is better,
            infinite for a failure, NaN for what a method lacks.
        blocks: seeds or tasks that every method has, and ranks and tests are over.
        needed: blocks from which any difference could be significant.
    """

    metric: Metric
    rate: str | None
    over: Over
    failures: str
    standings: list[Standing]
    groups: list[list[int]]
    p_values: Values
    values: Values
    blocks: int
    needed: int
    tasks: list[str]
    notes: list[str]

    @property
    def separable(self) -> bool:
        """Whether pairs were tested: there are blocks enough for any difference to be significant."""
        return self.blocks >= self.needed and 1 < len(self.p_values) <= MOST_TESTED

    @property
    def units(self) -> str:
        """What blocks are, in words."""
        return self.over

    def significant(self, first: int, second: int) -> bool:
        """Whether two methods differ, by their places; one without a value is not known to differ from any."""
        return max(first, second) < len(self.p_values) and bool(self.p_values[first, second] < SIGNIFICANT)

    def leaning(self, first: Sequence[int], second: Sequence[int]) -> list[int]:
        """Which of two methods the test of each pair speaks for, by places: 1 for the first, -1 for the second, 0 for neither.

        Not always the one that stands before the other: places are by means, the test is of ranks.
        """
        differences, scale = _differences(self.values, np.array(first, int), np.array(second, int))
        return [-int(one) for one in leaning(differences, scale)]


def rank(found: Frame, over: Over = "seeds", failures: str = WORST) -> list[Ranking]:
    """Rank the methods of a frame by their interquartile mean, those alike by their mean rank.

    Means are over the tasks that every method has; where there is none, over those that each one has. Methods that do not have
    the same rates are ranked rate by rate, for a higher rate alone makes a better codec.

    Args:
        over: what intervals and tests generalise to: other seeds of these tasks, or other tasks.
        failures: one of ``POLICIES``.
    """
    cells, seeds = found.cells(failures), found.seeds()
    has = np.array([(~np.isnan(values)).any(axis=1) for values in cells]).T  # (methods, tasks)
    parts = _by_rate(found)
    return [_rank(found, cells, seeds, has, methods, tasks, rate, over, failures) for rate, methods, tasks in parts]


Part = tuple[str | None, list[int], list[int]]


def _by_rate(found: Frame) -> list[Part]:
    """Rate (None for all), methods and tasks of each list."""
    every = list(range(len(found.methods))), list(range(len(found.tasks)))
    if RATE not in found.parts.within:
        return [(None, *every)]
    tried = found.rows.drop_duplicates(["method", "task"])
    point = dict(zip(tried["task"], tried["point"], strict=True))
    points = [str(point[task]) for task in found.tasks]
    place = {name: number for number, name in enumerate(found.methods)}
    at: dict[str, set[int]] = {rate: set() for rate in points}
    for method, task in zip(tried["method"], tried["task"], strict=True):
        at[str(point[task])].add(place[method])
    if all(len(methods) == len(found.methods) for methods in at.values()):
        return [(None, *every)]
    return [(rate, sorted(at[rate]), [task for task, one in enumerate(points) if one == rate]) for rate in at]


def _rank(
    found: Frame,
    cells: Sequence[Values],
    seeds: Sequence[Values],
    has: NDArray[np.bool_],
    methods: list[int],
    tasks: list[int],
    rate: str | None,
    over: Over,
    failures: str,
) -> Ranking:
    listed, methods = methods, [method for method in methods if has[method, tasks].any()]
    names = [found.methods[method] for method in methods]
    common = [task for task in tasks if has[methods, task].all()]
    chosen = common or tasks
    notes = [*found.notes, *_unmatched(found, cells, methods, tasks)]
    if not common and len(tasks) > 1:
        notes.append("no task has a trial of every method: each mean is over other tasks, and there are no ranks")
    values = [cells[task][methods] for task in chosen]
    aligned = _aligned(values, [seeds[task] for task in chosen])
    centers = [_center(aligned[:, place], over) for place in range(len(methods))]
    blocks = _blocks(values if common else [], [seeds[task] for task in common], over, len(methods))
    ranks = (
        mean_ranks([task[:, ~np.isnan(task).any(axis=0)] for task in blocks.swapaxes(0, 1)])
        if common
        else np.full(len(methods), np.nan)
    )
    order = sorted(range(len(methods)), key=lambda place: (np.nan_to_num(centers[place].mean, nan=np.inf), ranks[place], place))
    tested = blocks[order]
    count = int((~np.isnan(tested)).any(axis=1).all(axis=0).sum())
    needed = blocks_needed(len(methods))
    separable = count >= needed and 1 < len(order) <= MOST_TESTED
    p_values = wilcoxon_holm(tested) if separable else np.broadcast_to(1.0, (len(order), len(order)))
    sets, complete = groups(p_values >= SIGNIFICANT) if separable else ([], True)
    if not complete:
        notes.append("groups are too many to name all: letters join neighbours in the list of whom no two differ")
    own = replace(found, rows=found.rows[found.rows["task"].isin([found.tasks[task] for task in tasks])])
    standings = _standings(own, names, order, centers, ranks, sets, values, has[methods][:, tasks])
    standings += [_without_value(own, found.methods[method]) for method in listed if method not in set(methods)]
    ranking = Ranking(
        found.metric,
        rate,
        over,
        failures,
        standings,
        sets,
        p_values,
        tested,
        count,
        needed,
        [found.tasks[task] for task in chosen],
        notes,
    )
    notes += _few(ranking, values)
    return ranking


def _without_value(found: Frame, method: str) -> Standing:
    """A method of which no trial counts, as where all of them failed and failures are left out: it is told, and stands last."""
    counts = found.counts()[method]
    return Standing(method, np.nan, NOTHING, np.nan, np.nan, [], counts.trials, counts.diverged, counts.failed, 0)


def _standings(
    found: Frame,
    names: list[str],
    order: list[int],
    centers: list[Estimate],
    ranks: Values,
    sets: list[list[int]],
    values: list[Values],
    has: NDArray[np.bool_],
) -> list[Standing]:
    """Standings in a list. ``found`` has the rows of its tasks alone, for a method may stand at other rates, too."""
    rates = found.rows.groupby("method")["rate"].mean().where(found.rows.groupby("method")["point"].nunique() == 1)
    counts = found.counts()
    member: dict[int, list[int]] = {}
    for number, group in enumerate(sets):
        for place in group:
            member.setdefault(place, []).append(number)
    standings = []
    for place, method in enumerate(order):
        name = names[method]
        better = improvement(values, method, order[place + 1]) if place + 1 < len(order) else np.nan
        standings.append(
            Standing(
                name,
                float(rates[name]),
                _signed(centers[method], found.sign),
                better,
                float(ranks[method]),
                member.get(place, []),
                counts[name].trials,
                counts[name].diverged,
                counts[name].failed,
                int(has[method].sum()),
            )
        )
    return standings


def improvement(values: Sequence[Values], better: int, worse: int) -> float:
    """Probability that one method is better than another in a task, over the tasks that both have (Agarwal et al. 2021, eq. 2).

    Each trial of one meets each of the other, of seeds that both have; ties count half. NaN where they share no task.
    """
    shares = []
    for cells in values:
        pair = cells[[better, worse]]
        a, b = pair[:, ~np.isnan(pair).any(axis=0)]
        if len(a):
            shares.append(float(((a[:, None] < b).mean() + (a[:, None] <= b).mean()) / 2))
    return float(np.mean(shares)) if shares else np.nan


def wilcoxon_holm(values: Values) -> Values:
    """P-values (methods, methods) of Wilcoxon's signed-rank tests over seeds, adjusted by Holm.

    Args:
        values: (methods, tasks, seeds), or (methods, seeds). Two failures are no difference; one is the largest that there is.
    """
    values = values[:, None] if values.ndim == 2 else values
    count = len(values)
    first, second = np.triu_indices(count, 1)
    p = np.ones(len(first))
    at_once = max(1, NUMBERS_AT_ONCE // max(1, values[0].size)) if count else 1
    for start in range(0, len(first), at_once):
        i, j = first[start : start + at_once], second[start : start + at_once]
        differences, scale = _differences(values, i, j)
        p[start : start + at_once] = wilcoxon(differences, scale, always_exact=len(first) <= MOST_COUNTED)
    found = np.ones((count, count))
    if len(first):
        found[first, second] = found[second, first] = holm(p)
    return found


def _differences(values: Values, i: NDArray[np.int64], j: NDArray[np.int64]) -> tuple[Values, Values]:
    """(pairs, tasks, seeds) of methods ``i`` less methods ``j``, and the size of what was subtracted."""
    sizes = np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=(1, 2), initial=0.0)
    a, b = values[i], values[j]
    with np.errstate(invalid="ignore"):
        differences = np.where(np.isinf(a) & (a == b), 0.0, a - b)
    return differences, np.maximum(sizes[i], sizes[j])


def _aligned(values: Sequence[Values], seeds: Sequence[Values]) -> Values:
    """(tasks, methods, seeds) of all seeds that any task has; NaN for a seed that a task lacks."""
    every = np.unique(np.concatenate([*seeds, np.empty(0)]))
    found = np.full((len(values), len(values[0]) if values else 0, len(every)), np.nan)
    for task, (cells, own) in enumerate(zip(values, seeds, strict=True)):
        found[task][:, np.searchsorted(every, own)] = cells
    return found


def _center(values: Values, over: Over) -> Estimate:
    """Of a method's values (tasks, seeds)."""
    if over == SEEDS:
        return interquartile_interval(values)
    means = interquartile_mean(values)
    return mean_interval(means[~np.isnan(means)])


def _blocks(cells: Sequence[Values], seeds: Sequence[Values], over: Over, methods: int) -> Values:
    """What is tested: (methods, tasks, seeds) of the seeds that every method has in a task, or (methods, 1, tasks)."""
    whole = [np.where(np.isnan(one).any(axis=0), np.nan, one) for one in cells]
    if over == SEEDS:
        return _aligned(whole, seeds).swapaxes(0, 1) if whole else np.empty((methods, 0, 0))
    means = [interquartile_mean(one) for one in whole]
    means = [one for one in means if not np.isnan(one).any()]
    return np.stack(means, axis=1)[:, None] if means else np.empty((methods, 1, 0))


def _signed(center: Estimate, sign: int) -> Estimate:
    return center if sign > 0 else Estimate(-center.mean, -center.high, -center.low)


def _unmatched(found: Frame, cells: Sequence[Values], methods: list[int], tasks: list[int]) -> list[str]:
    """What to say of tasks and seeds that some methods of a list lack."""
    missing = [np.isnan(cells[task][methods]) for task in tasks]
    absent = np.array([one.all(axis=1) for one in missing]).T
    gaps = np.array([(one & ~one.all(axis=0)).sum(axis=1) for one in missing]).T
    notes = []
    for place in np.flatnonzero(absent.any(axis=1) | gaps.any(axis=1))[:MOST_UNMATCHED]:
        name = found.methods[methods[place]]
        lacking = [found.tasks[tasks[task]] for task in np.flatnonzero(absent[place])]
        if lacking:
            shown = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "")
            notes.append(f"unmatched: {name} has no trial in {shown}")
        if count := int(gaps[place][~absent[place]].sum()):
            notes.append(f"unmatched: {name} lacks {count} seeds that others have in the same task")
    if (more := int((absent.any(axis=1) | gaps.any(axis=1)).sum()) - MOST_UNMATCHED) > 0:
        notes.append(f"unmatched: {more} more methods lack tasks or seeds")
    return notes


def _few(ranking: Ranking, values: Sequence[Values]) -> list[str]:
    """What to say where there is too little to be sure of anything."""
    notes = []
    most = max((int((~np.isnan(cells)).sum(axis=1).max(initial=0)) for cells in values), default=0)
    if not most:
        notes.append(f"no trial counts: {POLICIES[ranking.failures]}")
    elif most < 2:
        notes.append("a single seed: no intervals")
    count = len(ranking.p_values)
    blocks = f"{ranking.blocks} {ranking.units if ranking.blocks != 1 else ranking.units.removesuffix('s')}"
    if count > MOST_TESTED and ranking.blocks >= ranking.needed:
        notes.append(f"of more than {MOST_TESTED:,} methods no pairs are tested, and there are no groups")
    elif count > 1 and ranking.blocks and not ranking.separable:
        notes.append(
            f"{blocks} cannot separate {count} methods by Wilcoxon's test with Holm's adjustment, "
            f"however much they differ: groups need at least {ranking.needed}"
        )
    return notes
