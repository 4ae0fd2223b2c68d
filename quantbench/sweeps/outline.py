"""What a run says of itself before and after: how much there is to do, and what jobs go on with."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from quantbench.paths import whole
from quantbench.results.schema import Status
from quantbench.sweeps.executors import make_executor
from quantbench.sweeps.plan import Plan
from quantbench.sweeps.schedule import Schedule
from quantbench.sweeps.tables import identity_of
from quantbench.sweeps.trial import Record


def outline(planned: Plan, scheduled: Schedule) -> str:
    """What will run, in one line."""
    skipped = sum(trial.skipped is not None for trial in planned.trials)
    stacks = len(scheduled.stacks)
    text = f"{planned.run.experiment}: {len(planned.trials)} trials "
    shapes = len({stack[0].shape for stack in scheduled.stacks})
    text += f"of {shapes} shapes, in stacks whose size is measured on the GPU" if scheduled.measured else f"in {stacks} stacks"
    return f"{text}, {skipped} skipped" if skipped else text


def details(planned: Plan, scheduled: Schedule) -> str:
    """For how many workers, every stack, every trial, and every pair that is skipped with its reason."""
    if scheduled.workers is None:
        lines = ["stacks as for 1 worker; a run asks the cluster how many it has, and may cut them smaller"]
    else:
        lines = [f"stacks for {scheduled.workers} at a time"]
    for number, stack in enumerate(scheduled.stacks, start=1):
        lines.append(f"stack {number}: {len(stack)} trials, {stack[0].config['train']['steps']} steps")
        for trial in stack:
            row = identity_of(trial, planned)
            shown = trial.choices | {name: row[name] for name in planned.columns if row[name] is not None}
            lines.append(f"  {trial.id}  " + " ".join(f"{k}={v}" for k, v in (shown | {"seed": trial.config["seed"]}).items()))
    reasons = Counter(trial.skipped for trial in planned.trials if trial.skipped)
    lines += [f"skipped, {count} trials: {reason}" for reason, count in reasons.items()]
    return "\n".join(lines)


def left_to_jobs(planned: Plan, folder: Path, records: Mapping[str, Record]) -> str:
    """What to say of a sweep that jobs go on with."""
    failed = sum(record.row["status"] == Status.FAILED for record in records.values())
    return (
        f"\n{len(records)} of {len(planned.trials)} trials are in the table, {failed} of them failed\n"
        f"`{how_to_resume(planned, folder, '--collect')}` shows how far the jobs are; without --collect it waits for them"
    )


def how_to_resume(planned: Plan, folder: Path, *options: str) -> str:
    """The command that goes on with a sweep: it names what its executor reaches."""
    allowed = [f"--allow {shlex.quote(one)}" for one in make_executor(planned.executor).beyond]
    return " ".join(["quantbench resume", shlex.quote(str(whole(folder))), *options, *allowed])
