"""Stacks as array jobs of a Slurm cluster. No process of ours lives longer than its stacks, the driver may leave."""

from __future__ import annotations

import re
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from quantbench import imports
from quantbench.components import at_least, component
from quantbench.errors import ConfigError
from quantbench.results.progress import JOBS
from quantbench.sweeps import slurm_queue
from quantbench.sweeps.executors.base import Queued
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.shipment import read_task, trials_of, write_task
from quantbench.sweeps.slurm_queue import Queue, SlurmSilent, Task
from quantbench.sweeps.trial import Record, Trial, failure
from quantbench.training import Keep

OPTION = re.compile(r"[a-z][a-z0-9-]*")
ATTEMPTS = 2
"""How often a stack may end the job that trains it."""

Take = Callable[[dict[str, Record]], None]


@component
class Slurm(Queued):
    """Array jobs of a Slurm cluster, on a file system that all nodes share.

    Attributes:
        stack_size: as for every executor; null for 64, or, where the driver's machine has a GPU, measured there.
        stacks_per_job: how many stacks one job trains.
        jobs: how many jobs may run at the same time.
        array: most jobs in one array; null for as many as the cluster takes.
        partition, account, qos: as for sbatch; null for the cluster's default.
        time: minutes that a job may take.
        memory: of a job, as ``4GB``; null for the cluster's default.
        cpus: cores of a job; on the CPU it trains as many stacks at a time.
        gpus: GPUs of a job's node.
        options: further options of sbatch by their long names, as ``{constraint: a100}``.
        poll_seconds: how often a waiting driver looks at the queue.
    """

    stack_size: int | None = 64
    stacks_per_job: int = 8
    jobs: int = 32
    array: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: int = 60
    memory: str | None = None
    cpus: int = 1
    gpus: int = 0
    options: Any = None
    poll_seconds: float = 15.0

    def check(self) -> None:
        super().check()
        for name in ("stacks_per_job", "jobs", "array", "time", "cpus"):
            if (value := getattr(self, name)) is not None:
                at_least(f"executor.{name}", value, 1)
        at_least("executor.gpus", self.gpus, 0)
        at_least("executor.poll_seconds", self.poll_seconds, 0.1)
        if not isinstance(self.options, Mapping | None):
            raise ConfigError(
                f"executor.options={self.options!r}: must hold options of sbatch, as {{constraint: a100}}, or be null"
            )
        for name, value in self.parameters.items():  # they become lines of a shell script
            if not OPTION.fullmatch(str(name)) or not str(value).isprintable():
                raise ConfigError(f"executor=slurm: {name!r}={value!r} is no option of sbatch; use its long name, and one line")

    def ready(self, device: torch.device) -> int:
        if self.options and not imports.named("executor.options"):
            raise ConfigError(
                f"executor.options={self.options}: are not given to sbatch because a file says so; if you trust them, "
                f"resume with --allow executor.options"
            )
        slurm_queue.require()
        if reason := slurm_queue.refusal(self.parameters):
            shown = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
            raise ConfigError(f"executor=slurm: the cluster takes no job with {shown} ({reason})")
        return self.workers_on(device)

    def workers_on(self, device: torch.device) -> int:
        return self.jobs * (self.cpus if device.type == "cpu" else 1)

    @property
    def parameters(self) -> dict[str, Any]:
        """Options of sbatch by their long names."""
        named = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "time": self.time,
            "mem": self.memory,
            "cpus-per-task": self.cpus,
            "gpus-per-node": self.gpus or None,
        }
        return {name: value for name, value in (named | dict(self.options or {})).items() if value is not None}

    def work_off(self, stacks: Sequence[Sequence[Trial]], device: str, keep: Keep, journal: Journal, take: Take) -> bool:
        return _Campaign(self, stacks, device, keep, journal, take).run()


@dataclass
class _Job:
    """What one job of an array has to do: stacks, as identities of their trials, that are not in the journal."""

    stacks: list[list[str]]
    missed: bool = False
    """Whether it was gone at the latest look: a shared file system may show its last stack later than the queue does."""


