"""Reads and writes results.csv and curves.csv."""

from __future__ import annotations

import contextlib
import glob
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.files import opened, replace_file, writing
from quantbench.metrics import METRICS, numbered
from quantbench.points import Points
from quantbench.results import parquet
from quantbench.results.cells import read_csv, unguarded, write_csv
from quantbench.results.schema import COST, CURVES, IDENTITY, MEASURED, NOTES, TEXT, WHOLE


def results_table(rows: Sequence[Mapping[str, Any]], settings: Sequence[str], whole: Sequence[str] = ()) -> pd.DataFrame:
    """Rows as a table with all columns in their order: numbered metrics follow the known ones, and then what else a row holds.

    Args:
        settings: dotted names of settings that vary.
        whole: metrics beyond those of the project that are whole numbers.
    """
    before, after = [*IDENTITY, *settings, *MEASURED], [*NOTES, *COST]
    known = {*before, *after}
    further = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in known and "." not in name]
    columns = [*before, *dict.fromkeys([*numbered(further), *further]), *after]
    table = pd.DataFrame([[row.get(name) for name in columns] for row in rows], columns=columns)
    for name in [*WHOLE, *(name for name in whole if name in further)]:
        table[name] = pd.to_numeric(table[name]).astype("Int64")
    for name in settings:
        table[name] = table[name].map(lambda value: json.dumps(value) if isinstance(value, list | tuple) else value)
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table in one step: a reader sees the old file or the new one. Raises NotWritten."""
    with writing(path):
        if path.suffix == parquet.SUFFIX:
            parquet.write(table, path)
        else:
            replace_file(path, lambda file: write_csv(table, file))


def curves_table(curves: Sequence[tuple[str, Points]]) -> pd.DataFrame:
    """The curves of trials in long form."""
    metrics = list(dict.fromkeys(name for _, points in curves for name in points.metrics))
    places = {name: place for place, name in enumerate(metrics)}
    kinds = [
        np.array([places[name] for name in points.metrics], int)[np.frombuffer(points.kinds, np.uint8)] for _, points in curves
    ]
    trials = np.repeat(np.arange(len(curves)), [len(points) for _, points in curves])
    columns = [
        pd.Categorical.from_codes(trials, pd.Index([trial for trial, _ in curves], dtype=str)),
        _joined([points.steps for _, points in curves], np.int64),
        pd.Categorical.from_codes(np.concatenate([*kinds, np.empty(0, int)]), pd.Index(metrics, dtype=str)),
        _joined([points.values for _, points in curves], np.float64),
    ]
    return pd.DataFrame(dict(zip(CURVES, columns, strict=True)))


def _joined(parts: Sequence[Any], kind: Any) -> NDArray[Any]:
    return np.concatenate([*(np.frombuffer(part, kind) for part in parts), np.empty(0, kind)])


def read_results(path: Path) -> pd.DataFrame:
    """Read a results.csv (or .parquet), or that of a run's folder.

    Raises:
        ConfigError: there is no such file, it is no table, or it lacks columns of a results.csv.
    """
    file = results_path(path)
    if file.is_char_device() or file.is_block_device():
        raise ConfigError(f"{file}: is a device, no results.csv")
    try:
        table = _read(file, named=file == path)
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{file}: cannot be read as a results.csv ({reason})") from error
    missing = [name for name in ("trial", "status", "seed", "quantizer", "gradient") if name not in table]
    if missing:
        raise ConfigError(f"{file}: is no results.csv of QuantBench, it has no column {', '.join(missing)}")
    for name in table.columns.intersection([*METRICS, *numbered(map(str, table.columns)), *WHOLE]):
        try:
            numbers = pd.to_numeric(table[name], errors="coerce")
        except OverflowError as error:
            raise ConfigError(f"{file}: column {name} holds a number that is too large ({error})") from error
        wrong = table[name][numbers.isna() & table[name].notna()]
        if len(wrong):
            raise ConfigError(f"{file}: column {name} holds {wrong.iloc[0]!r}, which is no number")
        table[name] = numbers
    nameless = table["trial"].isna()
    if nameless.any():
        raise ConfigError(f"{file}: {int(nameless.sum())} rows have no trial, which tells them apart")
    return table if file.suffix == parquet.SUFFIX else unguarded(table)


def results_path(path: Path) -> Path:
    """The table of results that a folder holds, or would; any other path as it is."""
    if not path.is_dir():
        return path
    csv, other = path / "results.csv", path / f"results{parquet.SUFFIX}"
    return other if other.exists() and not csv.exists() else csv


def matching(path: Path) -> list[Path]:
    """The runs that a path names: itself, or, where it is no file but a pattern, all that match, in the order of their names.

    Of a folder that is no run those within count: ``outputs/*`` are the runs of all experiments. Files match only a pattern
    that ends as theirs do, so that ``run/*`` is not every table of a run.

    Raises:
        ConfigError: a pattern that no run matches.
    """
    if os.path.lexists(path) or not glob.has_magic(str(path)):
        return [path]
    found: list[Path] = []
    for one in map(Path, sorted(glob.glob(str(path), recursive=True))):
        if one.is_dir():
            found += [folder for folder in ([one] if _is_run(one) else sorted(one.glob("*"))) if _is_run(folder)]
        elif path.suffix in (".csv", parquet.SUFFIX) and one.is_file():
            found.append(one)
    if not found:
        raise ConfigError(f"{path}: there is no such file, and no run that this matches as a pattern")
    return list(dict.fromkeys(found))


def _is_run(path: Path) -> bool:
    return path.is_dir() and results_path(path).is_file()


def _read(file: Path, named: bool) -> pd.DataFrame:
    """Read a table; a link or a pipe that the user ``named`` is the user's, one that lies in a folder may have no end."""
    with contextlib.nullcontext(file) if named else opened(file) as source:
        if file.suffix == parquet.SUFFIX:
            return parquet.read(file, source)
        return read_csv(source, dtype=TEXT, keep_default_na=False, na_values=[""], low_memory=False)
