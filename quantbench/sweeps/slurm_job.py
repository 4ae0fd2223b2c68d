"""What a Slurm job does: ``python -m quantbench.sweeps.slurm_job TASK.json`` trains the stacks of a file.

Each stack is in the journal of its run as soon as it is finished, so a job that is killed keeps what it has done, and one that
is started again goes on. The command can be run by hand, too.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from quantbench.config import find_device
from quantbench.errors import QuantBenchError
from quantbench.sweeps.executors import Processes, WorkerDied
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.remote import join_driver
from quantbench.sweeps.shipment import read_task, unpack
from quantbench.sweeps.trial import Record, Trial
from quantbench.training import Keep, checkpoint


def run_task(path: Path) -> bool:
    """Train the stacks of a task that are not in the journal; gives whether they all are there now.

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
        return True
    workers = task["cpus"] if find_device(device).type == "cpu" else 1
    keep = Keep(run, task["checkpoint_every"], task["export"])
    engine = Processes(workers=workers).open(len(stacks), device, lambda trials: None, keep)
    complete, waiting = True, deque(stacks)
    running: dict[Future[list[Record]], list[Trial]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < engine.capacity:
                stack = waiting.popleft()
                running[engine.submit(stack)] = stack
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                names = [trial.id for trial in running.pop(future)]
                try:
                    journal.write(future.result())
                    checkpoint.path(run, names).unlink(missing_ok=True)
                    print(f"finished {len(names)} trials, {names[0]} first", flush=True)
                except WorkerDied as error:
                    print(f"lost {len(names)} trials, {names[0]} first: {error}", file=sys.stderr, flush=True)
                    complete = False
    finally:
        engine.close()
    return complete


def main(words: Sequence[str]) -> int:
    try:
        (path,) = words
        return 0 if run_task(Path(path)) else 1
    except ValueError:
        print("usage: python -m quantbench.sweeps.slurm_job TASK.json", file=sys.stderr)
        return 2
    except QuantBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
