"""Metrics over training steps: distortion, and the growth of the encoder's output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.metrics import METRICS
from quantbench.results.frame import Counts
from quantbench.results.palette import Style
from quantbench.results.plots.common import (
    BAD,
    Picture,
    caption,
    handle,
    label_axes,
    legend,
    logarithmic,
    marks,
    panels,
    with_counts,
)
from quantbench.results.plots.data import FAILURES, Data, interval_words, panel_tasks
from quantbench.results.statistics import Estimate, geometric_interval, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 30
"""Means of which the largest is so many times the smallest get a logarithmic axis."""

MARKS = 6
"""Markers along a curve; those of different methods stand at different steps."""


def curves(data: Data, metric: str | None) -> Picture:
    """A metric of curves.csv (``mse``) over steps: mean and interval over seeds; the axis is logarithmic where means need it.

    Raises:
        ConfigError: there are no curves, or none of the metric.
    """
    return _over_steps(data, metric or "mse", mean_interval, "mean", False)


def growth(data: Data, metric: str | None) -> Picture:
    """The standard deviation of the encoder's output (``encoder_std``) over steps: geometric mean, on a logarithmic axis.

    Raises:
        ConfigError: there are no curves, or none of the metric.
    """
    return _over_steps(data, metric or "encoder_std", geometric_interval, "geometric mean", True)


def _over_steps(
    data: Data, metric: str, middle: Callable[[NDArray[np.float64]], Estimate], what: str, always_log: bool
) -> Picture:
    points, trials, methods, tasks = _points(data, metric)
    tasks, notes = panel_tasks(tasks)
    points = points[points["task"].isin(tasks)]
    means = _means(points[points["completed"]], middle)
    methods = _by_last(means, methods)
    counts = {str(name): str(Counts.of(part)) for name, part in trials.groupby("method", sort=False)["status"]}
    labels = with_counts(methods, counts)
    styles = data.styles()
    figure, axes = panels(tasks, labels)
    few = len(methods) <= 6
    for one, task in zip(axes, tasks, strict=True):
        _panel(one, means[means["task"] == task], methods, styles, few)
        _broken_off(one, points[(points["task"] == task) & ~points["completed"]], styles)
    drawn = points["value"][np.isfinite(points["value"])] if means.empty else means["mean"]
    if always_log or (drawn.min() >= 0 and drawn.max() > WIDE * drawn[drawn > 0].min()):
        for one in axes:
            logarithmic(one)
    label_axes(axes, "training step", _axis(metric))
    legend(figure, [handle(styles[name]) for name in methods], labels)
    text, more = interval_words(list(means["seeds"]) or [0], what)
    notes += more
    if (~points["completed"]).any():
        text += "; thin lines that end in a cross: trials that diverged or failed, in no mean"
    caption(figure, "\n".join([text, *notes[: -len(more) or None]]))
    return Picture(figure, notes)


def _points(data: Data, metric: str) -> tuple[pd.DataFrame, pd.DataFrame, list[str], list[str]]:
    """Points of the metric with the method, task, seed of their trial, and the trials."""
    runs = data.ran()
    table, points_of = runs.results, runs.curves
    if points_of.empty:
        raise ConfigError("there are no curves: no curves.csv lies beside the results.csv given, or it is empty")
    known = list(points_of["metric"].astype(str).unique())
    if metric not in known:
        raise ConfigError(f"--metric {metric}: no such metric in curves.csv; there are {', '.join(known)}")
    parts = data.layout()
    trials = pd.DataFrame(
        {
            "trial": table["trial"].astype(str).to_numpy(),
            "method": parts.methods.to_numpy(),
            "task": parts.tasks.to_numpy(),
            "seed": table["seed"].to_numpy(float, na_value=np.nan),
            "status": table["status"].astype(str).to_numpy(),
        }
    )
    chosen = points_of[(points_of["metric"] == metric) & points_of["value"].notna()]
    chosen = chosen[["trial", "step", "value"]].astype({"trial": str})
    points = chosen.merge(trials.assign(completed=~trials["status"].isin(FAILURES)), on="trial")
    if points.empty:
        raise ConfigError(f"--metric {metric}: no trial has a curve of it")
    return points, trials, parts.names, list(dict.fromkeys(points["task"]))


def _means(points: pd.DataFrame, middle: Callable[[NDArray[np.float64]], Estimate]) -> pd.DataFrame:
    """``method``, ``task``, ``step``, ``mean``, ``low``, ``high``, ``seeds``."""
    points = points[np.isfinite(points["value"])]
    by_seed = points.groupby(["task", "method", "step", "seed"], sort=False)["value"].mean().reset_index()
    rows = []
    for (task, method, step), part in by_seed.groupby(["task", "method", "step"], sort=False):
        rows.append((task, method, step, *middle(part["value"].to_numpy(float)), len(part)))
    found = pd.DataFrame(rows, columns=["task", "method", "step", "mean", "low", "high", "seeds"])
    return found.sort_values("step", kind="stable")


def _by_last(means: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """Methods in the order in which their curves end, the highest first; those without a mean last."""
    last = means.groupby(["method", "task"])["mean"].last().groupby("method").median()
    return sorted(methods, key=lambda name: (name not in last.index, -last.get(name, 0.0)))


def _panel(axes: Axes, means: pd.DataFrame, methods: Sequence[str], styles: dict[str, Style], few: bool) -> None:
    for place, name in enumerate(methods):
        part = means[means["method"] == name]
        if part.empty:
            continue
        style = styles[name]
        apart = max(1, len(part) // MARKS)
        if part["low"].notna().any():
            axes.fill_between(
                part["step"], part["low"], part["high"], color=style.colour, alpha=0.2 if few else 0.1, linewidth=0
            )
        axes.plot(
            part["step"],
            part["mean"],
            color=style.colour,
            linestyle=style.dash,
            linewidth=1.7 if few else 1.2,
            **marks(style, 4),
            markevery=(place * apart // len(methods), apart),
            label=name,
        )


def _broken_off(axes: Axes, points: pd.DataFrame, styles: dict[str, Style]) -> None:
    """Each trial that did not complete, as far as it came."""
    for _, part in points[np.isfinite(points["value"])].groupby("trial", sort=False):
        part = part.sort_values("step")
        style = styles[part["method"].iloc[0]]
        axes.plot(part["step"], part["value"], color=style.colour, linestyle=style.dash, linewidth=0.6, alpha=0.8)
        axes.plot(part["step"].iloc[-1:], part["value"].iloc[-1:], "x", color=BAD, markersize=6, zorder=5, clip_on=False)


def _axis(metric: str) -> str:
    if metric == "encoder_std":
        return "encoder_std (of the encoder's output)"
    return METRICS[metric].titled if metric in METRICS else metric
