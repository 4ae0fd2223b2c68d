"""Methods as rows of dots: the usage of the codebook, or another metric of results.csv."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quantbench.results.frame import Frame
from quantbench.results.palette import Style
from quantbench.results.plots.common import (
    BAD,
    GRID,
    INK,
    MOST_PANELS,
    PAPER,
    Picture,
    caption,
    label_axes,
    literal,
    marks,
    plain,
    wrapped,
)
from quantbench.results.plots.data import Data, interval_words, panel_tasks
from quantbench.results.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
COUNT: Any = {"ha": "left", "color": BAD, "fontsize": 7.5, "zorder": 5, "bbox": PAPER}


def usage(data: Data, metric: str | None) -> Picture:
    """Each method's mean with its interval, and every seed; a panel a task, methods in the order of their mean.

    Raises:
        ConfigError: no such metric, or an empty column.
    """
    found = data.frame(metric, "usage")
    tasks, notes = panel_tasks(found.tasks, MOST_PANELS)
    values, means = found.by_seed(), found.means()
    rows = values[values["task"].isin(tasks)]
    overall = rows.groupby(["method", "task"])["value"].mean().groupby("method").mean()
    methods = sorted(found.methods, key=lambda name: (name not in overall.index, -overall.get(name, 0.0)))
    figure, axes = _rows_of(tasks, methods)
    styles = data.styles()
    seeds = [
        count
        for one, task in zip(axes, tasks, strict=True)
        for count in _panel(one, found, values, means, task, methods, styles)
    ]
    if found.metric.name == "usage":
        axes[0].set_xlim(-0.03, 1.03)
    label_axes(axes, found.metric.titled, "", ACROSS)
    words, more = interval_words(seeds)
    text = f"dots with bars: {words}; small dots: seeds" if max(seeds, default=0) > 1 else words
    if any(one.bad for one in found.counts().values()):
        text += "; ×: trials that diverged or failed, in no mean"
    caption(figure, "\n".join([text, *notes, *found.notes]))
    return Picture(figure, [*notes, *found.notes, *more])


def _rows_of(tasks: list[str], methods: list[str]) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    across = min(len(tasks), ACROSS)
    down = -(-len(tasks) // across)
    names = [wrapped(name, 44) for name in methods]
    lines = sum(name.count("\n") + 1 for name in names)
    wide = 0.075 * max(len(part) for name in names for part in name.split("\n"))
    figure = Figure(
        figsize=(wide + (4.2 if across == 1 else 2.4 * across), (0.21 * lines + 0.65) * down + 0.35), layout="constrained"
    )
    grid = figure.subplots(down, across, squeeze=False, sharey=True, sharex=True).ravel()
    for axes, task in zip(grid, tasks, strict=False):
        plain(axes)
        axes.set_title(wrapped(task, 30), loc="left", fontsize=9, color=INK)
    for axes in grid[len(tasks) :]:
        axes.remove()
    grid[0].set_yticks(np.arange(len(methods)), names)
    grid[0].set_ylim(len(methods) - 0.4, -0.6)
    return figure, list(grid[: len(tasks)])


def _panel(
    axes: Axes,
    found: Frame,
    values: pd.DataFrame,
    means: dict[tuple[str, str], tuple[Estimate, int]],
    task: str,
    methods: list[str],
    styles: dict[str, Style],
) -> list[int]:
    """Draw a task; gives how many seeds each mean has."""
    rows, ended = values[values["task"] == task], found.counts_by_task()
    counts = []
    for place, name in enumerate(methods):
        style = styles[name]
        if (name, task) in means:
            (mean, low, high), count = means[name, task]
            counts.append(count)
            if count > 1:
                mine = rows["value"][rows["method"] == name].to_numpy(float)
                axes.plot(mine, np.full(len(mine), place), "o", color=style.colour, markersize=2.6, alpha=0.45, zorder=2)
                axes.plot([low, high], [place, place], color=style.colour, linewidth=1.4, zorder=3)
            axes.plot([mean], [place], color=style.colour, zorder=4, label=literal(name), **marks(style, 6))
        if bad := str(ended.get((name, task), "")):
            axes.annotate(f"× {bad}", (0.01, place), xycoords=("axes fraction", "data"), va="center", **COUNT)
    axes.grid(axis="y", color=GRID)
    return counts
