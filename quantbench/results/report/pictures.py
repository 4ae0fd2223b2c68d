"""The pictures of a page, by kind and metric: those that ``quantbench plot`` draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.load import Results
from quantbench.results.plots.critical_difference import of_ranking
from quantbench.results.plots.data import GROWTH, Data
from quantbench.results.plots.heatmap import heatmap
from quantbench.results.plots.picture import Picture
from quantbench.results.plots.rate_distortion import rate_distortion
from quantbench.results.plots.steps import curves, growth
from quantbench.results.plots.tuned import profile, sensitivity, tuning
from quantbench.results.plots.usage import usage
from quantbench.results.rank import Ranking
from quantbench.results.report.embed import picture
from quantbench.results.report.lines import Grids
from quantbench.results.schema import Status

MOST_RANKED, MOST_CELLS = 40, 4000
"""Methods of a critical-difference diagram and cells of a heat map: of more nobody can read them."""

METRICS_OF_SEARCH = ("nmse_db",)
"""Metrics of the pictures of `quantbench tune`."""

Kind = Callable[[Data, str | None], Picture]


def drawable(runs: Results) -> list[str]:
    """Metrics that a completed trial has, in the order in which they are told of."""
    completed = runs.results[runs.results["status"] == Status.COMPLETED]
    there = [name for name in runs.metrics if name in completed and pd.api.types.is_numeric_dtype(completed[name])]
    return [name for name in there if np.isfinite(completed[name].to_numpy(float, na_value=np.nan)).any()]


def pictures(
    data: Data, metrics: Sequence[str], ranked: Mapping[str, list[Ranking]], methods: Sequence[str], grids: Grids
) -> dict[str, dict[str, Any]]:
    """Every picture that the data support, as draw.js reads it.

    Args:
        metrics: see ``drawable``.
        ranked: rankings by metric.
        methods: their names in the order of their numbers.
    """
    table = data.given().results
    pairs = [table[name].nunique() if name in table else 0 for name in ("quantizer", "gradient")]
    known = [name for name in data.points[0]["metric"].unique() if name != GROWTH]
    limits = {"nmse_db": "gap_db", "mse": "limit_mse"}
    limited = [name for name, limit in limits.items() if limit in table and table[limit].notna().any()]
    rated = [name for name in metrics if name in limited] or metrics
    shown: dict[str, tuple[Kind, Iterable[str]]] = {
        "usage": (usage, metrics),
        "curves": (curves, known),
        "growth": (growth, [GROWTH]),
        "rate_distortion": (rate_distortion, rated),
        "heatmap": (heatmap, metrics if min(pairs) > 1 and math.prod(pairs) <= MOST_CELLS else []),
        "critical_difference": (
            lambda _, name: of_ranking(ranked[str(name)], data.styles),
            [name for name, lists in ranked.items() if max(len(one.standings) for one in lists) <= MOST_RANKED],
        ),
    }
    searched = [name for name in METRICS_OF_SEARCH if name in metrics] if data.whole_runs().tuned else []
    shown |= {"tuning": (tuning, searched), "profile": (profile, searched), "sensitivity": (sensitivity, searched)}
    number = {name: place for place, name in enumerate(methods)}
    found: dict[str, dict[str, Any]] = {kind: {} for kind in shown}
    for kind, (draw, names) in shown.items():
        for name in names:
            try:
                made = draw(data, name)
            except ConfigError:  # the data do not support it
                continue
            if kind == "rate_distortion" and not _several_rates(made):
                break
            found[kind][name] = picture(made, number, grids, name if kind == "usage" else None)
    return found


def _several_rates(made: Picture) -> bool:
    return len({round(float(rate), 2) for panel in made.panels for one in panel.series if one.method for rate in one.x}) > 1
