"""`quantbench audit`: every pair of a quantizer and a strategy on a small problem, its gradient against the true one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from quantbench.choices import choices
from quantbench.config import check_settings
from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.gradients import misfit
from quantbench.points import Points
from quantbench.results.audit_table import audit_summary as summary
from quantbench.results.audit_table import audit_table
from quantbench.results.tables import write
from quantbench.sweeps.catalogue import default_component
from quantbench.sweeps.drive import drive
from quantbench.sweeps.execute import advance, progress_bar
from quantbench.sweeps.executors import Processes
from quantbench.sweeps.journal import new_folder
from quantbench.sweeps.supply import Supply
from quantbench.sweeps.trial import Record, Trial, failure
from quantbench.sweeps.worker import Advance, describe
from quantbench.training import Keep, Stack, TrainSettings
from quantbench.training.fidelity import FidelitySettings as AuditSettings
from quantbench.training.fidelity import Reference
from quantbench.training.fidelity import fidelity as audit

SMALL: dict[str, dict[str, Any]] = {
    "simulator": {"frame_dim": 8},
    "codec": {"latent_dim": 8, "hidden": 16},
    "train": {"steps": 500, "lr": 3e-3, "batch": 128, "log_every": 500},
}
"""The small problem, where nothing else is asked for."""
PAIRS_A_STACK = 4
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
    stacks, skipped = _stacks(asked, task.config_dir)
    if not stacks:
        raise ConfigError(f"nothing to audit: {skipped[0]}")
    folder = new_folder(output, "audit")
    rows: list[dict[str, Any]] = []

    def keep(new: list[Record], _: bool) -> None:
        for record in new:
            failed = {"findings": f"failed: {record.row['error']}"} if record.row["status"] == "failed" else {}
            rows.extend(pairs[record.trial] | row for row in record.row.get("rows", [failed]))

    pairs = {pair.id: pair.choices for stack in stacks for pair in stack}
    with progress_bar(len(pairs), "pair") as bar:
        job = partial(_audit_stack, asked=asked, task=task)
        engine = Processes().open(len(stacks), "cpu", lambda done: advance(bar, done), job=job)
        try:
            drive(engine, Supply(stacks), keep)
        finally:
            engine.close()
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


def _stacks(asked: Asked, config_dir: Path | None) -> tuple[list[list[Trial]], list[str]]:
    """Pairs that fit, a stack a quantizer and a few strategies, and why others are left out."""
    simulator, codec = (_component(group, asked.choices[group][0], asked, config_dir) for group in ("simulator", "codec"))
    if simulator.waveform_rate is not None:
        raise ConfigError(f"simulator={asked.choices['simulator'][0]}: an audit takes frames of features, not waveforms")
    codec.check_input(None, {})
    dim = codec.latent_dim
    gradients = {name: _component("gradient", name, asked, config_dir) for name in asked.choices["gradient"]}
    stacks: list[list[Trial]] = []
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
        pairs = [Trial(f"{name} {one}", {"quantizer": name, "gradient": one}, {}, len(stacks)) for one in fitting]
        stacks += [pairs[i : i + PAIRS_A_STACK] for i in range(0, len(pairs), PAIRS_A_STACK)]
    return stacks, skipped


def _component(group: str, name: str, asked: Asked, config_dir: Path | None) -> Any:
    small = SMALL.get(group, {}) if name in ("gaussian", "mlp") else {}
    return default_component(group, name, config_dir, small | asked.settings[group])


def _audit_stack(pairs: Sequence[Trial], device: str, told: Advance, keep: Keep, asked: Asked, task: Audit) -> list[Record]:
    """Records of one quantizer with a few strategies, each with its rows of the table; what fails, fails alone."""
    torch.set_num_threads(1)
    if task.config_dir is not None and str(task.config_dir) not in sys.path:
        sys.path.append(str(task.config_dir))
    records: list[Record] = []
    known: dict[str, Reference] = {}
    for pair in pairs:
        try:
            found = audit(_stack(pair.choices, asked, task), task.settings, known)
            row = {"status": "completed", "error": "", "stack_size": len(pairs), "rows": found}
            records.append(Record(pair.id, row, Points()))
        except QuantBenchError:
            raise
        except Exception as error:  # of a user's own class, most likely
            if interrupted(error):
                raise KeyboardInterrupt from error
            records.append(failure(pair, describe(error)))
        told(1.0)
    return records


def _stack(names: Mapping[str, str], asked: Asked, task: Audit) -> Stack:
    parts = {
        group: _component(group, names.get(group) or asked.choices[group][0], asked, task.config_dir)
        for group in ("simulator", "codec", "quantizer", "gradient")
    }
    return Stack(**parts, train=_train_settings(asked), seeds=tuple(range(task.seeds)), device=torch.device("cpu"))


def _train_settings(asked: Asked) -> TrainSettings:
    """Settings of the training between the two moments. Raises ConfigError."""
    return TrainSettings(**check_settings(TrainSettings, SMALL["train"] | asked.settings["train"], "train"))
