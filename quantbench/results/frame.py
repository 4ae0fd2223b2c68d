"""One long frame of a metric, by method, task and seed, with one rule for what failed: whatever is compared is read from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.layout import NOMINAL, Layout, averaged_over, layout, rates
from quantbench.results.load import Results
from quantbench.results.schema import BAD, Status
from quantbench.results.statistics import Estimate, mean_interval
from quantbench.suggest import no_such_metric

Values = NDArray[np.float64]

WORST, DROP, WHOLE_SEED = "worst", "drop", "whole-seed"
POLICIES = {
    WORST: "a trial that diverged or failed is infinitely bad",
    DROP: "trials that diverged or failed are in no mean; they are counted",
    WHOLE_SEED: "a task's seed in which any method diverged or failed is left out for all of them",
}
"""What a failure does to a mean."""

USUAL = ("mel_distance_db", "nmse_db", "mse")
"""The metric where none is asked for, the first that was measured: waveforms are judged by what is heard of them."""


@dataclass(frozen=True)
class Counts:
    """How many trials of a method ran, and how many of them ended how."""

    trials: int = 0
    diverged: int = 0
    failed: int = 0

    @staticmethod
    def of(statuses: pd.Series[str] | NDArray[np.object_]) -> Counts:
        """Counts of trials that ran; a status that nobody knows is no success."""
        diverged, completed = (int((statuses == one).sum()) for one in (Status.DIVERGED, Status.COMPLETED))
        return Counts(len(statuses), diverged, len(statuses) - diverged - completed)

    @staticmethod
    def by_task(statuses: pd.Series[str], methods: pd.Series[str], tasks: pd.Series[str]) -> dict[tuple[str, str], Counts]:
        """Counts of each method and task, in the order of the rows."""
        groups = statuses.groupby([methods, tasks], sort=False)
        return {(str(method), str(task)): Counts.of(part) for (method, task), part in groups}

    @property
    def bad(self) -> int:
        return self.diverged + self.failed

    def __str__(self) -> str:
        """``1 diverged, 2 failed of 5``; empty where all completed."""
        parts = [f"{count} {name}" for name, count in zip(BAD, (self.diverged, self.failed), strict=True) if count]
        return f"{', '.join(parts)} of {self.trials}" if parts else ""


@dataclass(frozen=True)
class Frame:
    """A metric of trials that ran.

    Attributes:
        rows: ``method``, ``task``, ``seed``, ``status``, ``value`` (NaN where it was not measured), ``point`` (the rate that
            the method was set to, as text), ``rate`` (nominal, or spent where there is none), by the rows of the table.
        methods, tasks: in the order of the table.
        rate: the rate's name for people.
        notes: what a reader should know.
    """

    metric: Metric
    parts: Layout
    rows: pd.DataFrame
    methods: list[str]
    tasks: list[str]
    rate: str
    notes: list[str]

    @property
    def sign(self) -> int:
        """What makes less of the metric better; 1 where neither direction is."""
        return self.metric.sign or 1

    def counts(self) -> dict[str, Counts]:
        """Of each method, how many of its trials ended how."""
        found = {str(name): Counts.of(part) for name, part in self.rows.groupby("method", sort=False)["status"]}
        return {name: found.get(name, Counts()) for name in self.methods}

    def counts_by_task(self) -> dict[tuple[str, str], Counts]:
        """The same for each task."""
        return Counts.by_task(self.rows["status"], self.rows["method"], self.rows["task"])

    def cells(self, failures: str = WORST) -> list[Values]:
        """For each task (methods, seeds): ``sign`` times the metric, so that less is better.

        A cell is the mean over a method's trials of a task and seed, which differ in what makes neither a method nor a task.
        One that failed makes all of them fail: a mean over some settings only would compare unlike things. For the same reason
        a cell that lacks trials which others have is empty (NaN), as one that was not measured is. A failure is infinity, or
        NaN, or NaN for all methods, as ``failures`` says.
        """
        if failures == DROP:
            return [np.where(cells == np.inf, np.nan, cells) for cells in self._worst]
        if failures == WHOLE_SEED:
            return [np.where((cells == np.inf).any(axis=0), np.nan, cells) for cells in self._worst]
        return list(self._worst)

    @cached_property
    def _worst(self) -> list[Values]:
        rows = self.rows[self.rows["seed"].notna()]
        methods = pd.Index(self.methods).get_indexer(pd.Index(rows["method"]))
        tasks = pd.Index(self.tasks).get_indexer(pd.Index(rows["task"]))
        order = np.argsort(tasks, kind="stable")
        edges = np.searchsorted(tasks[order], np.arange(len(self.tasks) + 1))
        seeds, values = rows["seed"].to_numpy(float), self.sign * rows["value"].to_numpy(float)
        bad = (rows["status"] != Status.COMPLETED).to_numpy()
        found = []
        for start, end in pairwise(edges):
            mine = order[start:end]
            found.append(_cells(methods[mine], seeds[mine], values[mine], bad[mine], len(self.methods)))
        return found

    def means(self, middle: Callable[[Values], Estimate] = mean_interval) -> dict[tuple[str, str], tuple[Estimate, int]]:
        """Of each method and task: its mean over the seeds that have a value and did not fail, with an interval; how many."""
        found = {}
        for task, cells in zip(self.tasks, self.cells(DROP), strict=True):
            for method, values in zip(self.methods, self.sign * cells, strict=True):
                values = values[~np.isnan(values)]
                if len(values):
                    found[method, task] = middle(values), len(values)
        return found

    def by_seed(self) -> pd.DataFrame:
        """``method``, ``task``, ``seed``, ``value`` of every cell that has a value, in the metric's own direction."""
        parts = []
        for task, seeds, cells in zip(self.tasks, self.seeds(), self.cells(DROP), strict=True):
            method, seed = np.nonzero(~np.isnan(cells))
            names = np.array(self.methods, object)[method]
            parts.append(
                pd.DataFrame({"method": names, "task": task, "seed": seeds[seed], "value": self.sign * cells[method, seed]})
            )
        return pd.concat(parts, ignore_index=True)

    def seeds(self) -> list[Values]:
        """The seeds of each task, in the order of its cells."""
        return list(self._seeds)

    @cached_property
    def _seeds(self) -> list[Values]:
        rows = self.rows[self.rows["seed"].notna()]
        known = {task: np.unique(part.to_numpy(float)) for task, part in rows.groupby("task", sort=False)["seed"]}
        return [known.get(task, np.empty(0)) for task in self.tasks]


