"""Distortion over rate, with Shannon's limit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.results.frame import Frame, frame
from quantbench.results.layout import RATE, Layout, layout, nominal_rate, text
from quantbench.results.palette import Style
from quantbench.results.plots.data import FAILURES, Data, axis_title, interval_words
from quantbench.results.plots.picture import BAD, MUTED, Axis, Floats, Look, Panel, Picture, Series, Text, literal, with_counts
from quantbench.results.schema import Status, setting_columns

SAME, NEAR = 0.15, 0.02
"""Decibels and bits between points of one line."""

MEAN = Look("mean", line=1.2, mark=5)
LIMIT = Style(MUTED, "", "solid")


def rate_distortion(data: Data, metric: str | None) -> Picture:
    """Means and intervals over the bits spent, a panel a source; the limit is drawn for ``nmse_db`` and ``mse``.

    Raises:
        ConfigError: no such metric, or an empty column; no rate.
    """
    rows, found = _rows(data, metric)
    name, rate = found.metric.name, found.rate
    points = _points(rows, found)
    order = points.groupby("method")["mean"].mean()
    methods = sorted(dict.fromkeys(rows["method"]), key=lambda one: (one not in order.index, -order.get(one, 0.0)))
    panels = []
    for source, own in rows.groupby("source", sort=False):
        panel = Panel(str(source))
        panel.series, panel.texts = _limit(own, name == "nmse_db")
        for method in methods:
            part = points[(points["source"] == source) & (points["method"] == method)]
            if len(part):
                x, y, low, high = (part[column].to_numpy(float) for column in ("rate", "mean", "low", "high"))
                seeds, first = part["seeds"].tolist(), part["row"].tolist()
                panel.series.append(Series(MEAN, x, y, method, None, low, high, seeds, first))
        panel.texts += _failures(own)
        panels.append(panel)
    legend: list[tuple[str, str | Style]] = [*zip(with_counts(methods, data.counts, labels=data.labels), methods, strict=True)]
    words, more = interval_words(list(points["seeds"]) or [0])
    notes = list(found.notes)
    if rows["limit"].notna().any():
        legend.append(("Shannon's limit", LIMIT))
        words += (
            "; the limit is at the bits that trials spent, straight between them, and the mean where seeds draw other sources"
        )
    if rows["status"].isin(FAILURES).any():
        words += "; ×: trials that diverged or failed at this rate, in no mean"
        if unplaced := int((rows["status"].isin(FAILURES) & rows["nominal"].isna()).sum()):
            notes.append(f"{unplaced} trials that diverged or failed have no rate: they are counted, and not placed")
    log = name == "mse" and bool((points["mean"] > 0).all())
    y, styles = Axis(axis_title(found.metric), log), data.styles
    return Picture(f"Rate and {name}", panels, Axis(rate), y, styles, legend, words=[words, *notes], notes=[*notes, *more])


def several_rates(data: Data) -> bool:
    """Whether any source was tried at more than one rate."""
    parts = _over_rates(data)
    return bool(parts.points.groupby(parts.tasks).nunique().max() > 1)


def _over_rates(data: Data) -> Layout:
    runs = data.ran()
    return layout(runs.results, runs.sizes, data.by, data.within, over_rates=True, apart=runs.apart)


def _rows(data: Data, metric: str | None) -> tuple[pd.DataFrame, Frame]:
    """Trials with ``source``, ``block``, ``nominal`` rate and ``limit`` added, and the frame (a task a source and rate)."""
    runs = data.ran()
    table = runs.results
    known = [name for name in ("spent_bits", "rate_bits", "rate_kbps") if name in table and table[name].notna().any()]
    if not known:
        raise ConfigError("there are no rates: the columns spent_bits, rate_bits and rate_kbps are empty")
    base = _over_rates(data)
    parts = layout(table, runs.sizes, base.by, [*base.within, RATE], apart=runs.apart)
    found = frame(runs, metric, parts=parts, rate=known[0])
    rows = found.rows.copy()
    rows["source"] = base.tasks[rows.index]
    rows["block"] = _blocks(table)[rows.index]
    completed = (table["status"] == Status.COMPLETED).to_numpy()
    rows["limit"] = np.where(completed, _limits(table, found.metric.name), np.nan)[rows.index]
    # A trial that failed before it was measured stands where others with its settings do.
    rows["rate"] = rows["rate"].fillna(rows.groupby(["method", "task"])["rate"].transform("mean"))
    rows["nominal"] = nominal_rate(table)[rows.index].fillna(rows["rate"])
    return rows, found


def _blocks(table: pd.DataFrame) -> NDArray[np.object_]:
    """The settings of each trial's source: blocks of other lengths have other limits."""
    own = [name for name in setting_columns([str(one) for one in table]) if name.startswith("simulator.")]
    texts = [table[name].map(lambda value, name=name: f"{name.partition('.')[2]}={text(value)}") for name in own]
    return np.array([" ".join(values) for values in zip(*texts, strict=True)] or [""] * len(table), dtype=object)


