"""The one seam behind which everything is that trains stacks."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from quantbench.components import Component, at_least, component
from quantbench.schema import Settings, construct, find_class, without_target
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import Advance, Job, run_stack
from quantbench.training import NOTHING, Keep


class WorkerDied(Exception):
    """A stack was lost with its worker; it may be submitted again."""


@dataclass(frozen=True)
class Claim:
    """A stack that an earlier driver submitted, and whose job still waits or runs.

    Attributes:
        stack: those of its trials that this sweep has.
        job: what the executor needs to know it again.
    """

    stack: list[Trial]
    job: Any


class Engine:
    """A running executor: takes stacks, gives futures of their records.

    Attributes:
        capacity: how many stacks to keep submitted at a time.
        isolates: whether a stack that is submitted alone may end its worker while others train, and harms none of them.
        journals: whether records of a finished stack are in the journal already.
        leaves: whether the driver leaves once all is submitted; jobs go on without it.
        poll_seconds: how often to poll.
        helpers: how many further processes this machine has cores for, beside or in the place of stacks; 0 where all else is
            done by this process, between stacks.
    """

    capacity: int = 1
    isolates: bool = False
    journals: bool = False
    leaves: bool = False
    poll_seconds: float = 0.2
    helpers: int = 0

    def spare(self, busy: int) -> int:
        """How many jobs the helpers may have while so many stacks train; without an end where stacks leave them their cores."""
        return sys.maxsize

    def submit(self, stack: Sequence[Trial], alone: bool = False) -> Future[list[Record]]:
        """Train a stack. The future raises WorkerDied when the stack was lost with its worker.

        Args:
            alone: the stack is suspected of ending its worker: let it share none that others need.
        """
        raise NotImplementedError

    def adopt(self, claim: Claim) -> Future[list[Record]]:
        """The future of a stack that an earlier driver submitted."""
        raise NotImplementedError

    def poll(self) -> None:
        """Send what was submitted, pass progress on, and whatever else is to be done from time to time."""

    def close(self) -> None:
        """Stop at once; stacks that still run are lost, unless jobs outlive the driver."""


@component
class Executor(Component):
    """Where stacks are trained. No setting here can change a result.

    Attributes:
        stack_size: largest number of trials trained together; null for one that suits the device: on a GPU it is measured.
    """

    outlives: ClassVar[bool] = False
    """Whether jobs go on without the driver. Such an executor has a setting ``wait``: whether the driver stays."""

    stack_size: int | None = None

    def check(self) -> None:
        if self.stack_size is not None:
            at_least("executor.stack_size", self.stack_size, 1)

    @property
    def beyond(self) -> list[str]:
        """What of it reaches beyond this machine and the run's folder: ``resume`` has each named by the user."""
        return []

    def workers_on(self, device: torch.device) -> int | None:
        """How many stacks train at the same time, if there are as many; None where the settings do not say. Contacts nobody."""
        return 1

    def ready(self, device: torch.device) -> int:
        """How many stacks train at the same time, if there are as many; asked before anything is written.

        Raises:
            ConfigError: this executor cannot be used here and now.
        """
        return self.workers_on(device) or 1

    def claims(self, folder: Path, trials: Sequence[Trial]) -> list[Claim]:
        """The stacks of these trials that jobs of an earlier driver still have; tells how far they are.

        Args:
            folder: of the run.
        """
        return []

    @abstractmethod
    def open(self, stacks: int, device: str, advance: Advance, keep: Keep = NOTHING, job: Job = run_stack) -> Engine:
        """Start for so many stacks.

        Args:
            advance: told how far the work has come, in trials, and what is done now.
            keep: what trainings leave in the folder of the run.
            job: what a worker does with a stack; it can be pickled.
        """


def make_executor(node: Settings) -> Executor:
    """The executor of checked settings, with the name of its class among them."""
    cls = find_class(node["_target_"], Executor, "executor")  # type: ignore[type-abstract]
    return construct(cls, without_target(node))
