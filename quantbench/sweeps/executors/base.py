"""The one seam behind which all engines are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import torch

from quantbench.components import Component, at_least, component
from quantbench.config import Settings, construct, find_class, without_target
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import Advance
from quantbench.training import NOTHING, Keep


class WorkerDied(Exception):
    """A stack was lost with its worker; it may be submitted again."""


class Engine:
    """A running executor: takes stacks, gives futures of their records."""

    capacity = 1
    """How many stacks to keep submitted at a time."""

    def submit(self, stack: Sequence[Trial]) -> Future[list[Record]]:
        """Train a stack. The future raises WorkerDied when the stack was lost."""
        raise NotImplementedError

    def poll(self) -> None:
        """Pass progress of running stacks on; called a few times a second."""

    def close(self) -> None:
        """Stop at once; stacks that still run are lost."""


@component
class Executor(Component):
    """Where stacks are trained. No setting here can change a result.

    Attributes:
        stack_size: largest number of trials trained together; null for one that suits the device: on a GPU it is measured.
    """

    stack_size: int | None = None

    def check(self) -> None:
        if self.stack_size is not None:
            at_least("executor.stack_size", self.stack_size, 1)

    def workers_on(self, device: torch.device) -> int | None:
        """How many stacks train at the same time, if there are as many; None where the settings do not say. Contacts nobody."""
        return 1

    def ready(self, device: torch.device) -> int:
        """How many stacks train at the same time, if there are as many; asked before anything is written.

        Raises:
            ConfigError: this executor cannot be used here and now.
        """
        return self.workers_on(device) or 1

    def open(self, stacks: int, device: str, advance: Advance, keep: Keep = NOTHING) -> Engine:
        """Start for a sweep of so many stacks.

        Args:
            advance: told how far the work has come, in trials.
            keep: what trainings leave in the folder of the run.
        """
        raise NotImplementedError


@component
class Queued(Executor):
    """An executor whose jobs outlive the driver: they write finished stacks into the journal themselves.

    Attributes:
        wait: whether the driver stays until all is done.
    """

    wait: bool = True

    def work_off(
        self,
        stacks: Sequence[Sequence[Trial]],
        device: str,
        keep: Keep,
        journal: Journal,
        take: Callable[[dict[str, Record]], None],
    ) -> bool:
        """Submit what no job has yet; gives whether all stacks are done.

        Args:
            keep: names the folder of the run, where all jobs must find it.
            take: told of the records of stacks that a job finished.
        """
        raise NotImplementedError


def make_executor(node: Settings) -> Executor:
    """The executor of checked settings, with the name of its class among them."""
    executor: Executor = construct(find_class(node["_target_"], Executor, "executor"), without_target(node))
    return executor
