"""A comparison as text."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from quantbench.results.diff import FEW, SYMBOLS, Comparison
from quantbench.results.render import Cell, Difference, Rounded, flat, render, wrapped
from quantbench.results.statistics import INTERVAL


def render_comparison(comparison: Comparison, form: str = "table") -> str:
    """One line a method, task and metric, a count of marks, what changed, and what could not be compared."""
    with_task = len({line.task for line in comparison.lines}) > 1
    header = ["", "method", *(["task"] if with_task else []), "metric", "seeds", "A", "B", f"B - A {INTERVAL}", "p", "mark"]
    rows: list[list[Cell]] = [
        [
            SYMBOLS.get(line.mark, ""),
            line.method,
            *([line.task] if with_task else []),
            line.metric,
            line.seeds or None,
            line.a,
            line.b,
            Difference(*line.difference),
            None if np.isnan(line.p) else Rounded(line.p, 2),
            line.mark,
        ]
        for line in comparison.lines
    ]
    if form == "json":
        columns, values = flat(header, rows)
        lines = [dict(zip(columns, row, strict=True)) for row in values]
        told = {"identical": comparison.identical, "changed": comparison.changed, "notes": comparison.notes}
        return json.dumps({"lines": lines} | told, indent=1, ensure_ascii=False)
    text = render(header, rows, form)
    if form == "csv":
        return text
    return "\n".join([text, "", *map(wrapped, _words(comparison))])


def _words(comparison: Comparison) -> list[str]:
    if comparison.identical:
        lines = ["identical: every trial of A has the same metrics in B"]
    else:
        marks = Counter(line.mark for line in comparison.lines)
        lines = [", ".join(f"{count} {mark}" for mark, count in marks.items()) or "nothing to compare"]
    if comparison.tests:
        lines.append(
            f"p: Student's test of paired seeds with Holm's adjustment over all {comparison.tests} lines tested, so that marks "
            f"hold together; each interval is of its line alone"
        )
    lines += [f"changed: {one}" for one in comparison.changed]
    if any(line.mark == FEW for line in comparison.lines):
        lines.append(
            "note: a single seed decides nothing: 2 are needed at least, and 5 or more to find differences of a seed's size"
        )
    return [*lines, *(f"note: {note}" for note in comparison.notes)]
