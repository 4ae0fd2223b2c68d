"""A ranking as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np

from quantbench.results.rank import Ranking
from quantbench.results.rates import Bjontegaard, Point
from quantbench.results.render import Cell, Difference, Rounded, flat, render, wrapped

TABLES = ("ranking", "pareto", "bd")

Table = tuple[list[str], list[list[Cell]]]


def render_ranking(
    found: Ranking,
    points: Sequence[Point],
    rate: str,
    curves: Sequence[Bjontegaard],
    form: str = "table",
    only: str | None = None,
) -> str:
    """The ranking, the Pareto set where there are several rates, and differences of rate-distortion curves where asked for.

    Args:
        points: all points by rate; empty where there is one rate only.
        rate: the rate's name for people.
        curves: empty where no method to compare with was given.
        only: one of ``TABLES``. CSV has one table, the ranking by default; JSON has all, by name.
    """
    tables: dict[str, Table] = {"ranking": _standings(found)}
    if points:
        tables["pareto"] = _pareto(found, points, rate)
    if curves:
        tables["bd"] = _bjontegaard(found, curves)
    if form == "json" and only is None:
        named = {
            name: [dict(zip(columns, row, strict=True)) for row in rows] for name, (columns, rows) in _flat(tables).items()
        }
        return json.dumps(named | {"notes": [*found.notes, *_no_curves(curves)]}, indent=1, ensure_ascii=False)
    if only is not None or form == "csv":
        header, rows = tables.get(only or "ranking", ([], []))
        return render(header, rows, form)
    parts = [_heading(found), render(*tables["ranking"], form, keys=2)]
    if "pareto" in tables:
        parts += [
            "Pareto set: nothing else in the task is as good at the same rate or less.",
            render(*tables["pareto"], form, keys=2),
        ]
    if "bd" in tables:
        parts += [
            wrapped(
                "Rate-distortion curves against the chosen method, per seed (Bjøntegaard, pchip): rate for equal distortion, "
                "and distortion at equal rate."
            ),
            render(*tables["bd"], form, keys=2),
        ]
    if notes := [*found.notes, *_no_curves(curves)]:
        parts.append("\n".join(f"- {note}" if form == "markdown" else wrapped(f"note: {note}") for note in notes))
    return "\n\n".join(parts)


def letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ...: the name of a group."""
    first, last = divmod(number, len(ascii_lowercase))
    return (letters(first - 1) if first else "") + ascii_lowercase[last]


def _heading(found: Ranking) -> str:
    better = "lower" if found.sign > 0 else "higher"
    tasks = f"{len(found.tasks)} tasks ({_few(found.tasks)})" if len(found.tasks) > 1 else "one task"
    if not found.blocks and len(found.tasks) > 1:
        tasks = "each method's own tasks, which differ (see the notes),"
    lines = [
        f"{found.metric} ({better} is better): interquartile mean over {tasks} and seeds with a 95 % bootstrap interval; a "
        f"trial that failed is infinitely bad.",
        "better: the probability to be better than the next one.",
    ]
    if found.separable:
        lines.append(
            f"groups: methods that share a letter do not differ significantly (Wilcoxon, Holm, {found.blocks} pairs of task "
            f"and seed)."
        )
    return "\n".join(map(wrapped, lines))


def _few(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _standings(found: Ranking) -> Table:
    header = [
        "place",
        "method",
        found.metric + " [95 %]",
        "better [95 %]",
        "mean rank",
        *(["groups"] if found.separable else []),
        "trials",
        "failed",
    ]
    complete = all(one.tasks == found.standings[0].tasks for one in found.standings)
    rows: list[list[Cell]] = []
    for place, one in enumerate(found.standings, start=1):
        row: list[Cell] = [
            str(place),
            one.method,
            one.center,
            one.improves,
            None if np.isnan(one.mean_rank) else Rounded(one.mean_rank),
            *(["".join(map(letters, one.groups))] if found.separable else []),
            one.trials,
            one.failed,
        ]
        rows.append(row if complete else [*row, one.tasks])
    return (header if complete else [*header, "tasks"]), rows


def _pareto(found: Ranking, points: Sequence[Point], rate: str) -> Table:
    tasks = len({point.task for point in points}) > 1
    header = [*(["task"] if tasks else []), rate, "method", found.metric, "trials", "failed"]
    best = [point for point in points if point.best]
    return header, [
        [
            *([point.task] if tasks else []),
            Rounded(point.rate, 4),
            point.method,
            Rounded(point.value),
            point.trials,
            point.failed,
        ]
        for point in best
    ]


def _bjontegaard(found: Ranking, curves: Sequence[Bjontegaard]) -> Table:
    tasks = len({one.task for one in curves}) > 1
    header = [*(["task"] if tasks else []), "method", "rate, % [95 %]", f"{found.metric} [95 %]", "seeds", "left out"]
    rows: list[list[Cell]] = []
    for one in curves:
        if one.seeds[1]:
            counts = f"{one.seeds[0]}, {one.seeds[1]} of {one.seeds[2]}"
            rows.append(
                [
                    *([one.task] if tasks else []),
                    one.method,
                    Difference(*one.rate),
                    Difference(*one.distortion),
                    counts,
                    one.why,
                ]
            )
    return header, rows


def _no_curves(curves: Sequence[Bjontegaard]) -> list[str]:
    """One note a method whose curves allow no comparison in some tasks."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for one in curves:
        if not one.seeds[1]:
            lacking.setdefault((one.method, one.why), []).append(one.task)
    return [
        f"no curve of {method} to compare{f' in {_few(tasks)}' if any(tasks) else ''}: {why}"
        for (method, why), tasks in lacking.items()
    ]


def _flat(tables: dict[str, Table]) -> dict[str, tuple[list[str], list[list[object]]]]:
    return {name: flat(header, rows) for name, (header, rows) in tables.items()}
