"""The data of a page."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from quantbench.errors import ConfigError
from quantbench.results.load import Results
from quantbench.results.methods import Layout, layout, with_rate
from quantbench.results.palette import styles
from quantbench.results.rank import Ranking, rank
from quantbench.results.rates import source_layout
from quantbench.results.report.curves import gather
from quantbench.results.report.findings import Finding, findings
from quantbench.results.schema import COST, HIGHER_IS_BETTER, LOWER_IS_BETTER, METRICS
from quantbench.results.scores import direction, scores
from quantbench.results.statistics import LEVEL

USUAL = ("nmse_db", "mel_distance_db", "mse")
"""Metrics in the order in which one is chosen where the user chose none."""

MOST_RANKED = 40
"""Tests of all pairs of more methods would take minutes, and find nothing after Holm's adjustment."""

MOST_TEXT = 200_000
DEGREES = 200
COLUMN_DIGITS = 7


@dataclass(frozen=True)
class Report:
    """What a page shows: ``data`` for its script; findings and ranking, which need none."""

    title: str
    data: dict[str, Any]
    findings: list[Finding]
    ranking: Ranking | None
    notes: list[str]


def make_report(
    found: Results,
    runs: Sequence[Path],
    metric: str | None = None,
    by: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
) -> Report:
    """Gather everything that a page shows.

    Args:
        runs: folders or tables that ``found`` was loaded from.
        metric: of the findings and the first plots; by default a distortion.

    Raises:
        ConfigError: no trial; an unknown metric or setting.
    """
    table = found.results.reset_index(drop=True)
    if not len(table):
        raise ConfigError(f"{', '.join(map(str, runs))}: the tables hold no trial, so there is nothing to report")
    if metric is not None:
        direction(table, metric)
    parts = layout(table, by, within)
    metric = metric or _usual(table)
    methods, method_names = _numbered(parts.methods)
    tasks, task_names = _numbered(parts.tasks)
    curves = gather(found.curves, table["trial"], methods, tasks)
    notes = [*found.notes, *curves.notes]
    ranking = scored = None
    if metric is not None:
        ranked, cut = _ranked(table, parts, metric)
        scored = scores(table, parts, metric)
        ranking = rank(table.loc[ranked], Layout(parts.by, parts.within, parts.methods[ranked], parts.tasks[ranked]), metric)
        notes += [*cut, *ranking.notes]
    look = styles(method_names)
    order = {one.method: place for place, one in enumerate(ranking.standings)} if ranking else {}
    data = {
        "metric": metric,
        "by": parts.by,
        "within": parts.within,
        "methods": [{"name": name, **look[name]._asdict(), "place": order.get(name)} for name in method_names],
        "tasks": task_names,
        "method": methods.tolist(),
        "task": tasks.tolist(),
        "columns": _columns(table),
        "metrics": {name: _sign(name) for name in _metrics(table)},
        "curves": {"lines": curves.lines, "bands": curves.bands, "grids": curves.grids},
        "rates": _rates(table, by, within),
        "student": [float(stdtrit(degrees, (1 + LEVEL) / 2)) for degrees in range(1, DEGREES + 1)],
        "runs": [_run(path, found) for path in runs],
    }
    experiments = [str(name) for name in dict.fromkeys(table["experiment"].dropna())] if "experiment" in table else []
    title = ", ".join(experiments) or ", ".join(path.name for path in runs)
    return Report(title, data, findings(table, parts, ranking, scored, curves), ranking, list(dict.fromkeys(notes)))


def _usual(table: pd.DataFrame) -> str | None:
    """The metric to begin with; None where no completed trial has any."""
    completed = table[table["status"] == "completed"]
    known = [name for name in [*USUAL, *METRICS] if name in LOWER_IS_BETTER | HIGHER_IS_BETTER and name in table]
    return next((name for name in known if completed[name].notna().any()), None)


