"""Metrics over training steps: distortion, and the growth of the encoder's output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import known
from quantbench.results.plots.data import FAILURES, GROWTH, Data, axis_title, interval_words
from quantbench.results.plots.picture import CROSS, Axis, Floats, Ints, Look, Panel, Picture, Series, with_counts
from quantbench.results.statistics import mean_intervals
from quantbench.suggest import no_such_metric

WIDE = 30
"""Means of which the largest, of those after the first steps, is so many times the smallest get a logarithmic axis."""

EARLY, CROWDED, MARGIN = 0.1, 2.0, 0.08
"""The first steps: so much of all. Where all means take more than ``CROWDED`` times the room of those after, the axis is of
these alone, with a margin of so much."""

MOST_STEPS = 200
"""Steps at which a mean is drawn."""

FARTHEST = 1e300
"""Ends of axes are less than this."""

KEYS = ["task", "method", "step"]


def curves(data: Data, metric: str | None) -> Picture:
    """A metric of curves.csv (``mse``) over steps: mean and interval over seeds; the axis is logarithmic where means need it.

    Raises:
        ConfigError: there are no curves, or none of the metric.
    """
    return _over_steps(data, metric or "mse", geometric=False)


def growth(data: Data, metric: str | None) -> Picture:
    """The growth of the encoder's output (``encoder_growth``) over steps: geometric mean, on a logarithmic axis.

    Raises:
        ConfigError: there are no curves, or none of the metric.
    """
    return _over_steps(data, metric or GROWTH, geometric=True)


def _over_steps(data: Data, metric: str, geometric: bool) -> Picture:
    points = _points(data, metric)
    whole, ending = _shared_steps(points[points["completed"] & ((points["value"] > 0) | (not geometric))])
    means = _means(whole, geometric)
    methods = _by_last(means, [name for name in data.layout.names if name in data.counts])  # all else was skipped
    words, notes = interval_words(list(means["seeds"]) or [0], "geometric mean" if geometric else "mean")
    if (~points["completed"]).any():
        words += "; thin lines that end in a cross: trials that diverged or failed, in no mean"
    if ending:
        words += f"; {ending}"
    title = _axis(data, metric)
    if geometric or means.empty:
        positive = bool((points["value"] > 0).all() and points["value"].max() > WIDE * points["value"].min())
        y = Axis(title, geometric or positive)
    else:
        y = _axis_of(title, means, points.loc[~points["completed"], "value"].to_numpy(float))
    return Picture(
        "Growth of the encoder's output" if geometric else f"{metric} over training steps",
        _panels(points, means, methods),
        Axis("training step"),
        y,
        data.styles,
        list(zip(with_counts(methods, data.counts, labels=data.labels), methods, strict=True)),
        words=[words],
        notes=notes,
    )


def _panels(points: pd.DataFrame, means: pd.DataFrame, methods: list[str]) -> list[Panel]:
    """A panel a task: means in the order of methods, and trials that broke off."""
    few = len(methods) <= 6
    look = Look("mean", 1.7 if few else 1.2, 4, band=0.2 if few else 0.1, sparse=True)
    panels = {str(task): Panel(str(task)) for task in dict.fromkeys(points["task"])}
    order = {name: place for place, name in enumerate(methods)}
    grouped = {(str(task), str(method)): part for (task, method), part in means.groupby(["task", "method"], sort=False)}
    for (task, method), part in sorted(grouped.items(), key=lambda one: order[one[0][1]]):
        part = part.iloc[thin(part["mean"].to_numpy(float), MOST_STEPS)]
        x, *ends = (part[name].to_numpy(float) for name in ("step", "mean", "low", "high"))
        panels[task].series.append(Series(look, x, ends[0], method, None, ends[1], ends[2], part["seeds"].tolist()))
    for where, part in points[~points["completed"]].groupby("task", sort=False):
        panels[str(where)].series += _broken_off(part)
    return list(panels.values())


def _axis_of(title: str, means: pd.DataFrame, broken: Floats) -> Axis:
    """Logarithmic where means need it; with ends where the first steps, or broken trials, would leave the rest no room."""
    steps, values = means["step"].to_numpy(float), means["mean"].to_numpy(float)
    early = steps < steps.min() + EARLY * np.ptp(steps)
    low, high = values[~early].min(), values[~early].max()
    least = values[values > 0].min(initial=np.inf)
    log = bool(values.min() >= 0 and high > WIDE * least)
    to_axis, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    every = values[values > 0] if log else values
    if np.abs(every).max() > FARTHEST:
        return Axis(title, log)  # no margin could be added
    whole, late = to_axis([every.min(), every.max()]), to_axis([max(low, least) if log else low, high])
    crowded = np.ptp(late) > 0 and np.ptp(whole) > CROWDED * np.ptp(late)
    ends = late if crowded else whole
    room = MARGIN * np.ptp(ends)
    limits = (float(back(ends[0] - room)), float(back(ends[1] + room)))
    limits = (max(limits[0], 0.0), limits[1]) if values.min() >= 0 else limits
    beyond = int(((broken < limits[0]) | (broken > limits[1])).sum())
    if not room or not (crowded or beyond):
        return Axis(title, log)
    outside = int(((values < limits[0]) | (values > limits[1])).sum())
    words = [
        f"the axis is of the values after the first tenth of the steps: {outside} earlier ones of {len(values)} lie outside"
    ]
    more = [f"{beyond} values of trials that diverged or failed lie outside, and a cross at an edge stands for those"]
    return Axis(title, log, limits=limits, words="; ".join(words * bool(crowded) + more * bool(beyond)))


def _shared_steps(points: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Points at steps that all trials of their method and task have: a mean over fewer would jump where a trial ends.

    And what a reader should know of it.
    """
    if points.empty:
        return points, ""
    groups = points.groupby(["task", "method"], sort=False)["row"].transform("nunique")
    there = points.groupby(KEYS, sort=False)["row"].transform("nunique")
    shared = points[groups == there]
    ends = [one.groupby(["task", "method"])["step"].max() for one in (points, shared)]
    early = int((ends[1].reindex(ends[0].index).fillna(-1) < ends[0]).sum())
    said = f"{early} of {len(ends[0])} means end where the first of their trials has no more values" if early else ""
    return shared, said