@dataclass
class _Campaign:
    settings: Slurm
    stacks: Sequence[Sequence[Trial]]
    device: str
    keep: Keep
    journal: Journal
    take: Take
    jobs: dict[Task, _Job] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        assert self.keep.folder is not None
        self.run_folder = self.keep.folder
        self.folder = self.run_folder / JOBS  # what they are to do, as JSON; BATCH/INDEX.json is the task of one job
        self.trials = {trial.id: trial for stack in self.stacks for trial in stack}

    def run(self) -> bool:
        """Submit what is missing; wait where that is asked for. Gives whether all is done."""
        queue = self._find_jobs()
        under_way = {trial for job in self.jobs.values() for stack in job.stacks for trial in stack}
        missing = [left for stack in self.stacks if (left := [trial.id for trial in stack if trial.id not in under_way])]
        self._tell(queue, sum(map(len, missing)))
        self._submit(missing)
        if not self.settings.wait:
            return False
        try:
            while self.jobs:
                time.sleep(self.settings.poll_seconds)
                self._look()
        except KeyboardInterrupt:
            names = ",".join(sorted({batch for batch, _ in self.jobs}))
            tqdm.write(f"jobs that were submitted go on; scancel --name={names} ends them", file=sys.stderr)
            raise
        shutil.rmtree(self.folder, ignore_errors=True)
        return True

    def _find_jobs(self) -> Queue:
        """Note the jobs of earlier drivers that wait or run."""
        batches = sorted(path.name for path in self.folder.glob("*") if path.is_dir())
        queue = slurm_queue.look(batches)
        for batch, index in queue.active:
            stacks = trials_of(read_task(self.folder / batch / f"{index}.json"))
            left = [stack for stack in stacks if not self.journal.part(stack).exists()]
            if left:
                self.jobs[batch, index] = _Job(left)
        return queue

    def _tell(self, queue: Queue, missing: int) -> None:
        """Print how far the jobs are, where there were any."""
        states = Counter(queue.active.values())
        if states:
            tqdm.write("jobs: " + ", ".join(f"{number} {state.lower()}" for state, number in states.items()))
        bad = {state: number for state, number in queue.ended.items() if state != "COMPLETED"}
        if bad:
            tqdm.write("jobs that ended too early: " + ", ".join(f"{number} {state.lower()}" for state, number in bad.items()))
        if self.folder.exists():
            tqdm.write(f"{missing} trials are neither finished nor with a job" + ("; they are submitted" if missing else ""))

    def _submit(self, stacks: Sequence[Sequence[str]]) -> None:
        """Submit stacks in as few arrays as the cluster allows; one that ended a job before is alone in its own."""
        if not stacks:
            return
        suspects = [[stack] for stack in stacks if self._deaths(stack)]
        others = [stack for stack in stacks if not self._deaths(stack)]
        each = self.settings.stacks_per_job
        jobs = suspects + [list(others[i : i + each]) for i in range(0, len(others), each)]
        most = min(self.settings.array or sys.maxsize, slurm_queue.most_in_array())
        for first in range(0, len(jobs), most):
            self._submit_array(jobs[first : first + most])

    def _submit_array(self, jobs: Sequence[Sequence[Sequence[str]]]) -> None:
        batch = f"quantbench-{uuid.uuid4().hex[:12]}"  # known before Slurm gives a number: a driver may die between
        (self.folder / batch).mkdir(parents=True)
        paths = [self.folder / batch / f"{index}.json" for index in range(len(jobs))]
        for path, stacks in zip(paths, jobs, strict=True):
            for stack in stacks:  # a stack is done when its part is there, so that of an earlier failure goes
                self.journal.part(stack).unlink(missing_ok=True)
            trials = [[self.trials[trial] for trial in stack] for stack in stacks]
            write_task(path, trials, self.device, self.keep, self.settings.cpus)
        words = [sys.executable, "-m", "quantbench.sweeps.slurm_job"]
        number = slurm_queue.submit(batch, words, paths, self.settings.parameters, self.settings.jobs, self.logs)
        self.jobs |= {(batch, index): _Job([list(stack) for stack in stacks]) for index, stacks in enumerate(jobs)}
        tqdm.write(f"submitted {sum(map(len, jobs))} stacks as {len(jobs)} jobs, Slurm's number {number}, logs in {self.logs}")

    @property
    def logs(self) -> Path:
        """Beside the folders of all runs, for submitit leaves pickles there."""
        return self.run_folder.parent.parent / ".slurm" / self.run_folder.name

    def _look(self) -> None:
        """Take what was finished; submit again, or give up, what was lost."""
        try:
            queue = slurm_queue.look(sorted({batch for batch, _ in self.jobs}))
        except SlurmSilent as error:
            tqdm.write(f"{error}; asking again", file=sys.stderr)
            return
        names = {path.name for path in self.journal.folder.iterdir()}
        lost: list[list[str]] = []
        for task, job in list(self.jobs.items()):
            arrived = [stack for stack in job.stacks if self.journal.part(stack).name in names]
            job.stacks = [stack for stack in job.stacks if stack not in arrived]
            for stack in arrived:
                found = self.journal.read([self.journal.part(stack)])
                self.take(found)
                lost += self._wanted([trial for trial in stack if trial not in found])  # of a damaged part
            if not job.stacks:
                del self.jobs[task]
            elif task in queue.active:
                job.missed = False
            elif not job.missed:
                job.missed = True
            else:
                lost += self._bury(self.jobs.pop(task))
        self._submit(lost)

    def _bury(self, job: _Job) -> list[list[str]]:
        """What of a lost job to submit again. The stacks that it trained at its end are those that may have ended it."""
        for stack in job.stacks[: self.settings.cpus]:
            self.deaths[stack[0]] += 1
        stacks = [wanted for stack in job.stacks for wanted in self._wanted(stack)]
        hopeless = [stack for stack in stacks if self._deaths(stack) >= ATTEMPTS]
        for stack in hopeless:
            reason = f"its Slurm job ended before it was finished, {ATTEMPTS} times (executor.time? executor.memory?)"
            records = [failure(self.trials[trial], f"{reason}; see {self.logs}") for trial in stack]
            self.journal.write(records)
            self.take({record.trial: record for record in records})
        return [stack for stack in stacks if stack not in hopeless]

    def _wanted(self, stack: Sequence[str]) -> list[list[str]]:
        """The trials of a stack that this sweep still wants, as a stack; none for none."""
        left = [trial for trial in stack if trial in self.trials]
        return [left] if left else []

    def _deaths(self, stack: Sequence[str]) -> int:
        return self.deaths[stack[0]]
