"""What is compared with what: methods, the tasks that they are tried on, and the rate that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.items import item_names, text
from quantbench.results.schema import GROUPS, setting_columns

SIZES = ("quantizer.codes", "quantizer.levels", "quantizer.stages", "quantizer.groups", "quantizer.depth")
"""Settings that say how many bits a quantizer spends: part of no method, for a method is compared over rates."""

RATE = "rate"
"""The column that ``with_rate`` adds."""

NOMINAL = ("rate_bits", "rate_kbps")
"""Rates that follow from settings, whatever training does."""


@dataclass(frozen=True)
class Layout:
    """How a table falls into methods and tasks.

    Attributes:
        by: settings that make a method.
        within: settings (and ``rate``, the nominal one of ``with_rate``) that make a task.
        methods: the name of each row's method.
        tasks: the name of each row's task; one and the same where nothing makes a task.
        names: all methods, in the order of the table.
    """

    by: list[str]
    within: list[str]
    methods: pd.Series[str]
    tasks: pd.Series[str]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(self.methods))


def layout(table: pd.DataFrame, by: Sequence[str] | None = None, within: Sequence[str] | None = None) -> Layout:
    """Tell methods and tasks apart.

    By default a method is a quantizer with a gradient and their varying settings, but for those that decide the rate; a task
    is what else varies: simulator, codec and their settings, and the nominal rate. What follows from others (a latent dimension
    or a number of steps that a quantizer is given at a rate) makes neither.

    Args:
        table: rows of results.csv; of skipped trials as well.

    Raises:
        ConfigError: a setting that the table does not have.
    """
    known = [*(name for name in GROUPS if name in table), *setting_columns([str(name) for name in table])]
    columns = {name: table[name] for name in known}
    if "rate_bits" in table and table["rate_bits"].notna().any():
        columns[RATE] = with_rate(table)[0][RATE].round(6)
    for option, names, allowed in (("--by", by, known), ("--within", within, list(columns))):
        for name in names or []:
            if name not in allowed:
                raise ConfigError(f"{option} {name}: no such setting; there are {', '.join(allowed)}")
    keys = {name: column.map(text).astype(object) for name, column in columns.items()}
    by = _default_by(keys) if by is None else list(by)
    if both := [name for name in within or [] if name in by]:
        raise ConfigError(f"--within {both[0]}: makes a method already (--by {','.join(by)})")
    within = _default_within(keys, by) if within is None else list(within)
    return Layout(by, within, _joined(keys, by), _joined(keys, within))


def with_rate(table: pd.DataFrame, column: str = "rate_bits") -> tuple[pd.DataFrame, str]:
    """The table with a column ``rate``, and that column's name for people.

    Bits of a frame are bits a dimension of the source where the table tells its dimension, for only these can be compared
    between frames of different sizes.

    Raises:
        ConfigError: ``column`` is no column, or empty.
    """
    if column not in table or table[column].isna().all():
        there = [name for name in ("rate_bits", "spent_bits", "entropy_bits", "coded_bits", "rate_kbps") if name in table]
        raise ConfigError(f"--rate {column}: no such column, or it is empty; there are {', '.join(there)}")
    rate = _known_rate(table, column) if column in NOMINAL else table[column].astype("float64")
    kind = {"rate_bits": "rate", "spent_bits": "spent rate", "entropy_bits": "entropy", "coded_bits": "coded rate"}.get(
        column, column
    )
    if column == "rate_kbps":
        return table.assign(**{RATE: rate}), "rate in kbit/s"
    if "simulator.frame_dim" in table and table["simulator.frame_dim"].notna().all():
        return table.assign(**{RATE: rate / table["simulator.frame_dim"].astype("float64")}), f"{kind} in bits a dimension"
    return table.assign(**{RATE: rate}), f"{kind} in bits a frame"


def _known_rate(table: pd.DataFrame, column: str) -> pd.Series[float]:
    """A nominal rate, also of trials that failed before it was measured: that of others with their settings.

    Without it they would be of a task of their own, in which they are compared with nothing.
    """
    rate = table[column].astype("float64")
    settings = [name for name in setting_columns([str(one) for one in table]) if not name.startswith(("gradient.", "train."))]
    groups = [name for name in ("simulator", "codec", "quantizer") if name in table]
    if not rate.isna().any() or not groups:
        return rate
    alike = rate.groupby([table[name].map(text).astype(object) for name in [*groups, *settings]])
    only = alike.transform("nunique") == 1
    return rate.fillna(alike.transform("mean").where(only))


def _default_by(keys: dict[str, pd.Series[str]]) -> list[str]:
    usual = _joined(keys, ["quantizer", "gradient", *(name for name in SIZES if name in keys)])
    own = [name for name in keys if name.startswith(("quantizer.", "gradient.")) and name not in SIZES]
    return ["quantizer", "gradient", *(name for name in own if not _follows(keys[name], usual))]


def _default_within(keys: dict[str, pd.Series[str]], by: list[str]) -> list[str]:
    within: list[str] = []
    sizes = [name for name in SIZES if name in keys]
    for name in keys:
        if name in (*by, *sizes) or name.startswith(("quantizer.", "gradient.")) or _follows(keys[name], _joined(keys, within)):
            continue
        # How a method is trained may depend on it; another source is another task, whoever was tried on it.
        given = [*by, *within] if name in (RATE, "simulator.frame_dim") else [*by, *sizes, *within]
        source = name in GROUPS or (name.startswith("simulator.") and name != "simulator.frame_dim")
        if source or not _follows(keys[name], _joined(keys, given)):
            within.append(name)
    return within


def _joined(keys: dict[str, pd.Series[str]], by: Sequence[str]) -> pd.Series[str]:
    """The name of each row's group."""
    index = next(iter(keys.values())).index
    if not by:
        return pd.Series("", index=index)
    items = list(zip(*(keys[name] for name in by), strict=True))
    unique = list(dict.fromkeys(items))
    choices = len(list(takewhile(lambda name: name in GROUPS, by)))
    names = dict(zip(unique, item_names(unique, by, choices or len(by)), strict=True))
    return pd.Series([names[item] for item in items], index=index, dtype=object)


def _follows(values: pd.Series[str], groups: pd.Series[str]) -> bool:
    """Whether every group has one value only, as where a quantizer needs a latent dimension of its own."""
    return bool(values.groupby(groups).nunique().max() <= 1)
