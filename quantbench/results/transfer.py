"""Whether the ranking that a toy codec finds carries over to a real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.frame import DROP, Counts, Frame, find_metric, frame
from quantbench.results.kendall import agreement, kendall, signs, spearman, tau_interval
from quantbench.results.layout import Layout, layout, rate_settings, settings_of
from quantbench.results.load import Results
from quantbench.results.schema import Status
from quantbench.results.statistics import (
    NOTHING,
    SIGNIFICANT,
    Difference,
    Estimate,
    holm,
    mean_interval,
    paired_difference,
    size_of,
)
from quantbench.suggest import did_you_mean, like_setting

FEWEST_ITEMS = 3
"""Two items have one pair: no ranking to speak of."""

FITS = 200
"""Rounds of the fit, which converges as a geometric series does."""


@dataclass(frozen=True)
class Side:
    """One codec: its metric, and per method the values of its seeds, their mean, and its trials.

    Attributes:
        values: (methods, seeds), NaN for none.
        whole: the same with gaps filled, from which means are.
    """

    metric: Metric
    values: NDArray[np.float64]
    whole: NDArray[np.float64]
    means: list[Estimate]
    counts: list[Counts]

    @property
    def sign(self) -> int:
        """What makes a smaller value the better one."""
        return self.metric.sign

    def order(self) -> NDArray[np.float64]:
        """Means with the better one smaller."""
        return np.array([self.sign * one.mean for one in self.means])


@dataclass(frozen=True)
class Pair:
    """Two methods, the real codec's better one first.

    Attributes:
        first, second: their places among the methods.
        toy, real: the first's metric less the second's, over the seeds that both have, each with the p-value of its test.
        separated: whether the real codec separates them, all pairs considered.
        separated_by_toy: whether the toy does.
        same_order: whether the toy finds the first better, too.
    """

    first: int
    second: int
    toy: Difference
    real: Difference
    separated: bool
    separated_by_toy: bool
    same_order: bool


@dataclass(frozen=True)
class Transfer:
    """What a toy says of a real codec.

    Attributes:
        tau, rho: rank correlations of the methods' means, 1 for the same order; tau with an interval over seeds.
        agreement: of the pairs that the real codec separates, the share that the toy orders the same way.
        pairs: all pairs of methods.
        left_out: methods that are not compared, and why.
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
        disagreeing = (pair for pair in self.separated if not pair.same_order)
        return sorted(disagreeing, key=lambda pair: -abs(pair.real.estimate.mean))


def transfer(
    toy: Results,
    real: Results,
    metrics: tuple[str | None, str | None] = (None, None),
    by: Sequence[str] | None = None,
    failures: str = DROP,
) -> Transfer:
    """Compare the order of the methods of two results.

    A codec separates a pair where Student's test of the paired differences over seeds says so, with Holm's adjustment over all
    pairs. Which pairs are separated is of these seeds; tau's interval is of these methods, over other seeds.

    Args:
        metrics: of the toy and of the real codec; by default what each was trained for.
        by: settings that make a method, as everywhere; where methods were tried at several rates, each rate is one of its own.
        failures: ``drop`` or ``whole-seed``, see ``frame``.

    Raises:
        ConfigError: columns that are missing or empty, a metric of no known direction, too few methods in both.
    """
    found = [_side_frame(one, label, name) for one, label, name in zip((toy, real), ("toy", "real"), metrics, strict=True)]
    parts = _layouts(toy, real, by)
    frames = [frame(one, metric.name, parts=own) for one, metric, own in zip((toy, real), found, parts, strict=True)]
    cells = [one.cells(failures)[0] * one.sign for one in frames]
    names, left_out = _common(toy, real, parts, frames, cells)
    if len(names) < FEWEST_ITEMS:
        why = "".join(f"\n  {name}: {reason}" for name, reason in left_out.items())
        chosen = ",".join(parts[0].by)
        raise ConfigError(f"--by {chosen}: {len(names)} methods can be compared, at least {FEWEST_ITEMS} are needed{why}")
    sides: list[Side] = []
    notes = [f"{label}: {note}" for label, one in (("toy", toy), ("real", real)) for note in one.notes]
    for label, one, values in zip(("toy", "real"), frames, cells, strict=True):
        side, said = _side(label, one, values, names)
        sides.append(side)
        notes += [f"{label}: {note}" for note in one.notes] + said
    toy_side, real_side = sides
    pairs = _pairs(toy_side, real_side)
    tau, rho, share = _agreements(toy_side, real_side, pairs)
    notes += _few(toy_side, real_side, pairs)
    return Transfer(names, toy_side, real_side, tau, rho, share, pairs, left_out, notes)


