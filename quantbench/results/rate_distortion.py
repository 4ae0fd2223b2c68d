"""Methods over rates: the Pareto set, and Bjøntegaard's mean differences between rate-distortion curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from quantbench.errors import ConfigError
from quantbench.results.frame import DROP, WHOLE_SEED, WORST, Counts, Frame
from quantbench.results.schema import Status
from quantbench.results.statistics import Estimate, interquartile_mean, mean_interval
from quantbench.suggest import did_you_mean, like

FEWEST_RATES = 4
"""Bjøntegaard's differences need four points a curve."""
LEAST_SHARE = 0.25
"""Curves that have less of their range in common than this are compared on a corner of it."""


@dataclass(frozen=True)
class Point:
    """A method at one rate in one task (source, codec).

    Attributes:
        rate: mean over seeds; infinite for a method that has none, for nothing is quantized.
        value: interquartile mean over seeds; infinite where a quarter of them failed.
        best: whether nothing else in the task has a better value at the same rate or less.
    """

    task: str
    method: str
    rate: float
    value: float
    trials: int
    diverged: int
    failed: int
    best: bool


@dataclass(frozen=True)
class Bjontegaard:
    """A method's rate-distortion curve against another's in one task (Bjøntegaard 2001, VCEG-M33), mean over seeds.

    Attributes:
        rate: how much more rate it takes for the same distortion, in percent.
        distortion: how much its metric is higher at the same rate, in the metric's unit.
        seeds: how many seeds allow a comparison: the rate's, the distortion's, all.
        share: of the range of both curves, how much they have in common: in distortion, in the rate's logarithm.
        why: of the seeds that do not, the reasons with their number.
    """

    task: str
    method: str
    rate: Estimate
    distortion: Estimate
    seeds: tuple[int, int, int]
    share: tuple[float, float]
    why: str


def pareto(found: Frame, failures: str = WORST) -> list[Point]:
    """All points by task and rate of a frame over rates, those of the Pareto set marked.

    Args:
        failures: what a trial that failed does to a point, one of ``POLICIES``; points that have no value then are left out.
    """
    rows = _rows(found)
    rows["rate"] = rows["rate"].fillna(np.inf)
    counts = {key: Counts.of(part) for key, part in rows.groupby(["task", "method", "point"], sort=False)["status"]}
    rows = _by_seed(rows, failures)
    # Groups as slices: tens of thousands of tasks are quicker in numpy than in pandas.
    keys = rows[["task", "method", "point"]]
    numbers = keys.groupby(["task", "method", "point"], sort=False).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    edges = np.searchsorted(numbers[order], np.arange(numbers.max(initial=-1) + 2))
    rate, value = (rows[name].to_numpy(float)[order] for name in ("rate", "value"))
    names = keys.iloc[order[edges[:-1]]]
    of_task: dict[str, list[Point]] = {}
    for (start, end), key in zip(pairwise(edges), names.itertuples(index=False, name=None), strict=True):
        middle, ended = found.sign * float(interquartile_mean(value[start:end])), counts[key]
        task, method, _ = key
        point = Point(task, method, float(rate[start:end].mean()), middle, ended.trials, ended.diverged, ended.failed, False)
        of_task.setdefault(task, []).append(point)
    marked = []
    for points in of_task.values():
        best = _undominated(np.array([[point.rate, found.sign * point.value] for point in points]))
        marked += [replace(point, best=bool(is_best)) for point, is_best in zip(points, best, strict=True)]
    return sorted(marked, key=lambda point: (point.task, point.rate))


def _by_seed(rows: pd.DataFrame, failures: str) -> pd.DataFrame:
    """One row a task, method, point and seed; a seed of which one trial failed has failed."""
    keys = ["task", "method", "point", "seed"]
    seeds = rows.groupby(keys, sort=False)[["rate", "value"]].mean().reset_index()
    bad = seeds["value"] == np.inf
    if failures == DROP:
        return seeds[~bad]
    if failures == WHOLE_SEED:
        return seeds[~bad.groupby([seeds["task"], seeds["point"], seeds["seed"]]).transform("any")]
    return seeds


def bjontegaard(found: Frame, against: str) -> list[Bjontegaard]:
    """Compare every method of a frame over rates with the method ``against``, curve by curve over paired seeds.

    Each seed's curves are interpolated by monotone cubics (pchip) of the rate's logarithm. A seed allows no comparison where a
    rate of one of its curves failed or is 0, where there are fewer than four, where the curves do not overlap, or, for the
    rate's difference, where more rate brings no less distortion.

    Raises:
        ConfigError: ``against`` is no method; it has fewer than four rates.
    """
    if against not in found.methods:
        meant = did_you_mean(like(against, found.methods))
        raise ConfigError(f"--against {against}: no such method; there are {', '.join(found.methods)}{meant}")
    rows = _rows(found)  # of a seed that failed somewhere, a trial without a rate says so
    if rows[rows["method"] == against].groupby("task")["point"].nunique().max() < FEWEST_RATES:
        raise ConfigError(f"--against {against}: has fewer than {FEWEST_RATES} rates in every task; BD needs at least so many")
    compared = []
    for task, group in rows.groupby("task", sort=False):
        anchor = dict(_curves(group[group["method"] == against]))
        for method in dict.fromkeys(group["method"]):
            if method != against and anchor:
                curves = dict(_curves(group[group["method"] == method]))
                compared.append(_compare(str(task), str(method), anchor, curves, found.sign))
    return compared


