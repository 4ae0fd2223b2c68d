"""Hydra's sweeper and launcher of QuantBench: thin, the work is in quantbench.sweeps.

Hydra finds this file through the namespace package ``hydra_plugins``; it must import quickly, for every command of every
Hydra application in the environment imports it. (No postponed annotations: Hydra runs the file before it is a module.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class SweeperConfig:
    """Grid over ``params``, written as for Hydra's own sweeper.

    Each of ``points``, values that go together, is combined with the whole grid; ``exclude`` names points to leave out.
    """

    _target_: str = "hydra_plugins.quantbench_plugins.quantbench.GridSweeper"
    params: dict[str, Any] | None = None
    points: list[dict[str, Any]] = field(default_factory=list)
    exclude: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class LauncherConfig:
    """Trains all jobs in stacks."""

    _target_: str = "hydra_plugins.quantbench_plugins.quantbench.StackLauncher"


ConfigStore.instance().store(group="hydra/sweeper", name="quantbench", node=SweeperConfig, provider="quantbench")
ConfigStore.instance().store(group="hydra/launcher", name="quantbench", node=LauncherConfig, provider="quantbench")


class GridSweeper(Sweeper):
    """Expands axes to jobs; an axis given on the command line takes the place of the experiment's."""

    def __init__(self, params: DictConfig | None, points: Any, exclude: Any) -> None:
        self.params: dict[str, Any] = dict(params or {})
        self.points: list[dict[str, Any]] = [dict(point) for point in points]
        self.exclude: list[dict[str, Any]] = [dict(point) for point in exclude]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from quantbench.sweeps.hydra_jobs import expand

        assert self.hydra_context is not None
        assert self.launcher is not None
        jobs = expand(self.params, self.points, self.exclude, arguments, self.hydra_context.config_loader)
        returns = self.launcher.launch(jobs, initial_job_idx=0)
        for one in returns:
            _ = one.return_value  # raises what the job raised
        return returns


class StackLauncher(Launcher):
    """Composes once per distinct set of group choices and trains all jobs together."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from quantbench.sweeps.hydra_jobs import collect
        from quantbench.sweeps.runner import run

        assert self.hydra_context is not None
        assert self.config is not None
        command = list(OmegaConf.to_container(self.config.hydra.overrides.task))  # type: ignore[arg-type]
        folder = run(collect(job_overrides, self.config, self.hydra_context.config_loader, command))
        returned = JobReturn(overrides=command, status=JobStatus.COMPLETED)
        returned.return_value = folder
        return [returned]
