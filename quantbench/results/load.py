"""Results of one or several runs as typed pandas frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from quantbench.errors import ConfigError, brief
from quantbench.files import opened, read_text
from quantbench.metrics import METRICS, Metric, numbered
from quantbench.results import parquet
from quantbench.results.cells import read_csv, unguarded
from quantbench.results.facts import COLUMNS_FILE, LARGEST, Facts, read_facts
from quantbench.results.merge import Configuration, read_configuration, told_apart
from quantbench.results.schema import BY, CURVES, GROUPS, IDENTITY, LABELS, NOTES, WHOLE, Status
from quantbench.results.tables import matching, read_results, results_path
from quantbench.terminal import encodable


@dataclass(frozen=True, repr=False)
class Results:
    """What one or several runs found.

    Attributes:
        results: one row a trial (the columns of results.csv), and ``run``, the folder or file that it came from. Whole numbers
            are ``Int64``, metrics ``float64``, choices and statuses categories, settings numbers where all of them are.
        curves: ``run``, ``trial``, ``step``, ``metric`` (a category), ``value``; empty where there is no curves.csv.
        environments: the environment.json of each run that has one, by run.
        configurations: of each run that has a sweep.yaml, the settings that it does not vary, by run.
        metrics: all metrics that the tables have, by name: those of the project, of classes of a user's own, and others.
        sizes: settings that decide a quantizer's rate, as the classes say; None where a run does not tell.
        apart: settings in which the runs differ, each run having one value: they tell methods or tasks apart, always.
        notes: what a reader of the tables should know.
        tuned: settings that a search moved, and that make no method and no task.
        folders: where each run is.
    """

    results: pd.DataFrame
    curves: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*CURVES, "run"]))
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    configurations: dict[str, Configuration] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=lambda: dict(METRICS))
    sizes: list[str] | None = None
    apart: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    tuned: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        counts = self.results["status"].astype(str).value_counts()
        told = ", ".join(f"{number} {status}" for status, number in counts.items()) or "none"
        places = ", ".join(map(str, self.folders)) or "a table in memory"
        return f"<Results of {len(self.results)} trials ({told}), {len(self.curves)} points of curves: {places}>"

    @property
    def folder(self) -> Path:
        """Where the run is. Raises ConfigError for results of none, or of several."""
        if len(self.folders) != 1:
            raise ConfigError(f"these results are of {len(self.folders)} runs, so there is no one folder")
        return self.folders[0]


def load(*runs: str | Path | Sequence[str | Path], curves: bool = True) -> Results:
    """Read runs, each a results.csv or the folder of a run, into one; ``outputs/*`` are all runs that match.

    A trial that several runs have counts once, as in the last of them. A setting in which runs differ becomes a column, with
    the value that each run's sweep.yaml tells.

    Args:
        curves: whether to read the curves.csv beside each results.csv, too.

    Raises:
        ConfigError: no path; a file that is missing or no table of QuantBench's; a pattern that nothing matches.
    """
    paths = _paths(runs)
    files = [results_path(path) for path in paths]
    names = _names(files)
    tables = [read_results(path).assign(run=name) for path, name in zip(paths, names, strict=True)]
    configurations, unread = _configurations(files)
    tables, apart, notes = told_apart(tables, configurations, names)
    notes = [
        *unread,
        *notes,
        *([f"the runs differ in {', '.join(apart)}, which tells methods or tasks apart"] if apart else []),
    ]
    environments, unread = _environments(files, names)
    notes += unread
    merged = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    if double := int(merged.duplicated("trial").sum()):
        notes.append(f"{double} trials are there more than once; the last one counts")
        merged = merged.drop_duplicates("trial", keep="last", ignore_index=True)
    beside = [(file.with_name(f"curves{file.suffix}"), name) for file, name in zip(files, names, strict=True)] if curves else []
    points = [one for path, name in beside if len(one := read_curves(path).assign(run=name))]
    joined = pd.concat(points, ignore_index=True) if points else pd.DataFrame(columns=[*CURVES, "run"])
    if len(files) > 1 and len(joined):
        joined = joined.merge(merged[["trial", "run"]].astype(str), on=["trial", "run"])
    facts = Facts.joined([read_facts(file.with_name(COLUMNS_FILE)) for file in files])
    metrics = metrics_of(merged, facts.metrics)
    return Results(
        _typed(merged, metrics),
        joined.astype({"metric": "category", "run": "category"}),
        environments,
        {name: one for name, one in zip(names, configurations, strict=True) if one is not None},
        metrics,
        facts.sizes,
        apart,
        notes,
        [file.parent if file.stem == "results" else file for file in files],
        facts.tuned,
    )


def _paths(runs: Sequence[str | Path | Sequence[str | Path]]) -> list[Path]:
    """Where all runs are, each there. Raises ConfigError."""
    found: list[Path] = []
    for one in [one for given in runs for one in (given if isinstance(given, list | tuple) else [given])]:
        if not isinstance(one, str | Path):
            raise ConfigError(f"{brief(one)}: must be a results.csv or the folder of a run, or a list of these")
        found += matching(Path(one))
    if not found:
        raise ConfigError("no results given: name a results.csv or the folder of a run")
    return found


def _configurations(files: Sequence[Path]) -> tuple[list[Configuration | None], list[str]]:
    """The configuration of each run; None and a note where its sweep.yaml cannot be read, for its table still can."""
    found: list[Configuration | None] = []
    notes = []
    for file in files:
        try:
            found.append(read_configuration(file.with_name("sweep.yaml")))
        except ConfigError as error:
            found.append(None)
            notes.append(f"{error}: settings that its table does not tell are not known")
    return found, notes


def metrics_of(table: pd.DataFrame, declared: dict[str, Metric]) -> dict[str, Metric]:
    """Every metric of a table: known ones, those that classes declared, and columns of numbers that nobody told of."""
    taken = {*IDENTITY, *LABELS, *NOTES, "run", *BY}
    others = [
        str(name)
        for name in table.columns
        if name not in taken
        and "." not in str(name)
        and str(name).isidentifier()
        and pd.api.types.is_numeric_dtype(table[name])
    ]
    found = METRICS | numbered(others) | declared
    return found | {name: Metric(name, "") for name in others if name not in found}


def of_table(table: pd.DataFrame, sizes: Sequence[str] | None = None, added: Mapping[str, Metric] | None = None) -> Results:
    """Results of a table in memory, as of a sweep that is under way.

    Args:
        sizes: settings that decide a quantizer's rate.
        added: metrics that classes add to the project's.
    """
    return Results(table, metrics=metrics_of(table, dict(added or {})), sizes=None if sizes is None else list(sizes))


def read_curves(path: Path) -> pd.DataFrame:
    """Read a curves.csv (or .parquet); empty where there is none. Raises ConfigError where it is no such table."""
    try:
        with opened(path) as source:
            if path.suffix == parquet.SUFFIX:
                table = parquet.read(path, source)
            else:
                table = read_csv(source, dtype={"trial": "str", "metric": "category"})
    except FileNotFoundError:
        return pd.DataFrame(columns=CURVES)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a curves.csv ({str(error).strip().splitlines()[0]})") from error
    if missing := [name for name in CURVES if name not in table]:
        raise ConfigError(f"{path}: is no curves.csv of QuantBench, it has no column {', '.join(missing)}")
    for name in ("trial", "metric"):
        if table[name].isna().any():
            raise ConfigError(f"{path}: {int(table[name].isna().sum())} rows have no {name}")
    for name in ("step", "value"):
        if not pd.api.types.is_numeric_dtype(table[name]):
            numbers = pd.to_numeric(table[name], errors="coerce")
            if len(wrong := table[name][numbers.isna() & table[name].notna()]):
                raise ConfigError(f"{path}: column {name} holds {wrong.iloc[0]!r}, which is no number")
            table[name] = numbers
    return unguarded(table[CURVES])


def _typed(table: pd.DataFrame, metrics: dict[str, Metric]) -> pd.DataFrame:
    """Columns with types that do not depend on what a file happens to hold."""
    table = table.copy()
    for name in metrics:
        if name in table and name not in WHOLE:
            try:
                table[name] = table[name].astype("float64")
            except (ValueError, TypeError) as error:
                raise ConfigError(f"column {name} of the results is declared a metric, and holds text ({error})") from error
    for name in [*WHOLE, "study", "setting"]:
        if name in table:
            values = table[name].astype("float64")
            table[name] = values.where((values % 1 == 0) & (values.abs() < 2**53)).astype("Int64")
    for name in [*GROUPS, "experiment", "run"]:
        if name in table:
            table[name] = table[name].astype("category")
    known = [one.value for one in Status]
    table["status"] = pd.Categorical(table["status"], categories=[*known, *sorted(set(table["status"].dropna()) - {*known})])
    for name in [*NOTES, "error", *BY]:
        if name in table:
            table[name] = table[name].astype("string")
    return table


def _names(files: Sequence[Path]) -> list[str]:
    """Short names that tell the files apart: the folder's, longer where two are equal; bytes that are no text spelled out."""
    whole = [file.resolve() for file in files]
    whole = [file.parent if file.stem == "results" else file for file in whole]
    for length in range(1, max((len(path.parts) for path in whole), default=1) + 1):
        names = [encodable("/".join(path.parts[-length:])) for path in whole]
        if len(set(names)) == len(set(whole)):
            break
    return names


def _environments(files: Sequence[Path], names: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The environment.json beside each table, by run; a note where one cannot be read."""
    known: dict[str, dict[str, Any]] = {}
    notes = []
    for file, name in zip(files, names, strict=True):
        path = file.with_name("environment.json")
        try:
            found = json.loads(read_text(path, LARGEST))
            if not isinstance(found, dict):
                raise ValueError("it is no object")
            known[name] = found
        except FileNotFoundError:
            continue
        except ConfigError as error:
            notes.append(str(error))
        except (OSError, ValueError, RecursionError) as error:
            notes.append(f"{path}: cannot be read as the environment of a run ({error})")
    return known, notes
