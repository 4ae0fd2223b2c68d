"""Stacks on the workers of a Dask cluster: one that runs already, anywhere, or one of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from quantbench.components import at_least, component
from quantbench.devices import find_device, workers_devices
from quantbench.errors import ConfigError, QuantBenchError
from quantbench.install import how_to_install
from quantbench.signals import wind_up
from quantbench.sweeps.executors.base import Engine, Executor, WorkerDied
from quantbench.sweeps.executors.processes import cores, workers_here
from quantbench.sweeps.interrupts import without_ctrl_c
from quantbench.sweeps.remote import DEATH, join_driver, own_folders
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import Advance, Job, describe, keep_memory, run_stack, unheard
from quantbench.terminal import say
from quantbench.training import NOTHING, Keep
from quantbench.training.phases import PHASES
from quantbench.version import __version__

CONNECT_SECONDS = 10
CLOSE_SECONDS = 5
ASK_SECONDS = 2
"""How often the cluster is asked for its size."""
FILES, FILES_A_WORKER = 64, 16
"""Open files that a driver with a cluster of this machine takes at most, and some to spare; without them Dask hangs."""
FETCH_SECONDS = 60
"""How long a finished stack may take to arrive; its worker may have died just then."""


class DaskEngine(Engine):
    """Keeps one stack a thread of the cluster submitted, which may grow and shrink, but ``least`` stacks at any time.

    Args:
        devices: that the workers of this machine share out; of other workers, each finds out what the only one is for it.
    """

    def __init__(
        self, client: Any, cluster: Any, least: int, devices: Sequence[str], advance: Advance, keep: Keep, job: Job
    ) -> None:
        self.client, self.cluster, self.least = client, cluster, least
        self.capacity, self.asked = max(least, threads_of(client)), time.monotonic()
        self.devices, self.advance, self.keep, self.job = tuple(devices), advance, keep, job
        self.helpers = cores()  # of the driver's machine, which has the records: no worker is kept from its stacks
        self.folders = own_folders()
        self.running: dict[str, Any] = {}  # Dask forgets a task when nobody holds its future
        self.lock = threading.Lock()
        self.finished = 0

    def submit(self, stack: Sequence[Trial], alone: bool = False) -> Future[list[Record]]:
        if self.client.status != "running":
            raise QuantBenchError("executor=dask: the connection to the scheduler is lost; finished stacks are kept")
        key = f"quantbench-{stack[0].id}-{uuid.uuid4().hex}"
        future: Future[list[Record]] = Future()
        sent = (self.job, tuple(stack), self.devices, self.keep, self.folders, __version__)
        remote = self.client.submit(_run, *sent, key=key, pure=False)
        self.running[key] = remote
        remote.add_done_callback(lambda done: self._settle(done, future, len(stack)))
        return future

    def spare(self, busy: int) -> int:
        # Workers of this machine compute on the same cores.
        return super().spare(busy) if self.cluster is None else self.capacity - busy

    def _settle(self, remote: Any, future: Future[list[Record]], trials: int) -> None:
        """Give what became of a task to ``future``; runs in a thread of Dask's."""
        self.running.pop(remote.key, None)
        try:
            records = _result(remote)
        except Exception as error:
            future.set_exception(error)
            return
        with self.lock:
            self.finished += trials
        future.set_result(records)

    def poll(self) -> None:
        with self.lock:
            finished, self.finished = self.finished, 0
        self.advance(finished, PHASES.training)
        if time.monotonic() > self.asked + ASK_SECONDS and self.client.status == "running":
            with contextlib.suppress(OSError):  # the scheduler went away just now; the next submission says so
                self.capacity, self.asked = max(self.least, threads_of(self.client)), time.monotonic()

    def close(self) -> None:
        if self.client.status == "running":
            with contextlib.suppress(OSError):
                self.client.cancel(list(self.running.values()))
        for one in (self.client, self.cluster):
            if one is not None:
                with contextlib.suppress(
                    OSError
                ):  # a worker that is busy answers late; those of this machine end with it anyway
                    one.close(timeout=CLOSE_SECONDS)


def _result(remote: Any) -> list[Record]:
    """The records of a task that is done. Raises WorkerDied where it was lost, QuantBenchError where no worker can run it."""
    from distributed import KilledWorker

    if remote.status not in ("finished", "error"):
        raise WorkerDied("the Dask scheduler lost it")
    if remote.status == "finished":
        try:
            records: list[Record] = remote.result(timeout=FETCH_SECONDS)
        except Exception as error:
            raise WorkerDied(f"its result was lost with its worker ({describe(error)})") from error
        return records
    reason = remote.exception()
    if isinstance(reason, KilledWorker):
        raise WorkerDied(DEATH)
    if isinstance(reason, QuantBenchError):
        raise reason
    raise QuantBenchError(f"executor=dask: a worker could not begin a stack ({describe(reason)}); has it QuantBench installed?")


