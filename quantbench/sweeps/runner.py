"""Runs a sweep: plan, train stack by stack, keep every row, write the tables."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from quantbench import __version__, imports, kernels
from quantbench.config import COMPONENTS, build_stack, find_class, find_device, setting, without_target
from quantbench.errors import ConfigError, QuantBenchError
from quantbench.files import write_text
from quantbench.paths import config_folder
from quantbench.results.facts import COLUMNS_FILE
from quantbench.results.load import of_table
from quantbench.results.schema import IDENTITY, Status
from quantbench.results.summary import summary
from quantbench.results.tables import curves_table, read_results, results_path, results_table, write
from quantbench.sweeps.data import check_unchanged, with_absolute_paths
from quantbench.sweeps.executors import Engine, Queued, WorkerDied
from quantbench.sweeps.facts import rate_settings, write_facts
from quantbench.sweeps.journal import Journal, new_folder
from quantbench.sweeps.plan import Plan, Trial, make_executor, plan
from quantbench.sweeps.queued import left_to_jobs, progress_bar, to_wait, work_off
from quantbench.sweeps.supply import Supply, size_on_gpu
from quantbench.sweeps.sweep import Sweep
from quantbench.sweeps.verdict import tell
from quantbench.sweeps.worker import Record, failure
from quantbench.training import Keep, checkpoint, warm
from quantbench.training.configuration import configuration, differences

SWEEP_FILE = "sweep.yaml"
INTERRUPTED = 130
POLL_SECONDS = 0.2


def run(sweep: Sweep) -> Path | None:
    """Run a new sweep and give its folder; None after a dry run.

    Raises:
        ConfigError: something in the configuration is wrong; nothing was trained.
        SweepFailed: at least one trial failed; everything else is in the tables.
    """
    sweep = with_absolute_paths(sweep)
    planned = plan(sweep)
    print(outline(planned))
    if planned.run.dry_run:
        print(details(planned))
        return None
    prepare(planned)
    _prepare_kernels(planned)
    folder = new_folder(planned.run.output, planned.run.experiment)
    journal = Journal(folder)
    replace(sweep, data=planned.data).save(folder / SWEEP_FILE)
    write_facts(planned, folder)
    write_text(folder / "environment.json", json.dumps(environment(planned), indent=2) + "\n")
    execute(planned, folder, journal, {})
    return folder


def resume(folder: Path, config_dirs: Sequence[Path] = (), packages: Sequence[str] = (), collect: bool = False) -> None:
    """Finish the sweep in ``folder``: train what is missing or failed, nothing else. Raises as ``run`` does.

    Somebody else may have written the folder. So nothing is imported because a file in it says so: of classes beyond this
    project's, only those in ``config_dirs`` and ``packages``.

    Args:
        collect: of a sweep whose jobs outlive the driver: take what is finished, submit what is missing, and leave.
    """
    sweep = Sweep.load(folder / SWEEP_FILE)
    _refuse_links(folder)
    for path in config_dirs:
        imports.import_from_config_dir(path)
    words = " ".join(f"--config-dir {shlex.quote(path)}" for path in sweep.search_path) or "--config-dir FOLDER"
    advice = f"if you trust its code, resume with {words}, or with --allow PACKAGE for an installed one"
    with imports.only(imports.Policy(config_dirs, packages, advice)):
        _resume(sweep, folder, collect)


def _refuse_links(folder: Path) -> None:
    """Raise ConfigError where a link would lead what a sweep writes out of its folder."""
    for root, folders, files in os.walk(folder):
        if links := [name for name in (*folders, *files) if os.path.islink(os.path.join(root, name))]:
            raise ConfigError(f"{os.path.join(root, links[0])}: is a link; the folder of a run holds none, remove it")


def _resume(sweep: Sweep, folder: Path, collect: bool) -> None:
    if results_path(folder).exists() and not (folder / "journal").exists():
        _complete(sweep, folder)
        return
    journal = Journal(folder)  # refused while another process holds it
    if journal.made and results_path(folder).exists():  # another process was done in the meantime
        journal.close(complete=True)
        _complete(sweep, folder)
        return
    records = journal.read()
    done = frozenset(trial for trial, one in records.items() if collect or one.row["status"] != Status.FAILED)
    planned = to_wait(plan(sweep, done), not collect)
    check_unchanged(sweep, planned.data)
    _check_checkpoints(planned, folder)
    print(f"resuming {folder}: {len(records)} trials are there")
    if not (folder / COLUMNS_FILE).exists():  # an earlier version began it
        write_facts(planned, folder)
    prepare(planned)
    _prepare_kernels(planned)
    execute(planned, folder, journal, records)


def _complete(sweep: Sweep, folder: Path) -> None:
    """Say that there is nothing to do. Raises ConfigError where the table no longer holds all that was done."""
    advice = "delete it, and `quantbench resume` trains its trials again"
    try:
        table = read_results(folder)
    except ConfigError as error:
        raise ConfigError(f"{error}; {advice}") from error
    if len(table) >= sweep.size:
        if not (folder / COLUMNS_FILE).exists():
            with suppress(QuantBenchError):  # what cannot be planned or written any more is complete all the same
                write_facts(plan(sweep), folder)
        print(f"{folder}: complete, nothing to resume")
        return
    planned = plan(sweep)
    check_unchanged(sweep, planned.data)
    if missing := {trial.id for trial in planned.trials} - set(table["trial"]):
        raise ConfigError(f"{results_path(folder)}: {len(missing)} of its trials are missing; {advice}")
    print(f"{folder}: complete, nothing to resume")


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


class SweepFailed(QuantBenchError):
    """At least one trial failed."""


def execute(planned: Plan, folder: Path, journal: Journal, records: dict[str, Record]) -> None:
    """Train the stacks of a plan, keep their records and write the tables, whatever happens. Raises QuantBenchError."""
    complete = False
    _write_plan(planned, journal)
    try:
        with _terminate_as_interrupt():
            complete = _train(planned, folder, journal, records)
    except KeyboardInterrupt:
        print(f"\ninterrupted; finished trials are kept, `quantbench resume {folder}` goes on", file=sys.stderr)
        raise
    except ConfigError as error:  # as of an executor: by now something was done, so it is no bad input alone
        raise QuantBenchError(str(error)) from error
    finally:
        try:
            table = write_tables(planned, folder, records)
        except QuantBenchError as error:
            advice = f"the journal beside it holds all trials; `quantbench resume {folder}` goes on once that is put right"
            raise QuantBenchError(f"{error}; {advice}") from error
        failed = sum(record.row["status"] == Status.FAILED for record in records.values())
        journal.close(complete=complete and not failed)
    if complete and not failed:
        for name in (checkpoint.FOLDER, warm.FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
    tell(records.values())
    if complete:
        print(f"\n{summary(of_table(table, rate_settings(planned.trials), planned.added))}\n\nresults: {results_path(folder)}")
    else:
        print(left_to_jobs(planned, folder, records))
    if failed:
        raise SweepFailed(f"{failed} of {len(planned.trials)} trials failed; `quantbench resume {folder}` tries again")


def _train(planned: Plan, folder: Path, journal: Journal, records: dict[str, Record]) -> bool:
    """Train what a plan says; False where jobs still do."""
    total = sum(map(len, planned.stacks))
    if not total:
        return True
    executor, device = make_executor(planned.executor), planned.run.device
    keep_files = Keep(folder.resolve(), planned.run.checkpoint_every, planned.run.export)
    if isinstance(executor, Queued):
        return work_off(executor, planned, keep_files, journal, records)
    workers = executor.workers_on(find_device(device))
    supply = Supply(planned.stacks, (lambda trials: size_on_gpu(trials, device, workers)) if planned.measured else None)
    kept = 0

    def keep(new: list[Record]) -> None:
        nonlocal kept
        journal.write(new)
        checkpoint.path(folder, [record.trial for record in new]).unlink(missing_ok=True)
        records.update((record.trial, record) for record in new)
        kept += len(new)

    def restart() -> None:  # the work on stacks that were lost is lost
        bar.update(kept - bar.n)

    with progress_bar(total) as bar:
        most = total if planned.measured else len(planned.stacks)
        engine = executor.open(most, device, lambda trials: _advance(bar, trials), keep_files)
        try:
            _drive(engine, supply, keep, restart)
            bar.update(total - bar.n)
        finally:
            engine.close()
    return True


def _drive(engine: Engine, supply: Supply, keep: Callable[[list[Record]], None], restart: Callable[[], None]) -> None:
    """Train all stacks of a supply.

    Args:
        keep: takes the records of a finished stack.
        restart: told when stacks were lost.
    """
    suspects: deque[list[Trial]] = deque()  # lost with a worker: trained again, one at a time, to find the culprit
    running: dict[Future[list[Record]], list[Trial]] = {}
    try:
        while supply or suspects or running:
            while (supply or suspects) and len(running) < (1 if suspects else engine.capacity):
                stack = suspects[0] if suspects else supply.next()
                running[engine.submit(stack)] = stack
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            engine.poll()
            for future in done:
                stack = running[future]
                again = bool(suspects) and stack is suspects[0]
                try:
                    new = future.result()
                    supply.learn(stack, new)
                    keep(new)
                except WorkerDied as error:
                    restart()
                    if again:
                        keep([failure(trial, str(error)) for trial in stack])
                    else:
                        suspects.append(stack)
                if again:
                    suspects.popleft()
                del running[future]
    except KeyboardInterrupt:
        for future in running:
            if future.done() and not future.cancelled() and not future.exception():
                keep(future.result())
        raise


def _advance(bar: tqdm[Any], trials: float) -> None:
    bar.update(trials)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, and the end of the terminal, as Ctrl-C: keep what is finished, write the tables, end."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # What is ignored stays ignored: nohup has a run outlive its terminal.
    caught = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    previous = {one: signal.signal(one, interrupt) for one in caught}
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)


def write_tables(planned: Plan, folder: Path, records: dict[str, Record]) -> pd.DataFrame:
    """Write results.csv and curves.csv from the records so far; gives the results."""
    rows = [row for trial in planned.trials if (row := _row(trial, planned, records)) is not None]
    table = results_table(rows, planned.columns, [name for name, one in planned.added.items() if one.whole])
    write(table, folder / f"results.{planned.run.format}")
    finished = [records[trial.id] for trial in planned.trials if trial.id in records]
    write(curves_table([(one.trial, one.curves) for one in finished]), folder / f"curves.{planned.run.format}")
    return table


def _write_plan(planned: Plan, journal: Journal) -> None:
    """Write who all trials are into the journal, for `quantbench watch`, which does not plan."""
    rows = [_row(trial, planned, {trial.id: failure(trial, "")}) or {} for trial in planned.trials]
    rows = [row if row["status"] == Status.SKIPPED else row | {"status": None, "error": None} for row in rows]
    write(results_table(rows, planned.columns)[[*IDENTITY, *planned.columns]], journal.folder / "plan.csv")


def _row(trial: Trial, planned: Plan, records: dict[str, Record]) -> dict[str, Any] | None:
    """A trial's row; None while it is not trained."""
    row: dict[str, Any] = {"trial": trial.id, "experiment": planned.run.experiment, "seed": trial.config["seed"]}
    row |= trial.choices
    for column in planned.columns:
        row[column] = setting(trial.config, column)
    if trial.skipped:
        return row | {"status": Status.SKIPPED, "error": trial.skipped}
    return row | records[trial.id].row if trial.id in records else None


