"""A metric by method, task and seed, as arrays that failures are part of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.results.methods import Layout
from quantbench.results.schema import GROUPS, HIGHER_IS_BETTER, LOWER_IS_BETTER, METRICS, setting_columns

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What each method reached.

    Attributes:
        sign: 1 where a lower value of the metric is better, -1 where a higher one is.
        values: for each task (methods, seeds): ``sign`` times the metric, so that less is better; infinity for a trial that
            failed or diverged, NaN where there is none.
        trials, failed: of each method, how many trials there are, and how many of them failed or diverged.
    """

    metric: str
    sign: int
    methods: list[str]
    tasks: list[str]
    values: list[Values]
    trials: list[int]
    failed: list[int]
    notes: list[str]

    def has(self) -> NDArray[np.bool_]:
        """Whether each method (rows) has a trial in each task (columns)."""
        return np.array([(~np.isnan(values)).any(axis=1) for values in self.values]).T

    def common(self) -> list[int]:
        """Tasks in which every method has a trial."""
        return [int(task) for task in np.flatnonzero(self.has().all(axis=0))]


def scores(table: pd.DataFrame, parts: Layout, metric: str) -> Scores:
    """Gather a metric. Trials of one method, task and seed are averaged; of them, one that failed makes all of them fail.

    Raises:
        ConfigError: a metric that the table does not have, of no known direction, or without a value.
    """
    sign = direction(table, metric)
    notes = []
    ran = (table["status"] != "skipped").to_numpy()
    if skipped := int((~ran).sum()):
        notes.append(f"{skipped} trials were skipped, for their quantizer and gradient do not fit")
    good = (table["status"] == "completed").to_numpy()
    number = table[metric].to_numpy(float, na_value=np.nan)
    counted = pd.DataFrame(
        {
            "method": parts.methods.to_numpy(),
            "task": parts.tasks.to_numpy(),
            "seed": table["seed"].to_numpy(float, na_value=np.nan),
            "value": np.where(good, sign * number, np.inf),
        }
    )[ran]
    if unseeded := int(counted["seed"].isna().sum()):
        notes.append(f"{unseeded} trials have no seed and are left out")
        counted = counted.dropna(subset="seed")
    unmeasured = counted["value"].isna()
    if unmeasured.any():
        notes.append(f"{int(unmeasured.sum())} completed trials have no {metric} and are left out")
        counted = counted[~unmeasured]
    if not np.isfinite(counted["value"]).any():
        raise ConfigError(f"--metric {metric}: no completed trial has it")
    notes += _averaged(table[ran], parts)
    methods, tasks = list(dict.fromkeys(counted["method"])), list(dict.fromkeys(counted["task"]))
    failed = ~np.isfinite(counted["value"])
    counts = counted["method"].value_counts(), counted["method"][failed].value_counts()
    values = [_cells(counted[counted["task"] == task], methods) for task in tasks]
    trials, failures = ([int(count.get(name, 0)) for name in methods] for count in counts)
    return Scores(metric, sign, methods, tasks, values, trials, failures, [*notes, *_unmatched(methods, tasks, values)])


def direction(table: pd.DataFrame, metric: str) -> int:
    """1 where less of a metric is better, -1 where more is. Raises ConfigError: not in the table, or not known."""
    there = [name for name in [*METRICS, "seconds"] if name in table and table[name].notna().any()]
    known = [name for name in there if name in LOWER_IS_BETTER | HIGHER_IS_BETTER]
    if metric not in there:
        raise ConfigError(f"--metric {metric}: no such metric; there are {', '.join(known)}")
    if metric not in known:
        raise ConfigError(f"--metric {metric}: whether more of it is better is not known; it is for {', '.join(known)}")
    return 1 if metric in LOWER_IS_BETTER else -1


def _cells(rows: pd.DataFrame, methods: list[str]) -> Values:
    """The values of a task: (methods, seeds)."""
    cells = rows.groupby(["method", "seed"], sort=False)["value"].mean().unstack()
    return np.asarray(cells.reindex(index=methods).sort_index(axis=1).to_numpy(float))


def _averaged(table: pd.DataFrame, parts: Layout) -> list[str]:
    """What to say of settings that vary within a method and task."""
    settings = [*(name for name in GROUPS if name in table), *setting_columns([str(name) for name in table])]
    methods, tasks = parts.methods[table.index], parts.tasks[table.index]
    groups = table.groupby([methods, tasks, table["seed"]], sort=False)
    others = [name for name in settings if name not in (*parts.by, *parts.within)]
    over = [name for name in others if (groups[name].nunique(dropna=False) > 1).any()]
    return [f"means over {', '.join(over)}, which neither --by nor --within names"] if over else []


def _unmatched(methods: list[str], tasks: list[str], values: list[Values]) -> list[str]:
    """What to say of tasks and seeds that some methods lack."""
    notes = []
    for place, method in enumerate(methods):
        lacking = [task for task, cells in zip(tasks, values, strict=True) if np.isnan(cells[place]).all()]
        if lacking:
            shown = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "")
            notes.append(f"unmatched: {method} has no trial in {shown}")
        gaps = sum(int(np.isnan(cells[place]).sum()) for cells in values if not np.isnan(cells[place]).all())
        if gaps:
            notes.append(f"unmatched: {method} lacks {gaps} seeds that others have in the same task")
    return notes