def separates(difference: Estimate) -> bool:
    """Whether an interval excludes zero; one that there is none of does not."""
    return difference.low > 0 or difference.high < 0


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (methods, seeds) with gaps (NaN) filled by an effect of the method plus one of the seed, fitted by least squares.

    A mean over the seeds that a method happens to have would count a hard seed against the others only. Where every value is
    there nothing changes.
    """
    missing = np.isnan(values)
    if not missing.any():
        return values
    found = np.where(missing, np.nanmean(values, axis=1, keepdims=True), values)
    for _ in range(FITS):
        rows = found.mean(axis=1, keepdims=True)
        found = np.where(missing, rows + (found - rows).mean(axis=0, keepdims=True), values)
    return found


def _side_frame(runs: Results, label: str, name: str | None) -> Metric:
    """The metric of a side. Raises ConfigError where it cannot order methods."""
    table = runs.results
    if not (table["status"] == Status.COMPLETED).any():
        ended = ", ".join(f"{count} {status}" for status, count in sorted(Counter(map(str, table["status"])).items()))
        raise ConfigError(f"{label}: no trial completed ({ended or 'the table is empty'})")
    if table["seed"].isna().any():
        raise ConfigError(f"{label}: {int(table['seed'].isna().sum())} trials have no seed")
    try:
        return find_metric(runs, name, goal=True)
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from error


def _layouts(toy: Results, real: Results, by: Sequence[str] | None) -> list[Layout]:
    """The methods of both tables, by the same settings and names; all of one method is averaged over."""
    tables = [one.results.reset_index(drop=True) for one in (toy, real)]
    common = [name for name in settings_of(tables[0]) if name in settings_of(tables[1])]
    for label, table in zip(("toy", "real"), tables, strict=True):
        for name in by or []:
            if name not in (known := settings_of(table)):
                meant = did_you_mean(like_setting(name, known))
                raise ConfigError(f"--by {name}: no such setting in {label}; there are {', '.join(known)}{meant}")
    columns = [*common, *(name for name in ("rate_bits",) if all(name in table for table in tables))]
    both = pd.concat([table[columns].astype(object) for table in tables], ignore_index=True)
    known_sizes = None if toy.sizes is None or real.sizes is None else [*toy.sizes, *real.sizes]
    sizes = rate_settings(both, known_sizes)
    usual = list(by) if by is not None else [*layout(both, known_sizes, apart=[*toy.apart, *real.apart]).by, *sizes]
    whole = layout(both, known_sizes, usual, [])
    edge = len(tables[0])
    return [whole.of(pd.RangeIndex(0, edge)), whole.of(pd.RangeIndex(edge, len(both)))]


def _common(
    toy: Results, real: Results, parts: Sequence[Layout], frames: Sequence[Frame], cells: Sequence[NDArray[np.float64]]
) -> tuple[list[str], dict[str, str]]:
    """Methods to compare, in the order of the toy's table; the others with the reason."""
    having = [
        {name for name, row in zip(one.methods, values, strict=True) if not np.isnan(row).all()}
        for one, values in zip(frames, cells, strict=True)
    ]
    names, left_out = [], {}
    for name in dict.fromkeys([*parts[0].names, *parts[1].names]):
        reasons = []
        for label, runs, own, has, one in zip(("toy", "real"), (toy, real), parts, having, frames, strict=True):
            if name not in own.names:
                reasons.append(f"not in {label}")
            elif name not in has:
                statuses = runs.results["status"].reset_index(drop=True)[own.methods == name]
                reasons.append(_why_empty(label, one.metric, Counter(map(str, statuses))))
        if reasons:
            left_out[name] = "; ".join(reasons)
        else:
            names.append(name)
    return names, left_out


