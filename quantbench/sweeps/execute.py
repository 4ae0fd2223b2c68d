"""Trains what was planned, keeps every record, and writes the tables."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from quantbench.devices import find_device, workers_devices
from quantbench.errors import ConfigError, NotWritten, QuantBenchError
from quantbench.results.completions import Completion, completed, lacks
from quantbench.results.load import of_table
from quantbench.results.progress import JOBS
from quantbench.results.schema import Status
from quantbench.results.summary import summary
from quantbench.results.tables import results_path
from quantbench.signals import interruptible, wind_up
from quantbench.sweeps.bar import Bar
from quantbench.sweeps.drive import drive
from quantbench.sweeps.executors import Inline, Processes, make_executor
from quantbench.sweeps.facts import rate_settings
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.outline import how_to_resume, left_to_jobs
from quantbench.sweeps.plan import Plan
from quantbench.sweeps.schedule import Schedule
from quantbench.sweeps.supply import Supply, size_on_gpu
from quantbench.sweeps.tables import write_plan, write_tables
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.verdict import tell
from quantbench.sweeps.yardsticks import Yardsticks
from quantbench.terminal import say
from quantbench.training import Keep, checkpoint, warm
from quantbench.training.phases import PHASES


class SweepFailed(QuantBenchError):
    """At least one trial failed.

    Attributes:
        folder: of the run; all else is in its tables.
    """

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


def execute(
    planned: Plan, scheduled: Schedule, folder: Path, journal: Journal, records: dict[str, Record], told: bool = True
) -> None:
    """Train the stacks of a plan, keep their records and write the tables, whatever happens. Raises QuantBenchError.

    Args:
        told: whether the results are printed.
    """
    with interruptible():
        _execute(planned, scheduled, folder, journal, records, told)


def _execute(
    planned: Plan, scheduled: Schedule, folder: Path, journal: Journal, records: dict[str, Record], told: bool
) -> None:
    complete = False
    write_plan(planned, journal)
    try:
        complete = _train(planned, scheduled, folder, journal, records)
        if complete:
            shutil.rmtree(folder / JOBS, ignore_errors=True)
    except KeyboardInterrupt:
        wind_up()
        say("", f"interrupted; finished trials are kept, `{how_to_resume(planned, folder)}` goes on", error=True)
        raise
    except NotWritten as error:
        advice = f"finished stacks are kept; `{how_to_resume(planned, folder)}` goes on once that is put right"
        raise NotWritten(f"{error}; {advice}") from error
    except ConfigError as error:  # as of an executor: by now something was done, so it is no bad input alone
        raise QuantBenchError(str(error)) from error
    finally:
        try:
            table = write_tables(planned, folder, records)
        except QuantBenchError as error:
            advice = (
                f"the journal beside it holds all trials; `{how_to_resume(planned, folder)}` goes on once that is put right"
            )
            raise QuantBenchError(f"{error}; {advice}") from error
        failed = sum(record.row["status"] == Status.FAILED for record in records.values())
        journal.close(complete=complete and not failed)
    if complete and not failed:
        for name in (checkpoint.FOLDER, warm.FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
    tell(records.values())
    if complete and told:
        found = summary(of_table(table, rate_settings(planned.trials), planned.added))
        say("", *found.split("\n"), "", f"results: {results_path(folder)}")
    elif not complete:
        say(*left_to_jobs(planned, folder, records).split("\n"))
    if failed:
        message = f"{failed} of {len(planned.trials)} trials failed; `{how_to_resume(planned, folder)}` tries again"
        raise SweepFailed(message, folder)


def sharing_one(device: str, workers: int) -> int:
    """How many of so many workers train on one device at the same time, where there are most."""
    return math.ceil(workers / len(workers_devices(find_device(device))))


def _train(planned: Plan, scheduled: Schedule, folder: Path, journal: Journal, records: dict[str, Record]) -> bool:
    """Train what a plan says, and find the limits and references of all that is trained; False where jobs still do."""
    total, trials = scheduled.trials, {trial.id: trial for trial in planned.trials}
    left = [record for record in records.values() if lacks(record)]
    if not total and not left:
        return True
    executor, device = make_executor(planned.executor), planned.run.device
    if not total:
        executor, device = executor if isinstance(executor, Inline) else Processes(), "cpu"
    sharing = 1 if executor.outlives else sharing_one(device, scheduled.workers or 1)  # jobs have GPUs of their own
    kept = 0

    def keep(new: list[Record], written: bool) -> None:
        nonlocal kept
        if not written:
            journal.write(new)
        checkpoint.path(folder, [record.trial for record in new]).unlink(missing_ok=True)
        records.update((record.trial, record) for record in new)
        kept += len(new)
        for record in new:
            if lacks(record):
                later.ask(trials[record.trial], record)

    def complete(found: list[Completion]) -> None:
        journal.complete(found)
        records.update(completed(records, found))

    def told(left: int) -> None:
        if kept == total:
            bar.to(total or bar.total - left)
            bar.advance(0, f"{PHASES.references}, {left} left" if left else PHASES.references)

    def size(trials: Sequence[Trial]) -> int:
        bar.advance(0, "measuring the size of stacks")
        return size_on_gpu(trials, device, sharing)

    with Bar(total or len(left), hidden=executor.outlives and not planned.executor["wait"]) as bar:
        supply = Supply(scheduled.stacks, size if scheduled.measured else None)
        most = (total if scheduled.measured else len(scheduled.stacks)) or len(left)
        run = planned.run
        settings = Keep(folder.resolve(), run.checkpoint_every, run.export, run.references, yardsticks=False)
        engine = executor.open(most, device, bar.advance, settings)
        later = Yardsticks(engine, run.references, journal.folder / "kept", complete, told)
        try:
            for record in left:
                later.ask(trials[record.trial], record)
            whole = drive(engine, supply, keep, lambda: bar.to(kept), scheduled.claims, bar.tick, later)
        finally:
            engine.close()
            later.close()
        if whole:
            bar.to(bar.total)
    return whole
