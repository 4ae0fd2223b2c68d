"""Engines that train stacks."""

from quantbench.sweeps.executors.base import Engine, Executor, Queued, WorkerDied, make_executor
from quantbench.sweeps.executors.dask import Dask
from quantbench.sweeps.executors.inline import Inline
from quantbench.sweeps.executors.processes import Processes
from quantbench.sweeps.executors.slurm import Slurm

__all__ = ["Dask", "Engine", "Executor", "Inline", "Processes", "Queued", "Slurm", "WorkerDied", "make_executor"]
