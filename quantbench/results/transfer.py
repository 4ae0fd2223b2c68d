"""Whether the ranking that a toy codec finds carries over to a real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.results.items import Item, Measured, aligned, filled, item_names, measure, told_apart
from quantbench.results.ranks import agreement, interval, kendall, resampled_means, signs, spearman
from quantbench.results.schema import HIGHER_IS_BETTER, LOWER_IS_BETTER
from quantbench.results.statistics import Estimate, student_mean

FEWEST_ITEMS = 3
"""Two items have one pair: no ranking to speak of."""

FEW_SEEDS = 5
"""With fewer, resampling seeds gives intervals that are too narrow (see ``student_mean``)."""


@dataclass(frozen=True)
class Side:
    """One codec: its metric, and per item the values of its seeds, their mean, and its trials.

    Attributes:
        values: (items, seeds), NaN for none.
        whole: the same with gaps filled, from which means are.
    """

    metric: str
    values: NDArray[np.float64]
    whole: NDArray[np.float64]
    means: list[Estimate]
    trials: list[int]
    unfinished: list[int]

    @property
    def sign(self) -> int:
        """What makes a smaller value the better one."""
        return sign_of(self.metric)


@dataclass(frozen=True)
class Pair:
    """Two items, the real codec's better one first.

    Attributes:
        first, second: their places among the items.
        toy, real: the first's metric less the second's, over the seeds that both have.
        separated: whether the real codec separates them.
        same_order: whether the toy finds the first better, too.
    """

    first: int
    second: int
    toy: Estimate
    real: Estimate
    separated: bool
    same_order: bool


@dataclass(frozen=True)
class Transfer:
    """What a toy says of a real codec.

    Attributes:
        tau, rho: rank correlations of the items' means, 1 for the same order.
        agreement: of the pairs that the real codec separates, the share that the toy orders the same way.
        pairs: all pairs of items.
        left_out: items that are not compared, and why.
    """

    names: list[str]
    toy: Side
    real: Side
    tau: Estimate
    rho: Estimate
    agreement: Estimate
    pairs: list[Pair]
    left_out: dict[str, str]
    notes: list[str]

    @property
    def separated(self) -> list[Pair]:
        """Pairs that the real codec separates."""
        return [pair for pair in self.pairs if pair.separated]

    @property
    def disagreements(self) -> list[Pair]:
        """Separated pairs that the toy does not order the same way, the largest difference first."""
        return sorted((pair for pair in self.separated if not pair.same_order), key=lambda pair: -abs(pair.real.mean))


def transfer(toy: pd.DataFrame, real: pd.DataFrame, metrics: tuple[str, str], by: Sequence[str]) -> Transfer:
    """Compare the order of the items, which the columns ``by`` name, in two results tables.

    The real codec separates a pair where the Student-t interval (95 %) of the paired differences over seeds excludes zero.
    It is no bootstrap interval, for a real codec has few seeds and a bootstrap of three values is a third as wide as it
    should be (``student_mean``). Each pair is judged by itself: of many pairs without a difference one in twenty is separated.

    Settings that both tables have and that vary among an item's trials of one seed are added to ``by``.

    Intervals of tau, rho and the agreement come from resampling the seeds of the toy and of the real codec, each by itself.
    Which pairs are separated is found once, not in each resample.

    Raises:
        ConfigError: columns that are missing or empty, a metric of no known direction, too few items in both.
    """
    added = told_apart(toy, real, by)
    by = [*by, *added]
    sides = (measure(toy, "toy", metrics[0], by), measure(real, "real", metrics[1], by))
    for metric in metrics:
        sign_of(metric)
    items, left_out = _common(*sides)
    names = item_names([*items, *left_out], by, len(by) - len(added))
    reasons = dict(zip(names[len(items) :], left_out.values(), strict=True))
    if len(items) < FEWEST_ITEMS:
        why = "".join(f"\n  {name}: {reason}" for name, reason in reasons.items())
        raise ConfigError(f"--by {','.join(by)}: {len(items)} items can be compared, at least {FEWEST_ITEMS} are needed{why}")
    (toy_side, toy_notes), (real_side, real_notes) = (_side(one, items) for one in sides)
    pairs = _pairs(toy_side, real_side)
    tau, rho, share = _agreements(toy_side, real_side, pairs)
    notes = [
        *(f"items are told apart by {name}, too" for name in added),
        *_averaging(*sides),
        *toy_notes,
        *real_notes,
        *_few(toy_side, real_side),
    ]
    return Transfer(names[: len(items)], toy_side, real_side, tau, rho, share, pairs, reasons, notes)


def sign_of(metric: str) -> int:
    """1 where a lower value is better, -1 where a higher one is. Raises ConfigError where that is not known."""
    if metric in LOWER_IS_BETTER:
        return 1
    if metric in HIGHER_IS_BETTER:
        return -1
    known = ", ".join(sorted(LOWER_IS_BETTER | HIGHER_IS_BETTER))
    raise ConfigError(f"--metric {metric}: whether more of it is better is not known; it is for {known}")


def separates(difference: Estimate) -> bool:
    """Whether an interval excludes zero; one that there is none of does not."""
    return difference.low > 0 or difference.high < 0


def _common(toy: Measured, real: Measured) -> tuple[list[Item], dict[Item, str]]:
    """Items to compare, in the order of the toy's table; the others with the reason."""
    items, left_out = [], {}
    for item in dict.fromkeys([*toy.values, *real.values]):
        absent = [one.side for one in (toy, real) if item not in one.values]
        empty = [one.why_empty(item) for one in (toy, real) if item in one.values and not one.values[item]]
        if absent:
            left_out[item] = "; ".join([f"not in {absent[0]}", *empty])
        elif empty:
            left_out[item] = "; ".join(empty)
        else:
            items.append(item)
    return items, left_out


