"""The table that a sweep prints when it ends."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantbench.results.render import Cell, Rounded, number, render
from quantbench.results.schema import GROUPS, setting_columns
from quantbench.results.statistics import bootstrap_mean

KNOWN = ("gap_db", "limit_mse", "reference_mse")
"""What a codec is measured against, where it is known."""


def summary(table: pd.DataFrame, form: str = "table") -> str:
    """Mean and 95 % bootstrap interval over seeds of every setting, failures counted; what is known of the best beside it.

    Means are over completed trials; the number of the others stands beside them. ``encoder_growth`` is a ratio that may
    span many decades: its geometric mean is shown.
    """
    table = table[table["status"] != "skipped"]
    settings = [name for name in [*GROUPS, *setting_columns(list(table.columns))] if name in table]
    varying: list[str] = []
    for name in settings:
        if table[name].nunique(dropna=False) > 1 and not _follows(table, name, varying):
            varying.append(name)
    known = [name for name in KNOWN if name in table and table[name].notna().any()]
    header = [*varying, "trials", "failed", "mse", "nmse_db", *known, "usage", "encoder_growth"]
    rows: list[list[Cell]] = []
    groups = table.groupby(varying, sort=False, dropna=False) if varying else [((), table)]
    for key, group in groups:
        good = group[group["status"] == "completed"]
        growth = np.log(good["encoder_growth"].dropna().to_numpy(float))
        rows.append(
            [
                *map(number, key),
                len(group),
                len(group) - len(good),
                *(bootstrap_mean(good[name].dropna().to_numpy(float)) for name in ("mse", "nmse_db")),
                *(_known(good, name) for name in known),
                Rounded(float(good["usage"].mean())),
                Rounded(float(np.exp(growth.mean()))) if len(growth) else None,
            ]
        )
    return render(header, rows, form, keys=len(varying) or 1)


def _known(trials: pd.DataFrame, name: str) -> Cell:
    """A limit or a reference is a number, the distance to the limit an estimate."""
    values = trials[name].dropna().to_numpy(float)
    if not len(values):
        return None
    return bootstrap_mean(values) if name == "gap_db" else Rounded(float(values.mean()))


def _follows(table: pd.DataFrame, name: str, shown: list[str]) -> bool:
    """Whether a setting follows from those shown, as the size of a codebook may from the source's bits.

    What follows from the choices alone is shown all the same: a strategy's commitment weight says how it was used.
    """

    def determined(by: list[str]) -> bool:
        return bool(by) and table.groupby(by, dropna=False)[name].nunique(dropna=False).max() == 1

    settings = [other for other in shown if "." in other]
    choices = [other for other in shown if "." not in other]
    return any(determined([other]) for other in settings) or (determined(shown) and not determined(choices))
