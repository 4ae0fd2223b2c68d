"""Engines that train stacks."""

from quantbench.sweeps.executors.base import Engine, Executor, WorkerDied
from quantbench.sweeps.executors.dask import Dask
from quantbench.sweeps.executors.inline import Inline
from quantbench.sweeps.executors.processes import Processes

__all__ = ["Dask", "Engine", "Executor", "Inline", "Processes", "WorkerDied"]
