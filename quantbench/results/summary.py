"""The table that a sweep prints when it ends."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantbench.results.frame import DROP, POLICIES, Counts, find_metric, frame, has_goal
from quantbench.results.layout import layout
from quantbench.results.load import Results
from quantbench.results.render import Cell, Rounded, render, wrapped
from quantbench.results.schema import BAD, Status
from quantbench.results.statistics import INTERVAL, geometric_interval

MEANS = ("mse", "nmse_db", "excess_bits")
"""Metrics that are shown with their interval beside the one that the codecs were trained for."""
PLAIN = ("reference_mse", "usage")


def summary(runs: Results, form: str = "table") -> str:
    """Means over the seeds of every method and task, failures counted; what is known of the best beside it.

    Means are over completed trials; the numbers of the others stand beside them. ``encoder_growth`` is a ratio that may
    span many decades: its geometric mean is shown.
    """
    table = runs.results[runs.results["status"] != Status.SKIPPED].reset_index(drop=True)
    runs = Results(table, metrics=runs.metrics, sizes=runs.sizes)
    parts = layout(table, runs.sizes, apart=runs.apart)
    completed = table[table["status"] == Status.COMPLETED]
    numbers = {name: completed[name].to_numpy(float, na_value=np.nan) for name in runs.metrics if name in completed}
    known = [name for name, values in numbers.items() if np.isfinite(values).any()]
    first = [find_metric(runs, None).name] if has_goal(runs) else []
    means = [name for name in dict.fromkeys([*first, *MEANS]) if name in known]
    rate, plain = (["rate_bits"] if "rate_bits" in known else []), [name for name in PLAIN if name in known]
    with_task = parts.tasks.nunique() > 1
    found = {name: frame(runs, name, parts=parts).means() for name in (*rate, *means, *plain)}
    growth = frame(runs, "encoder_growth", parts=parts).means(geometric_interval) if "encoder_growth" in known else {}
    header = ["method", *(["task"] if with_task else []), "trials", *BAD, *rate, *_named(means)]
    header += [*plain, *(["encoder_growth"] if growth else [])]
    rows: list[list[Cell]] = []
    counts = Counts.by_task(table["status"], parts.methods, parts.tasks)
    for key, ended in counts.items():
        row: list[Cell] = [key[0], *([key[1]] if with_task else []), ended.trials, ended.diverged, ended.failed]
        shown = {name: found[name].get(key) for name in found}
        row += [_plain(shown[name]) for name in rate]
        row += [None if (one := shown[name]) is None else one[0] for name in means]
        row += [_plain(shown[name]) for name in plain]
        rows.append([*row, *([_plain(growth.get(key))] if growth else [])])
    text = render(header, rows, form)
    bad = any(ended.bad for ended in counts.values())
    return text if form in ("csv", "json") else "\n".join([text, "", wrapped(_words(table, bool(growth), bad))])


def _named(means: list[str]) -> list[str]:
    return [f"{name} {INTERVAL}" for name in means]


def _plain(found: tuple[object, int] | None) -> Cell:
    """A number alone."""
    return None if found is None else Rounded(float(found[0].mean))  # type: ignore[attr-defined]


def _words(table: pd.DataFrame, grown: bool, bad: bool) -> str:
    seeds = table["seed"].nunique()
    words = f"Means over {seeds} seeds with Student's interval of each mean" if seeds > 1 else "One seed: no intervals"
    words += "; encoder_growth is a geometric mean" if grown else ""
    return f"{words}; {POLICIES[DROP]}." if bad else f"{words}."
