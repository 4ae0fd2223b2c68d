"""The data of a page."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.files import opened
from quantbench.metrics import Metric
from quantbench.results.frame import Frame, find_metric, has_goal
from quantbench.results.load import Results
from quantbench.results.merge import LARGEST
from quantbench.results.palette import Style
from quantbench.results.plots.data import Data, axis_title
from quantbench.results.rank import Over, Ranking, rank
from quantbench.results.rank_text import notes_of
from quantbench.results.report.embed import numbers
from quantbench.results.report.findings import Finding, findings
from quantbench.results.report.lines import trial_lines
from quantbench.results.report.pairs import Chosen, choose, differences, lists
from quantbench.results.report.pictures import drawable, pictures
from quantbench.results.shades import on_dark
from quantbench.results.statistics import INTERVAL

MOST_TEXT = 200_000


@dataclass(frozen=True)
class Report:
    """What a page shows: ``data`` for its script; findings and rankings, which need none."""

    title: str
    data: dict[str, Any]
    findings: list[Finding]
    rankings: list[Ranking]
    notes: list[str]


def make_report(
    found: Results,
    runs: Sequence[Path],
    metric: str | None = None,
    by: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
    whole: Results | None = None,
) -> Report:
    """Gather everything that a page shows.

    Args:
        runs: folders or tables that ``found`` was loaded from.
        metric: of the findings and the first plots; by default what the codecs were trained for.
        whole: results with all tracks and phases, where ``found`` are the scores of one track.

    Raises:
        ConfigError: no trial; an unknown metric or setting.
    """
    table = found.results.reset_index(drop=True)
    if not len(table):
        raise ConfigError(f"{', '.join(map(str, runs))}: the tables hold no trial, so there is nothing to report")
    found = replace(found, results=table)
    if metric is not None or has_goal(found):
        metric = find_metric(found, metric, goal=True).name
    data = Data(found, by=by, within=within, whole=whole)
    parts = data.layout
    methods, method_names = _numbered(parts.methods)
    tasks, task_names = _numbered(parts.tasks)
    points, point_notes = data.points
    curves = trial_lines(points)
    frames = {name: data.frame(name) for name in drawable(found)}
    over: Over = "tasks" if data.whole_runs().tuned else "seeds"
    rankings = [] if metric is None else rank(data.frame(metric), over)
    order = best_first(rankings)
    chosen, ranked = _chosen(frames, rankings, order)
    place = {name: number for number, name in enumerate(order)}
    shown = {
        "metric": metric,
        "interval": INTERVAL,
        "by": parts.by,
        "within": parts.within,
        "methods": [_method(name, data.styles[name], place.get(name)) for name in method_names],
        "tasks": task_names,
        "method": methods.tolist(),
        "task": tasks.tolist(),
        "columns": _columns(table),
        "metrics": {name: {"sign": one.metric.sign, "noGoal": one.metric.no_goal} for name, one in frames.items()},
        "words": {name: _words(found.metrics[name]) for name in [*table, *curves.lines] if name in found.metrics},
        "lines": curves.lines,
        "pictures": pictures(data, list(frames), ranked, method_names, curves.grids),
        "grids": curves.grids.lists(),
        **_compared(frames, rankings, chosen, ranked, method_names, task_names),
        "runs": [_run(path, found) for path in runs],
    }
    experiments = [str(name) for name in dict.fromkeys(table["experiment"].dropna())] if "experiment" in table else []
    title = ", ".join(experiments) or ", ".join(path.name for path in runs)
    notes = [*found.notes, *point_notes, *curves.notes, *notes_of(rankings)]
    said = findings(found, parts, rankings, None if metric is None else frames[metric], curves)
    return Report(title, shown, said, rankings, list(dict.fromkeys(notes)))


def best_first(rankings: Sequence[Ranking]) -> list[str]:
    """Methods in the order of their ranking; of several, the best ones first, each once."""
    placed = [(place, one.method) for found in rankings for place, one in enumerate(found.standings)]
    return list(dict.fromkeys(name for _, name in sorted(placed, key=lambda one: one[0])))


def _chosen(frames: dict[str, Frame], rankings: list[Ranking], order: list[str]) -> tuple[Chosen, dict[str, list[Ranking]]]:
    """What is compared, and rankings by each metric of it that is a goal."""
    if not rankings:
        return Chosen([], [], ""), {}
    main = rankings[0].metric.name
    chosen = choose(frames[main], order, list(frames))
    goals = [name for name in chosen.metrics if frames[name].metric.sign and not frames[name].metric.no_goal]
    return chosen, {name: rankings if name == main else rank(frames[name]) for name in goals}


def _compared(
    frames: dict[str, Frame],
    rankings: list[Ranking],
    chosen: Chosen,
    ranked: dict[str, list[Ranking]],
    methods: list[str],
    tasks: list[str],
) -> dict[str, Any]:
    """``rankings`` by metric, and ``compare``: which methods and metrics, a note, and their differences by metric."""
    if not rankings:
        return {"rankings": {}, "compare": None}
    number = {name: place for place, name in enumerate(methods)}
    return {
        "rankings": {name: lists(found, methods, chosen.methods) for name, found in ranked.items()},
        "compare": {
            "methods": [number[name] for name in chosen.methods],
            "note": chosen.note,
            "rate": frames[rankings[0].metric.name].rate,
            "metrics": {name: differences(frames[name], chosen.methods, methods, tasks) for name in chosen.metrics},
        },
    }


def _method(name: str, style: Style, place: int | None) -> dict[str, Any]:
    """A method with its place among all, and how it is drawn; on dark pages in a colour of its own."""
    return {"name": name, **style._asdict(), "dark": on_dark(style.colour), "place": place}


def _numbered(names: pd.Series[str]) -> tuple[Any, list[str]]:
    places, found = pd.factorize(names.to_numpy(object))
    return places.astype(np.int64), [str(name) for name in found]


def _words(metric: Metric) -> tuple[str, str]:
    """What an axis says of a metric, and a line of words: ``nmse_db (lower is better): mse over ..., in dB``."""
    words = ", in ".join(filter(None, (metric.words, metric.unit)))
    return axis_title(metric), f"{metric.titled}: {words}" if words else metric.titled


def _columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Columns that are not empty; numbers as numbers, all else as text."""
    found = []
    for name in table.columns:
        column = table[name]
        if column.isna().all():
            continue
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            values: list[Any] = numbers(column.astype("float64").tolist())
            found.append({"name": str(name), "kind": "number", "values": values})
        else:
            values = [None if pd.isna(value) else str(value) for value in column.tolist()]
            found.append({"name": str(name), "kind": "text", "values": values})
    return found


def _run(path: Path, found: Results) -> dict[str, str]:
    """A run's name and what its folder says of how it was made, as text."""
    folder = path if path.is_dir() else path.parent
    texts = {}
    for name in ("environment.json", "sweep.yaml"):
        file, content = folder / name, ""
        # Not through a stranger's link, which would put another file of yours into the page; notes tell of what is not read.
        with contextlib.suppress(OSError, ConfigError), opened(file) as source:
            content = source.read(LARGEST).decode("utf-8", errors="replace")
        cut = "" if len(content) <= MOST_TEXT else f"\n... ({len(content) - MOST_TEXT:,} more characters)"
        texts[name] = content[:MOST_TEXT] + cut
    return {"name": folder.resolve().name, **texts}
