"""A ranking as text."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from quantbench.results.frame import POLICIES
from quantbench.results.groups import letters
from quantbench.results.rank import TASKS, Ranking
from quantbench.results.rate_distortion import LEAST_SHARE, Bjontegaard, Point
from quantbench.results.render import Cell, Difference, Rounded, flat, render, wrapped
from quantbench.results.statistics import INTERVAL

Table = tuple[list[str], list[list[Cell]]]


def render_ranking(
    found: Sequence[Ranking],
    points: Sequence[Point],
    rate: str,
    curves: Sequence[Bjontegaard],
    form: str = "table",
    only: str | None = None,
) -> str:
    """The rankings, the Pareto set where there are several rates, and differences of rate-distortion curves where asked for.

    Args:
        points: all points by rate; empty where there is one rate only.
        rate: the rate's name for people.
        curves: empty where no method to compare with was given.
        only: ``ranking``, ``pareto`` or ``bd``. CSV has one table, the ranking by default; JSON has all, by name.
    """
    tables: dict[str, Table] = {"ranking": _joined(found)}
    metric = found[0].metric.name
    if points:
        tables["pareto"] = _pareto(metric, points, rate)
    if curves:
        tables["bd"] = _bjontegaard(metric, curves)
    notes = [*notes_of(found), *_no_curves(curves)]
    if form == "json" and only is None:
        named = {
            name: [dict(zip(columns, row, strict=True)) for row in rows] for name, (columns, rows) in _flat(tables).items()
        }
        return json.dumps(named | {"notes": notes}, indent=1, ensure_ascii=False)
    if only is not None or form == "csv":
        return render(*tables.get(only or "ranking", ([], [])), form)
    parts = [_heading(found)]
    for one in found:
        title = [f"At {rate_words(one.rate)}:"] if one.rate is not None else []
        parts.append("\n".join([*title, render(*standings(one), form)]))
    if "pareto" in tables:
        words = "Pareto set: nothing else in the task is as good at the same rate or less."
        parts += [words, render(*tables["pareto"], form)]
    if "bd" in tables:
        parts += [wrapped(BD_WORDS), render(*tables["bd"], form)]
    if notes:
        parts.append("\n".join(f"- {note}" if form == "markdown" else wrapped(f"note: {note}") for note in notes))
    return "\n\n".join(parts)


BETTER = "better: the probability to be better than the next one."

BD_WORDS = (
    "Rate-distortion curves against the chosen method, per seed (Bjøntegaard, pchip): rate for equal distortion, and "
    "distortion at equal rate."
)


def heading(one: Ranking) -> list[str]:
    """What the numbers of a ranking are, in sentences."""
    tasks = f"{len(one.tasks)} tasks ({_few(one.tasks)})" if len(one.tasks) > 1 else "one task"
    if not one.blocks and len(one.tasks) > 1:
        tasks = "each method's own tasks, which differ (see the notes),"
    lines = [f"{one.metric.titled}: interquartile mean over seeds, mean over {tasks}; {POLICIES[one.failures]}."]
    what = "other tasks like these" if one.over == TASKS else "other seeds of these tasks alone"
    lines.append(f"Intervals and letters speak of {what}.")
    if one.separable:
        lines.append(
            f"groups: methods that share a letter do not differ significantly (Wilcoxon, Holm, {one.blocks} {one.units})."
        )
    return lines


def _heading(found: Sequence[Ranking]) -> str:
    if len(found) > 1:
        one = found[0]
        lines = [
            f"{one.metric.titled}: interquartile mean over seeds, mean over the tasks of each list; {POLICIES[one.failures]}."
        ]
        lines.append(heading(one)[1])
    else:
        lines = heading(found[0])
    lines.insert(1, BETTER)
    if len(found) > 1:
        lines.append("Methods of different rates are ranked rate by rate; letters (Wilcoxon, Holm) are of each list.")
    return "\n".join(map(wrapped, lines))


def rate_words(rate: str) -> str:
    """``a rate of 6``; settings where the rate is not known."""
    return "no rate" if not rate else rate if "=" in rate else f"a rate of {rate}"


def notes_of(found: Sequence[Ranking]) -> list[str]:
    """The notes of all lists; those of one list alone say which."""

    def said(one: Ranking, note: str) -> str:
        own = len(found) > 1 and one.rate is not None and (note.startswith("unmatched") or "groups" in note)
        return f"at {rate_words(one.rate or '')}: {note}" if own else note

    return list(dict.fromkeys(said(one, note) for one in found for note in one.notes))


def _few(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def standings(one: Ranking, every: bool = False) -> Table:
    """The table of a ranking; ``every`` column, whether it says something here or not."""
    complete = not every and len({standing.tasks for standing in one.standings}) == 1
    rated = every or any(not np.isnan(standing.rate) for standing in one.standings)
    lettered = every or one.separable
    header = ["place", "method", *(["rate"] if rated else []), f"{one.metric.name} {INTERVAL}", "better", "mean rank"]
    header += [*(["groups"] if lettered else []), "trials", "diverged", "failed", *([] if complete else ["tasks"])]
    rows: list[list[Cell]] = []
    for place, standing in enumerate(one.standings, start=1):
        row: list[Cell] = [str(place), standing.method]
        row += [None if np.isnan(standing.rate) else Rounded(standing.rate)] if rated else []
        row += [standing.center, *(None if np.isnan(x) else Rounded(x) for x in (standing.improves, standing.mean_rank))]
        row += [("".join(map(letters, standing.groups)) if one.separable else None)] if lettered else []
        row += [standing.trials, standing.diverged, standing.failed, *([] if complete else [standing.tasks])]
        rows.append(row)
    return header, rows


def _joined(found: Sequence[Ranking]) -> Table:
    """All lists in one table, for machines; which list a row is of, its column ``list`` says."""
    if len(found) == 1:
        return standings(found[0])
    parts = [(one.rate, standings(one, every=True)) for one in found]
    return ["list", *parts[0][1][0]], [[rate_words(rate or ""), *row] for rate, (_, rows) in parts for row in rows]


def _pareto(metric: str, points: Sequence[Point], rate: str) -> Table:
    tasks = len({point.task for point in points}) > 1
    header = [*(["task"] if tasks else []), rate, "method", metric, "trials", "diverged", "failed"]
    best = [point for point in points if point.best]
    return header, [
        [
            *([point.task] if tasks else []),
            Rounded(point.rate, 4),
            point.method,
            Rounded(point.value),
            point.trials,
            point.diverged,
            point.failed,
        ]
        for point in best
    ]


def _bjontegaard(metric: str, curves: Sequence[Bjontegaard]) -> Table:
    tasks = len({one.task for one in curves}) > 1
    header = [*(["task"] if tasks else []), "method", f"rate, % {INTERVAL}", f"{metric} {INTERVAL}", "seeds", "left out"]
    rows: list[list[Cell]] = []
    for one in curves:
        if one.seeds[1]:
            counts = f"{one.seeds[0]}, {one.seeds[1]} of {one.seeds[2]}"
            task: list[Cell] = [one.task] if tasks else []
            rows.append([*task, one.method, Difference(*one.rate), Difference(*one.distortion), counts, one.why])
    return header, rows


def _no_curves(curves: Sequence[Bjontegaard]) -> list[str]:
    """One note a method whose curves allow no comparison in some tasks, and of those that hardly overlap."""
    lacking: dict[tuple[str, str], list[str]] = {}
    narrow = []
    for one in curves:
        if not one.seeds[1]:
            lacking.setdefault((one.method, one.why), []).append(one.task)
        elif min(one.share) < LEAST_SHARE:
            where = f" in {one.task}" if one.task else ""
            shares = f"{100 * one.share[1]:.0f} % of their range of rates, {100 * one.share[0]:.0f} % of that of distortion"
            narrow.append(f"BD of {one.method}{where} is of a corner: the curves share {shares}")
    return [
        *(
            f"no curve of {method} to compare{f' in {_few(tasks)}' if any(tasks) else ''}: {why}"
            for (method, why), tasks in lacking.items()
        ),
        *narrow,
    ]


def _flat(tables: dict[str, Table]) -> dict[str, tuple[list[str], list[list[object]]]]:
    return {name: flat(header, rows) for name, (header, rows) in tables.items()}
