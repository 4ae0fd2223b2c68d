"""Means with intervals, by metric, task and method, and by rate: what a page draws beside the trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.results.frame import Frame, frame
from quantbench.results.layout import RATE, layout, rates
from quantbench.results.load import Results
from quantbench.results.report.embed import numbers
from quantbench.results.statistics import NOTHING, Estimate

Floats = NDArray[np.float64]


def drawable(runs: Results) -> list[str]:
    """Metrics that a completed trial has, in the order in which they are told of."""
    completed = runs.results[runs.results["status"] == "completed"]
    there = [name for name in runs.metrics if name in completed and pd.api.types.is_numeric_dtype(completed[name])]
    return [name for name in there if np.isfinite(_floats(completed[name])).any()]


def means(frames: dict[str, Frame], methods: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
    """``Frame.means`` of every metric: by ``method`` and ``task`` (numbers), ``mean``, ``low``, ``high`` and ``seeds``."""
    found = {name: one.means() for name, one in frames.items()}
    keys = list(dict.fromkeys(key for one in found.values() for key in one))
    method, task = ({name: place for place, name in enumerate(names)} for names in (methods, tasks))
    return {
        "method": [method[key[0]] for key in keys],
        "task": [task[key[1]] for key in keys],
        "metrics": {name: _estimates([one.get(key, (NOTHING, 0)) for key in keys]) for name, one in found.items()},
    }


def _estimates(found: Sequence[tuple[Estimate, int]]) -> dict[str, Any]:
    ends = {end: numbers(getattr(value, end) for value, _ in found) for end in Estimate._fields}
    return ends | {"seeds": [seeds for _, seeds in found]}


def rate_points(
    runs: Results, metrics: Sequence[str], methods: Sequence[str], by: Sequence[str] | None, within: Sequence[str] | None
) -> dict[str, Any] | None:
    """Each metric's means by source and rate, and the limit of each trial; None where there are not two rates.

    Points stand at the mean rate that their trials spent. They are by ``method`` and ``source`` (numbers), with ``rate``,
    ``mean``, ``low``, ``high``, ``seeds``, and the ``row`` of one of their trials.
    """
    table = runs.results
    spent = next(
        (name for name in ("spent_bits", "rate_bits", "rate_kbps") if name in table and table[name].notna().any()), None
    )
    if spent is None or not metrics:
        return None
    rate, label = rates(table, spent)
    if rate.round(2).nunique() < 2:
        return None
    base = layout(table, runs.sizes, by, within, over_rates=True, apart=runs.apart)
    parts = layout(table, runs.sizes, base.by, [*base.within, RATE])
    sources, names = pd.factorize(base.tasks.to_numpy(object))
    limits = _limits(table)
    shown = [name for name in metrics if name in limits] or metrics
    return {
        "label": label,
        "spent": numbers(_floats(rate)),
        "limits": {name: numbers(values) for name, values in limits.items()},
        "source": sources.tolist(),
        "sources": [str(name) for name in names],
        "points": {name: _points(frame(runs, name, parts=parts, rate=spent), methods, sources) for name in shown},
    }


def _points(found: Frame, methods: Sequence[str], sources: NDArray[np.int64]) -> dict[str, Any]:
    good = found.rows[found.rows["status"] == "completed"].assign(row=lambda rows: rows.index)
    placed = good.groupby(["method", "task"], sort=False).agg({"rate": "mean", "row": "first"})
    where = {(str(method), str(task)): (float(rate), int(row)) for (method, task), rate, row in placed.itertuples()}
    known = {key: one for key, one in found.means().items() if np.isfinite(where[key][0])}
    keys = sorted(known, key=lambda key: where[key][0])
    number = {name: place for place, name in enumerate(methods)}
    return {
        "method": [number[method] for method, _ in keys],
        "source": [int(sources[where[key][1]]) for key in keys],
        "rate": numbers(where[key][0] for key in keys),
        "row": [where[key][1] for key in keys],
    } | _estimates([known[key] for key in keys])


def _limits(table: pd.DataFrame) -> dict[str, Floats]:
    """The least that each trial's metric could be at the bits that it spent."""
    found = {}
    if "gap_db" in table and "nmse_db" in table:
        found["nmse_db"] = _floats(table["nmse_db"] - table["gap_db"])
    if "limit_mse" in table:
        found["mse"] = _floats(table["limit_mse"])
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _floats(column: pd.Series[Any]) -> Floats:
    return np.asarray(column.to_numpy(float, na_value=np.nan))
