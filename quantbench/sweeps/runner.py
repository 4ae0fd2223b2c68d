"""Runs a sweep, or what is left of one: plan, schedule, execute."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from quantbench import imports, kernels
from quantbench.choices import class_name
from quantbench.config import COMPONENTS, build_stack
from quantbench.devices import find_device
from quantbench.errors import ConfigError
from quantbench.files import odd, write_text
from quantbench.paths import SWEEP_FILE
from quantbench.results.facts import COLUMNS_FILE
from quantbench.results.schema import Status
from quantbench.results.tables import results_path
from quantbench.schema import Settings, find_class, without_target
from quantbench.sweeps.changed import check_same, read_sweep
from quantbench.sweeps.complete import complete
from quantbench.sweeps.data import check_unchanged, with_absolute_paths
from quantbench.sweeps.environment import environment
from quantbench.sweeps.execute import execute
from quantbench.sweeps.executors import Executor, make_executor
from quantbench.sweeps.facts import write_facts
from quantbench.sweeps.journal import Journal, check_new, new_folder
from quantbench.sweeps.outline import details, outline
from quantbench.sweeps.plan import Plan, plan
from quantbench.sweeps.schedule import Schedule, schedule
from quantbench.sweeps.stored import Stored
from quantbench.sweeps.sweep import Sweep
from quantbench.sweeps.trial import Record
from quantbench.terminal import say
from quantbench.training import checkpoint
from quantbench.training.configuration import configuration, differences

ENVIRONMENT_FILE = "environment.json"


def run(sweep: Sweep) -> Path | None:
    """Run a new sweep and give its folder; None after a dry run.

    Raises:
        ConfigError: something in the configuration is wrong; nothing was trained.
        SweepFailed: at least one trial failed; everything else is in the tables.
    """
    sweep = with_absolute_paths(sweep)
    planned = plan(sweep)
    check_new(planned.run.output, planned.run.experiment, planned.run.name)
    if planned.run.dry_run:
        scheduled = schedule(planned)
        say(*outline(planned, scheduled).split("\n"), *details(planned, scheduled).split("\n"))
        return None
    device = find_device(planned.run.device)
    scheduled = schedule(planned, workers=make_executor(planned.executor).ready(device))
    say(*outline(planned, scheduled).split("\n"))
    _prepare(planned)
    folder = new_folder(planned.run.output, planned.run.experiment, planned.run.name)
    say(f"folder: {folder}")
    _begin(sweep, planned, scheduled, folder)
    return folder


def run_in(folder: Path, sweep: Sweep, planned: Plan) -> None:
    """Run a new sweep in a folder that is there, and print none of its results. Raises as ``run`` does."""
    scheduled = schedule(planned, workers=make_executor(planned.executor).ready(find_device(planned.run.device)))
    say(*outline(planned, scheduled).split("\n"))
    _prepare(planned)
    _begin(sweep, planned, scheduled, folder, told=False)


def _begin(sweep: Sweep, planned: Plan, scheduled: Schedule, folder: Path, told: bool = True) -> None:
    """Write what a new run is, and train it."""
    journal = Journal(folder)
    for place in (folder, journal.folder):  # twice: that in the journal tells what was changed in the other
        replace(sweep, data=planned.data).save(place / SWEEP_FILE)
    write_facts(planned.trials, planned.added, folder)
    _write_environment(planned, folder)
    execute(planned, scheduled, folder, journal, {}, told)


def _write_environment(planned: Plan, folder: Path) -> None:
    write_text(folder / ENVIRONMENT_FILE, json.dumps(environment(find_device(planned.run.device)), indent=2) + "\n")


def resume(
    folder: Path,
    config_dirs: Sequence[Path] = (),
    packages: Sequence[str] = (),
    collect: bool = False,
    told: bool = True,
) -> None:
    """Finish the sweep in ``folder``: train what is missing or failed, nothing else. Raises as ``run`` does.

    Somebody else may have written the folder. So nothing is imported because a file in it says so: of classes beyond this
    project's, only those in ``config_dirs`` and ``packages``.

    Args:
        collect: of a sweep whose jobs outlive the driver: take what is finished, submit what is missing, and leave.
        told: whether its results are printed.
    """
    found = read_sweep(folder)
    _refuse_odd(folder)
    with trusting(found, config_dirs, packages):
        _resume(found, folder, collect, told)


@contextmanager
def trusting(found: Stored, config_dirs: Sequence[Path], packages: Sequence[str]) -> Iterator[None]:
    """Import classes beyond this project's only from what the user names meanwhile. Raises ConfigError."""
    for path in config_dirs:
        imports.import_from_config_dir(path)
    words = " ".join(f"--config-dir {shlex.quote(path)}" for path in found.content["search_path"]) or "--config-dir FOLDER"
    advice = f"if you trust its code, resume with {words}, or with --allow PACKAGE for an installed one"
    with imports.only(imports.Policy(config_dirs, packages, advice)):
        yield


