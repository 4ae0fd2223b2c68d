"""Which way each strategy's gradient points, over the width of the smoothing, of an audit."""

from __future__ import annotations

import numpy as np

from quantbench.errors import ConfigError
from quantbench.results.audit_table import MOMENTS
from quantbench.results.audit_verdict import cosines
from quantbench.results.estimate import Estimate
from quantbench.results.palette import styles
from quantbench.results.plots.data import Data, interval_words, pairs_of
from quantbench.results.plots.picture import Axis, Look, Panel, Picture, Series

MOST_BANDS = 6
"""More lines than these have no intervals: nobody could tell whose is whose."""


def alignment(data: Data, metric: str | None) -> Picture:
    """Mean cosine over seeds, with intervals, against the width, before and after training.

    Raises:
        ConfigError: there is no audit.csv, or none with a cosine; a metric was given.
    """
    if metric is not None:
        raise ConfigError(f"--metric {metric}: the alignment's picture shows cosines only")
    if data.audit.empty:
        raise ConfigError("there is no audit.csv among the results; `quantbench audit` makes one")
    table = data.audit.assign(name=pairs_of(data.audit)).dropna(subset=["cosine", "sigma"])
    if table.empty:
        raise ConfigError("the column cosine of audit.csv is empty")
    look = styles(list(dict.fromkeys(table["name"])))
    several = table["quantizer"].nunique() > 1
    panels, crowded = [], False
    for quantizer, own in table.groupby("quantizer", sort=False):
        for moment, title in MOMENTS.items():
            lines = [(str(name), cosines(part)) for name, part in own[own["moment"] == moment].groupby("name", sort=False)]
            crowded |= len(lines) > MOST_BANDS
            if lines:
                panels.append(_panel(f"{quantizer}, {title}" if several else title, lines))
    words, notes = interval_words(list(table.groupby(["name", "moment", "sigma"]).size()))
    left_out = ["intervals are left out where there are many lines; audit.csv has them"] * crowded
    return Picture(
        "Cosine of each gradient with the true one",
        panels,
        Axis("width of the smoothing (quantization errors)", log=True),
        Axis("cosine", limits=(-1.0, 1.05)),
        look,
        [(data.labels.get(name, name), style) for name, style in look.items()],
        words=[f"above 0: a step lowers the hard distortion, as seen at that width; {words}", *left_out],
        notes=[*notes, *left_out],
    )


def _panel(title: str, lines: list[tuple[str, dict[float, Estimate]]]) -> Panel:
    panel, many = Panel(title), len(lines) > MOST_BANDS
    for name, found in lines:
        x, ends = np.array(list(found)), np.array(list(found.values())).T
        low, high = (None, None) if many else (ends[1], ends[2])
        panel.series.append(Series(Look("mean", 1.2 if many else 1.5, 4, band=0.15), x, ends[0], name, None, low, high))
    return panel
