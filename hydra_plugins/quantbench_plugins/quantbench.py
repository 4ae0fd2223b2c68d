"""Hydra's plugins of QuantBench: thin, the work is in quantbench.sweeps.

Hydra finds this file through the namespace package ``hydra_plugins``; it must import quickly, for every command of every
Hydra application in the environment imports it. (No postponed annotations: Hydra runs the file before it is a module.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.utils import JobReturn
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

SCHEME = "quantbench"


@dataclass
class SweeperConfig:
    """Grid over ``params``, written as for Hydra's own sweeper, or as lists of values.

    Each of ``points``, values that go together, is combined with the whole grid; ``exclude`` names points to leave out.
    """

    _target_: str = "hydra_plugins.quantbench_plugins.quantbench.GridSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)
    exclude: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class LauncherConfig:
    """Trains all jobs in stacks."""

    _target_: str = "hydra_plugins.quantbench_plugins.quantbench.StackLauncher"


ConfigStore.instance().store(group="hydra/sweeper", name="quantbench", node=SweeperConfig, provider="quantbench")
ConfigStore.instance().store(group="hydra/launcher", name="quantbench", node=LauncherConfig, provider="quantbench")


class GridSweeper(Sweeper):
    """Expands axes to jobs for launchers of Hydra's; with our own launcher QuantBench composes the sweep itself."""

    def __init__(self, params: Any, points: Any, exclude: Any) -> None:
        # Hydra gives nodes: plain data, with interpolations as they are written, is what trials need.
        given = {"params": params or {}, "points": points, "exclude": exclude}
        self.settings = {
            name: OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value
            for name, value in given.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from quantbench.sweeps.compose import jobs

        assert self.hydra_context is not None
        assert self.launcher is not None
        returns = self.launcher.launch(jobs(arguments, self.settings, self.hydra_context.config_loader), initial_job_idx=0)
        for one in returns:
            _ = one.return_value  # raises what the job raised
        return returns


class StackLauncher(Launcher):
    """Trains the jobs that another sweeper asks for, as many as it asks for at a time, together."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from quantbench.sweeps.launch import launch

        assert self.hydra_context is not None
        assert self.config is not None
        return launch(job_overrides, self.config, self.hydra_context.config_loader)


class ChoiceSource(ConfigSource):
    """YAML choices that hold only what differs from their class: the class's other settings are filled in."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        from quantbench.files import read_text
        from quantbench.sweeps.choice_files import file_of, filled

        path = file_of(self.path, config_path)
        content = OmegaConf.create(filled(path))  # first, for it names a file that cannot be read
        header = self._get_header_dict(read_text(path, links=True)[:512])
        return ConfigResult(self.provider, self.full_path(), content, header)

    def available(self) -> bool:
        return self.is_group("")

    def is_group(self, config_path: str) -> bool:
        return Path(self.path, config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        from quantbench.sweeps.choice_files import file_of

        return file_of(self.path, config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        from quantbench.sweeps.choice_files import names

        return names(self.path, config_path, results_filter != ObjectType.CONFIG, results_filter != ObjectType.GROUP)


class OurChoices(SearchPathPlugin):
    """Has Hydra read the project's and the user's choices through ``ChoiceSource``; other applications are left alone."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from quantbench.paths import config_folder
        from quantbench.sweeps.hydra_tools import OWN, own

        folder = str(config_folder())
        if any(one.path.removeprefix("file://") == folder for one in search_path.get_path() if one.path):
            search_path.prepend(provider="quantbench", path=f"{SCHEME}://{folder}")
            for one in own:
                search_path.append(provider=OWN, path=f"{SCHEME}://{one}")