def _side(measured: Measured, items: Sequence[Item]) -> tuple[Side, list[str]]:
    values, notes = aligned(measured, items)
    whole = filled(values)
    means = [_moved(student_mean(row[~np.isnan(row)]), mean) for row, mean in zip(values, whole.mean(axis=1), strict=True)]
    trials = [measured.statuses[item].total() - measured.statuses[item]["skipped"] for item in items]
    side = Side(measured.metric, values, whole, means, trials, [measured.unfinished(item) for item in items])
    return side, [*measured.notes, *notes]


def _moved(estimate: Estimate, mean: float) -> Estimate:
    """The same interval about another mean."""
    return Estimate(float(mean), *(float(end + mean - estimate.mean) for end in (estimate.low, estimate.high)))


def _order(side: Side) -> NDArray[np.float64]:
    return np.array([side.sign * one.mean for one in side.means])


def _pairs(toy: Side, real: Side) -> list[Pair]:
    of_toy, of_real = signs(_order(toy)), signs(_order(real))
    pairs = []
    for i in range(len(of_real)):
        for j in range(i + 1, len(of_real)):
            first, second = (i, j) if of_real[i, j] <= 0 else (j, i)
            by_toy, by_real = (student_mean(_paired(side.values, first, second)) for side in (toy, real))
            # Where items share too few seeds to be paired, means over their own may contradict the paired difference.
            separated = separates(by_real) and real.sign * by_real.mean < 0
            pairs.append(
                Pair(first, second, by_toy, by_real, separated, bool(of_toy[first, second] * of_real[first, second] > 0))
            )
    return pairs


def _paired(values: NDArray[np.float64], first: int, second: int) -> NDArray[np.float64]:
    differences = values[first] - values[second]
    return np.asarray(differences[~np.isnan(differences)])


def _agreements(toy: Side, real: Side, pairs: Sequence[Pair]) -> list[Estimate]:
    """Tau, rho and the agreement over separated pairs, with intervals where every item has two seeds in both."""
    mask = np.zeros((len(toy.means), len(toy.means)), bool)
    for pair in pairs:
        mask[pair.first, pair.second] = pair.separated
    a, b = (signs(_order(side)) for side in (toy, real))
    found = [kendall(a, b), spearman(a, b), agreement(a, b, mask)]
    if min(_seeds(toy), _seeds(real)) < 2:
        return [interval(value, None) for value in found]
    generator = np.random.default_rng(0)  # a fixed one, so that the output does not change from run to run
    a, b = (signs(side.sign * resampled_means(side.whole, generator)) for side in (toy, real))
    resampled = [kendall(a, b), spearman(a, b), agreement(a, b, mask)]
    return [interval(value, spread) for value, spread in zip(found, resampled, strict=True)]


def _seeds(side: Side) -> int:
    """Seeds of the item that has the fewest."""
    return int((~np.isnan(side.values)).sum(axis=1).min())


def _averaging(*sides: Measured) -> list[str]:
    return [
        f"{one.side}: items are means over {', '.join(one.averaged)}, which --by does not name" for one in sides if one.averaged
    ]


def _few(toy: Side, real: Side) -> list[str]:
    notes = []
    counts = {"toy": _seeds(toy), "real": _seeds(real)}
    if alone := [name for name, count in counts.items() if count < 2]:
        notes.append(f"no intervals of tau, rho and agreement: items with a single seed in {' and '.join(alone)}")
        if counts["real"] < 2:
            notes.append("a pair is separated only where both of its items have at least two seeds in real")
    elif few := [f"{count} in {name}" for name, count in counts.items() if count < FEW_SEEDS]:
        notes.append(f"intervals of tau, rho and agreement are too narrow, for there are few seeds: {', '.join(few)}")
    return notes
