"""`quantbench audit`: every pair of a quantizer and a strategy on a small problem, its gradient against the true one."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from tqdm import tqdm

from quantbench.choices import choices
from quantbench.config import check_settings
from quantbench.errors import ConfigError, QuantBenchError
from quantbench.gradients import misfit
from quantbench.results.audit_table import audit_summary as summary
from quantbench.results.audit_table import audit_table
from quantbench.results.tables import write
from quantbench.sweeps.catalogue import default_component
from quantbench.sweeps.executors.processes import cores
from quantbench.sweeps.journal import new_folder
from quantbench.sweeps.worker import describe
from quantbench.training import Stack, TrainSettings
from quantbench.training.fidelity import FidelitySettings as AuditSettings
from quantbench.training.fidelity import Reference
from quantbench.training.fidelity import fidelity as audit

SMALL: dict[str, dict[str, Any]] = {
    "simulator": {"frame_dim": 8},
    "codec": {"latent_dim": 8, "hidden": 16},
    "train": {"steps": 500, "lr": 3e-3, "batch": 128, "log_every": 500},
}
"""The small problem, where nothing else is asked for."""
PAIRS_A_JOB = 4
"""Strategies audited one after the other, so that they share the reference at the start."""


@dataclass(frozen=True)
class Audit:
    """What to audit.

    Attributes:
        overrides: ``group=choice,choice`` or ``group.setting=value``.
        seeds: how many.
        config_dir: a folder with choices of the user's own.
        settings: how gradients are compared.
    """

    overrides: Sequence[str] = ()
    seeds: int = 3
    config_dir: Path | None = None
    settings: AuditSettings = field(default_factory=AuditSettings)


@dataclass(frozen=True)
class Asked:
    """Overrides, parsed: the choices of each group, and settings by group."""

    choices: dict[str, list[str]]
    settings: dict[str, dict[str, Any]]


def run_audit(task: Audit, output: str, form: str) -> bool:
    """Audit, write ``audit.csv``, print a table; whether nothing was found.

    Raises:
        ConfigError: an override is wrong, or no pair fits.
    """
    task.settings.check()
    if task.seeds < 1:
        raise ConfigError(f"seeds={task.seeds}: must be at least 1")
    asked = parse(task.overrides, task.config_dir)
    _train_settings(asked)
    jobs, skipped = _jobs(asked, task.config_dir)
    if not jobs:
        raise ConfigError(f"nothing to audit: {skipped[0]}")
    folder = new_folder(output, "audit")
    rows: list[dict[str, Any]] = []
    workers = min(cores(), len(jobs))
    context = multiprocessing.get_context("forkserver" if sys.platform != "darwin" else "spawn")
    with ProcessPoolExecutor(workers, context) as pool, tqdm(total=sum(len(job[1]) for job in jobs), unit="pair") as bar:
        try:
            futures = {pool.submit(_audit_job, job, asked, task): job for job in jobs}
            for future in as_completed(futures):
                rows += future.result()
                bar.update(len(futures[future][1]))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            table = audit_table(rows)
            write(table, folder / "audit.csv")
    for reason in skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    print(f"\n{summary(table, form)}\n\naudit: {folder / 'audit.csv'}")
    return not _report(table)


def _report(table: pd.DataFrame) -> int:
    """Print what was found, once a pair; gives how many pairs that are."""
    found = table[table["findings"].fillna("") != ""].drop_duplicates(["quantizer", "gradient", "findings"])
    for row in found.itertuples():
        print(f"found: quantizer={row.quantizer} gradient={row.gradient}, {row.moment}: {row.findings}", file=sys.stderr)
    return len(found)


def parse(overrides: Sequence[str], config_dir: Path | None) -> Asked:
    """Overrides as choices and settings. Raises ConfigError."""
    chosen: dict[str, list[str]] = {"simulator": ["gaussian"], "codec": ["mlp"]}
    settings: dict[str, dict[str, Any]] = {group: {} for group in ("simulator", "codec", "quantizer", "gradient", "train")}
    for override in overrides:
        key, sign, value = override.partition("=")
        group, dot, name = key.partition(".")
        if not sign or group not in settings or (group == "train" and not dot):
            raise ConfigError(f"{override}: must be GROUP=CHOICE or GROUP.SETTING=VALUE, GROUP one of {', '.join(settings)}")
        if dot:
            try:
                settings[group][name] = yaml.safe_load(value)
            except (yaml.YAMLError, ValueError) as error:
                raise ConfigError(f"{override}: its value cannot be read ({' '.join(str(error).split())})") from error
        else:
            chosen[group] = value.split(",")
    for group in ("quantizer", "gradient"):
        chosen.setdefault(group, list(choices(group, config_dir)))
    for group in ("simulator", "codec"):
        if len(chosen[group]) > 1:
            raise ConfigError(f"{group}={','.join(chosen[group])}: an audit has one")
    return Asked(chosen, settings)


Job = tuple[str, list[str]]
"""A quantizer and a few strategies."""


def _jobs(asked: Asked, config_dir: Path | None) -> tuple[list[Job], list[str]]:
    """Pairs that fit, and why others are left out."""
    simulator, codec = (_component(group, asked.choices[group][0], asked, config_dir) for group in ("simulator", "codec"))
    if simulator.waveform_rate is not None:
        raise ConfigError(f"simulator={asked.choices['simulator'][0]}: an audit takes frames of features, not waveforms")
    codec.check_input(None, {})
    dim = codec.latent_dim
    gradients = {name: _component("gradient", name, asked, config_dir) for name in asked.choices["gradient"]}
    jobs: list[Job] = []
    skipped: list[str] = []
    for name in asked.choices["quantizer"]:
        quantizer = _component("quantizer", name, asked, config_dir)
        try:
            quantizer.check_dim(dim)
        except ConfigError as error:
            if len(asked.choices["quantizer"]) == 1:
                raise
            skipped.append(f"quantizer={name}: {error}")
            continue
        reasons = {gradient: misfit(quantizer, component) for gradient, component in gradients.items()}
        fitting = [gradient for gradient, reason in reasons.items() if reason is None]
        if len(reasons) == 1 and not fitting:
            skipped.append(f"gradient={asked.choices['gradient'][0]} does not fit quantizer={name}: {reasons.popitem()[1]}")
        jobs += [(name, fitting[i : i + PAIRS_A_JOB]) for i in range(0, len(fitting), PAIRS_A_JOB)]
    return jobs, skipped


def _component(group: str, name: str, asked: Asked, config_dir: Path | None) -> Any:
    small = SMALL.get(group, {}) if name in ("gaussian", "mlp") else {}
    return default_component(group, name, config_dir, small | asked.settings[group])


def _audit_job(job: Job, asked: Asked, task: Audit) -> list[dict[str, Any]]:
    """Rows of one quantizer with a few strategies; a failure is a row of its own."""
    torch.set_num_threads(1)
    if task.config_dir is not None and str(task.config_dir) not in sys.path:
        sys.path.append(str(task.config_dir))
    quantizer, gradients = job
    rows: list[dict[str, Any]] = []
    known: dict[str, Reference] = {}
    for gradient in gradients:
        names: Mapping[str, str] = {"quantizer": quantizer, "gradient": gradient}
        try:
            found = audit(_stack(names, asked, task), task.settings, known)
            rows += [dict(names) | row for row in found]
        except QuantBenchError:
            raise
        except Exception as error:  # of a user's own class, most likely
            rows.append(dict(names) | {"findings": f"failed: {describe(error)}"})
    return rows


def _stack(names: Mapping[str, str], asked: Asked, task: Audit) -> Stack:
    parts = {
        group: _component(group, names.get(group) or asked.choices[group][0], asked, task.config_dir)
        for group in ("simulator", "codec", "quantizer", "gradient")
    }
    return Stack(**parts, train=_train_settings(asked), seeds=tuple(range(task.seeds)), device=torch.device("cpu"))


def _train_settings(asked: Asked) -> TrainSettings:
    """Settings of the training between the two moments. Raises ConfigError."""
    return TrainSettings(**check_settings(TrainSettings, SMALL["train"] | asked.settings["train"], "train"))
