"""Which way each strategy's gradient points, over the width of the smoothing, of an audit."""

from __future__ import annotations

import numpy as np

from quantbench.errors import ConfigError
from quantbench.results.audit_table import MOMENTS
from quantbench.results.audit_verdict import cosines
from quantbench.results.palette import styles
from quantbench.results.plots.data import Data, interval_words, pairs_of
from quantbench.results.plots.picture import Axis, Look, Panel, Picture, Series


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
    panels = []
    for moment, title in MOMENTS.items():
        groups = table[table["moment"] == moment].groupby("name", sort=False)
        lines = [(str(name), cosines(part)) for name, part in groups]
        crowd = 0.15 if len(lines) <= 6 else 0.0
        panel = Panel(title)
        for name, found in lines:
            x, ends = np.array(list(found)), np.array(list(found.values())).T
            panel.series.append(Series(Look("mean", 1.5, 4, band=crowd), x, ends[0], name, None, ends[1], ends[2]))
        panels += [panel] if lines else []
    words, notes = interval_words(list(table.groupby(["name", "moment", "sigma"]).size()))
    return Picture(
        "Cosine of each gradient with the true one",
        panels,
        Axis("width of the smoothing (quantization errors)", log=True),
        Axis("cosine", limits=(-1.0, 1.05)),
        look,
        [(data.labels.get(name, name), style) for name, style in look.items()],
        words=[f"above 0: a step lowers the hard distortion, as seen at that width; {words}"],
        notes=notes,
    )