def bd_rate(anchor: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Mean difference of the logarithm (base 10) of the rate at equal quality; curves are (rates, [rate, quality]).

    NaN where they do not overlap, or where quality does not grow with rate.
    """
    return _mean_difference(*(np.stack([one[:, 1], np.log10(one[:, 0])]) for one in (anchor, curve)))


def bd_quality(anchor: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Mean difference of quality at equal rate, over the logarithm of the rate; NaN where the curves do not overlap."""
    return _mean_difference(*(np.stack([np.log10(one[:, 0]), one[:, 1]]) for one in (anchor, curve)))


def _mean_difference(anchor: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Of y over x, between curves (2, points), over the range of x that both have."""
    if any((np.diff(x) <= 0).any() for x, _ in (anchor, curve)):
        return np.nan
    low, high = max(anchor[0, 0], curve[0, 0]), min(anchor[0, -1], curve[0, -1])
    if low >= high:
        return np.nan
    areas = [PchipInterpolator(x, y).integrate(low, high) for x, y in (anchor, curve)]
    return float((areas[1] - areas[0]) / (high - low))


def share(anchor: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Of the range of both curves together, the share that they have in common; values along it, in any order."""
    low, high = max(anchor.min(), curve.min()), min(anchor.max(), curve.max())
    whole = max(anchor.max(), curve.max()) - min(anchor.min(), curve.min())
    return float(max(high - low, 0) / whole) if whole > 0 else 0.0


def _rows(found: Frame) -> pd.DataFrame:
    """Trials that ran, with their rate and value (less is better, infinite for a failure)."""
    good = found.rows["status"] == Status.COMPLETED
    rows = found.rows.assign(value=np.where(good, found.sign * found.rows["value"], np.inf))
    # A trial that failed before it was measured has the rate of others with its settings.
    rows["rate"] = rows["rate"].fillna(rows.groupby(["method", "task", "point"])["rate"].transform("mean"))
    return rows


def _undominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (rate, value) no other one is as good as in both and better than in one."""
    a, b = points[:, None, :], points[None, :, :]
    no_worse, better = np.all(b <= a, axis=-1), np.any(b < a, axis=-1)
    dominated = np.any(no_worse & better, axis=1)
    return np.asarray(~dominated & np.isfinite(points[:, 1]))


def _curves(rows: pd.DataFrame) -> Iterator[tuple[int, NDArray[np.float64] | str]]:
    """Each seed's curve (rates, [rate, quality]), or why it has none."""
    for seed in rows["seed"].dropna().unique():
        points = rows[rows["seed"] == seed].groupby("point")[["rate", "value"]].mean().sort_values("rate").to_numpy(float)
        if np.isinf(points[:, 1]).any():
            yield int(seed), "a rate failed"
        elif np.isnan(points[:, 0]).any():
            yield int(seed), "no rate"
        elif (points[:, 0] <= 0).any():
            yield int(seed), "a rate of 0, which has no logarithm"
        elif len(points) < FEWEST_RATES:
            yield int(seed), f"fewer than {FEWEST_RATES} rates"
        else:
            yield int(seed), points * [1, -1]


def _compare(
    task: str,
    method: str,
    anchor: dict[int, NDArray[np.float64] | str],
    curves: dict[int, NDArray[np.float64] | str],
    sign: int,
) -> Bjontegaard:
    rates, distortions, reasons, shares = [], [], [], []
    for seed in sorted(set(anchor) | set(curves)):
        a, b = anchor.get(seed, "a seed of one only"), curves.get(seed, "a seed of one only")
        if isinstance(a, str) or isinstance(b, str):
            reasons.append(next(one for one in (a, b) if isinstance(one, str)))
            continue
        more_rate, more_quality = bd_rate(a, b), bd_quality(a, b)
        distortions.append(-sign * more_quality)
        rates.append(more_rate)
        shares.append((share(a[:, 1], b[:, 1]), share(np.log10(a[:, 0]), np.log10(b[:, 0]))))
        if np.isnan(more_quality):
            reasons.append("no common range of rates")
        elif np.isnan(more_rate):
            reasons.append("more rate, no better; or no common range of distortion")
    known_rates, known_distortions = (np.array(values)[~np.isnan(values)] for values in (rates, distortions))
    percent = [100 * (10**value - 1) for value in mean_interval(known_rates)]
    counts = (len(known_rates), len(known_distortions), len(set(anchor) | set(curves)))
    why = "; ".join(f"{reason} ({reasons.count(reason)})" for reason in dict.fromkeys(reasons))
    least = (min(one[0] for one in shares), min(one[1] for one in shares)) if shares else (np.nan, np.nan)
    return Bjontegaard(task, method, Estimate(*percent), mean_interval(known_distortions), counts, least, why)