def _limits(table: pd.DataFrame, metric: str) -> Floats:
    """The limit of each trial, at the bits that it spent, in the metric's unit; NaN where there is none."""
    if metric == "mse" and "limit_mse" in table:
        return np.asarray(table["limit_mse"].to_numpy(float, na_value=np.nan))
    if metric == "nmse_db" and "gap_db" in table:
        return np.asarray((table["nmse_db"] - table["gap_db"]).to_numpy(float, na_value=np.nan))
    return np.full(len(table), np.nan)


def _points(rows: pd.DataFrame, found: Frame) -> pd.DataFrame:
    """``source``, ``method``, ``rate``, ``mean``, ``low``, ``high``, ``seeds``, a ``row`` of each rate that was set."""
    good = rows[rows["status"] == Status.COMPLETED].assign(row=rows.index[rows["status"] == Status.COMPLETED])
    placed = good.groupby(["method", "task"], sort=False).agg({"rate": "mean", "row": "first", "source": "first"})
    means = [(*key, *one, seeds) for key, (one, seeds) in found.means().items()]
    table = pd.DataFrame(means, columns=["method", "task", "mean", "low", "high", "seeds"])
    table = table.join(placed, on=["method", "task"])
    return table[table["rate"].notna()].sort_values("rate", kind="stable")


def _limit(rows: pd.DataFrame, decibels: bool) -> tuple[list[Series], list[Text]]:
    """The limit at the bits spent: one line for all, or a named one for sources of each block; the mean over seeds' sources."""
    known = rows[rows["limit"].notna() & rows["rate"].notna()]
    level = known["limit"] if decibels else 10 * np.log10(known["limit"].clip(lower=1e-12))
    known = known.assign(level=level).sort_values("rate", kind="stable")
    lines: list[tuple[str, pd.DataFrame]] = []
    for name, block in known.groupby("block", sort=False):
        _add(lines, str(name), _over_seeds(block))
    look = Look("limit", line=1.8 if len(lines) <= 4 else 0.9)
    series, texts = [], []
    for name, line in lines:
        near = line.groupby(line["rate"].round(2))[["rate", "limit"]].mean()
        x, y = (near[column].to_numpy(float) for column in ("rate", "limit"))
        series.append(Series(look, x, y, style=LIMIT))
        if len({one for one, _ in lines}) > 1:
            texts.append(Text(float(x[-1]), float(y[-1]), literal(name), "right", MUTED, 7))
    return series, texts


def _over_seeds(block: pd.DataFrame) -> pd.DataFrame:
    """One line for the sources of all seeds: their mean at the rates that each of them has, straight between its points."""
    seeds: list[tuple[str, pd.DataFrame]] = []
    for _, line in block.groupby("seed", sort=False):
        _add(seeds, "", line)
    if len(seeds) == 1:
        return seeds[0][1]
    lines = [line for _, line in seeds]
    low, high = max(line["rate"].min() for line in lines), min(line["rate"].max() for line in lines)
    rates = np.unique(block["rate"][block["rate"].between(low, high)])
    if not len(rates):  # no rate that all have
        return block.groupby("nominal", sort=True)[["rate", "limit", "level"]].mean()
    columns = {
        name: np.mean([np.interp(rates, line["rate"], line[name]) for line in lines], axis=0) for name in ("limit", "level")
    }
    return pd.DataFrame({"rate": rates, **columns})


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


def _failures(rows: pd.DataFrame) -> list[Text]:
    """A cross at the top edge over each rate at which trials ended badly, with their number."""
    bad = rows[rows["status"].isin(FAILURES) & rows["nominal"].notna()]
    rates, counts = np.unique(bad["nominal"], return_counts=True)
    return [Text(float(rate), np.nan, f"×{count}", "top", BAD) for rate, count in zip(rates, counts, strict=True)]
