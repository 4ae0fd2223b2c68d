"""What two results.csv have in common to be ranked: items with a value for every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.results.render import number
from quantbench.results.schema import GROUPS, HIGHER_IS_BETTER, LOWER_IS_BETTER, setting_columns

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Items:
    """The values of a metric, oriented so that less is better.

    Attributes:
        names: of the items, in the order of the file.
        seeds: in their order.
        values: (items, seeds); NaN where a trial did not end well or was not run.
        failed: of each item, how many trials did not end well.
    """

    names: list[str]
    seeds: list[int]
    values: Matrix
    failed: dict[str, int]


def sign_of(metric: str) -> int:
    """1 where less is better, -1 where more is. Raises ConfigError where neither is known."""
    if metric in LOWER_IS_BETTER | HIGHER_IS_BETTER:
        return 1 if metric in LOWER_IS_BETTER else -1
    known = ", ".join(sorted(LOWER_IS_BETTER | HIGHER_IS_BETTER))
    raise ConfigError(f"--metric {metric}: it is not known whether more or less of it is better; there are {known}")


def split_by(toy: pd.DataFrame, real: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """``by`` and whatever further settings of both tables are needed to tell trials of one seed apart.

    Raises:
        ConfigError: a setting that is not in both tables.
    """
    common = [name for name in [*GROUPS, *setting_columns(list(toy.columns))] if name in toy and name in real]
    for name in by:
        if name not in common:
            raise ConfigError(f"--by {name}: must be a setting in both tables, which are {', '.join(common)}")
    chosen = list(by)
    for name in common:
        doubled = any(_text(table, [*chosen, "seed"]).duplicated().any() for table in (toy, real))
        if doubled and name not in chosen and any(_tells_apart(table, chosen, name) for table in (toy, real)):
            chosen.append(name)
    return chosen


def _text(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    done = table[table["status"] != "skipped"]
    return pd.DataFrame({name: done[name].map(lambda value: "" if pd.isna(value) else number(value)) for name in names})


def _tells_apart(table: pd.DataFrame, chosen: list[str], name: str) -> bool:
    text = _text(table, [*chosen, "seed", name])
    return bool((text.groupby([*chosen, "seed"], dropna=False)[name].nunique() > 1).any())


def items(table: pd.DataFrame, metric: str, by: Sequence[str], where: str) -> Items:
    """The items of a table, named by their settings ``by``.

    Raises:
        ConfigError: no such metric, or several trials of an item and a seed.
    """
    if metric not in table or not pd.api.types.is_numeric_dtype(table[metric]) or not table[metric].notna().any():
        measured = [name for name in sorted(LOWER_IS_BETTER | HIGHER_IS_BETTER) if name in table and table[name].notna().any()]
        raise ConfigError(f"--metric {metric}: {where} has no values of it; it has {', '.join(measured)}")
    done = table[table["status"] != "skipped"]
    text = _text(table, by)
    names = [_name(row, by) for row in text.itertuples(index=False)]
    key = pd.DataFrame({"item": names, "seed": done["seed"].astype(int).to_numpy()}, index=done.index)
    if key.duplicated().any():
        item, seed = key[key.duplicated()].iloc[0]
        raise ConfigError(f"{where}: several trials of {item} with seed {seed}, told apart by no setting of both tables")
    good = (done["status"] == "completed") & done[metric].notna()
    order, seeds = list(dict.fromkeys(names)), sorted(set(key["seed"]))
    values = np.full((len(order), len(seeds)), np.nan)
    failed = dict.fromkeys(order, 0)
    for (item, seed), fine, value in zip(key.itertuples(index=False), good, done[metric], strict=True):
        if fine:
            values[order.index(item), seeds.index(seed)] = sign_of(metric) * value
        else:
            failed[item] += 1
    return Items(order, seeds, values, failed)


def shortened(names: Sequence[str], asked: int) -> dict[str, str]:
    """Names without the settings that were added to the ``asked`` ones, where these suffice."""
    short = {name: " ".join(name.split(" ")[:asked]) for name in names}
    owners = list(short.values())
    return {name: base if owners.count(base) == 1 else name for name, base in short.items()}


def _name(row: Sequence[str], by: Sequence[str]) -> str:
    """``ste vq commitment=0.25``: choices by their names, other settings with the last part of theirs."""
    parts = [
        value if name in GROUPS else f"{name.rpartition('.')[2]}={value}" for name, value in zip(by, row, strict=True) if value
    ]
    return " ".join(parts) or "all"
