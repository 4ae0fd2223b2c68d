"""Distortion over rate, with Shannon's limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.results.frame import Frame, frame
from quantbench.results.layout import nominal_rate, text
from quantbench.results.palette import Style
from quantbench.results.plots.common import (
    BAD,
    MUTED,
    Picture,
    caption,
    handle,
    label_axes,
    legend,
    literal,
    logarithmic,
    marks,
    panels,
    with_counts,
)
from quantbench.results.plots.data import FAILURES, Data, interval_words, panel_tasks
from quantbench.results.schema import setting_columns
from quantbench.results.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL: Any = {"fontsize": 7, "color": MUTED}
SAME, NEAR = 0.15, 0.02
"""Decibels and bits between points of one line."""


def rate_distortion(data: Data, metric: str | None) -> Picture:
    """Means and intervals over the bits spent, a panel a source; the limit is drawn for ``nmse_db`` and ``mse``.

    Raises:
        ConfigError: no such metric, or an empty column; no rate.
    """
    rows, found = _rows(data, metric)
    metric, rate = found.metric.name, found.rate
    tasks, notes = panel_tasks(list(dict.fromkeys(rows["task"])))
    rows = rows[rows["task"].isin(tasks)]
    points = _points(rows)
    order = points.groupby("method")["mean"].mean()
    methods = sorted(dict.fromkeys(rows["method"]), key=lambda name: (name not in order.index, -order.get(name, 0.0)))
    labels = with_counts(methods, {name: str(counts) for name, counts in found.counts().items()})
    limits = rows["limit"].notna().any()
    figure, axes = panels(tasks, [*labels, *(["Shannon's limit"] if limits else [])])
    styles = data.styles()
    for one, task in zip(axes, tasks, strict=True):
        mine = rows[rows["task"] == task]
        _limit(one, mine, metric == "nmse_db")
        _panel(one, points[points["task"] == task], methods, styles)
        _failures(one, mine)
    if metric == "mse" and (points["mean"] > 0).all():
        for one in axes:
            logarithmic(one)
    label_axes(axes, rate, found.metric.titled)
    handles = [handle(styles[name]) for name in methods]
    legend(figure, [*handles, *([_limit_handle()] if limits else [])], [*labels, *(["Shannon's limit"] if limits else [])])
    words, more = interval_words(list(points["seeds"]) or [0])
    words += "; the limit is at the bits that trials spent, straight between them" if limits else ""
    notes += found.notes
    if rows["status"].isin(FAILURES).any():
        words += "; ×: trials that diverged or failed at this rate, in no mean"
        if unplaced := int((rows["status"].isin(FAILURES) & rows["nominal"].isna()).sum()):
            notes.append(f"{unplaced} trials that diverged or failed have no rate: they are counted, and not placed")
    caption(figure, "\n".join([words, *notes]))
    return Picture(figure, [*notes, *more])


def several_rates(data: Data) -> bool:
    """Whether any source was tried at more than one rate."""
    rows = data.frame(None, over_rates=True).rows
    return bool((rows.groupby("task")["point"].nunique() > 1).any())


def _rows(data: Data, metric: str | None) -> tuple[pd.DataFrame, Frame]:
    """Trials (method, task, source, seed, status, point, rate spent, value, limit), and the frame that they are of."""
    runs = data.ran()
    table = runs.results
    spent = next(
        (name for name in ("spent_bits", "rate_bits", "rate_kbps") if name in table and table[name].notna().any()), None
    )
    if spent is None:
        raise ConfigError("there are no rates: the columns spent_bits, rate_bits and rate_kbps are empty")
    found = frame(runs, metric, data.by, data.within, over_rates=True, rate=spent)
    completed = (table["status"] == "completed").to_numpy()
    rows = found.rows.copy()
    rows["source"] = _sources(table, setting_columns([str(one) for one in table]))[rows.index]
    rows["limit"] = np.where(completed, _limits(table, found.metric.name), np.nan)[rows.index]
    # A trial that failed before it was measured stands where others with its settings do.
    rows["rate"] = rows["rate"].fillna(rows.groupby(["method", "task", "point"])["rate"].transform("mean"))
    rows["nominal"] = nominal_rate(table)[rows.index].fillna(rows["rate"])
    return rows, found


def _sources(table: pd.DataFrame, settings: list[str]) -> NDArray[np.object_]:
    """The name of each trial's source: blocks of other lengths have other limits."""
    own = [name for name in settings if name.startswith("simulator.")]
    texts = [table[name].map(lambda value, name=name: f"{name.partition('.')[2]}={text(value)}") for name in own]
    return np.array([" ".join(values) for values in zip(*texts, strict=True)] or [""] * len(table), dtype=object)


