"""What a Slurm job does: ``python -m quantbench.sweeps.executors.slurm.job TASK.json`` trains the stacks of a file.

Each stack is in the journal of its run as soon as it is finished, so a job that is killed keeps what it has done, and one that
is started again goes on. The command can be run by hand, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from quantbench.devices import find_device
from quantbench.errors import QuantBenchError
from quantbench.signals import INTERRUPTED, interruptible
from quantbench.sweeps.drive import drive
from quantbench.sweeps.executors import Processes
from quantbench.sweeps.executors.slurm.task import read_task, unpack
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.remote import join_driver
from quantbench.sweeps.supply import Supply
from quantbench.sweeps.trial import Record
from quantbench.sweeps.worker import unheard
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
    stacks = [stack for stack in unpack(task) if not journal.part([trial.id for trial in stack]).exists()]
    if not stacks:
        return
    found: dict[str, Record] = {}

    def keep(new: list[Record], _: bool) -> None:
        """Write the stacks that are complete now, each into its part: a stack may have been cut where memory was short."""
        found.update((record.trial, record) for record in new)
        for stack in [one for one in stacks if all(trial.id in found for trial in one)]:
            journal.write([found[trial.id] for trial in stack])
            stacks.remove(stack)
            say(f"finished {len(stack)} trials, {stack[0].id} first")
        checkpoint.path(run, [record.trial for record in new]).unlink(missing_ok=True)

    # A node may show GPUs that the job did not ask for.
    workers = task["cpus"] if find_device(device).type == "cpu" else max(1, task.get("gpus", 0))
    settings = Keep(run, task["checkpoint_every"], task["export"], task["references"])
    engine = Processes(workers=workers).open(len(stacks), device, unheard, settings)
    try:
        drive(engine, Supply(stacks), keep)
    finally:
        engine.close()


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
