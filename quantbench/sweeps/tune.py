"""`quantbench tune`: a search and the scores of what it chose, two sweeps in one folder.

The search is a sweep in ``search``. From its table and ``design.json`` the second one follows, in ``score``. Each has its
journal, so either is resumed as any sweep is. ``results.csv`` above them is made of both tables.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Sweep as Many
from hydra.errors import HydraException

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.files import read_text, write_text
from quantbench.metrics import known
from quantbench.paths import DESIGN_FILE, SWEEP_FILE
from quantbench.results.cells import read_csv
from quantbench.results.facts import COLUMNS_FILE
from quantbench.results.load import load
from quantbench.results.reading import rank
from quantbench.results.schema import IDENTITY, LABELS, Status, setting_columns
from quantbench.results.tables import read_results, results_path, write
from quantbench.results.tracks import PROTOCOL
from quantbench.schema import Settings, check_settings
from quantbench.sweeps.changed import read_sweep
from quantbench.sweeps.data import with_absolute_paths
from quantbench.sweeps.estimate import estimate
from quantbench.sweeps.execute import SweepFailed
from quantbench.sweeps.journal import check_new, new_folder
from quantbench.sweeps.plan import Plan, plan
from quantbench.sweeps.runner import ENVIRONMENT_FILE, run_in, trusting
from quantbench.sweeps.runner import resume as resume_sweep
from quantbench.sweeps.search import (
    SCORE,
    SEARCH,
    Design,
    Label,
    SearchSettings,
    assemble,
    count_scores,
    design,
    score_trials,
    search_trials,
    worse,
)
from quantbench.sweeps.sweep import Sweep
from quantbench.terminal import say

LABELS_FILE = "labels.csv"
FEWEST_SEEDS = 5
"""Test seeds that the protocol asks for."""
LARGEST = 2**28


def asked(overrides: Sequence[str]) -> tuple[SearchSettings, list[str]]:
    """The settings of the search among the words of a command, and all other words. Raises ConfigError."""
    names = vars(SearchSettings()).keys()
    own: Settings = {}
    for word in overrides:
        key = word.partition("=")[0]
        if key in names:
            try:
                own[key] = OverridesParser.create().parse_override(word).value()
            except HydraException as error:
                raise ConfigError(f"{word}: cannot be read in Hydra's grammar") from error
            if isinstance(own[key], Many):
                raise ConfigError(f"{word}: is one value for the whole search")
    settings = SearchSettings(**check_settings(SearchSettings, own, ""))
    return settings, [word for word in overrides if word.partition("=")[0] not in names]


def tune(base: Sweep, settings: SearchSettings, config_dir: Path | None = None) -> Path | None:
    """Search, choose, and score; gives the folder, or None after a dry run. Raises as ``runner.run`` does.

    Args:
        base: methods and tasks, with the test seeds.
    """
    base = with_absolute_paths(base)
    found = design(base, settings, config_dir)
    sweep, labels = assemble(base, list(search_trials(found)))
    planned = _planned(sweep, labels)
    run = planned.run
    check_new(run.output, run.experiment, run.name)
    if run.dry_run:
        say(*_outline(found).split("\n"), *estimate(planned, sum(count_scores(found))).split("\n"))
        return None
    say(*_outline(found).split("\n"))
    folder = new_folder(run.output, run.experiment, run.name)
    say(f"folder: {folder}")
    write_text(folder / DESIGN_FILE, json.dumps({"protocol": PROTOCOL} | asdict(found)) + "\n")
    with _tables_at_the_end(folder, found):
        failed = _run_phase(folder / SEARCH, sweep, planned, labels)
        _go_on(folder, found, failed)
    return folder


def is_search(folder: Path) -> bool:
    """Whether a folder is one of `quantbench tune`."""
    return (folder / DESIGN_FILE).is_file()


def folder_of(phase: Path) -> Path:
    """The folder of a search, from that of one of its phases."""
    return phase.parent if is_search(phase.parent) else phase


def resume(folder: Path, config_dirs: Sequence[Path] = (), packages: Sequence[str] = (), collect: bool = False) -> None:
    """Finish a search. Raises as ``runner.resume`` does, whose arguments these are."""
    found = _read_design(folder)
    failed: SweepFailed | None = None
    if not (folder / SEARCH / SWEEP_FILE).is_file():
        raise ConfigError(f"{folder}: its search never began; run `quantbench tune` again")
    scored = (folder / SCORE / SWEEP_FILE).is_file()
    with trusting(read_sweep(folder / SEARCH), config_dirs, packages), _tables_at_the_end(folder, found):
        try:
            if not (scored and _complete(folder / SEARCH)):
                resume_sweep(folder / SEARCH, config_dirs, packages, collect, told=False)
            if scored:
                resume_sweep(folder / SCORE, config_dirs, packages, collect, told=False)
        except SweepFailed as error:
            failed = error
        _go_on(folder, found, failed)


def _go_on(folder: Path, found: Design, failed: SweepFailed | None) -> None:
    """What follows the search: the score, unless it is there, and the tables."""
    if not _complete(folder / SEARCH):
        say("the search is not complete; once it is, `quantbench resume` goes on with the scores")
    elif not (folder / SCORE / SWEEP_FILE).is_file():
        searched = _table(folder / SEARCH)
        chosen, best = choices_of(searched, found)
        if not chosen:
            raise ConfigError("nothing to score: of no method a trial could be trained")
        base = Sweep.of(read_sweep(folder / SEARCH).content)
        sweep, labels = assemble(base, list(score_trials(found, chosen, best)))
        seconds = pd.to_numeric(searched["seconds"]).mean() if "seconds" in searched else math.nan
        if math.isfinite(seconds):
            say(f"scores: {len(labels)} trainings, {seconds * len(labels) / 60:.0f} minutes of a core by the search's rate")
        failed = _run_phase(folder / SCORE, sweep, _planned(sweep, labels), labels)
    if failed is None or failed.folder == folder / SEARCH:
        failed = _lost(folder) or failed
    if failed is not None:
        raise failed


def _lost(folder: Path) -> SweepFailed | None:
    """Trials of the search that failed for good, for scores were made of the choices without them."""
    lost = int((_table(folder / SEARCH)["status"] == Status.FAILED).sum())
    if not lost or not (folder / SCORE / SWEEP_FILE).is_file():
        return None
    return SweepFailed(
        f"{lost} trials of the search failed and were infinitely bad in its choices; the scores are of these", folder
    )


@contextmanager
def _tables_at_the_end(folder: Path, found: Design) -> Iterator[None]:
    """Write the tables of what is finished, whatever happens meanwhile."""
    try:
        yield
    except SweepFailed:
        _write_tables(folder, found)
        raise
    except BaseException:
        with suppress(QuantBenchError):  # what happened first is told
            _write_tables(folder, found)
        raise
    _write_tables(folder, found)


def _planned(sweep: Sweep, labels: Sequence[Label]) -> Plan:
    planned = plan(sweep)
    if len(planned.trials) != len(labels):
        more = len(labels) - len(planned.trials)
        raise ConfigError(f"{more} trials are the same as others: a choice, a source or a seed is named twice")
    return planned


def _run_phase(folder: Path, sweep: Sweep, planned: Plan, labels: Sequence[Label]) -> SweepFailed | None:
    """Run one of the two sweeps; that trials failed stops nothing, for a failure is infinitely bad."""
    folder.mkdir(exist_ok=True)
    ids = pd.DataFrame({"trial": [trial.id for trial in planned.trials]})
    write(ids.join(pd.DataFrame([asdict(one) for one in labels])), folder / LABELS_FILE)
    try:
        run_in(folder, sweep, planned)
    except SweepFailed as error:
        return error
    return None


def _complete(folder: Path) -> bool:
    table = _table(folder)
    return bool(table["status"].notna().all())


def _table(folder: Path) -> pd.DataFrame:
    """The trials of a phase with their labels; without a status where they are not trained. Raises ConfigError."""
    labels = read_csv(folder / LABELS_FILE, dtype={"trial": str, "track": str, "phase": str, "moved": str})
    if not results_path(folder).exists():
        return labels.assign(status=None)
    return labels.merge(read_results(folder), on="trial", how="left", validate="one_to_one")


def choices_of(searched: pd.DataFrame, found: Design) -> tuple[dict[int, dict[int, int]], dict[int, int]]:
    """Of each candidate that was tried, the place of each study's choice, and of the best of all settings.

    The choice is the setting with the least mean over validation seeds; of equals, as where all are infinitely bad, the first.
    """
    metric = known(found.settings["score"])
    assert metric is not None
    good = searched[searched["status"] == Status.COMPLETED]
    if "mse" in good and good["mse"].notna().any() and not good[metric.name].notna().any():
        raise ConfigError(f"score={metric.name}: no trial of the search has it, and nothing can be chosen by it")
    values: dict[int, dict[tuple[int, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in searched[searched["status"] != Status.SKIPPED].to_dict("records"):
        completed = row["status"] == Status.COMPLETED
        score = metric.sign * float(row[metric.name]) if completed else math.inf
        values[int(row["candidate"])][int(row["study"]), int(row["setting"])].append(worse(score))
    chosen: dict[int, dict[int, int]] = {}
    best: dict[int, int] = {}
    for candidate, settings in values.items():
        means = {key: sum(each) / len(each) for key, each in sorted(settings.items())}
        studies = dict.fromkeys(study for study, _ in means)
        firsts = {study: min((key for key in means if key[0] == study), key=lambda key: means[key]) for study in studies}
        chosen[candidate] = {study: place - 1 for study, (_, place) in firsts.items()}
        best[candidate] = min(firsts.values(), key=lambda key: means[key])[1] - 1
    return chosen, best


def _write_tables(folder: Path, found: Design) -> None:
    """The table of both phases, and what readers must know of its columns."""
    phases = [folder / name for name in (SEARCH, SCORE) if results_path(folder / name).exists()]
    if not phases:
        return
    tables = [_table(one).drop(columns="candidate") for one in phases]
    tables = [one[one["status"].notna()] for one in tables]
    names = list(dict.fromkeys(str(name) for one in tables for name in one))
    first = [name for name in (*IDENTITY, *LABELS, *setting_columns(names)) if name in names]
    merged = pd.concat([one for one in tables if len(one)] or tables, ignore_index=True)
    merged = merged[[*first, *(name for name in names if name not in first)]]
    merged["moved"] = merged["moved"].fillna("")
    write(merged, folder / results_path(phases[0]).name)
    facts: list[dict[str, Any]] = [json.loads(read_text(one / COLUMNS_FILE, LARGEST)) for one in phases]
    tuned = {"tuned": found.tuned, "protocol": PROTOCOL}
    write_text(folder / COLUMNS_FILE, json.dumps(facts[-1] | tuned, indent=2) + "\n")
    for name in (ENVIRONMENT_FILE, SWEEP_FILE):
        if (phases[-1] / name).is_file():  # a kill may come between these files
            write_text(folder / name, read_text(phases[-1] / name, LARGEST))
    if phases[-1].name == SCORE and _complete(phases[-1]):
        say("", *str(rank(load(folder, curves=False), chosen=True)).split("\n"), "", f"results: {results_path(folder)}")


def _read_design(folder: Path) -> Design:
    """The design of a search. Raises ConfigError where it is none, or of another protocol."""
    path = folder / DESIGN_FILE
    try:
        content = json.loads(read_text(path, LARGEST))
        version = content.pop("protocol")
        found = Design.of(content)
        check_settings(SearchSettings, found.settings, "")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as the design of a search ({type(error).__name__}: {error})") from error
    if version != PROTOCOL:
        raise ConfigError(f"{path}: follows version {version} of the protocol, and this is version {PROTOCOL}; tune again")
    return found


def _outline(found: Design) -> str:
    """What a search amounts to, in lines."""
    asked = found.settings
    search = len(found.candidates) * asked["budget"] * asked["validation"]
    score, moved = count_scores(found)
    lines = [
        f"search: {len(found.candidates)} methods in tasks, {asked['budget']} settings each in {asked['studies']} studies: "
        f"{search} trainings",
        f"score: the default and {asked['studies']} choices with {len(found.seeds)} test seeds: {score} trainings",
    ]
    if moved:
        lines.append(f"sensitivity: at most {moved} trainings")
    if len(found.seeds) < FEWEST_SEEDS:
        lines.append(f"note: the protocol asks for at least {FEWEST_SEEDS} test seeds, as seed=range(0,{FEWEST_SEEDS})")
    return "\n".join(lines)
