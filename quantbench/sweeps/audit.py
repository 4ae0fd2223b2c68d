"""`quantbench audit`: every pair of a quantizer and a strategy on a small problem, its gradient against the true one.

An audit is a sweep whose workers do another job: they compare gradients. A pair's seeds are trained together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from quantbench.config import COMPONENTS, build_stack, instance, setting
from quantbench.devices import find_device
from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.points import Points
from quantbench.results.audit_table import audit_summary, audit_table
from quantbench.results.schema import Status
from quantbench.results.tables import write
from quantbench.signals import interruptible
from quantbench.sweeps.bar import Bar
from quantbench.sweeps.compose import compose
from quantbench.sweeps.drive import drive
from quantbench.sweeps.executors import make_executor
from quantbench.sweeps.hydra_tools import own_settings
from quantbench.sweeps.journal import check_new, new_folder
from quantbench.sweeps.plan import Plan, plan
from quantbench.sweeps.supply import Supply
from quantbench.sweeps.trial import Record, Trial, failure
from quantbench.sweeps.worker import Advance, describe, one_thread
from quantbench.terminal import say
from quantbench.training import Keep
from quantbench.training.fidelity import FidelitySettings, Reference, fidelity
from quantbench.training.phases import PHASES

SMALL = (
    "simulator=gaussian",
    "simulator.frame_dim=8",
    "codec.latent_dim=8",
    "codec.hidden=16",
    "train.steps=500",
    "train.lr=0.003",
    "train.batch=128",
    "train.log_every=500",
    "quantizer=glob(*)",
    "gradient=glob(*)",
    "device=cpu",
)
"""The small problem, and all pairs, where nothing else is asked for."""

SEEDS = 3
PAIRS_A_STACK = 4
"""Strategies audited one after the other, so that they share the reference at the start."""


class Form(NamedTuple):
    """How a table is shown: in which of ``FORMATS``, and whether as cosines."""

    format: str = "table"
    cosines: bool = False


VERDICTS = Form()


def run_audit(
    overrides: Sequence[str],
    seeds: int | None,
    config_dir: Path | None,
    settings: FidelitySettings,
    output: str | None = None,
    form: Form = VERDICTS,
    name: str | None = None,
) -> bool:
    """Audit, write ``audit.csv``, print a table; whether nothing was found.

    Args:
        overrides: as for ``quantbench run``; they take the place of ``SMALL``. Of an experiment its own trials are audited.
        seeds: how many; ``SEEDS`` where the overrides do not say either.
        settings: how gradients are compared.
        output, name: folder of all results, and of this audit within it; the settings of these names where they are not given.

    Raises:
        ConfigError: an override is wrong, or no pair fits.
    """
    settings.check()
    _check_seeds(seeds, overrides)
    given = own_settings(overrides, output, name)
    planned = plan(compose(with_small(overrides, seeds or SEEDS), config_dir).given(given))
    check_new(planned.run.output, "audit", planned.run.name)
    _refuse(planned)
    device = find_device(planned.run.device)
    executor = make_executor(planned.executor)
    if executor.outlives:
        raise ConfigError("executor: an audit's driver waits for its pairs; use inline, processes or dask")
    executor.ready(device)
    stacks = list(_stacks(planned.trials))
    trials = {trial.id: trial for stack in stacks for trial in stack}
    varying = [group for group in COMPONENTS if len({trial.choices[group] for trial in planned.trials}) > 1]
    rows: list[dict[str, Any]] = []

    def keep(new: list[Record], _: bool) -> None:
        for record in new:
            kept.add(record.trial)
            trial = trials[record.trial]
            known = trial.choices | {name: setting(trial.config, name) for name in planned.columns if "." in name}
            failed = {"seed": trial.config["seed"], "findings": f"failed: {record.row['error']}"}
            rows.extend(known | row for row in record.row.get("rows", [failed]))

    kept: set[str] = set()
    with interruptible(), Bar(len(trials)) as bar:
        job = partial(_audit_stack, settings=settings)
        folder = new_folder(planned.run.output, "audit", planned.run.name)
        engine = executor.open(len(stacks), str(device), bar.advance, job=job)
        try:
            drive(engine, Supply(stacks), keep, lambda: bar.to(len(kept)), tick=bar.tick)
        finally:
            engine.close()
            table = audit_table(rows, [*varying, *planned.columns])
            write(table, folder / "audit.csv")
    for reason in dict.fromkeys(trial.skipped for trial in planned.trials if trial.skipped):
        say(f"skipped: {reason}", error=True)
    say("", *audit_summary(table, *form).split("\n"), "", f"audit: {folder / 'audit.csv'}")
    return not _tell(table)


def _check_seeds(seeds: int | None, overrides: Sequence[str]) -> None:
    """Raise ConfigError for a number of seeds that cannot be, or that something else says too."""
    if seeds is None:
        return
    if seeds < 1:
        raise ConfigError(f"seeds={seeds}: must be at least 1")
    if own := [word for word in overrides if word.startswith(("+experiment=", "seed="))]:
        raise ConfigError(f"--seeds {seeds}: {own[0]} says which seeds there are; give one of the two")


def with_small(overrides: Sequence[str], seeds: int) -> list[str]:
    """The overrides, after those of ``SMALL`` of which they do not speak; a choice of theirs has its own settings."""
    if any(word.startswith("+experiment=") for word in overrides):
        return list(overrides)
    given = {word.lstrip("+~").partition("=")[0] for word in overrides}
    small = [*SMALL, f"seed=range(0,{seeds})"]

    def spoken_of(key: str) -> bool:
        group = key.partition(".")[0]
        return key in given or (group in COMPONENTS and group in given)

    return [*(word for word in small if not spoken_of(word.partition("=")[0])), *overrides]


def _refuse(planned: Plan) -> None:
    """Raise ConfigError for what an audit cannot do."""
    for name in ("checkpoint_every", "export", "dry_run"):
        if value := getattr(planned.run, name):
            raise ConfigError(f"{name}={str(value).lower()}: an audit keeps nothing but audit.csv, and has no dry run")
    if planned.run.format != "csv":
        raise ConfigError(f"format={planned.run.format}: an audit writes audit.csv")
    for trial in planned.trials:
        if not trial.skipped and instance("simulator", trial.config["simulator"]).waveform_rate is not None:
            raise ConfigError(f"simulator={trial.choices['simulator']}: an audit takes frames of features, not waveforms")


def _stacks(trials: Sequence[Trial]) -> Iterator[list[Trial]]:
    """All seeds of a few strategies that have all else in common."""
    groups: dict[tuple[int, ...], dict[str, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        if not trial.skipped:
            shared = tuple(id(node) for group, node in trial.config.items() if group not in ("gradient", "seed"))
            groups[shared][_pair(trial)].append(trial)
    for pairs in groups.values():
        every = list(pairs.values())
        for first in range(0, len(every), PAIRS_A_STACK):
            yield [trial for pair in every[first : first + PAIRS_A_STACK] for trial in pair]


def _pair(trial: Trial) -> str:
    """What all seeds of a pair have in common."""
    return trial.id.rpartition("-")[0]


def _audit_stack(trials: Sequence[Trial], device: str, told: Advance, keep: Keep, settings: FidelitySettings) -> list[Record]:
    """Records of all seeds of a few pairs, each with its rows of the table; a pair that fails, fails alone."""
    pairs: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        pairs[_pair(trial)].append(trial)
    records: list[Record] = []
    known: dict[float, Reference] = {}
    told(0.0, PHASES.auditing)
    for pair in pairs.values():
        try:
            with one_thread():
                found = fidelity(build_stack([trial.config for trial in pair], find_device(device)), settings, known)
            row = {"status": Status.COMPLETED, "error": "", "stack_size": len(trials)}
            for trial in pair:
                own = [one for one in found if one["seed"] == trial.config["seed"]]
                records.append(Record(trial.id, row | {"rows": own}, Points()))
        except QuantBenchError:
            raise
        except Exception as error:  # of a user's own class, most likely
            if interrupted(error):
                raise KeyboardInterrupt from error
            records += [failure(trial, describe(error)) for trial in pair]
        told(float(len(pair)), PHASES.auditing)
    return records


def _tell(table: pd.DataFrame) -> int:
    """Print what was found, once a pair; gives how many pairs that are."""
    found = table[table["findings"].fillna("") != ""].drop_duplicates(["quantizer", "gradient", "findings"])
    for row in found.itertuples():
        moment = f", {row.moment!s}" if row.moment in ("start", "end") else ""
        say(f"found: quantizer={row.quantizer} gradient={row.gradient}{moment}: {row.findings}", error=True)
    return len(found)
