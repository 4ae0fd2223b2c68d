"""The bias of each strategy's gradient against its variance, of an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.layout import text
from quantbench.results.palette import Style, styles
from quantbench.results.plots.common import BAD, INK, MUTED, Picture, caption, handle, legend, marks, panels, wrapped
from quantbench.results.plots.data import Data, interval_words
from quantbench.results.plots.names import bars, name_points, settle
from quantbench.results.statistics import Estimate, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMES, LONGEST_NAME = 12, 34
"""More or longer names than these have no room beside their points."""

MOMENTS = {"start": "before training", "end": "after a short training"}


def gradient(data: Data, metric: str | None) -> Picture:
    """Means over seeds with intervals in both directions, before and after training; both relative to the true gradient.

    Raises:
        ConfigError: there is no audit.csv; a metric was given.
    """
    if metric is not None:
        raise ConfigError(f"--metric {metric}: the gradient's picture shows bias and variance only")
    if data.audit.empty:
        raise ConfigError("there is no audit.csv among the results; `quantbench audit` makes one")
    table = data.audit.assign(name=_names(data.audit))
    known = table.dropna(subset=["bias", "variance"])
    known = known[np.isfinite(known["bias"]) & np.isfinite(known["variance"])]
    if known.empty:
        raise ConfigError("the columns bias and variance of audit.csv are empty")
    moments = [moment for moment in MOMENTS if (known["moment"] == moment).any()]
    look = styles(list(dict.fromkeys(known["name"])))
    found = {str(name) for name, part in table.groupby("name") if (part["findings"].notna() & (part["findings"] != "")).any()}
    named = {name: wrapped(name, 34) + (" ×" if name in found else "") for name in look}
    crowded = len(named) > MOST_NAMES or max(map(len, named.values())) > LONGEST_NAME
    figure, axes = panels([MOMENTS[moment] for moment in moments], list(named.values()) if crowded else [])
    if not crowded:
        figure.set_size_inches(4.4 * len(moments), 4.2)
    for place, one in enumerate(axes):
        one.set_xlabel("bias (norms of the true gradient)", color=INK)
        if place == 0:
            one.set_ylabel("variance (squared norms of the true gradient)", color=INK)
    drawn = [_panel(one, known[known["moment"] == moment], look, found) for one, moment in zip(axes, moments, strict=True)]
    seeds = known.groupby(["name", "moment"]).size()
    words, notes = interval_words(list(seeds))
    if lacking := len(table) - len(known):
        notes.append(f"{lacking} of {len(table)} rows have no bias or variance and are not drawn")
    if found:
        words += "; ×: the audit found a mistake"
    if (known["variance"] <= 0).any():
        words += "; a variance of 0: the strategy is deterministic"
    caption(figure, "\n".join([words, *notes]))
    if crowded:
        legend(figure, [handle(style._replace(dash="none")) for style in look.values()], list(named.values()))
        return Picture(figure, notes)
    settle(figure)
    for one, estimates in zip(axes, drawn, strict=True):
        labels = [named[name] for name in estimates]
        points, lows, highs = (np.array([[x[end], y[end]] for x, y in estimates.values()]) for end in range(3))
        lows, highs = np.where(np.isnan(lows), points, lows), np.where(np.isnan(highs), points, highs)
        name_points(one, labels, points, bars(one, lows, highs, points))
    return Picture(figure, notes)


def _names(table: pd.DataFrame) -> pd.Series[str]:
    return table["quantizer"].map(text).astype(object) + " " + table["gradient"].map(text).astype(object)


def _panel(axes: Axes, rows: pd.DataFrame, look: dict[str, Style], found: set[str]) -> dict[str, tuple[Estimate, Estimate]]:
    """Draw a moment; gives bias and variance of each pair."""
    estimates = {}
    for name, part in rows.groupby("name", sort=False):
        x, y = (mean_interval(part[column].to_numpy(float)) for column in ("bias", "variance"))
        estimates[str(name)] = (x, y)
        axes.plot([x.low, x.high], [y.mean, y.mean], color=MUTED, linewidth=0.9, zorder=2)
        axes.plot([x.mean, x.mean], [y.low, y.high], color=MUTED, linewidth=0.9, zorder=2)
        style = look[str(name)]
        look_of = marks(style, 7) | ({"markeredgecolor": BAD} if name in found else {})
        axes.plot([x.mean], [y.mean], linestyle="", color=style.colour, zorder=4, label=str(name), **look_of)
    axes.margins(0.12)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    return estimates
