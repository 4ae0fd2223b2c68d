"""Engines that train stacks."""

from quantbench.sweeps.executors.base import Engine, Executor, WorkerDied
from quantbench.sweeps.executors.inline import Inline
from quantbench.sweeps.executors.processes import Processes

__all__ = ["Engine", "Executor", "Inline", "Processes", "WorkerDied"]
