"""Stacks one after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from quantbench.components import component
from quantbench.sweeps.executors.base import Engine, Executor
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import Advance, Job, keep_memory, run_stack
from quantbench.training import NOTHING, Keep


class InlineEngine(Engine):
    def __init__(self, device: str, advance: Advance, keep: Keep, job: Job, helpers: int = 0) -> None:
        self.device, self.advance, self.keep, self.job, self.helpers = device, advance, keep, job, helpers
        keep_memory()

    def submit(self, stack: Sequence[Trial], alone: bool = False) -> Future[list[Record]]:
        future: Future[list[Record]] = Future()
        future.set_result(self.job(stack, self.device, self.advance, self.keep))
        return future


@component
class Inline(Executor):
    """Trains in the driver's own process, with one thread: easy to debug and to profile."""

    def open(self, stacks: int, device: str, advance: Advance, keep: Keep = NOTHING, job: Job = run_stack) -> Engine:
        return InlineEngine(device, advance, keep, job)