@component
class Dask(Executor):
    """Workers of a Dask cluster.

    Attributes:
        stack_size: as for every executor; null has it measured on a GPU of the driver's machine, where there is one.
        address: of a scheduler that runs already, as ``tcp://host:8786``; null starts a cluster of this machine, one
            single-threaded process a core, or a GPU.
        workers: number of processes of a cluster of this machine; null for one a core, or one a GPU. With an address, how
            many stacks are submitted at a time though the cluster has fewer threads: one that grows on demand needs that.
    """

    stack_size: int | None = 64
    address: str | None = None
    workers: int | None = None

    def check(self) -> None:
        super().check()
        if self.workers is not None:
            at_least("executor.workers", self.workers, 1)

    @property
    def beyond(self) -> list[str]:
        return [self.address] if self.address else []  # a scheduler can run code here

    def workers_on(self, device: torch.device) -> int | None:
        return self.workers or (None if self.address else workers_here(device))

    def ready(self, device: torch.device) -> int:
        _require_distributed()
        if self.address is None:
            return super().ready(device)
        threads = _size(self.address)
        return self.workers or threads

    def open(self, stacks: int, device: str, advance: Advance, keep: Keep = NOTHING, job: Job = run_stack) -> Engine:
        _silence()
        if self.address is None:
            found = find_device(device)
            client, cluster = _start_here(min(self.workers_on(found) or 1, stacks))
            devices = workers_devices(found)
        else:
            client, cluster, devices = connect(self.address), None, [device]
        if client.dashboard_link:
            say(f"Dask's dashboard: {client.dashboard_link}", error=True)
        return DaskEngine(client, cluster, self.workers or 1, devices, advance, keep, job)


def _require_distributed() -> None:
    """Raise ConfigError where Dask is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"executor=dask: {error}; install it with {how_to_install('dask')}") from error


def _silence() -> None:
    """Have Dask print nothing in this process: what it notices comes to the driver as an error, too."""
    for name in logging.root.manager.loggerDict:
        if name.split(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _start_here(workers: int) -> tuple[Any, Any]:
    """Client and cluster of this machine, reachable from it alone. Raises QuantBenchError where it cannot be started."""
    from distributed import Client

    _allow_files(workers)
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(_local_cluster, workers)
        try:
            cluster = starting.result()
        except KeyboardInterrupt:
            wind_up()
            starting.result().close(timeout=CLOSE_SECONDS)  # what has half started cannot be closed
            raise
        except Exception as error:  # of Dask's: whatever the system refused it
            raise QuantBenchError(f"executor=dask: a cluster of this machine cannot be started ({describe(error)})") from error
    return Client(cluster, set_as_default=False), cluster


def _allow_files(workers: int) -> None:
    """Have enough files open at a time. Raises QuantBenchError where the system allows too few."""
    needed = FILES + FILES_A_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise QuantBenchError(
            f"executor=dask: {workers} workers take up to {needed} open files, and the system allows this process {hard} "
            "(`ulimit -n`); raise that, lower executor.workers, or use executor=processes"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _local_cluster(workers: int) -> Any:
    import dask
    from distributed import LocalCluster

    # A stack that was lost with its worker is tried again by the driver, alone, so that it takes no other with it.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), without_ctrl_c():
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,  # stacks are halved where memory does not suffice; Dask would kill the worker
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )


def connect(address: str) -> Any:
    """A client of the scheduler at ``address``. Raises ConfigError where none answers."""
    from distributed import Client

    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:
        raise _unreachable(address, error) from error


def _size(address: str) -> int:
    """Threads of the cluster at ``address``, at least one. Raises ConfigError where no scheduler answers in time."""
    from distributed.core import rpc
    from distributed.security import Security

    async def ask() -> dict[str, int]:
        # No Client yet: one that finds nobody waits long before it gives up.
        async with (
            asyncio.timeout(CONNECT_SECONDS),
            rpc(address, connection_args=Security().get_connection_args("client")) as scheduler,
        ):
            threads: dict[str, int] = await scheduler.ncores()
            return threads

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
            return max(1, sum(thread.submit(asyncio.run, ask()).result().values()))
    except Exception as error:  # whatever another service answered
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ConfigError(
        f"executor.address={address}: no Dask scheduler answers there within {CONNECT_SECONDS} s ({reason}); start one with "
        f"`dask scheduler`, or leave the address out for a cluster of this machine"
    )


def threads_of(client: Any) -> int:
    """How many tasks the workers of a cluster can run at a time."""
    return sum(client.nthreads().values())


def _run(
    job: Job, stack: tuple[Trial, ...], devices: Sequence[str], keep: Keep, folders: list[str], version: str
) -> list[Record]:
    join_driver(folders, version)
    keep_memory()
    return job(stack, devices[_number() % len(devices)] if len(devices) > 1 else devices[0], unheard, keep)


def _number() -> int:
    """The number of this worker in a cluster that QuantBench started; it keeps it when it is started again."""
    from distributed import get_worker

    return int(get_worker().name)
