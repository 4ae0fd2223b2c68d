"""Trials that a sweeper or a launcher of Hydra's asks for, and what it is told of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from quantbench.errors import ConfigError
from quantbench.imports import import_from
from quantbench.metrics import METRICS, MORE, known
from quantbench.results.schema import Status
from quantbench.results.tables import read_results
from quantbench.suggest import no_such_metric
from quantbench.sweeps.compose import OURS, of_configs
from quantbench.sweeps.execute import SweepFailed
from quantbench.sweeps.hydra_tools import users_folders
from quantbench.sweeps.plan import NothingToTrain, plan
from quantbench.sweeps.runner import run
from quantbench.sweeps.sweep import Sweep

CORE = "hydra."
"""Where Hydra's own sweeper is, which asks for no value."""


def launch(jobs: Sequence[Sequence[str]], config: DictConfig, loader: ConfigLoader) -> list[JobReturn]:
    """Train the jobs of a sweeper together; gives what each found. Raises as ``run`` does, but for trials that failed."""
    sweep = of_configs([loader.load_sweep_config(config, list(job)) for job in jobs], config.hydra)
    name = objective(config, config.hydra)
    folder = _folder(sweep, name)
    returns = []
    for job, combination in zip(jobs, sweep.combinations, strict=True):
        one = JobReturn(overrides=list(job), status=JobStatus.COMPLETED)
        alone = Sweep(sweep.command, sweep.search_path, [combination])
        one.return_value = value(folder, alone, name) if name else str(folder)
        returns.append(one)
    return returns


def run_one(config: DictConfig, hydra: DictConfig) -> float | str | None:
    """Train one trial that a launcher of Hydra's composed; gives what its sweeper asks for, else the folder."""
    name = objective(config, hydra)
    for path in users_folders(hydra):
        import_from(path)  # a launcher of Hydra's may be in a process of its own
    with_hydra = OmegaConf.merge({"hydra": {"runtime": hydra.runtime}}, config)
    sweep = of_configs([with_hydra], hydra)  # type: ignore[list-item]
    folder = _folder(sweep, name)
    if name:
        return value(folder, sweep, name)
    return None if folder is None else str(folder)


def _folder(sweep: Sweep, name: str | None) -> Path | None:
    """Run a sweep; a search goes on where its trials fail, or do not fit together."""
    try:
        return run(sweep)
    except SweepFailed as error:
        if name is None:
            raise
        return error.folder
    except NothingToTrain:
        if name is None:
            raise
        return None


def objective(config: DictConfig, hydra: DictConfig) -> str | None:
    """The metric that the sweeper is to be told. Raises ConfigError where it needs one, or there is none of that name."""
    name: str | None = config.get("objective")
    if name is None:
        sweeper = str(hydra.sweeper._target_)
        if sweeper.startswith((CORE, OURS)):
            return None
        raise ConfigError(f"objective=null: {sweeper.rpartition('.')[2]} needs a metric, as objective=nmse_db")
    if not known(name):
        raise no_such_metric("objective=", name, METRICS)
    return name


def value(folder: Path | None, sweep: Sweep, name: str) -> float:
    """The metric of a sweep's only trial; one that did not complete has the worst there is."""
    metric = known(name)
    worst = -math.inf if metric is not None and metric.better == MORE else math.inf
    try:
        trial = plan(sweep).trials[0].id
    except NothingToTrain:
        return worst
    if folder is None:  # a dry run
        return worst
    row = read_results(folder).set_index("trial").loc[trial].to_dict()
    if row["status"] != Status.COMPLETED:
        return worst
    if pd.isna(found := row.get(name)):
        raise ConfigError(f"objective={name}: these trials have no such metric")
    return float(found)
