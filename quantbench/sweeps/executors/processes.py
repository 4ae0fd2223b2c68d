"""One single-threaded worker process per core, or one per GPU."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, TypeVar

import torch

from quantbench.components import at_least, component
from quantbench.devices import find_device, workers_devices
from quantbench.imports import children_import_safely
from quantbench.signals import held
from quantbench.sweeps.executors.base import Engine, Executor, WorkerDied
from quantbench.sweeps.executors.inline import InlineEngine
from quantbench.sweeps.interrupts import without_ctrl_c
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import Advance, Job, keep_memory, run_stack
from quantbench.training import NOTHING, Keep
from quantbench.training.phases import PHASES

Result = TypeVar("Result")

RESTART_SECONDS = 10.0
"""How long to try for a new pool after one broke."""

_progress: Any = None
"""In a worker: trials done, summed over all workers, in shared memory; and, beside it, the phase that began last."""
_phase: Any = None
_device = ""
"""In a worker: where it trains, from its first stack to its last."""


class ProcessEngine(Engine):
    """Workers of this machine; each has one of the devices, in turn, for as long as it lives."""

    def __init__(self, workers: int, devices: Sequence[str], advance: Advance, keep: Keep, job: Job = run_stack) -> None:
        children_import_safely()
        self.capacity, self.devices, self.advance, self.keep, self.job = workers, devices, advance, keep, job
        self.shares = find_device(devices[0]).type == "cpu"  # whether helpers would take the cores of stacks
        self.helpers = workers if self.shares else max(1, cores() - workers)
        # A fork server imports torch once and forks clean workers from it: they start at once and share its memory.
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self.context = multiprocessing.get_context(method)
        self.forks = method == "forkserver"
        if self.forks:
            self.context.set_forkserver_preload(["quantbench.sweeps.find"])  # and the worker with it
        self.lifeline, self.life = self.context.Pipe(duplex=False)
        self.pool = self._pool()

    def _pool(self) -> ProcessPoolExecutor:
        if self.forks:
            with held(), without_ctrl_c(), without_main():  # while it imports, it would answer with a traceback
                forkserver.ensure_running()
        # Never that of an earlier pool: a worker that was killed may have died with the lock.
        self.done = self.context.Value("d", 0.0)
        self.phase = self.context.RawValue("i", 0)
        self.seen = 0.0
        shared = (self.done, self.phase, self.lifeline, tuple(self.devices), self.context.Value("i", 0))
        return ProcessPoolExecutor(self.capacity, self.context, initializer=_start_worker, initargs=shared)

    def submit(self, stack: Sequence[Trial], alone: bool = False) -> Future[list[Record]]:
        return self.call(_run, self.job, tuple(stack), self.keep)

    def call(self, function: Callable[..., Result], *given: Any) -> Future[Result]:
        """What a function gives in a worker. The future raises WorkerDied when it was lost with it."""
        deadline = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                with held(), without_main():  # this may start a worker
                    submitted = self.pool.submit(function, *given)
                break
            except (BrokenProcessPool, OSError):  # the latter where pool or fork server end as a worker is started
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # the system may need a moment to tell that the fork server is gone
                self.pool = self._pool()
        future: Future[Result] = Future()
        submitted.add_done_callback(lambda finished: _pass_on(finished, future))
        return future

    def spare(self, busy: int) -> int:
        return self.capacity - busy if self.shares else super().spare(busy)

    def poll(self) -> None:
        now = self.done.get_obj().value  # without the lock, for the same reason
        self.advance(now - self.seen, PHASES[self.phase.value])
        self.seen = now

    def close(self) -> None:
        workers = list((self.pool._processes or {}).values())
        self.pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()


def _pass_on(finished: Future[Result], future: Future[Result]) -> None:
    """Give the result of ``finished`` to ``future``; a broken pool becomes WorkerDied."""
    if finished.cancelled():
        future.cancel()
    elif isinstance(error := finished.exception(), BrokenProcessPool):
        future.set_exception(WorkerDied("its worker process died (out of memory, or killed)"))
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(finished.result())


@component
class Processes(Executor):
    """One worker process per core, each with one thread; on GPUs, one per GPU.

    Attributes:
        workers: number of processes; null for one a core, or one a GPU. More of them share the GPUs out evenly.
    """

    workers: int | None = None

    def check(self) -> None:
        super().check()
        if self.workers is not None:
            at_least("executor.workers", self.workers, 1)

    def workers_on(self, device: torch.device) -> int:
        return self.workers or workers_here(device)

    def open(self, stacks: int, device: str, advance: Advance, keep: Keep = NOTHING, job: Job = run_stack) -> Engine:
        found = find_device(device)
        workers = min(self.workers_on(found), stacks)
        if workers == 1:
            # One stack at a time needs no other process; on a GPU it leaves all cores but this one to helpers.
            return InlineEngine(device, advance, keep, job, 0 if found.type == "cpu" else cores() - 1)
        return ProcessEngine(workers, workers_devices(found), advance, keep, job)


@contextmanager
def without_main() -> Iterator[None]:
    """Have processes that start meanwhile not run the user's script once more: a worker needs nothing of it.

    multiprocessing imports it in every child, and a script without ``if __name__ == "__main__"`` would start the sweep again.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_here(device: torch.device) -> int:
    """How many workers of this machine a device is worth: one a core, or one a GPU."""
    return len(workers_devices(device)) if device.type == "cuda" else cores()


def _start_worker(done: Any, phase: Any, lifeline: Connection, devices: Sequence[str], started: Any) -> None:
    global _progress, _phase, _device
    with started.get_lock():
        _device = devices[started.value % len(devices)]
        started.value += 1
    _progress, _phase = done, phase
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    keep_memory()
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()


def _die_with(lifeline: Connection) -> None:
    """End this process when the driver, who alone holds the other end, is gone: no killed driver leaves workers behind."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


def _run(job: Job, stack: tuple[Trial, ...], keep: Keep) -> list[Record]:
    def advance(trials: float, phase: str) -> None:
        with _progress.get_lock():
            _progress.value += trials
            _phase.value = PHASES.index(phase)

    return job(stack, _device, advance, keep)
