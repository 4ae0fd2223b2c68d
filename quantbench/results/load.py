"""Results of one or several runs as typed pandas frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results import parquet
from quantbench.results.cells import unguarded
from quantbench.results.schema import CURVES, GROUPS, METRICS, NOTES, STATUSES, WHOLE, setting_columns
from quantbench.results.tables import read_results, results_path


@dataclass(frozen=True)
class Results:
    """What one or several runs found.

    Attributes:
        results: one row a trial (the columns of results.csv), and ``run``, the folder or file that it came from. Whole numbers
            are ``Int64``, metrics ``float64``, choices and statuses categories, settings numbers where all of them are.
        curves: ``run``, ``trial``, ``step``, ``metric`` (a category), ``value``; empty where there is no curves.csv.
        environments: the environment.json of each run that has one, by run.
        notes: what a reader of the tables should know.
    """

    results: pd.DataFrame
    curves: pd.DataFrame
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def load(*paths: str | Path, curves: bool = True) -> Results:
    """Read runs, each a results.csv or the folder of a run, into one.

    A trial that several runs have counts once, as in the last of them. A setting that only some runs have a column for is
    empty in the others, for their tables do not tell it.

    Args:
        curves: whether to read the curves.csv beside each results.csv, too.

    Raises:
        ConfigError: no path; a file that is missing or no table of QuantBench's.
    """
    if not paths:
        raise ConfigError("no results given: name a results.csv or the folder of a run")
    files = [results_path(path) for path in map(Path, paths)]
    names = _names(files)
    tables = [read_results(file).assign(run=name) for file, name in zip(files, names, strict=True)]
    merged = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    notes = _one_sided(tables, names)
    if double := int(merged.duplicated("trial").sum()):
        notes.append(f"{double} trials are there more than once; the last one counts")
        merged = merged.drop_duplicates("trial", keep="last", ignore_index=True)
    points = [
        read_curves(file.with_name(f"curves{file.suffix}")).assign(run=name) for file, name in zip(files, names, strict=True)
    ]
    points = [one for one in points if len(one)] if curves else []
    joined = pd.concat(points, ignore_index=True) if points else pd.DataFrame(columns=[*CURVES, "run"])
    if len(files) > 1 and len(joined):
        joined = joined.merge(merged[["trial", "run"]].astype(str), on=["trial", "run"])
    environments = {name: found for file, name in zip(files, names, strict=True) if (found := _environment(file))}
    return Results(_typed(merged), joined.astype({"metric": "category", "run": "category"}), environments, notes)


def read_curves(path: Path) -> pd.DataFrame:
    """Read a curves.csv (or .parquet); empty where there is none. Raises ConfigError where it is no such table."""
    if not path.exists():
        return pd.DataFrame(columns=CURVES)
    try:
        if path.suffix == parquet.SUFFIX:
            table = parquet.read(path)
        else:
            table = pd.read_csv(path, dtype={"trial": "str", "metric": "category"})
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a curves.csv ({str(error).strip().splitlines()[0]})") from error
    if missing := [name for name in CURVES if name not in table]:
        raise ConfigError(f"{path}: is no curves.csv of QuantBench, it has no column {', '.join(missing)}")
    for name in ("step", "value"):
        if not pd.api.types.is_numeric_dtype(table[name]):
            numbers = pd.to_numeric(table[name], errors="coerce")
            if len(wrong := table[name][numbers.isna() & table[name].notna()]):
                raise ConfigError(f"{path}: column {name} holds {wrong.iloc[0]!r}, which is no number")
            table[name] = numbers
    return unguarded(table[CURVES])


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Columns with types that do not depend on what a file happens to hold."""
    table = table.copy()
    for name in METRICS:
        if name in table and name not in WHOLE:
            table[name] = table[name].astype("float64")
    for name in WHOLE:
        if name in table:
            values = table[name].astype("float64")
            table[name] = values.where((values % 1 == 0) & (values.abs() < 2**53)).astype("Int64")
    for name in [*GROUPS, "experiment", "run"]:
        if name in table:
            table[name] = table[name].astype("category")
    table["status"] = pd.Categorical(
        table["status"], categories=[*STATUSES, *sorted(set(table["status"].dropna()) - {*STATUSES})]
    )
    for name in [*NOTES, "error", "device"]:
        if name in table:
            table[name] = table[name].astype("string")
    return table


def _one_sided(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> list[str]:
    """What to say of settings that are a column of some runs only."""
    settings = dict.fromkeys(name for table in tables for name in setting_columns([str(column) for column in table]))
    notes = []
    for setting in settings:
        without = [name for table, name in zip(tables, names, strict=True) if setting not in table]
        if without:
            notes.append(f"{setting} is no column of {', '.join(without)}: the value there is not known")
    return notes


def _names(files: Sequence[Path]) -> list[str]:
    """Short names that tell the files apart: the folder's, longer where two are equal."""
    whole = [file.resolve() for file in files]
    whole = [file.parent if file.stem == "results" else file for file in whole]
    for length in range(1, max((len(path.parts) for path in whole), default=1) + 1):
        names = ["/".join(path.parts[-length:]) for path in whole]
        if len(set(names)) == len(set(whole)):
            break
    return names


def _environment(file: Path) -> dict[str, Any] | None:
    """The environment.json beside a table; None where there is none that can be read."""
    path = file.with_name("environment.json")
    try:
        found = json.loads(path.read_text()) if path.is_file() else None  # no device, which has no end
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
