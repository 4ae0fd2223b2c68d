"""What pictures are drawn from: the tables of runs and of audits, and a metric of theirs by method, task and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.audit import read_audit
from quantbench.results.load import load
from quantbench.results.methods import Layout, layout
from quantbench.results.palette import Style, styles
from quantbench.results.plots.common import MOST_PANELS
from quantbench.results.rates import source_layout
from quantbench.results.schema import HIGHER_IS_BETTER, LOWER_IS_BETTER, METRICS

FAILURES = ("diverged", "failed")


@dataclass(frozen=True)
class Data:
    """Tables of what was given.

    Attributes:
        results: trials that ran or were skipped; empty where only audits were given.
        curves: points of curves.csv; empty where there is none.
        audit: rows of audit.csv; empty where there is none.
        by, within: settings that make a method and a task; None for the usual ones.
    """

    results: pd.DataFrame
    curves: pd.DataFrame
    audit: pd.DataFrame
    by: Sequence[str] | None = None
    within: Sequence[str] | None = None
    notes: list[str] = field(default_factory=list)

    def ran(self) -> pd.DataFrame:
        """Trials that ran. Raises ConfigError where there are none."""
        if self.results.empty:
            raise ConfigError("there are no trials: no results.csv was given, or it is empty")
        rows = self.results[self.results["status"] != "skipped"]
        if rows.empty:
            raise ConfigError("every trial was skipped, for its quantizer and gradient do not fit")
        return rows.reset_index(drop=True)

    def styles(self) -> dict[str, Style]:
        """A style for every method that ran: the same in all pictures of these tables."""
        return styles(layout(self.ran(), self.by, self.within).names)


@dataclass(frozen=True)
class Values:
    """A metric of trials.

    Attributes:
        rows: ``method``, ``task``, ``seed``, ``value`` of completed trials that have it, those of one seed averaged.
        methods, tasks: in the order of the table; also those without a completed trial.
        trials: ``method``, ``task``, ``status`` of all trials that ran.
        notes: what a reader should know.
    """

    metric: str
    rows: pd.DataFrame
    methods: list[str]
    tasks: list[str]
    trials: pd.DataFrame
    notes: list[str]

    def counts(self) -> dict[str, str]:
        """Of each method with trials that ended badly: how many of how many."""
        return {str(name): found for name, part in self.trials.groupby("method", sort=False) if (found := ended_badly(part))}


def gather(paths: Sequence[Path], by: Sequence[str] | None = None, within: Sequence[str] | None = None) -> Data:
    """Read runs and audits: each path is a results.csv, an audit.csv, or a folder with either.

    Raises:
        ConfigError: a file that is missing or is no such table; a setting that the runs do not have.
    """
    audits = [path for path in (_audit_of(path) for path in paths) if path is not None]
    runs = [path for path in paths if _has_results(path)]
    audit = pd.concat([read_audit(path) for path in audits], ignore_index=True) if audits else pd.DataFrame()
    if not runs:
        return Data(pd.DataFrame(), pd.DataFrame(), audit, by, within)
    found = load(*runs)
    layout(found.results, by, within)  # what is wrong with --by or --within is wrong for all pictures
    return Data(found.results, found.curves, audit, by, within, list(found.notes))


def values(data: Data, metric: str, sources: bool = False) -> Values:
    """Gather a metric of results.csv.

    Args:
        sources: whether the rate makes no task.

    Raises:
        ConfigError: no such metric, or an empty column.
    """
    table = data.ran()
    check_metric(table, metric)
    parts = (source_layout if sources else layout)(table, data.by, data.within)
    named = pd.DataFrame(
        {
            "method": parts.methods.to_numpy(),
            "task": parts.tasks.to_numpy(),
            "seed": table["seed"].to_numpy(float, na_value=np.nan),
            "status": table["status"].astype(str).to_numpy(),
            "value": table[metric].to_numpy(float, na_value=np.nan),
        }
    )
    done = named[named["status"] == "completed"]
    good = done[np.isfinite(done["value"])]
    notes = []
    if lacking := len(done) - len(good):
        notes.append(f"{lacking} completed trials have no finite {metric} and are not drawn")
    if good.empty:
        raise ConfigError(f"--metric {metric}: no completed trial has it")
    rows = good.groupby(["method", "task", "seed"], sort=False, dropna=False)["value"].mean().reset_index()
    if len(rows) < len(good):
        notes.append(averaged(table, parts))
    return Values(metric, rows, parts.names, list(dict.fromkeys(parts.tasks)), named, notes)


def averaged(table: pd.DataFrame, parts: Layout) -> str:
    """What to say of several trials of one method, task and seed."""
    settings = [str(name) for name in table if "." in str(name) or name in ("simulator", "codec", "quantizer", "gradient")]
    groups = table.groupby([parts.methods.to_numpy(), parts.tasks.to_numpy(), table["seed"]], sort=False)
    others = [name for name in settings if name not in (*parts.by, *parts.within)]
    over = [name for name in others if (groups[name].nunique(dropna=False) > 1).any()]
    return f"means over {', '.join(over) or 'trials of the same seed'}, which neither --by nor --within names"


def check_metric(table: pd.DataFrame, metric: str) -> None:
    """Raise ConfigError where a metric is no column of results.csv, or an empty one."""
    there = [name for name in [*METRICS, "seconds"] if name in table and table[name].notna().any()]
    if metric not in there:
        what = "the column is empty" if metric in table and metric in [*METRICS, "seconds"] else "no such metric"
        raise ConfigError(f"--metric {metric}: {what}; there are {', '.join(there)}")


def ended_badly(trials: pd.DataFrame) -> str:
    """``2 of 5 diverged``; empty where all trials completed."""
    counts = trials["status"].value_counts()
    parts = [f"{counts[status]} {status}" for status in FAILURES if counts.get(status, 0)]
    return f"{', '.join(parts)} of {len(trials)}" if parts else ""


def direction_of(metric: str) -> str:
    """The metric with the direction that is better, where that is known."""
    if metric in LOWER_IS_BETTER:
        return f"{metric} (lower is better)"
    return f"{metric} (higher is better)" if metric in HIGHER_IS_BETTER else metric


def panel_tasks(tasks: Sequence[str], most: int = MOST_PANELS) -> tuple[list[str], list[str]]:
    """The tasks that are drawn, and a note where there are more."""
    if len(tasks) <= most:
        return list(tasks), []
    return list(tasks[:most]), [f"the first {most} of {len(tasks)} tasks are drawn; --within makes fewer"]


def interval_words(seeds: Sequence[int], what: str = "mean") -> tuple[str, list[str]]:
    """What a caption says of intervals, and a note where one seed allows none."""
    least, most = min(seeds), max(seeds)
    if most < 2:
        return f"{what} of a single seed: no interval", ["a single seed: no intervals"]
    count = str(most) if least == most else f"{least} to {most}"
    notes = [f"{sum(one < 2 for one in seeds)} of {len(seeds)} values are of a single seed: no interval"] if least < 2 else []
    return f"{what} and 95 % bootstrap interval over {count} seeds", notes


def _audit_of(path: Path) -> Path | None:
    file = path / "audit.csv" if path.is_dir() else path
    return file if file.name == "audit.csv" and (file.exists() or not path.is_dir()) else None


def _has_results(path: Path) -> bool:
    """Whether a path is to be read as a run; a folder of an audit has no results, and needs none."""
    if path.is_dir():
        return any((path / name).exists() for name in ("results.csv", "results.parquet")) or not (path / "audit.csv").exists()
    return path.name != "audit.csv"
