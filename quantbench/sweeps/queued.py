"""Sweeps whose jobs outlive the driver: it submits what is missing, and waits or leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from quantbench.errors import ConfigError
from quantbench.results.schema import Status
from quantbench.sweeps.executors import Queued
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.plan import Plan, make_executor
from quantbench.sweeps.worker import Record
from quantbench.training import Keep


def to_wait(planned: Plan, wait: bool) -> Plan:
    """The plan with its driver waiting for jobs, or not. Raises ConfigError where no jobs outlive it."""
    if isinstance(make_executor(planned.executor), Queued):
        return replace(planned, executor=planned.executor | {"wait": wait})
    if not wait:
        raise ConfigError(f"--collect: is for runs with executor=slurm; this one has {planned.executor['_target_']}")
    return planned


def work_off(executor: Queued, planned: Plan, keep: Keep, journal: Journal, records: dict[str, Record]) -> bool:
    """Have jobs train what a plan says; gives whether all of it is done."""
    with progress_bar(sum(map(len, planned.stacks)), hidden=not executor.wait) as bar:

        def take(new: dict[str, Record]) -> None:
            records.update(new)
            bar.update(len(new))

        return executor.work_off(planned.stacks, planned.run.device, keep, journal, take)


def progress_bar(total: int, hidden: bool = False) -> tqdm[Any]:
    """The one bar of a run, in trials; where standard error is no terminal there is none."""
    form = "{l_bar}{bar}| {n:.1f}/{total} trials [{elapsed}<{remaining}, {rate_noinv_fmt}]"
    return tqdm(total=total, unit="trial", bar_format=form, disable=True if hidden else None, smoothing=0.1)


def left_to_jobs(planned: Plan, folder: Path, records: dict[str, Record]) -> str:
    """What to say of a sweep that jobs go on with."""
    failed = sum(record.row["status"] == Status.FAILED for record in records.values())
    return (
        f"\n{len(records)} of {len(planned.trials)} trials are in the table, {failed} of them failed\n"
        f"`quantbench resume {folder} --collect` shows how far the jobs are; without --collect it waits for them"
    )