def _why_empty(label: str, metric: Metric, counts: Counter[str]) -> str:
    if set(counts) == {Status.SKIPPED}:
        return f"skipped in {label}"
    ended = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"no seed in {label} has {metric.name} of all its trials ({ended})"


def _side(label: str, one: Frame, cells: NDArray[np.float64], names: Sequence[str]) -> tuple[Side, list[str]]:
    values = cells[[one.methods.index(name) for name in names]]
    values = values[:, ~np.isnan(values).all(axis=0)]
    whole = filled(values)
    means = [_moved(mean_interval(row[~np.isnan(row)]), mean) for row, mean in zip(values, whole.mean(axis=1), strict=True)]
    counts = one.counts()
    notes = []
    if gaps := int(np.isnan(values).sum()):
        notes.append(
            f"{label}: {gaps} of {values.size} values are missing; means are adjusted for the seeds that a method lacks"
        )
    return Side(one.metric, values, whole, means, [counts[name] for name in names]), notes


def _moved(estimate: Estimate, mean: float) -> Estimate:
    """The same interval about another mean."""
    return Estimate(float(mean), *(float(end + mean - estimate.mean) for end in (estimate.low, estimate.high)))


def _pairs(toy: Side, real: Side) -> list[Pair]:
    of_toy, of_real = signs(toy.order()), signs(real.order())
    places = [(i, j) if of_real[i, j] <= 0 else (j, i) for i in range(len(of_real)) for j in range(i + 1, len(of_real))]
    differences = [[_paired(side.values, *place) for place in places] for side in (toy, real)]
    adjusted = [holm([one.p for one in own]) for own in differences]
    pairs = []
    for (first, second), by_toy, by_real, p_toy, p_real in zip(places, *differences, *adjusted, strict=True):
        # Where methods share too few seeds to be paired, means over their own may contradict the paired difference.
        separated = p_real < SIGNIFICANT and real.sign * by_real.estimate.mean < 0
        same = bool(of_toy[first, second] * of_real[first, second] > 0)
        pairs.append(Pair(first, second, by_toy, by_real, bool(separated), bool(p_toy < SIGNIFICANT), same))
    return pairs


def _paired(values: NDArray[np.float64], first: int, second: int) -> Difference:
    differences = values[first] - values[second]
    return paired_difference(differences[~np.isnan(differences)], size_of(values[first], values[second]))


def _agreements(toy: Side, real: Side, pairs: Sequence[Pair]) -> tuple[Estimate, Estimate, Estimate]:
    """Tau, rho and the agreement over separated pairs; tau with an interval where every method has two seeds in both."""
    mask = np.zeros((len(toy.means), len(toy.means)), bool)
    for pair in pairs:
        mask[pair.first, pair.second] = pair.separated
    a, b = (signs(side.order()) for side in (toy, real))
    tau, rho, share = (float(value) for value in (kendall(a, b), spearman(a, b), agreement(a, b, mask)))
    enough = min(_seeds(toy), _seeds(real)) >= 2 and not np.isnan(tau)
    low, high = tau_interval(toy.sign * toy.whole, real.sign * real.whole) if enough else NOTHING[1:]
    return Estimate(tau, low, high), Estimate(rho, np.nan, np.nan), Estimate(share, np.nan, np.nan)


def _seeds(side: Side) -> int:
    """Seeds of the method that has the fewest."""
    return int((~np.isnan(side.values)).sum(axis=1).min())


def _few(toy: Side, real: Side, pairs: Sequence[Pair]) -> list[str]:
    notes = []
    counts = {"toy": _seeds(toy), "real": _seeds(real)}
    if alone := [name for name, count in counts.items() if count < 2]:
        notes.append(f"no interval of tau: methods with a single seed in {' and '.join(alone)}")
        if counts["real"] < 2:
            notes.append("a pair is separated only where both of its methods have at least two seeds in real")
    alone_separated = sum(separates(pair.real.estimate) for pair in pairs)
    if alone_separated > (after := sum(pair.separated for pair in pairs)):
        notes.append(
            f"each by itself, {alone_separated} of {len(pairs)} pairs would be separated, of which one in twenty without a "
            f"difference: more seeds would tell these {alone_separated - after} more"
        )
    return notes