def _limits(table: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """The limit of each trial, at the bits that it spent, in the metric's unit; NaN where there is none."""
    nothing = np.full(len(table), np.nan)
    if metric == "mse" and "limit_mse" in table:
        return np.asarray(table["limit_mse"].to_numpy(float, na_value=np.nan))
    if metric == "nmse_db" and "gap_db" in table:
        return np.asarray((table["nmse_db"] - table["gap_db"]).to_numpy(float, na_value=np.nan))
    return nothing


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """``method``, ``task``, ``rate``, ``mean``, ``low``, ``high``, ``seeds`` at each rate that a method was set to."""
    good = rows[np.isfinite(rows["value"]) & rows["rate"].notna()]
    keys = ["task", "method", "point"]
    by_seed = good.groupby([*keys, "seed"], sort=False, dropna=False)[["rate", "value"]].mean().reset_index()
    found = [
        (task, method, part["rate"].mean(), *mean_interval(part["value"].to_numpy(float)), len(part))
        for (task, method, _), part in by_seed.groupby(keys, sort=False, dropna=False)
    ]
    names = ["task", "method", "rate", "mean", "low", "high", "seeds"]
    return pd.DataFrame(found, columns=names).sort_values("rate", kind="stable")


def _panel(axes: Axes, points: pd.DataFrame, methods: list[str], styles: dict[str, Style]) -> None:
    for name in methods:
        part = points[points["method"] == name]
        if part.empty:
            continue
        style = styles[name]
        around = np.array([part["mean"] - part["low"], part["high"] - part["mean"]])
        axes.errorbar(
            part["rate"],
            part["mean"],
            yerr=np.nan_to_num(around).clip(0),
            color=style.colour,
            linestyle=style.dash,
            linewidth=1.2,
            elinewidth=1,
            label=name,
            **marks(style, 5),
        )


def _limit(axes: Axes, rows: pd.DataFrame, decibels: bool) -> None:
    """The limit at the bits spent: one line for all, or a named one a source; a line a seed where each draws its own."""
    known = rows[rows["limit"].notna() & rows["rate"].notna()]
    level = known["limit"] if decibels else 10 * np.log10(known["limit"].clip(lower=1e-12))
    known = known.assign(level=level).sort_values("rate", kind="stable")
    lines: list[tuple[str, pd.DataFrame]] = []
    for (name, _), line in known.groupby(["source", "seed"], sort=False):
        _add(lines, str(name), line)
    for name, line in lines:
        near = line.groupby(line["rate"].round(2))[["rate", "limit"]].mean()
        axes.plot(near["rate"], near["limit"], color=MUTED, linewidth=1.8 if len(lines) <= 4 else 0.9, zorder=1.5)
        if len({one for one, _ in lines}) > 1:
            axes.annotate(literal(name), tuple(near.iloc[-1]), (4, 0), textcoords="offset points", va="center", **SMALL)


def _add(lines: list[tuple[str, pd.DataFrame]], name: str, line: pd.DataFrame) -> None:
    """Add a line, or its points to one on which they lie."""
    for place, (other, there) in enumerate(lines):
        if _agree(there, line):
            both = pd.concat([there, line]).sort_values("rate", kind="stable")
            lines[place] = (other if name in other.split(", ") else f"{other}, {name}", both)
            return
    lines.append((name, line))


def _agree(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two lines are the same where both are, but for what the frames of an evaluation differ in power."""
    for a, b in ((one, other), (other, one)):
        inside = b[(b["rate"] >= a["rate"].min() - NEAR) & (b["rate"] <= a["rate"].max() + NEAR)]
        if len(inside):
            differences = np.interp(inside["rate"], a["rate"], a["level"]) - inside["level"]
            return bool((np.abs(differences) <= SAME).all())
    return False


def _limit_handle() -> object:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=MUTED, linewidth=1.8)


def _failures(axes: Axes, rows: pd.DataFrame) -> None:
    """A cross at the top edge over each rate at which trials ended badly, with their number."""
    bad = rows[rows["status"].isin(FAILURES) & rows["nominal"].notna()]
    if len(bad):
        left, right = axes.get_xlim()
        room = 0.03 * (right - left)
        axes.set_xlim(min(left, bad["nominal"].min() - room), max(right, bad["nominal"].max() + room))
    for nominal, count in zip(*np.unique(bad["nominal"], return_counts=True), strict=True):
        axes.annotate(
            f"×{count}",
            (float(nominal), 1),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            color=BAD,
            fontsize=8,
        )
