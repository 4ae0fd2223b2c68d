"""Pairs of methods: what a ranking's test says of each, and their differences over paired seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from quantbench.results.frame import Frame, Values
from quantbench.results.rank import Ranking
from quantbench.results.rank_text import rate_words
from quantbench.results.report.embed import Number, number, numbers, shown_p
from quantbench.results.report.findings import blocks_of, over_tasks

MOST_LINES = 20_000
"""Lines (a pair in a task, by a metric) that are embedded: more make a page of megabytes, and take long."""
MOST_METHODS = 400

ALIKE, BETTER, NOT_ONE_WAY = "=>x"
"""What a test says of two methods: that they do not differ significantly; that the one that stands higher is better; or that
they differ, while the means that they stand by and the ranks that are tested speak for different ones."""

EVERY = -1
FAILED = "failed"


class Chosen(NamedTuple):
    """What is compared pair by pair: methods (names, the best first), metrics, and what is left out, in words."""

    methods: list[str]
    metrics: list[str]
    note: str


def choose(found: Frame, order: Sequence[str], metrics: Sequence[str]) -> Chosen:
    """All methods by all metrics, or as many as a page can hold.

    Args:
        found: of the ranking's metric.
        order: methods, the best first.
        metrics: all that can be compared; that of ``found`` is the first to stay.
    """
    first = list(order[:MOST_METHODS])
    places = _places(found, first)
    has = np.array([(~np.isnan(cells[places])).any(axis=1) for cells in found.cells()], np.int64).T
    common = has @ has.T
    lines = np.triu(common + (common > 1), 1)
    total = np.cumsum(lines.sum(axis=0))
    count = int(np.searchsorted(total, MOST_LINES, side="right")) if len(total) else 0
    if count == len(order) and (not len(total) or total[-1] * len(metrics) <= MOST_LINES):
        return Chosen(first, list(metrics), "")
    note = f"Pairs are compared by {found.metric.name} alone, for all metrics would make the page too large."
    if count < len(order):
        note = f"Of {len(order):,} methods the first {count:,} of the ranking are compared, and by {found.metric.name} alone: "
        note += "all pairs would make the page too large."
    return Chosen(first[:count], [found.metric.name], note)


def _places(found: Frame, names: Sequence[str]) -> list[int]:
    place = {name: number for number, name in enumerate(found.methods)}
    return [place[name] for name in names]


def lists(rankings: Sequence[Ranking], methods: Sequence[str], compared: Sequence[str]) -> list[dict[str, Any]]:
    """Rankings with what their tests say of each pair of the methods ``compared``, by the places of ``tested``."""
    return [_list(one, {name: place for place, name in enumerate(methods)}, set(compared)) for one in rankings]


def _list(one: Ranking, numbers_of: dict[str, int], compared: set[str]) -> dict[str, Any]:
    tested = [place for place, standing in enumerate(one.standings) if standing.method in compared and one.separable]
    pairs = list(combinations(tested, 2))
    return {
        "rate": one.rate,
        "words": None if one.rate is None else rate_words(one.rate),
        "methods": [numbers_of[standing.method] for standing in one.standings],
        "centers": [numbers(standing.center) for standing in one.standings],
        "blocks": one.blocks,
        "needed": one.needed,
        "over": blocks_of(one),
        "separable": one.separable,
        "tested": [numbers_of[one.standings[place].method] for place in tested],
        "p": [number(shown_p(float(one.p_values[pair]))) for pair in pairs],
        "verdicts": _verdicts(one, pairs),
    }


def _verdicts(one: Ranking, pairs: Sequence[tuple[int, int]]) -> str:
    """What the ranking's test says of each pair of places, the higher one first."""
    differ = [pair for pair in pairs if one.significant(*pair)]
    leaning = dict(zip(differ, one.leaning([pair[0] for pair in differ], [pair[1] for pair in differ]), strict=True))
    return "".join(ALIKE if pair not in leaning else BETTER if leaning[pair] > 0 else NOT_ONE_WAY for pair in pairs)


def differences(found: Frame, compared: Sequence[str], methods: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
    """``lines``: of each pair and task, and of all tasks that both have, means and the second's metric less the first's.

    They are over paired seeds; pairs of which one failed are counted and left out. ``cells`` are what the differences are of:
    each task's seeds, with the value of each method that has one.
    """
    known = [name for name in compared if name in found.methods]
    places = _places(found, known)
    numbers_of, task_of = ({name: place for place, name in enumerate(names)} for names in (methods, tasks))
    cells = [
        (task_of[task], seeds, found.sign * values[places])
        for task, seeds, values in zip(found.tasks, found.seeds(), found.cells(), strict=True)
    ]
    lines = [
        (numbers_of[known[i]], numbers_of[known[j]], task, *_line(parts))
        for i, j in combinations(range(len(known)), 2)
        for task, parts in _pairs(cells, i, j)
    ]
    names = ("first", "second", "task", "pairs", "failed", "a", "b", "mean", "low", "high")
    columns = zip(*lines, strict=True) if lines else [()] * len(names)
    made = [
        {"task": task, "seeds": numbers(seeds), "values": _cells(values, [numbers_of[name] for name in known])}
        for task, seeds, values in cells
    ]
    return {"lines": {name: list(column) for name, column in zip(names, columns, strict=True)}, "cells": made}


Part = tuple[Values, Values, Values]
"""Seeds, and the values of two methods."""


def _pairs(cells: Sequence[tuple[int, Values, Values]], i: int, j: int) -> list[tuple[int, list[Part]]]:
    """Task and paired values of each task that both have; of all of them together last, where they are several."""
    found = []
    for task, seeds, values in cells:
        both = ~np.isnan(values[i]) & ~np.isnan(values[j])
        if both.any():
            found.append((task, [(seeds[both], values[i][both], values[j][both])]))
    if len(found) > 1:
        found.append((EVERY, [part for _, parts in found for part in parts]))
    return found


def _line(parts: Sequence[Part]) -> tuple[Number, ...]:
    """Paired seeds, failed pairs, means of both, and the difference over seeds, each the mean over tasks."""
    found, failed = over_tasks(parts)
    if not found.pairs:
        return 0, failed, None, None, None, None, None
    good = [(a[known], b[known]) for _, a, b in parts for known in [np.isfinite(a) & np.isfinite(b)]]
    means = [float(np.mean([one[side].mean() for one in good if len(one[side])])) for side in (0, 1)]
    return found.pairs, failed, *map(number, means), *numbers(found.estimate)


def _cells(values: Values, methods: Sequence[int]) -> dict[int, list[Number]]:
    """By method: the value of each seed, None where there is none."""
    return {
        method: [FAILED if np.isinf(one) else number(float(one)) for one in row]
        for method, row in zip(methods, values, strict=True)
        if not np.isnan(row).all()
    }
