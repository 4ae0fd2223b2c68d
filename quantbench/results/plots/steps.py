"""Metrics over training steps: distortion, and the growth of the encoder's output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import METRICS
from quantbench.results.plots.data import FAILURES, GROWTH, Data, axis_title, interval_words
from quantbench.results.plots.picture import CROSS, Axis, Floats, Ints, Look, Panel, Picture, Series, with_counts
from quantbench.results.statistics import mean_intervals
from quantbench.suggest import no_such_metric

WIDE = 30
"""Means of which the largest is so many times the smallest get a logarithmic axis."""

MOST_STEPS = 200
"""Steps at which a mean is drawn."""

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
    means = _means(points[points["completed"]], geometric)
    methods = _by_last(means, data.layout.names)
    labels = with_counts(methods, data.counts)
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
    drawn = points["value"] if means.empty else means["mean"]
    log = geometric or bool(drawn.min() >= 0 and drawn.max() > WIDE * drawn[drawn > 0].min())
    words, notes = interval_words(list(means["seeds"]) or [0], "geometric mean" if geometric else "mean")
    if (~points["completed"]).any():
        words += "; thin lines that end in a cross: trials that diverged or failed, in no mean"
    return Picture(
        "Growth of the encoder's output" if geometric else f"{metric} over training steps",
        list(panels.values()),
        Axis("training step"),
        Axis(_axis(data, metric), log),
        data.styles,
        list(zip(labels, methods, strict=True)),
        words=[words],
        notes=notes,
    )


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
        by_seed = by_seed[by_seed["value"] > 0].assign(value=lambda rows: np.log(rows["value"]))
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
    look = Look("broken", line=0.6, opacity=0.8)
    found = [_values(look, part, str(part["method"].iloc[0])) for part in lines]
    ends = pd.concat([part.iloc[-1:] for part in lines])
    return found + [_values(Look("failed", mark=6), part, str(method)) for method, part in ends.groupby("method", sort=False)]


def _values(look: Look, part: pd.DataFrame, method: str) -> Series:
    x, y = (part[name].to_numpy(float) for name in ("step", "value"))
    return Series(look, x, y, method, CROSS if look.mark else None, rows=part["row"].tolist())


def _axis(data: Data, metric: str) -> str:
    if metric == "encoder_std":
        return "encoder_std (of the encoder's output)"
    known = data.ran().metrics.get(metric, METRICS.get(metric))
    return metric if known is None else axis_title(known)
