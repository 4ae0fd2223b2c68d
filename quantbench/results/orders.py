"""Whether two searches order their methods alike: on other tasks, with other rounding, on another machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from quantbench.errors import ConfigError
from quantbench.results.frame import WORST, Values, frame
from quantbench.results.kendall import TAU_INTERVAL, kendall, signs, spearman, tau_interval
from quantbench.results.load import Results
from quantbench.results.rank import Over, Ranking, rank
from quantbench.results.render import Cell, Rounded, render, wrapped
from quantbench.results.statistics import NOTHING, Estimate
from quantbench.results.tracks import of_track
from quantbench.results.transfer import FEWEST_ITEMS

FEWEST_BLOCKS = 3
"""Below it tau's interval was not calibrated (docs/statistics.md)."""


@dataclass(frozen=True)
class Orders:
    """Two orders of the same methods.

    Attributes:
        ranks: mean ranks (methods,) in both: over tasks, and where blocks are seeds over these, too; 1 for the best of all.
        tau, rho: rank correlations of the mean ranks; tau with an interval over blocks.
        same, opposite: pairs that both tell apart, by Wilcoxon's test with Holm's adjustment: the same way, the opposite way.
        alone: pairs that the first alone tells apart, and that the second alone does.
        blocks: tasks or seeds in both.
        left_out: methods that only one of them has.
    """

    names: list[str]
    metric: str
    over: Over
    ranks: tuple[Values, Values]
    tau: Estimate
    rho: float
    same: int
    opposite: int
    alone: tuple[int, int]
    blocks: tuple[int, int]
    left_out: list[str]
    notes: list[str]


def compare_orders(
    first: Results, second: Results, track: str | None = None, over: Over = "tasks", metric: str | None = None
) -> Orders:
    """Compare the orders of the methods that two searches have in common.

    A block is a task (its values are interquartile means over seeds) or a seed. In each block and task methods have ranks, and
    the order is that of their means: a source on which one method gains a hundred decibels decides no more than any other, and
    a failure is the last of its task. tau's interval is that of ``tau_interval`` with ranks as values.

    Raises:
        ConfigError: no such track or metric, methods of different rates, or too few methods in both.
    """
    found = [of_track(one, track) for one in (first, second)]
    sides = [_ranking(one, over, metric) for one in found]
    places = [{one.method: place for place, one in enumerate(side.standings[: len(side.p_values)])} for side in sides]
    names = [name for name in places[0] if name in places[1]]
    left_out = [name for own in places for name in own if name not in names]
    if len(names) < FEWEST_ITEMS:
        raise ConfigError(f"{len(names)} methods are in both, at least {FEWEST_ITEMS} are needed")
    each = [[own[name] for name in names] for own in places]
    ranks = [ranks_in_blocks(side.values[own]) for side, own in zip(sides, each, strict=True)]
    means = [one.mean(axis=1) for one in ranks]
    a, b = (signs(one) for one in means)
    blocks = [one.shape[1] for one in ranks]
    said = [[*one.notes, *side.notes] for one, side in zip(found, sides, strict=True)]
    notes = [f"{label}: {note}" for label, own in zip(("first", "second"), said, strict=True) for note in own]
    low, high = tau_interval(*ranks) if min(blocks) > 1 else NOTHING[1:]
    if min(blocks) < 2:
        notes.append(f"no interval of tau: one of the two has a single {over.removesuffix('s')}")
    elif min(blocks) < FEWEST_BLOCKS:
        notes.append(f"{min(blocks)} {over} are few: tau's interval may be too narrow")
    same, opposite, alone = _told_apart(sides, each)
    tau = Estimate(float(kendall(a, b)), low, high)
    return Orders(
        names,
        sides[0].metric.titled,
        over,
        (means[0], means[1]),
        tau,
        float(spearman(a, b)),
        same,
        opposite,
        alone,
        (blocks[0], blocks[1]),
        left_out,
        notes,
    )


def ranks_in_blocks(values: Values) -> Values:
    """Ranks (methods, blocks) of values (methods, tasks, blocks): 1 for the least, the middle of ties, means over tasks."""
    values = values[:, :, ~np.isnan(values).all(axis=(0, 1))]
    differences = np.sign(
        np.nan_to_num(values[:, None], posinf=np.finfo(float).max) - np.nan_to_num(values, posinf=np.finfo(float).max)
    )
    ranks = (differences.sum(axis=1) + len(values) + 1) / 2
    return np.asarray(np.nanmean(np.where(np.isnan(values), np.nan, ranks), axis=1))


def _ranking(found: Results, over: Over, metric: str | None) -> Ranking:
    rankings = rank(frame(found, metric, goal=True), over, WORST)
    if len(rankings) > 1:
        raise ConfigError("methods stand at different rates, and have no one order; rank them rate by rate")
    return rankings[0]


def _told_apart(sides: Sequence[Ranking], places: Sequence[Sequence[int]]) -> tuple[int, int, tuple[int, int]]:
    """How many pairs both rankings tell apart, the same way and the opposite way, and how many each does alone."""
    pairs = list(combinations(range(len(places[0])), 2))
    ways = []
    for side, own in zip(sides, places, strict=True):
        leaning = side.leaning([own[i] for i, _ in pairs], [own[j] for _, j in pairs]) if side.separable else [0] * len(pairs)
        apart = [side.significant(own[i], own[j]) for i, j in pairs]
        ways.append(np.where(apart, leaning, 0))
    one, other = ways
    both = (one != 0) & (other != 0)
    alone = int(((one != 0) & ~both).sum()), int(((other != 0) & ~both).sum())
    return int((both & (one == other)).sum()), int((both & (one != other)).sum()), alone


def render_orders(found: Orders, form: str = "table") -> str:
    """Mean ranks of the methods, measures, what is told apart, and notes; as CSV and JSON the measures alone."""
    rows: list[list[Cell]] = [
        ["Kendall's tau-b", found.tau],
        ["Spearman's rho", Rounded(found.rho)],
        ["pairs that both tell apart, the same way", found.same],
        ["pairs that both tell apart, the opposite way", found.opposite],
        ["pairs that the first alone tells apart", found.alone[0]],
        ["pairs that the second alone tells apart", found.alone[1]],
    ]
    measures = render(["measure", f"value {TAU_INTERVAL}"], rows, form)
    if form in ("csv", "json"):
        return measures
    order = np.argsort(found.ranks[0], kind="stable")
    table: list[list[Cell]] = [[found.names[i], *(Rounded(float(one[i])) for one in found.ranks)] for i in order]
    counts = " and ".join(map(str, found.blocks))
    words = f"{found.metric}: mean ranks, 1 for the best, over {counts} {found.over}; a failure is the last of its task."
    parts = [wrapped(words), render(["method", "first", "second"], table, form), measures]
    listed = [f"left out: {name} is in one of the two alone" for name in found.left_out]
    listed += [f"note: {note}" for note in found.notes]
    if listed:
        parts.append("\n".join(f"- {line}" if form == "markdown" else wrapped(line) for line in listed))
    return "\n\n".join(parts)