def _cells(methods: NDArray[np.int64], seeds: Values, values: Values, bad: NDArray[np.bool_], count: int) -> Values:
    """(methods, seeds): mean values, infinity where a trial failed, NaN where there is none or where some are missing."""
    each, seed = np.unique(seeds, return_inverse=True)
    place = methods * len(each) + seed
    size = count * len(each)
    trials, failed = np.bincount(place, minlength=size), np.bincount(place[bad], minlength=size)
    good = ~bad
    sums = np.bincount(place[good], values[good], size)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums / (trials - failed)).reshape(count, -1)
    trials, failed = trials.reshape(count, -1), failed.reshape(count, -1)
    whole = trials == trials.max(axis=1, keepdims=True, initial=1)
    found = np.where(failed > 0, np.inf, np.where(whole & (trials > 0), means, np.nan))
    return np.asarray(found, float)


def frame(
    runs: Results,
    metric: str | None = None,
    by: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
    over_rates: bool = False,
    goal: bool = False,
    rate: str | None = None,
    parts: Layout | None = None,
) -> Frame:
    """Lay a metric out by method, task and seed.

    Args:
        metric: by default what the codecs were trained for (``USUAL``).
        by, within: settings that make a method and a task; see ``layout``.
        over_rates: whether the rate makes no task.
        goal: whether methods are to be ordered by the metric, so that it must say which direction is better.
        rate: a column; by default the nominal rate, or the bits spent of quantizers that have none.
        parts: methods and tasks that were told apart before, in the place of all that is said of them here.

    Raises:
        ConfigError: a metric that is not known, not measured, or no goal; an unknown setting; no such rate.
    """
    table = runs.results.reset_index(drop=True)
    chosen = find_metric(runs, metric, goal)
    parts = layout(table, runs.sizes, by, within, over_rates, runs.apart) if parts is None else parts
    rated, label = _rates(table, rate)
    ran = (table["status"] != Status.SKIPPED).to_numpy()
    status = table["status"].astype(object).where(table["status"].notna(), "of no status").astype(str)
    completed = (status == Status.COMPLETED).to_numpy()
    rows = pd.DataFrame(
        {
            "method": parts.methods.to_numpy(),
            "task": parts.tasks.to_numpy(),
            "seed": table["seed"].to_numpy(float, na_value=np.nan),
            "status": status.to_numpy(),
            "value": np.where(completed, table[chosen.name].to_numpy(float, na_value=np.nan), np.nan),
            "point": parts.points.to_numpy(),
            "rate": rated,
        }
    )[ran]
    notes = list(_notes(rows, chosen, int((~ran).sum())))
    if over := averaged_over(table[ran], parts):
        notes.append(f"means over {', '.join(over)}, which neither --by nor --within names")
    elif twins := int(rows.duplicated(["method", "task", "point", "seed"]).sum()):
        notes.append(f"{twins} trials differ from others in nothing that the tables tell: they are averaged with them")
    rows = rows[(rows["status"] != Status.COMPLETED) | rows["value"].notna()]
    if not (rows["status"] == Status.COMPLETED).any():
        raise ConfigError(f"--metric {chosen.name}: no completed trial has it")
    methods, tasks = (list(dict.fromkeys(rows[name])) for name in ("method", "task"))
    return Frame(chosen, parts, rows, methods, tasks, label, notes)


