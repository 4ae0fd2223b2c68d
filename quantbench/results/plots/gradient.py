"""The bias of each strategy's gradient against its variance, of an audit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.audit_table import MOMENTS, middle
from quantbench.results.palette import Style, styles
from quantbench.results.plots.data import Data, interval_words, pairs_of
from quantbench.results.plots.picture import MUTED, Axis, Look, Panel, Picture, Series, Text, wrapped
from quantbench.results.statistics import mean_interval

MOST_NAMES, LONGEST_NAME = 12, 34
"""More or longer names than these have no room beside their points."""

BARS = Style(MUTED, "", "solid")


def gradient(data: Data, metric: str | None) -> Picture:
    """Means over seeds with intervals in both directions, before and after training, at the middle width of the audit.

    Both are relative to the true gradient.

    Raises:
        ConfigError: there is no audit.csv; a metric was given.
    """
    if metric is not None:
        raise ConfigError(f"--metric {metric}: the gradient's picture shows bias and variance only")
    if data.audit.empty:
        raise ConfigError("there is no audit.csv among the results; `quantbench audit` makes one")
    width = middle(data.audit)
    table = data.audit.assign(name=pairs_of(data.audit))
    table = table[(table["sigma"] == width) | table["sigma"].isna()]
    known = table.dropna(subset=["bias", "variance"])
    known = known[np.isfinite(known["bias"]) & np.isfinite(known["variance"])]
    if known.empty:
        raise ConfigError("the columns bias and variance of audit.csv are empty")
    look = styles(list(dict.fromkeys(known["name"])))
    wrong = {str(name) for name, part in table.groupby("name") if (part["findings"].notna() & (part["findings"] != "")).any()}
    named = {name: wrapped(data.labels.get(name, name), 34) + (" ×" if name in wrong else "") for name in look}
    crowded = len(named) > MOST_NAMES or max(map(len, named.values())) > LONGEST_NAME
    panels = [
        _panel(moment, known[known["moment"] == moment], {} if crowded else named)
        for moment in MOMENTS
        if (known["moment"] == moment).any()
    ]
    words, notes = interval_words(list(known.groupby(["name", "moment"]).size()))
    if lacking := len(table) - len(known):
        notes.append(f"{lacking} of {len(table)} rows have no bias or variance and are not drawn")
    if not np.isnan(width):
        words += f"; smoothed by {width:g} quantization errors"
    if wrong:
        words += "; ×: the audit found a mistake"
    if (known["variance"] <= 0).any():
        words += "; a variance of 0: the strategy is deterministic"
    return Picture(
        "Bias and variance of gradients",
        panels,
        Axis("bias (norms of the true gradient)"),
        Axis("variance (squared norms of the true gradient)"),
        look,
        [(named[name], style._replace(dash="none")) for name, style in look.items()] if crowded else [],
        size=(2.9, 2.4) if crowded else (3.7, 3.4),
        words=[words, *notes],
        notes=notes,
    )


def _panel(moment: str, rows: pd.DataFrame, named: dict[str, str]) -> Panel:
    panel = Panel(MOMENTS[moment])
    for name, part in rows.groupby("name", sort=False):
        x, y = (mean_interval(part[column].to_numpy(float)) for column in ("bias", "variance"))
        across, up = np.array([x.mean]), np.array([y.mean])
        for look, ends in ((Look("bar", across=True), x), (Look("bar"), y)):
            low, high = np.array([ends.low]), np.array([ends.high])
            panel.series.append(Series(look, across, up, str(name), BARS, low, high))
        panel.series.append(Series(Look("mean", mark=7), across, up, str(name)))
        if named:
            panel.texts.append(Text(x.mean, y.mean, named[str(name)], "beside"))
    return panel
