"""How far a sweep is, from its folder alone."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from quantbench.errors import ConfigError
from quantbench.files import opened, read_text
from quantbench.metrics import Metric
from quantbench.results.cells import read_csv, unguarded
from quantbench.results.completions import COMPLETIONS, completed, read_completions
from quantbench.results.facts import COLUMNS_FILE, read_facts
from quantbench.results.records import Record, latest, read_records
from quantbench.results.schema import IDENTITY, TEXT, Status
from quantbench.results.tables import read_results, results_path

RUNNING, SUBMITTED, STOPPED, COMPLETE = "running", "submitted", "stopped", "complete"

PLAN = "plan.csv"
JOBS = "slurm"
"""The folder of jobs that go on without the driver, which is there until all are done."""


@dataclass(frozen=True)
class Progress:
    """A sweep at one moment.

    Attributes:
        state: running, submitted (left to jobs of a cluster, which may wait, run or have been lost), stopped (interrupted or
            killed; `quantbench resume` goes on), or complete.
        table: one row a trial, with the columns of results.csv; the status of those that are not finished is empty.
        seconds: since this run or its latest resumption began; None where it stopped or is complete.
        finished_since: trials that finished in that time.
        metrics, sizes: what the sweep's classes say of its columns.
    """

    folder: Path
    state: str
    table: pd.DataFrame
    seconds: float | None = None
    finished_since: int = 0
    metrics: dict[str, Metric] = field(default_factory=dict)
    sizes: list[str] | None = None

    @property
    def finished(self) -> int:
        """Trials that are not to be waited for, skipped ones among them."""
        return int(self.table["status"].notna().sum())

    @property
    def without_limits(self) -> int:
        """Trials that are trained, and whose limits and references are still looked for."""
        if self.state == COMPLETE or "status" not in self.table:
            return 0
        trained = self.table["status"].isin([Status.COMPLETED, Status.DIVERGED])
        found = self.table["reference_note"].notna() if "reference_note" in self.table else False
        return int((trained & ~pd.Series(found, index=self.table.index)).sum())

    @property
    def remaining_seconds(self) -> float | None:
        """At the speed so far; None where that is not known."""
        if not self.seconds or not self.finished_since:
            return None
        return self.seconds / self.finished_since * (len(self.table) - self.finished)


@dataclass
class Watch:
    """Reads a sweep's folder again and again; a file of the journal is read once, and again where it is another.

    Raises:
        ConfigError: the folder is none of a run.
    """

    folder: Path
    _records: dict[str, list[Record]] = field(default_factory=dict)
    _times: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.facts = read_facts(self.folder / COLUMNS_FILE)

    def look(self) -> Progress:
        """How far it is now."""
        return replace(self._look(), metrics=self.facts.metrics, sizes=self.facts.sizes)

    def _look(self) -> Progress:
        journal = self.folder / "journal"
        try:
            plan = read_plan(journal)
            began = (journal / PLAN).stat().st_mtime
            self._read(journal)
        except FileNotFoundError:
            return self._without_journal(journal)
        written = sorted(self._records, key=lambda name: (self._times[name], name))
        records = completed(latest(self._records[name] for name in written), read_completions(journal / COMPLETIONS))
        rows = {trial: one.row for trial, one in records.items()}
        measured = pd.DataFrame.from_dict(rows, orient="index").drop(columns=["status", "error"], errors="ignore")
        measured.index = measured.index.astype(str)  # an empty one is of numbers
        known = {name: plan["trial"].map({trial: row.get(name) for trial, row in rows.items()}) for name in ("status", "error")}
        plan = plan.assign(**{name: plan[name].astype(object).where(plan[name].notna(), known[name]) for name in known})
        table = plan.join(measured, on="trial")
        since = sum(len(self._records[name]) for name, moment in self._times.items() if moment >= began)
        state = self._state(journal, bool(table["status"].isna().any()))
        return Progress(self.folder, state, table, None if state == STOPPED else time.time() - began, since)

    def _state(self, journal: Path, unfinished: bool) -> str:
        if _is_alive(journal / "lock"):
            return RUNNING
        return SUBMITTED if unfinished and (self.folder / JOBS).is_dir() else STOPPED

    def _read(self, journal: Path) -> None:
        for path in journal.glob("*.json"):
            with suppress(OSError, ValueError):  # tidied away meanwhile, or damaged: `resume` says more
                moment = path.lstat().st_mtime
                if self._times.get(path.name) != moment:
                    self._records[path.name] = read_records(path)
                    self._times[path.name] = moment

    def _without_journal(self, journal: Path) -> Progress:
        if not results_path(self.folder).exists():
            if journal.is_dir() and _is_alive(journal / "lock"):
                empty = pd.DataFrame({"trial": [], "status": []}, dtype=object)
                return Progress(self.folder, RUNNING, empty)  # it just began
            raise ConfigError(f"{self.folder}: no folder of a run (it has neither a journal nor a results.csv)")
        table = read_results(self.folder)
        return Progress(self.folder, COMPLETE, table if "error" in table else table.assign(error=None))


def _is_alive(lock: Path) -> bool:
    """Whether the process that the lock names is there. On another machine that cannot be known: then it counts as there."""
    try:
        number, host = read_text(lock, most=1000).split()
        if host != socket.gethostname():
            return True
        os.kill(int(number), 0)
    except PermissionError:
        return True  # somebody else's
    except (OSError, ValueError, OverflowError):
        return False
    return True


def read_plan(journal: Path) -> pd.DataFrame:
    """Who all trials of a sweep under way are. Raises FileNotFoundError; ConfigError where it cannot be read."""
    path = journal / PLAN
    try:
        with opened(path) as file:
            plan = read_csv(file, dtype=TEXT, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    plan = unguarded(plan)
    if missing := [name for name in ("trial", "status", "error") if name not in plan]:
        raise ConfigError(f"{path}: is no plan of QuantBench, it has no column {', '.join(missing)}")
    return plan[[name for name in plan if name in IDENTITY or "." in str(name)]]  # all else the records say
