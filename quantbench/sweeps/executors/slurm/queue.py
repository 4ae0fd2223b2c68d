"""Slurm's own commands, and submitit, which writes the batch script.

Without accounting Slurm forgets a job minutes after its end, so the queue only says what waits and what runs: whether a job
did its work is the journal's to say. submitit asks `sacct` for the state of a job, by its number: without accounting that is
UNKNOWN for every job, and a driver that died before it noted the number has none. `squeue` needs neither.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.install import how_to_install

COMMANDS = ("sbatch", "squeue", "scontrol", "srun")
PATIENCE_SECONDS = 60
ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()  # noqa: SIM905
)
"""States from which a job does not come back by itself."""

Task = tuple[str, int]
"""Name of a batch of jobs, and the place in its array."""


@dataclass(frozen=True)
class Queue:
    """What Slurm says of the jobs of some batches.

    Attributes:
        active: state of each task that waits or runs.
        ended: how many that Slurm still remembers ended in which state.
    """

    active: dict[Task, str]
    ended: Counter[str]


class SlurmSilent(QuantBenchError):
    """A command of Slurm failed; it may be its controller that is restarted."""


def require() -> None:
    """Raise ConfigError where submitit or Slurm is missing."""
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"executor=slurm: {error}; install it with {how_to_install('slurm')}") from error
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        raise ConfigError(f"executor=slurm: {', '.join(missing)} not found; run this where jobs are submitted to Slurm")


def look(names: Sequence[str]) -> Queue:
    """The queue. Raises SlurmSilent."""
    queue = Queue({}, Counter())
    if not names:
        return queue
    for line in _ask(
        "squeue", "--noheader", "--array", "--states=all", f"--name={','.join(names)}", "--format=%j|%K|%T"
    ).splitlines():
        name, index, state = line.strip().split("|")
        if state in ENDED:
            queue.ended[state] += 1
        else:
            queue.active[name, int(index) if index.isdigit() else 0] = state  # a job without an array has no index
    return queue


def most_in_array() -> int:
    """How many tasks an array may have on this cluster: indices lie below MaxArraySize. Raises SlurmSilent."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"), re.MULTILINE)
    return int(found[1]) if found else 1


def refusal(parameters: Mapping[str, Any]) -> str | None:
    """Why the cluster would not take a job with these parameters of sbatch; None where it would."""
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in parameters.items()]
    command = ["sbatch", "--test-only", *words, "--wrap=true"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"sbatch does not answer within {PATIENCE_SECONDS} s"
    return " ".join(asked.stderr.split()) if asked.returncode else None


def submit(name: str, words: Sequence[str], tasks: Sequence[Path], parameters: Mapping[str, Any], most: int, logs: Path) -> str:
    """Submit one array of jobs, each the command ``words`` with the path of a task; gives Slurm's number of it.

    submitit pickles the words, and what they printed, into ``logs``; nothing reads that back.

    Args:
        most: how many of them may run at the same time.

    Raises:
        QuantBenchError: Slurm takes it not.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    executor = submitit.SlurmExecutor(folder=logs)
    executor.update_parameters(
        job_name=name,
        array_parallelism=most,
        stderr_to_stdout=True,
        wckey=None,
        # submitit would have Slurm announce the limit, up to a minute early, and then end the job: SIGCONT does nothing.
        additional_parameters={"signal": "CONT@1"} | dict(parameters),
    )
    try:
        jobs = executor.map_array(submitit.helpers.CommandFunction(list(words)), [str(task) for task in tasks])
    except (FailedJobError, OSError) as error:
        raise QuantBenchError(f"executor=slurm: a job could not be submitted ({' '.join(str(error).split())})") from error
    return str(jobs[0].job_id).partition("_")[0]


def _ask(*command: str) -> str:
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS)
    except subprocess.CalledProcessError as error:
        raise SlurmSilent(f"executor=slurm: {command[0]} failed ({' '.join(error.stderr.split())})") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmSilent(f"executor=slurm: {command[0]} does not answer within {PATIENCE_SECONDS} s") from error
    return asked.stdout