def _rates(table: pd.DataFrame, column: str | None) -> tuple[Values, str]:
    """The rate of each row; NaN for all where none is known and none was asked for."""
    if column is None and not any(name in table and table[name].notna().any() for name in ("spent_bits", *NOMINAL)):
        return np.full(len(table), np.nan), "rate"
    found, label = rates(table, column)
    return np.asarray(found.to_numpy(float, na_value=np.nan)), label


def find_metric(runs: Results, name: str | None, goal: bool = False) -> Metric:
    """A metric of some runs, or the one that their codecs were trained for.

    Raises:
        ConfigError: a metric that is not known or not measured; where methods are to be ordered, one without a direction.
    """
    if name is None:
        if (usual := _usual(runs)) is None:
            raise ConfigError(f"no completed trial has a metric to compare by; there are {', '.join(_there(runs)) or 'none'}")
        return runs.metrics[usual]
    if not _measured(runs, name):
        what = "the column is empty" if name in runs.metrics and name in runs.results else "no such metric"
        raise no_such_metric("--metric ", name, _goals(runs) if goal else _there(runs), what)
    found = runs.metrics[name]
    if goal and not found.sign:
        raise ConfigError(f"--metric {name}: whether more of it is better is not known; it is for {', '.join(_goals(runs))}")
    if goal and found.no_goal:
        raise ConfigError(f"--metric {name}: nothing is ranked by it, for {found.no_goal}")
    return found


def has_goal(runs: Results) -> bool:
    """Whether a completed trial has a metric to compare by."""
    return _usual(runs) is not None


def _usual(runs: Results) -> str | None:
    """The first metric to compare by that a completed trial has; columns are looked at one by one, for they are many."""
    completed = runs.results[runs.results["status"] == Status.COMPLETED]
    finite = (
        one
        for one in (*USUAL, *runs.metrics)
        if (one in USUAL or _is_goal(runs.metrics[one]))
        and _measured(runs, one)
        and np.isfinite(completed[one].to_numpy(float, na_value=np.nan)).any()
    )
    return next(finite, None)


def _measured(runs: Results, name: str) -> bool:
    return name in runs.metrics and name in runs.results and bool(runs.results[name].notna().any())


def _is_goal(metric: Metric) -> bool:
    return bool(metric.sign) and not metric.no_goal


def _there(runs: Results) -> list[str]:
    return [one for one in runs.metrics if _measured(runs, one)]


def _goals(runs: Results) -> list[str]:
    return [one for one in _there(runs) if _is_goal(runs.metrics[one])]


def _notes(rows: pd.DataFrame, metric: Metric, skipped: int) -> list[str]:
    notes = []
    if skipped:
        notes.append(f"{skipped} trials were skipped, for their quantizer and gradient do not fit")
    if unseeded := int(rows["seed"].isna().sum()):
        notes.append(f"{unseeded} trials have no seed and are left out")
    unmeasured = (rows["status"] == Status.COMPLETED) & rows["value"].isna()
    if unmeasured.any():
        notes.append(f"{int(unmeasured.sum())} completed trials have no {metric.name} and are left out")
    return notes


__all__ = ["DROP", "POLICIES", "WHOLE_SEED", "WORST", "Counts", "Frame", "Values", "find_metric", "frame"]
