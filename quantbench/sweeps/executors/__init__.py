"""Executors: settings of what trains stacks, and the engines that they open."""

from quantbench.sweeps.executors.base import Claim, Engine, Executor, WorkerDied, make_executor
from quantbench.sweeps.executors.dask import Dask
from quantbench.sweeps.executors.inline import Inline
from quantbench.sweeps.executors.processes import Processes
from quantbench.sweeps.executors.slurm import Slurm

__all__ = ["Claim", "Dask", "Engine", "Executor", "Inline", "Processes", "Slurm", "WorkerDied", "make_executor"]