def _points(data: Data, metric: str) -> pd.DataFrame:
    """Points of the metric with the method, task, seed of their trial, and whether it completed."""
    table = data.ran().results
    if data.ran().curves.empty:
        raise ConfigError("there are no curves: no curves.csv lies beside the results.csv given, or it is empty")
    every, _ = data.points
    if metric not in (known := list(every["metric"].unique())):
        raise no_such_metric("--metric ", metric, known, "no such metric in curves.csv")
    trials = pd.DataFrame(
        {
            "method": data.layout.methods.to_numpy(),
            "task": data.layout.tasks.to_numpy(),
            "seed": table["seed"].to_numpy(float, na_value=np.nan),
            "completed": ~table["status"].isin(FAILURES).to_numpy(),
        }
    )
    return every[every["metric"] == metric].join(trials, on="row")


def _means(points: pd.DataFrame, geometric: bool) -> pd.DataFrame:
    """``task``, ``method``, ``step``, ``mean``, ``low``, ``high``, ``seeds``; in the order of steps."""
    by_seed = points.groupby([*KEYS, "seed"], sort=False)["value"].mean().reset_index()
    if geometric:
        by_seed["value"] = np.log(by_seed["value"])
    by_seed["group"] = by_seed.groupby(KEYS, sort=False).ngroup()
    by_seed = by_seed.sort_values("group", kind="stable")
    found = by_seed.drop_duplicates("group")[KEYS].reset_index(drop=True)
    seeds, values = np.bincount(by_seed["group"], minlength=len(found)), by_seed["value"].to_numpy(float)
    starts, ends = np.cumsum(seeds) - seeds, np.empty((3, len(found)))
    for count in np.unique(seeds):
        same = np.flatnonzero(seeds == count)
        ends[:, same] = mean_intervals(values[starts[same][:, None] + np.arange(count)])
    with np.errstate(over="ignore"):
        mean, low, high = np.exp(ends) if geometric else ends
    return found.assign(mean=mean, low=low, high=high, seeds=seeds).sort_values("step", kind="stable")


def thin(values: Floats, most: int) -> Ints:
    """Places that keep the shape of a curve: of equal buckets the lowest and the highest value, and both ends.

    Args:
        values: finite.
        most: how many places there may be, 4 or more.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), (most - 2) // 2 + 1).astype(int)
    kept = {0, len(values) - 1}
    for start, end in pairwise(edges):
        part = values[start:end]
        kept |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(kept))


def _by_last(means: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """Methods in the order in which their curves end, the highest first; those without a mean last."""
    last = means.groupby(["method", "task"])["mean"].last().groupby("method").median()
    return sorted(methods, key=lambda name: (name not in last.index, -last.get(name, 0.0)))


def _broken_off(points: pd.DataFrame) -> list[Series]:
    """Each trial that did not complete, as far as it came, and a cross at its end."""
    lines = [part for _, part in points.groupby("row", sort=False)]
    look = Look("broken", line=0.6)
    found = [_values(look, part, str(part["method"].iloc[0])) for part in lines]
    ends = pd.concat([part.iloc[-1:] for part in lines])
    return found + [_values(Look("failed", mark=6), part, str(method)) for method, part in ends.groupby("method", sort=False)]


def _values(look: Look, part: pd.DataFrame, method: str) -> Series:
    x, y = (part[name].to_numpy(float) for name in ("step", "value"))
    return Series(look, x, y, method, CROSS if look.mark else None, rows=part["row"].tolist())


def _axis(data: Data, metric: str) -> str:
    if metric == "encoder_std":
        return "encoder_std (of the encoder's output)"
    found = data.ran().metrics.get(metric) or known(metric)
    return metric if found is None else axis_title(found)
