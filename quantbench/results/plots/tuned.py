"""Pictures of `quantbench tune`: tuning curves, profiles over tasks, and sensitivity, each with its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.frame import Frame, Values, frame
from quantbench.results.plots.data import Data, axis_title
from quantbench.results.plots.picture import Axis, Look, Panel, Picture, Series, with_counts
from quantbench.results.statistics import Estimate, best_of, interquartile_mean, mean_interval
from quantbench.results.tracks import losses, of_search

MOST_APART = 20.0
"""Where the axis of a profile ends at most, in units of the metric: further apart, nobody asks how far."""


def tuning(data: Data, metric: str | None) -> Picture:
    """The median of the best validation score of k trials, with bands; a panel a task.

    Raises:
        ConfigError: there is no search.
    """
    found = frame(of_search(data.whole_runs()), metric, data.by, data.within, goal=True)
    look = Look("mean", 1.5, band=0.12)
    panels, rows = [], []
    for task, cells in zip(found.tasks, found.cells(), strict=True):
        panel = Panel(task)
        for method, values in zip(found.methods, cells, strict=True):
            values = values[~np.isnan(values)]
            if not len(values):
                continue
            curve = best_of(values, len(values))
            tries, seen = np.arange(1.0, len(values) + 1), values[np.isfinite(values)]
            rows += _curve_rows(task, method, found.sign, (curve.middle, curve.low, curve.high))
            if not len(seen):
                continue
            middle = np.where(np.isfinite(curve.middle), curve.middle, np.nan)
            low, high = np.clip(curve.low, seen.min(), seen.max()), np.clip(curve.high, seen.min(), seen.max())
            ends = sorted((found.sign * low, found.sign * high), key=lambda end: float(end.sum()))
            panel.series.append(Series(look, tries, found.sign * middle, method, None, ends[0], ends[1]))
        panels.append(panel)
    return Picture(
        f"Best {found.metric.name} of k trials",
        panels,
        Axis("trials"),
        Axis(f"best validation {axis_title(found.metric)}"),
        data.styles,
        list(zip(with_counts(found.methods, {}, labels=data.labels), found.methods, strict=True)),
        words=[
            "lines: median of the best of k searched settings on validation draws; bands: 95 %, of all k together (Lourie "
            "et al. 2024), drawn to the best or worst score seen where nothing bounds them; what diverged is infinitely bad"
        ],
        notes=list(found.notes),
        table=pd.DataFrame(rows, columns=["task", "method", "trials", "median", "low", "high"]),
    )


def _curve_rows(task: str, method: str, sign: int, ends: tuple[Values, Values, Values]) -> list[list[object]]:
    """Lines of the table, in the metric's own direction."""
    middle, low, high = (sign * end for end in ends)
    low, high = np.minimum(low, high), np.maximum(low, high)
    return [[task, method, k + 1, middle[k], low[k], high[k]] for k in range(len(middle))]


def profile(data: Data, metric: str | None) -> Picture:
    """The share of tasks in which a method is within x of the best one (Dolan & More 2002).

    Raises:
        ConfigError: a single task.
    """
    found = data.frame(metric, goal=True)
    behind = behind_the_best(found)
    if behind.shape[1] < 2:
        raise ConfigError("a single task: a profile is over tasks")
    finite = behind[np.isfinite(behind)]
    last = float(min(finite.max(initial=0.0) * 1.05 or 1.0, MOST_APART))
    panel = Panel("")
    rows: list[list[object]] = []
    for method, distances in zip(found.methods, behind, strict=True):
        steps = np.unique(np.append(distances[distances <= last], [0.0, last]))
        shares = np.array([(distances <= step).mean() for step in steps])
        rows += [[method, step, share] for step, share in zip(steps, shares, strict=True)]
        x, y = np.repeat(steps, 2)[1:], np.repeat(shares, 2)[:-1]
        panel.series.append(Series(Look("mean", 1.7), x, y, method))
    unit = found.metric.unit or found.metric.name
    return Picture(
        f"Tasks within x of the best, by {found.metric.name}",
        [panel],
        Axis(f"behind the best in {unit} ({found.metric.name})", limits=(0.0, last)),
        Axis("share of tasks", limits=(0.0, 1.02)),
        data.styles,
        list(zip(with_counts(found.methods, data.counts, labels=data.labels), found.methods, strict=True)),
        size=(4.2, 3.0),
        words=[
            f"share of {behind.shape[1]} tasks in which a method is within x of the best one there; of each task the "
            "interquartile mean over seeds; what diverged is never within"
        ],
        notes=list(found.notes),
        table=pd.DataFrame(rows, columns=["method", "behind", "share of tasks"]),
    )


def behind_the_best(found: Frame) -> Values:
    """How far each method is behind the best one of a task, (methods, tasks); infinite where it failed or was not tried."""
    means = np.stack([interquartile_mean(cells) for cells in found.cells()], axis=1)
    means = np.where(np.isnan(means), np.inf, means)
    best = means.min(axis=0)
    known = np.isfinite(best)
    return np.asarray(means[:, known] - best[known])


def sensitivity(data: Data, metric: str | None) -> Picture:
    """What each method loses where its most delicate setting stands at the worst quartile of its prior.

    Raises:
        ConfigError: no trials move settings.
    """
    lost, found = losses(data.whole_runs(), metric)
    worst = lost.groupby(["method", "task"], sort=False)["loss"].max()
    means = {str(name): mean_interval(part.to_numpy(float)) for name, part in worst.groupby(level="method", sort=False)}
    methods = sorted(means, key=lambda name: means[name].mean)
    panel = Panel("")
    for place, name in enumerate(methods):
        values, one = worst[name].to_numpy(float), means[name]
        seen = values[np.isfinite(values)]
        panel.series.append(Series(Look("trials", mark=2.6, opacity=0.7), seen, np.full(len(seen), float(place)), name))
        if np.isfinite(one.mean):
            ends = [np.array([end]) for end in (one.mean, one.low, one.high)]
            y = np.array([float(place)])
            panel.series.append(
                Series(Look("mean", mark=6, across=True), ends[0], y, name, None, ends[1], ends[2], [len(values)])
            )
    return Picture(
        f"Loss of {found.metric.name} at the worst quartile",
        [panel],
        Axis(f"loss in {found.metric.unit or found.metric.name} ({found.metric.name})"),
        Axis("", names=with_counts(methods, {}, 44, data.labels), methods=methods),
        data.styles,
        size=(3.6, 0.24 * len(methods) + 0.2),
        words=[
            "small dots: a task, with the setting that loses most of all; large marks: mean over tasks and its 95 % interval; "
            "a method without a large mark diverged in a task"
        ],
        table=_sensitivity_table(lost, means),
    )


def _sensitivity_table(lost: pd.DataFrame, means: dict[str, Estimate]) -> pd.DataFrame:
    """A line a method and setting, and one a method for the worst of its settings."""
    rows: list[list[object]] = [[name, "(the worst)", one.mean, one.low, one.high] for name, one in means.items()]
    for (name, moved), part in lost.groupby(["method", "moved"], sort=False):
        rows.append([name, moved, *mean_interval(part["loss"].to_numpy(float))])
    return pd.DataFrame(rows, columns=["method", "setting", "loss", "low", "high"])
