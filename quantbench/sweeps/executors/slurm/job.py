"""What a Slurm job does: ``python -m quantbench.sweeps.executors.slurm.job TASK.json`` trains the stacks of a file.

Each stack is in the journal of its run as soon as it is trained, and once more when its limits and references are found: that
is the job's own work, for no driver need be there. So a job that is killed keeps what it has done, and one that is started
again goes on. The command can be run by hand, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from quantbench.devices import find_device
from quantbench.errors import QuantBenchError
from quantbench.results.completions import Completion, completed, lacks
from quantbench.signals import INTERRUPTED, interruptible
from quantbench.sweeps.drive import drive
from quantbench.sweeps.executors import Processes
from quantbench.sweeps.executors.slurm.task import read_task, unpack
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.remote import join_driver
from quantbench.sweeps.supply import Supply
from quantbench.sweeps.trial import Record
from quantbench.sweeps.worker import unheard
from quantbench.sweeps.yardsticks import Yardsticks
from quantbench.terminal import complain, say
from quantbench.training import Keep, checkpoint


def run_task(path: Path) -> None:
    """Train the stacks of a task that are not in the journal.

    Raises:
        QuantBenchError: this machine has another version of QuantBench, or does not see the run's folder.
    """
    task = read_task(path)
    join_driver(task["folders"], task["version"])
    run, device = Path(task["run"]), task["device"]
    journal = Journal(run, hold=False)
    if not journal.folder.is_dir():
        raise QuantBenchError(f"{run}: has no journal; the sweep is complete, or its folder is not seen from here")
    every = unpack(task)
    parts = [journal.part([trial.id for trial in stack]) for stack in every]
    stacks = [stack for stack, part in zip(every, parts, strict=True) if not part.exists()]
    found = journal.read(part for part in parts if part.exists())
    if not stacks and not any(map(lacks, found.values())):
        return
    trials = {trial.id: trial for stack in every for trial in stack}
    stack_of = {trial.id: stack for stack in every for trial in stack}

    def write(changed: Iterable[str]) -> None:
        """Write the stacks of these trials that are whole, each into its part: where memory was short one may have been cut."""
        if not journal.folder.is_dir():
            raise QuantBenchError(f"{run}: has no journal any more; the sweep was completed without this job")
        for stack in {id(stack_of[trial]): stack_of[trial] for trial in changed}.values():
            if all(trial.id in found for trial in stack):
                journal.write([found[trial.id] for trial in stack])

    def keep(new: list[Record], _: bool) -> None:
        found.update((record.trial, record) for record in new)
        write(record.trial for record in new)
        say(f"trained {len(new)} trials, {new[0].trial} first")
        checkpoint.path(run, [record.trial for record in new]).unlink(missing_ok=True)
        ask(new)

    def complete(new: list[Completion]) -> None:
        """Write the parts of stacks once more that lack nothing now."""
        found.update(completed(found, new))
        write(one.trial for one in new if not any(lacks(found[trial.id]) for trial in stack_of[one.trial] if trial.id in found))

    def ask(records: Iterable[Record]) -> None:
        for record in records:
            if lacks(record):
                later.ask(trials[record.trial], record)

    # A node may show GPUs that the job did not ask for.
    workers = task["cpus"] if find_device(device).type == "cpu" else max(1, task.get("gpus", 0))
    settings = Keep(run, task["checkpoint_every"], task["export"], task["references"], yardsticks=False)
    engine = Processes(workers=workers).open(len(stacks) or len(found), device, unheard, settings)
    later = Yardsticks(engine, task["references"], journal.folder / "kept", complete)
    try:
        ask(list(found.values()))
        drive(engine, Supply(stacks), keep, later=later)
    finally:
        engine.close()
        later.close()


def main(words: Sequence[str]) -> int:
    try:
        (path,) = words
    except ValueError:
        say("usage: python -m quantbench.sweeps.executors.slurm.job TASK.json", error=True)
        return 2
    try:
        with interruptible():
            run_task(Path(path))
    except QuantBenchError as error:
        complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted; finished stacks are kept", error=True)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
