"""The table of an audit."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.files import opened
from quantbench.results.cells import read_csv, unguarded
from quantbench.results.render import Cell, Rounded, render
from quantbench.results.schema import AUDIT, TEXT
from quantbench.results.statistics import INTERVAL, mean_interval


def audit_table(rows: Sequence[Mapping[str, Any]], varying: Sequence[str] = ()) -> pd.DataFrame:
    """One row a pair, seed and moment, in the order of their names.

    Args:
        varying: choices and settings that vary, which tell pairs apart.
    """
    others = [name for name in varying if name not in AUDIT]
    columns = [*AUDIT[:2], *others, *AUDIT[2:]]
    table = pd.DataFrame([[row.get(name) for name in columns] for row in rows], columns=columns)
    for name in ("seed", "reference_pairs"):
        table[name] = pd.to_numeric(table[name]).astype("Int64")
    order = table["moment"].map({"start": 0, "end": 1})
    return table.assign(order=order).sort_values([*AUDIT[:2], *others, "order", "seed"]).drop(columns="order")


def read_audit(path: Path, named: bool = False) -> pd.DataFrame:
    """Read an audit.csv. Raises ConfigError where it is missing or no such table.

    Args:
        named: whether the user named it, and not the folder in which it lies, where a pipe may have no end.
    """
    try:
        with contextlib.nullcontext(path) if named else opened(path) as source:
            types = TEXT | {"moment": str, "findings": str}
            table = read_csv(source, dtype=types, keep_default_na=False, na_values=[""])
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as an audit.csv ({str(error).strip().splitlines()[0]})") from error
    if missing := [name for name in AUDIT if name not in table]:
        raise ConfigError(f"{path}: is no audit.csv of QuantBench, it has no column {', '.join(missing)}")
    for name in ("cosine", "bias", "variance"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        if len(wrong := table[name][numbers.isna() & table[name].notna()]):
            raise ConfigError(f"{path}: column {name} holds {wrong.iloc[0]!r}, which is no number")
        table[name] = numbers.astype("float64")
    return unguarded(table)


def audit_summary(table: pd.DataFrame, form: str = "table") -> str:
    """Means with intervals over seeds of the cosine, means of bias and variance; found mistakes are marked."""
    moments = ("start", "end")
    keys = [*AUDIT[:2], *(str(name) for name in table if name not in AUDIT)]
    header = [
        *keys,
        *(one for moment in moments for one in (f"cosine, {moment} {INTERVAL}", f"bias, {moment}", f"variance, {moment}")),
        "found",
    ]
    rows = []
    for names, group in table.groupby(keys, sort=False, dropna=False):
        cells: list[Cell] = ["" if str(name) == "nan" else str(name) for name in names]
        for moment in moments:
            part = group[group["moment"] == moment]
            cells.append(mean_interval(part["cosine"].dropna().to_numpy(float)))
            cells += [_mean(part[name]) for name in ("bias", "variance")]
        rows.append([*cells, "yes" if (group["findings"].fillna("") != "").any() else ""])
    precision = pd.to_numeric(table["reference_error"]).max()
    note = "" if form != "table" or np.isnan(precision) else f"\n\nlargest standard error of a reference: {precision:.1%}"
    return render(header, rows, form) + note


def _mean(values: pd.Series[Any]) -> Cell:
    known = values.dropna().to_numpy(float)
    return Rounded(float(known.mean())) if len(known) else None