def _refuse_odd(folder: Path) -> None:
    """Raise ConfigError where a link would lead what a sweep writes out of its folder, or something in it may have no end."""
    for root, folders, files in os.walk(folder):
        for path in (Path(root, name) for name in (*folders, *files)):
            if reason := odd(path):
                raise ConfigError(f"{path}: {reason}")


def _resume(found: Stored, folder: Path, collect: bool, told: bool) -> None:
    if results_path(folder).exists() and not (folder / "journal").exists():
        complete(found, folder)
        return
    journal = Journal(folder)  # refused while another process holds it
    if journal.made and results_path(folder).exists():  # another process was done in the meantime
        journal.close(complete=True)
        complete(found, folder)
        return
    try:
        planned, scheduled, records = _left(found, folder, journal, collect)
    except BaseException:
        journal.close(complete=False)  # or a notebook that keeps the error would keep the run
        raise
    execute(planned, scheduled, folder, journal, records, told)


def _left(found: Stored, folder: Path, journal: Journal, collect: bool) -> tuple[Plan, Schedule, dict[str, Record]]:
    """What is left of a sweep: its plan, the stacks that are missing, and the records that are there. Raises ConfigError."""
    sweep = Sweep.of(found.content)
    planned = plan(sweep)
    check_unchanged(sweep, planned.data)
    _check_checkpoints(planned, folder)
    executor = make_executor(planned.executor)
    _refuse_beyond(executor, planned.executor)
    if executor.outlives:
        planned = replace(planned, executor=planned.executor | {"wait": not collect})
    elif collect:
        other = class_name(planned.executor["_target_"])
        raise ConfigError(f"--collect: is for runs with executor=slurm; this one has {other}")
    workers = executor.ready(find_device(planned.run.device))
    claims = executor.claims(folder, planned.trials)  # before the journal is read: what ends in between is in it
    records = journal.read()
    check_same(found, planned, folder, records)
    done = frozenset(trial for trial, one in records.items() if collect or one.row["status"] != Status.FAILED)
    scheduled = schedule(planned, done, workers, claims)
    say(f"resuming {folder}: {len(records)} trials are there")
    if executor.outlives:
        missing = sum(map(len, scheduled.stacks))
        say(f"{missing} trials are neither finished nor with a job" + ("; they are submitted" if missing else ""))
    if not (folder / COLUMNS_FILE).exists():  # an earlier version began it
        write_facts(planned.trials, planned.added, folder)
    if not (folder / ENVIRONMENT_FILE).exists():  # killed before it was written
        _write_environment(planned, folder)
    _prepare(planned)
    return planned, scheduled, records


def _refuse_beyond(executor: Executor, node: Settings) -> None:
    """Raise ConfigError where an executor reaches what the user did not name."""
    if asked := imports.unnamed(executor.beyond):
        named = [f"{one}={node[one.removeprefix('executor.')]}" if one.startswith("executor.") else one for one in asked]
        words = " ".join(f"--allow {shlex.quote(one)}" for one in asked)
        raise ConfigError(
            f"executor._target_={node['_target_']}: reaches beyond this machine ({', '.join(named)}), and does not because a "
            f"file says so; if this sweep is yours, or you trust it, resume with {words}"
        )


def _check_checkpoints(planned: Plan, folder: Path) -> None:
    """Raise ConfigError where a checkpoint is of a trial that the sweep no longer has, naming what is different."""
    device = find_device(planned.run.device)
    for file, trials in checkpoint.foreign(folder, [trial.id for trial in planned.trials]).items():
        here = [configuration(build_stack([trial.config], device), 0) for trial in planned.trials if not trial.skipped]
        unlike = min((differences(trials[0], one) for one in here), key=len)
        raise ConfigError(
            f"{file}: is a checkpoint of another configuration ({'; '.join(unlike)}); set it back in {folder / SWEEP_FILE}, or "
            f"delete the checkpoint to start anew"
        )


def _compiling() -> None:
    say("compiling kernels, once on this machine: some seconds", error=True)


def _prepare(planned: Plan) -> None:
    """Do slow work once, before the workers start: of every distinct simulator, and of the compiled kernels on a CPU."""
    nodes = {id(trial.config["simulator"]): trial.config["simulator"] for trial in planned.trials if not trial.skipped}
    for node in nodes.values():
        find_class(node["_target_"], COMPONENTS["simulator"], "simulator")(**without_target(node)).prepare()  # type: ignore[attr-defined]
    if find_device(planned.run.device).type == "cpu" and (reason := kernels.ready(_compiling)):
        say(f"training without compiled kernels, about half as fast: {reason}", error=True)
