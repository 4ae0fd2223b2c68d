"""A sweep that is complete: whether its tables still hold all that was done."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pandas as pd

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.results.facts import COLUMNS_FILE
from quantbench.results.load import read_curves
from quantbench.results.schema import Status
from quantbench.results.tables import read_results, results_path
from quantbench.sweeps.changed import check_complete
from quantbench.sweeps.data import check_unchanged
from quantbench.sweeps.facts import write_facts
from quantbench.sweeps.plan import plan
from quantbench.sweeps.stored import Stored
from quantbench.sweeps.sweep import Sweep
from quantbench.terminal import say


def complete(found: Stored, folder: Path) -> None:
    """Say that there is nothing to do. Raises ConfigError where the tables no longer hold all that was done."""
    sweep, file = Sweep.of(found.content), results_path(folder)
    again = "`quantbench resume` trains its trials again"
    advice = f"delete it, and {again}"
    try:
        table = read_results(folder)
    except ConfigError as error:
        raise ConfigError(f"{error}; {advice}") from error
    if len(table) < sweep.size or found.changed:
        planned = plan(sweep)
        check_unchanged(sweep, planned.data)
        if found.changed:
            check_complete(found, planned, folder, table["trial"])
        if missing := {trial.id for trial in planned.trials} - set(table["trial"]):
            raise ConfigError(f"{file}: {len(missing)} of its trials are missing; {advice}")
    curves = file.with_name(f"curves{file.suffix}")
    if reason := lacking(table, curves):
        raise ConfigError(f"{curves}: {reason}, and {file.name} is whole; put it back, or delete {file.name}, and {again}")
    if not (folder / COLUMNS_FILE).exists():
        with suppress(QuantBenchError):  # what cannot be planned or written any more is complete all the same
            planned = plan(sweep)
            write_facts(planned.trials, planned.added, folder)
    say(f"{folder}: complete, nothing to resume")


def lacking(table: pd.DataFrame, path: Path) -> str | None:
    """What is missing from the curves of a table; None where nothing is.

    Every curve of a trial that was completed reaches its last step, and the file ends with the end of a line.
    """
    completed = table[table["status"] == Status.COMPLETED]
    if completed.empty:  # and so without a curve, perhaps
        return None
    if not path.exists():
        return "is missing"
    try:
        curves = read_curves(path)
    except ConfigError as error:
        return str(error).removeprefix(f"{path}: ")
    if path.suffix == ".csv" and not _ends_a_line(path):
        return "is cut within a line"
    last = curves.groupby(["trial", "metric"], observed=True)["step"].max().groupby("trial").min()
    steps = completed["trial"].map(last) if len(last) else pd.Series(float("nan"), index=completed.index)
    whole = steps.notna() if "steps" not in completed else steps >= completed["steps"]
    if short := int((~whole).sum()):
        return f"is cut: the curves of {short} trials are missing, or do not reach their last step"
    return None


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 1))
        return file.read() == b"\n"
