"""The tables of a run, from its plan and its records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from quantbench.config import setting
from quantbench.results.progress import PLAN
from quantbench.results.schema import IDENTITY, Status
from quantbench.results.tables import curves_table, results_table, write
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.plan import Plan
from quantbench.sweeps.trial import Record, Trial


def write_tables(planned: Plan, folder: Path, records: Mapping[str, Record]) -> pd.DataFrame:
    """Write results.csv and curves.csv from the records so far; gives the results."""
    known = [trial for trial in planned.trials if trial.skipped or trial.id in records]
    rows = [_outcome(trial, records.get(trial.id)) | identity_of(trial, planned) for trial in known]
    table = results_table(rows, planned.columns, [name for name, one in planned.added.items() if one.whole])
    write(table, folder / f"results.{planned.run.format}")
    finished = [records[trial.id] for trial in planned.trials if trial.id in records]
    write(curves_table([(one.trial, one.curves) for one in finished]), folder / f"curves.{planned.run.format}")
    return table


def write_plan(planned: Plan, journal: Journal) -> None:
    """Write who all trials are into the journal, for `quantbench watch`, which does not plan."""
    rows = [identity_of(trial, planned) | _outcome(trial) for trial in planned.trials]
    write(results_table(rows, planned.columns)[[*IDENTITY, *planned.columns]], journal.folder / PLAN)


def identity_of(trial: Trial, planned: Plan) -> dict[str, Any]:
    """What of a trial's row is known before it is trained."""
    row: dict[str, Any] = {"trial": trial.id, "experiment": planned.run.experiment, "seed": trial.config["seed"]}
    return row | trial.choices | {column: setting(trial.config, column) for column in planned.columns}


def _outcome(trial: Trial, record: Record | None = None) -> dict[str, Any]:
    """Status, error and what was measured; both empty while a trial is not trained."""
    if trial.skipped:
        return {"status": Status.SKIPPED, "error": trial.skipped}
    return record.row if record else {"status": None, "error": None}
