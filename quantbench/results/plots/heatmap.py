"""Quantizers by gradients: one number a pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.frame import Frame
from quantbench.results.layout import layout, text
from quantbench.results.plots.common import BAD, INK, MUTED, Picture, caption, wrapped
from quantbench.results.plots.data import Data, panel_tasks
from quantbench.results.render import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SKIPPED, CELL = "#e3e6ea", 0.62
CELLS_ACROSS, MOST_ROWS = 12, 4
"""How many cells of several panels stand side by side, and how many panels one below the other."""

PAIR = ["quantizer", "gradient"]


def heatmap(data: Data, metric: str | None) -> Picture:
    """The mean of each pair over completed trials, a panel a task; pairs that do not fit are grey, failures counted.

    Raises:
        ConfigError: no such metric, an empty column, or ``--by`` other than quantizer and gradient.
    """
    if data.by is not None and set(data.by) != set(PAIR):
        raise ConfigError(f"--by {','.join(data.by)}: a heatmap is of quantizer,gradient")
    found = replace(data, by=PAIR).frame(metric)
    table = data.runs.results if data.runs is not None else pd.DataFrame()
    choices = [table[name].map(text).astype(object) for name in PAIR]
    pairs = pd.Series(list(zip(*choices, strict=True)), index=table.index)
    names = dict(zip(layout(table, None, PAIR).methods, pairs, strict=True))
    rows, columns = (sorted(set(one)) for one in choices)
    skipped = set(pairs[(table["status"] == "skipped").to_numpy()]) - set(pairs[(table["status"] != "skipped").to_numpy()])
    across = max(1, min(CELLS_ACROSS // len(columns), len(found.tasks)))
    tasks, notes = panel_tasks(found.tasks, MOST_ROWS * across)
    figure, axes = _panels(tasks, rows, columns, across)
    means = {key: one.mean for key, (one, _) in found.means().items() if key[1] in tasks}
    if not means:
        raise ConfigError(f"--metric {found.metric.name}: no pair completed in the tasks that are drawn")
    scale = _scale(list(means.values()), found.metric)
    for one, task in zip(axes, tasks, strict=True):
        _cells(one, _grid(found, task, means, names), scale, rows, columns, skipped)
    _bar(figure, axes, scale, found.metric)
    words = "means over completed trials"
    if skipped:
        words += f"; grey: {len(skipped)} pairs that do not fit"
    if any(one.bad for one in found.counts().values()):
        words += "; ×: trials that diverged or failed, of how many"
    caption(figure, "\n".join([words, *notes, *found.notes]))
    return Picture(figure, [*notes, *found.notes])


def _panels(tasks: list[str], rows: list[str], columns: list[str], across: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    wide, high = max(2.0, CELL * len(columns)), max(0.5, 0.4 * len(rows))
    beside, below = 0.3 + 0.075 * max(map(len, rows)), 0.7 + 0.055 * max(map(len, columns))
    down = math.ceil(len(tasks) / across)
    figure = Figure(figsize=(wide * across + beside + 1.0, (high + 0.35) * down + below), layout="constrained")
    grid = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel())
    for axes in grid[len(tasks) :]:
        axes.set_axis_off()
    for axes, task in zip(grid, tasks, strict=False):
        axes.set_title(wrapped(task, 24 if across > 1 else 60), loc="left", fontsize=9, color=INK)
        axes.set_xticks(np.arange(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axes.set_yticks(np.arange(len(rows)), rows, fontsize=8)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure, grid[: len(tasks)]


def _scale(means: Sequence[float], metric: Metric) -> Any:
    """Values to colours that lighten towards what is better, told apart with any colour vision and in grey."""
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    low, high = min(means), max(means)
    logarithmic = low > 0 and high > 100 * low
    norm = (LogNorm if logarithmic else Normalize)(low, high if high > low else low + 1)
    return ScalarMappable(norm, matplotlib.colormaps["cividis_r" if metric.sign > 0 else "cividis"])


def _grid(
    found: Frame, task: str, means: dict[tuple[str, str], float], names: dict[str, tuple[str, str]]
) -> dict[tuple[str, str], tuple[float, int, int]]:
    """Of each pair that ran: mean, trials that ended badly, trials."""
    return {
        names[method]: (means.get((method, task), math.nan), counts.bad, counts.trials)
        for (method, where), counts in found.counts_by_task().items()
        if where == task
    }


def _cells(
    axes: Axes,
    grid: dict[tuple[str, str], tuple[float, int, int]],
    scale: Any,
    rows: list[str],
    columns: list[str],
    skipped: set[tuple[str, str]],
) -> None:
    from matplotlib.patches import Rectangle

    for y, quantizer in enumerate(rows):
        for x, strategy in enumerate(columns):
            pair = (quantizer, strategy)
            mean, bad, trials = grid.get(pair, (math.nan, 0, 0))
            known = not math.isnan(mean)
            face = scale.to_rgba(mean) if known else SKIPPED if pair in skipped else "white"
            edge = BAD if bad else "white"
            axes.add_patch(
                Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, facecolor=face, edgecolor=edge, linewidth=1.4 if bad else 0.5)
            )
            words = "\n".join(
                [*([number(mean, 3).replace("-", "−")] if known else []), *([f"× {bad}/{trials}"] if bad else [])]
            )
            axes.text(x, y, words, ha="center", va="center", fontsize=7, color=_readable(face) if known else BAD)


def _readable(face: Any) -> str:
    red, green, blue = face[:3]
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"


def _bar(figure: Figure, axes: list[Axes], scale: Any, metric: Metric) -> None:
    bar = figure.colorbar(scale, ax=axes, shrink=0.9, fraction=0.04, pad=0.02, aspect=25)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, color=MUTED)
    bar.set_label(metric.titled, fontsize=8, color=INK)
