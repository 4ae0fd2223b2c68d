"""What pictures are drawn from: the tables of runs and of audits, and a metric of theirs by method, task and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.audit_table import read_audit
from quantbench.results.frame import Frame, frame
from quantbench.results.layout import Layout, layout
from quantbench.results.load import Results, load
from quantbench.results.palette import Style, styles
from quantbench.results.plots.common import MOST_PANELS
from quantbench.results.schema import BAD
from quantbench.results.statistics import INTERVAL

FAILURES = BAD


@dataclass(frozen=True)
class Data:
    """What was given.

    Attributes:
        runs: results and curves; None where only audits were given.
        audit: rows of audit.csv; empty where there is none.
        by, within: settings that make a method and a task; None for the usual ones.
    """

    runs: Results | None
    audit: pd.DataFrame
    by: Sequence[str] | None = None
    within: Sequence[str] | None = None

    def ran(self) -> Results:
        """Results of the trials that ran. Raises ConfigError where there are none."""
        if self.runs is None or self.runs.results.empty:
            raise ConfigError("there are no trials: no results.csv was given, or it is empty")
        rows = self.runs.results[self.runs.results["status"] != "skipped"]
        if rows.empty:
            raise ConfigError("every trial was skipped, for its quantizer and gradient do not fit")
        return replace(self.runs, results=rows.reset_index(drop=True))

    def frame(self, metric: str | None, usual: str | None = None, over_rates: bool = False, goal: bool = False) -> Frame:
        """A metric by method, task and seed.

        Args:
            usual: the metric where none is asked for; by default what the codecs were trained for.

        Raises:
            ConfigError: see ``ran`` and ``frame``.
        """
        return frame(self.ran(), metric or usual, self.by, self.within, over_rates, goal)

    def layout(self) -> Layout:
        """Methods and tasks of the trials that ran."""
        runs = self.ran()
        return layout(runs.results, runs.sizes, self.by, self.within, apart=runs.apart)

    def styles(self) -> dict[str, Style]:
        """A style for every method that ran: the same in all pictures of these tables."""
        return styles(self.layout().names)


def gather(paths: Sequence[Path], by: Sequence[str] | None = None, within: Sequence[str] | None = None) -> Data:
    """Read runs and audits: each path is a results.csv, an audit.csv, or a folder with either.

    Raises:
        ConfigError: a file that is missing or is no such table; a setting that the runs do not have.
    """
    audits = [path for path in (_audit_of(path) for path in paths) if path is not None]
    runs = [path for path in paths if _has_results(path)]
    audit = pd.concat([read_audit(path) for path in audits], ignore_index=True) if audits else pd.DataFrame()
    found = load(*runs) if runs else None
    if found is not None:
        layout(
            found.results, found.sizes, by, within, apart=found.apart
        )  # what is wrong with --by or --within is wrong for all pictures
    return Data(found, audit, by, within)


def panel_tasks(tasks: Sequence[str], most: int = MOST_PANELS) -> tuple[list[str], list[str]]:
    """The tasks that are drawn, and a note where there are more."""
    if len(tasks) <= most:
        return list(tasks), []
    return list(tasks[:most]), [f"the first {most} of {len(tasks)} tasks are drawn; --within makes fewer"]


def interval_words(seeds: Sequence[int], what: str = "mean") -> tuple[str, list[str]]:
    """What a caption says of intervals, and a note where one seed allows none."""
    least, most = min(seeds, default=0), max(seeds, default=0)
    if most < 2:
        return f"{what} of a single seed: no interval", ["a single seed: no intervals"]
    count = str(most) if least == most else f"{least} to {most}"
    notes = [f"{sum(one < 2 for one in seeds)} of {len(seeds)} values are of a single seed: no interval"] if least < 2 else []
    return f"{what} and {INTERVAL[1:-1]} interval over {count} seeds", notes


def _audit_of(path: Path) -> Path | None:
    file = path / "audit.csv" if path.is_dir() else path
    return file if file.name == "audit.csv" and (file.exists() or not path.is_dir()) else None


def _has_results(path: Path) -> bool:
    """Whether a path is to be read as a run; a folder of an audit has no results, and needs none."""
    if path.is_dir():
        return any((path / name).exists() for name in ("results.csv", "results.parquet")) or not (path / "audit.csv").exists()
    return path.name != "audit.csv"