def _ranked(table: pd.DataFrame, parts: Layout, metric: str) -> tuple[pd.Series[bool], list[str]]:
    """Which rows are ranked: all, or those of the methods with the best means where methods are very many."""
    every = pd.Series(True, index=table.index)
    if len(parts.names) <= MOST_RANKED:
        return every, []
    value = direction(table, metric) * table[metric].astype(float).where(table["status"] == "completed", math.inf)
    best = value.groupby(parts.methods).mean().sort_values(kind="stable").index[:MOST_RANKED]
    note = f"of {len(parts.names)} methods the {MOST_RANKED} with the best means are ranked and tested"
    return parts.methods.isin(best), [note]


def _numbered(names: pd.Series[str]) -> tuple[Any, list[str]]:
    numbers, found = pd.factorize(names.to_numpy(object))
    return numbers.astype(np.int64), [str(name) for name in found]


def _metrics(table: pd.DataFrame) -> list[str]:
    """Columns that can be drawn."""
    names = [name for name in [*METRICS, *COST] if name in table and pd.api.types.is_numeric_dtype(table[name])]
    return [name for name in names if table[name].notna().any()]


def _sign(metric: str) -> int:
    return 1 if metric in LOWER_IS_BETTER else -1 if metric in HIGHER_IS_BETTER else 0


def _columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Columns that are not empty; numbers as numbers, all else as text."""
    found = []
    for name in table.columns:
        column = table[name]
        if column.isna().all():
            continue
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            values: list[Any] = [_number(value) for value in column.astype("float64").tolist()]
            found.append({"name": str(name), "kind": "number", "values": values})
        else:
            values = [None if pd.isna(value) else str(value) for value in column.tolist()]
            found.append({"name": str(name), "kind": "text", "values": values})
    return found


def _number(value: float) -> float | int | str | None:
    """What JSON can hold: infinity, which it has not, as text."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.{COLUMN_DIGITS}g}")


def _rates(table: pd.DataFrame, by: Sequence[str] | None, within: Sequence[str] | None) -> dict[str, Any] | None:
    """Rate, nominal rate, limit and source of each trial; None where there are not two rates, nominal or spent."""
    if "rate_bits" not in table or table["rate_bits"].isna().all():
        return None
    nominal = with_rate(table)[0]["rate"].round(6)
    spent = "spent_bits" if "spent_bits" in table and table["spent_bits"].notna().any() else "rate_bits"
    rated, label = with_rate(table, spent)
    if rated["rate"].round(2).nunique() < 2:
        return None
    sources, names = _numbered(source_layout(table, by, within).tasks)
    limits: dict[str, list[Any]] = {}
    if "gap_db" in table and "nmse_db" in table:
        limits["nmse_db"] = [_number(value) for value in (table["nmse_db"] - table["gap_db"]).astype(float)]
    if "limit_mse" in table:
        limits["mse"] = [_number(value) for value in table["limit_mse"].astype(float)]
    return {
        "label": label,
        "spent": [_number(value) for value in rated["rate"].astype(float)],
        "nominal": [_number(value) for value in nominal.astype(float)],
        "limits": limits,
        "source": sources.tolist(),
        "sources": names,
    }


def _run(path: Path, found: Results) -> dict[str, str]:
    """A run's name and what its folder says of how it was made, as text."""
    folder = path if path.is_dir() else path.parent
    texts = {}
    for name in ("environment.json", "sweep.yaml"):
        file, content = folder / name, ""
        if file.is_file() and not file.is_symlink():  # a stranger's link would put another file of yours into the page
            with contextlib.suppress(OSError):
                content = file.read_text(encoding="utf-8", errors="replace")
        cut = "" if len(content) <= MOST_TEXT else f"\n... ({len(content) - MOST_TEXT:,} more characters)"
        texts[name] = content[:MOST_TEXT] + cut
    return {"name": folder.resolve().name, **texts}


def embedded(data: dict[str, Any]) -> str:
    """JSON that is inert within a script element, whatever its strings hold."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII only
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
