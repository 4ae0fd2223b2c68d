"""Array jobs of a Slurm cluster: the executor, the queue, the task of a job, and what a job does."""

from quantbench.sweeps.executors.slurm.executor import Slurm

__all__ = ["Slurm"]
