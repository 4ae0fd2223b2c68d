"""Methods as rows of dots: the usage of the codebook, or another metric of results.csv."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from quantbench.results.plots.data import Data, axis_title, interval_words
from quantbench.results.plots.picture import CROSS, Axis, Look, Panel, Picture, Series, with_counts
from quantbench.results.schema import Status

MEAN = Look("mean", mark=6, across=True)
TRIALS = Look("trials", mark=2.6, opacity=0.7, spread=0.5)
FAILED = {1: Look("failed", mark=5, edge="right", spread=0.5), -1: Look("failed", mark=5, edge="left", spread=0.5)}
"""Failures stand on the side that is worse."""


def usage(data: Data, metric: str | None) -> Picture:
    """Each method's mean with its interval, and every trial; a panel a task, the best method first.

    Raises:
        ConfigError: no such metric, or an empty column.
    """
    found = data.frame(metric, "usage")
    means, rows = found.means(), found.rows
    levels: dict[str, list[float]] = {}
    for (method, _), (one, _) in means.items():
        levels.setdefault(method, []).append(found.sign * one.mean)
    methods = sorted(found.methods, key=lambda name: (name not in levels, np.mean(levels.get(name, [0.0]))))
    places = {name: float(place) for place, name in enumerate(methods)}
    panels = {task: Panel(task) for task in found.tasks}
    good = rows["status"] == Status.COMPLETED
    for chosen, look, cross in ((rows[good], TRIALS, None), (rows[~good], FAILED[found.sign], CROSS)):
        for (name, where), part in chosen.groupby(["method", "task"], sort=False):
            x, y = part["value"].to_numpy(float), np.full(len(part), places[str(name)])
            panels[str(where)].series.append(Series(look, x, y, str(name), cross, rows=part.index.tolist()))
    for (method, task), ((mean, low, high), seeds) in means.items():
        y, ends = np.array([places[method]]), [np.array([end]) for end in (mean, low, high)]
        panels[task].series.append(Series(MEAN, ends[0], y, method, None, ends[1], ends[2], [seeds]))
    words, notes = interval_words([seeds for _, seeds in means.values()])
    text = f"large marks with bars: {words}; small dots: trials"
    if (~good).any():
        text += "; ×: trials that diverged or failed, beyond the worst value, and in no mean"
    names = with_counts(methods, data.counts, 44, data.labels)
    lines = sum(name.count("\n") + 1 for name in names)
    return Picture(
        f"{found.metric.name} by method",
        list(panels.values()),
        Axis(axis_title(found.metric), limits=_whole_axis(found.metric.name, panels.values())),
        Axis("", names=names, methods=methods),
        data.styles,
        size=(3.6 if len(panels) == 1 else 2.4, 0.24 * lines + 0.2),
        words=[text, *found.notes],
        notes=[*found.notes, *notes],
    )


def _whole_axis(metric: str, panels: Iterable[Panel]) -> tuple[float, float] | None:
    """All that the usage can be, and room for failures before its zero."""
    before = any(one.look.edge == "left" for panel in panels for one in panel.series)
    return (-0.06 if before else 0.0, 1.0) if metric == "usage" else None
