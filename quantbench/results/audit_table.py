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
from quantbench.results.audit_verdict import READING, verdict
from quantbench.results.audit_verdict import cosines as of_widths
from quantbench.results.cells import read_csv, unguarded
from quantbench.results.render import Cell, Rounded, render
from quantbench.results.schema import AUDIT, TEXT
from quantbench.results.statistics import INTERVAL, NOTHING

MOMENTS = {"start": "before training", "end": "after a short training"}


def audit_table(rows: Sequence[Mapping[str, Any]], varying: Sequence[str] = ()) -> pd.DataFrame:
    """One row a pair, moment, seed and width, in the order of their names.

    Args:
        varying: choices and settings that vary, which tell pairs apart.
    """
    others = [name for name in varying if name not in AUDIT]
    columns = [*AUDIT[:2], *others, *AUDIT[2:]]
    table = pd.DataFrame([[row.get(name) for name in columns] for row in rows], columns=columns)
    for name in ("seed", "reference_pairs"):
        table[name] = pd.to_numeric(table[name]).astype("Int64")
    order = table["moment"].map({"start": 0, "end": 1})
    return table.assign(order=order).sort_values([*AUDIT[:2], *others, "order", "seed", "sigma"]).drop(columns="order")


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
    for name in ("sigma", "cosine", "bias", "variance"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        if len(wrong := table[name][numbers.isna() & table[name].notna()]):
            raise ConfigError(f"{path}: column {name} holds {wrong.iloc[0]!r}, which is no number")
        table[name] = numbers.astype("float64")
    return unguarded(table)


def audit_summary(table: pd.DataFrame, form: str = "table", cosines: bool = False) -> str:
    """Each pair's verdict before and after training; mistakes that were found are marked.

    Args:
        cosines: show what the verdicts are made of: means with intervals over seeds of the cosine at each width, of bias and
            variance at the middle one.
    """
    text = _numbers(table, form) if cosines else _verdicts(table, form)
    if form != "table":
        return text
    precision = pd.to_numeric(table["reference_error"]).max()
    seeds = table.groupby(keys_of(table), dropna=False)["seed"].nunique().max()
    notes = [] if cosines or not table["cosine"].notna().any() else ["", READING]
    if seeds == 1:
        notes.append("one seed: there are no intervals, and so all is unclear")
    if not np.isnan(precision):
        notes.append(f"largest standard error of a reference: {precision:.1%}")
    return "\n".join([text, *notes])


def keys_of(table: pd.DataFrame) -> list[str]:
    """The columns that tell pairs apart."""
    return [*AUDIT[:2], *(str(name) for name in table if name not in AUDIT)]


def middle(table: pd.DataFrame) -> float:
    """The width in the middle of all, the lower one of two."""
    widths = sorted(table["sigma"].dropna().unique())
    return float(widths[(len(widths) - 1) // 2]) if widths else np.nan


def _verdicts(table: pd.DataFrame, form: str) -> str:
    keys, rows = keys_of(table), []
    for names, group in table.groupby(keys, sort=False, dropna=False):
        moments = [verdict(of_widths(group[group["moment"] == moment])) for moment in MOMENTS]
        rows.append([*_named(names), *moments, _mean(_at(group, "end")["variance"]), _found(group)])
    return render([*keys, *MOMENTS.values(), "variance", "found"], rows, form)


def _numbers(table: pd.DataFrame, form: str) -> str:
    keys, rows = keys_of(table), []
    widths = sorted(float(width) for width in table["sigma"].dropna().unique())
    for names, group in table.groupby(keys, sort=False, dropna=False):
        for moment in MOMENTS:
            found = of_widths(group[group["moment"] == moment])
            means = [_mean(_at(group, moment)[name]) for name in ("bias", "variance")]
            rows.append([*_named(names), moment, *(found.get(width, NOTHING) for width in widths), *means, _found(group)])
    header = [*keys, "moment", *(f"cosine at {width:g} {INTERVAL}" for width in widths), "bias", "variance", "found"]
    return render(header, rows, form)


def _at(group: pd.DataFrame, moment: str) -> pd.DataFrame:
    """Rows of a moment at the middle width."""
    return group[(group["moment"] == moment) & (group["sigma"] == middle(group))]


def _named(names: Any) -> list[Cell]:
    return ["" if str(name) == "nan" else str(name) for name in names]


def _found(group: pd.DataFrame) -> str:
    return "yes" if (group["findings"].fillna("") != "").any() else ""


def _mean(values: pd.Series[Any]) -> Cell:
    known = values.dropna().to_numpy(float)
    return Rounded(float(known.mean())) if len(known) else None
