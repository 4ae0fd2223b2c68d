"""Stacks as array jobs of a Slurm cluster. No process of ours lives longer than its stacks, the driver may leave."""

from __future__ import annotations

import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from quantbench import imports
from quantbench.components import at_least, component
from quantbench.errors import ConfigError
from quantbench.results.completions import lacks
from quantbench.results.progress import JOBS
from quantbench.sweeps.executors.base import Claim, Engine, Executor, WorkerDied
from quantbench.sweeps.executors.slurm import queue
from quantbench.sweeps.executors.slurm.queue import SlurmSilent, Task
from quantbench.sweeps.executors.slurm.task import read_task, trials_of, write_task
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import Advance, Job, run_stack
from quantbench.terminal import say
from quantbench.training import NOTHING, Keep
from quantbench.training.phases import PHASES

OPTION = re.compile(r"[a-z][a-z0-9-]*")


@component
class Slurm(Executor):
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
        gpus: GPUs of a job's node; a job trains as many stacks at a time, each on one of them.
        wait: whether the driver stays until all is done.
        options: further options of sbatch by their long names, as ``{constraint: a100}``.
        poll_seconds: how often a waiting driver looks at the queue.
    """

    outlives: ClassVar[bool] = True

    stack_size: int | None = 64
    wait: bool = True
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
        queue.require()
        if reason := queue.refusal(self.parameters):
            shown = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
            raise ConfigError(f"executor=slurm: the cluster takes no job with {shown} ({reason})")
        return self.workers_on(device)

    @property
    def beyond(self) -> list[str]:
        return ["slurm", *(["executor.options"] if self.options else [])]

    def workers_on(self, device: torch.device) -> int:
        return self.jobs * (self.gpus or (self.cpus if device.type == "cpu" else 1))

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

    def claims(self, folder: Path, trials: Sequence[Trial]) -> list[Claim]:
        """Raises SlurmSilent."""
        jobs, journal, known = folder / JOBS, Journal(folder, hold=False), {trial.id: trial for trial in trials}
        found = queue.look(sorted(path.name for path in jobs.glob("*") if path.is_dir()))
        _tell("jobs", Counter(found.active.values()))
        _tell("jobs that ended too early", Counter({one: number for one, number in found.ended.items() if one != "COMPLETED"}))
        claims = []
        for batch, index in found.active:
            for names in trials_of(read_task(jobs / batch / f"{index}.json")):
                stack = [known[name] for name in names if name in known]
                if stack and not journal.part(names).exists():
                    claims.append(Claim(stack, ((batch, index), journal.part(names))))
        return claims

    def open(self, stacks: int, device: str, advance: Advance, keep: Keep = NOTHING, job: Job = run_stack) -> Engine:
        if keep.folder is None or job is not run_stack:
            raise ConfigError("executor=slurm: trains the stacks of a sweep, nothing else")
        return SlurmEngine(self, device, advance, keep, keep.folder)


def _tell(what: str, states: Counter[str]) -> None:
    """Print how many jobs are in which state, where there are any."""
    if states:
        say(f"{what}: " + ", ".join(f"{number} {state.lower()}" for state, number in states.items()))


@dataclass(eq=False)
class _Stack:
    """A stack under way, which is done when its part is in the journal."""

    trials: list[Trial]
    part: Path
    alone: bool = False
    future: Future[list[Record]] = field(default_factory=Future)


@dataclass
class _Job:
    """One job of an array: its stacks that are not in the journal."""

    stacks: list[_Stack]
    missed: bool = False
    """Whether it was gone at the latest look: a shared file system may show its last stack later than the queue does."""


class SlurmEngine(Engine):
    """Collects what is submitted between two polls into arrays of jobs."""

    capacity, isolates, journals = sys.maxsize, True, True

    def __init__(self, settings: Slurm, device: str, advance: Advance, keep: Keep, run: Path) -> None:
        self.settings, self.device, self.advance, self.keep = settings, device, advance, keep
        self.leaves, self.poll_seconds = not settings.wait, min(1.0, settings.poll_seconds)
        self.folder = run / JOBS  # what they are to do, as JSON; BATCH/INDEX.json is the task of one job
        self.logs = run.parent.parent / ".slurm" / run.name  # beside all runs, for submitit leaves pickles there
        self.journal = Journal(run, hold=False)
        self.waiting: list[_Stack] = []
        self.jobs: dict[Task, _Job] = {}
        self.looked, self.longest = time.monotonic(), 0

    def submit(self, stack: Sequence[Trial], alone: bool = False) -> Future[list[Record]]:
        part = self.journal.part([trial.id for trial in stack])
        self.waiting.append(_Stack(list(stack), part, alone))
        return self.waiting[-1].future

    def adopt(self, claim: Claim) -> Future[list[Record]]:
        task, part = claim.job
        stack = _Stack(claim.stack, part)
        self.jobs.setdefault(task, _Job([])).stacks.append(stack)
        return stack.future

    def poll(self) -> None:
        self._send()
        if self.settings.wait and time.monotonic() >= self.looked + self.settings.poll_seconds:
            self._look()
            self.looked = time.monotonic()

    def close(self) -> None:
        if self.jobs and self.settings.wait:
            names = ",".join(sorted({batch for batch, _ in self.jobs}))
            say(f"jobs that were submitted go on; scancel --name={names} ends them", error=True)

    def _send(self) -> None:
        """Submit what waits in as few arrays as the cluster allows; a stack that ended a job before is alone in its own."""
        if not self.waiting:
            return
        others = [stack for stack in self.waiting if not stack.alone]
        each = self.settings.stacks_per_job
        jobs = [[stack] for stack in self.waiting if stack.alone]
        jobs += [others[i : i + each] for i in range(0, len(others), each)]
        self.longest = self.longest or min(self.settings.array or sys.maxsize, queue.most_in_array())
        for first in range(0, len(jobs), self.longest):
            self._send_array(jobs[first : first + self.longest])
        self.waiting.clear()

    def _send_array(self, jobs: Sequence[list[_Stack]]) -> None:
        batch = f"quantbench-{uuid.uuid4().hex[:12]}"  # known before Slurm gives a number: a driver may die between
        (self.folder / batch).mkdir(parents=True)
        paths = [self.folder / batch / f"{index}.json" for index in range(len(jobs))]
        for path, stacks in zip(paths, jobs, strict=True):
            for stack in stacks:
                stack.part = self.journal.part([trial.id for trial in stack.trials])  # a claim's may have held more trials
                stack.part.unlink(missing_ok=True)  # a stack is done when its part is there, so that of an earlier failure goes
            write_task(path, [stack.trials for stack in stacks], self.device, self.keep, self.settings.cpus, self.settings.gpus)
        imports.children_import_safely()  # sbatch hands the environment on
        words = [sys.executable, "-P", "-m", "quantbench.sweeps.executors.slurm.job"]
        number = queue.submit(batch, words, paths, self.settings.parameters, self.settings.jobs, self.logs)
        self.jobs |= {(batch, index): _Job(list(stacks)) for index, stacks in enumerate(jobs)}
        say(f"submitted {sum(map(len, jobs))} stacks as {len(jobs)} jobs, Slurm's number {number}, logs in {self.logs}")

    def _look(self) -> None:
        """Take what was finished; send again, or give back as lost, what a job left."""
        try:
            found = queue.look(sorted({batch for batch, _ in self.jobs}))
        except SlurmSilent as error:
            say(f"{error}; asking again", error=True)
            return
        names = {path.name for path in self.journal.folder.iterdir()}
        for task, job in list(self.jobs.items()):
            for stack in [stack for stack in job.stacks if stack.part.name in names]:
                if self._take(stack, last=task not in found.active):
                    job.stacks.remove(stack)
            if not job.stacks:
                del self.jobs[task]
            elif task in found.active:
                job.missed = False
            elif not job.missed:
                job.missed = True
            else:
                self._bury(self.jobs.pop(task))

    def _take(self, stack: _Stack, last: bool) -> bool:
        """Give the records of a stack to its future; where its part is damaged, have it trained again.

        Args:
            last: whether its job is gone. Until then it may still find limits and references, and write the part once more.

        Returns:
            whether there is nothing more to wait for.
        """
        records = self.journal.read([stack.part])
        if not all(trial.id in records for trial in stack.trials):
            self.waiting.append(stack)
            return True
        if not last and any(lacks(record) for record in records.values()):
            return False
        self.advance(len(stack.trials), PHASES.training)
        stack.future.set_result([records[trial.id] for trial in stack.trials])
        return True

    def _bury(self, job: _Job) -> None:
        """The stacks that a lost job trained at its end may have ended it; the others are sent again."""
        together = self.settings.gpus or self.settings.cpus
        for stack in job.stacks[:together]:
            reason = "its Slurm job ended before it was finished, twice (executor.time? executor.memory?)"
            stack.future.set_exception(WorkerDied(f"{reason}; see {self.logs}"))
        self.waiting += job.stacks[together:]