def prepare(planned: Plan) -> None:
    """Let every distinct simulator do its slow work once."""
    nodes = {id(trial.config["simulator"]): trial.config["simulator"] for trial in planned.trials if not trial.skipped}
    for node in nodes.values():
        find_class(node["_target_"], COMPONENTS["simulator"], "simulator")(**without_target(node)).prepare()  # type: ignore[attr-defined]


def _prepare_kernels(planned: Plan) -> None:
    """Compile what trains faster on a CPU, once, before the workers start; say so where that cannot be."""
    if find_device(planned.run.device).type == "cpu" and (reason := kernels.ready()):
        print(f"training without compiled kernels, about half as fast: {reason}", file=sys.stderr)


def outline(planned: Plan) -> str:
    """What will run, in one line."""
    skipped = sum(trial.skipped is not None for trial in planned.trials)
    stacks = len(planned.stacks)
    text = f"{planned.run.experiment}: {len(planned.trials)} trials "
    text += f"of {stacks} shapes, in stacks whose size is measured on the GPU" if planned.measured else f"in {stacks} stacks"
    return f"{text}, {skipped} skipped" if skipped else text


def details(planned: Plan) -> str:
    """Every trial, every stack, and every pair that is skipped with its reason."""
    lines = []
    for number, stack in enumerate(planned.stacks, start=1):
        lines.append(f"stack {number}: {len(stack)} trials, {stack[0].config['train']['steps']} steps")
        for trial in stack:
            settings = {name: _row(trial, planned, {trial.id: failure(trial, "")})[name] for name in planned.columns}  # type: ignore[index]
            shown = trial.choices | {name: value for name, value in settings.items() if value is not None}
            lines.append(f"  {trial.id}  " + " ".join(f"{k}={v}" for k, v in (shown | {"seed": trial.config["seed"]}).items()))
    reasons: dict[str, int] = {}
    for trial in planned.trials:
        if trial.skipped:
            reasons[trial.skipped] = reasons.get(trial.skipped, 0) + 1
    lines += [f"skipped, {count} trials: {reason}" for reason, count in reasons.items()]
    return "\n".join(lines)


def environment(planned: Plan) -> dict[str, Any]:
    """Versions, device, threads and git revision of a run."""
    packages = ("torch", "numpy", "pandas", "hydra-core", "omegaconf")
    device = find_device(planned.run.device)
    return {
        "quantbench": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in packages},
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cores": os.cpu_count(),
        "threads_per_worker": 1,
        "kernels": kernels.ready() or "compiled",
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    """Revision of the checkout that this code runs from; None when it is installed or git is missing."""
    root = config_folder().parent
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
