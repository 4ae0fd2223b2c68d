"""What is compared with what: methods, the tasks that they are tried on, and the rate that they take.

Every command tells them apart by these functions, so that a method has one name and ``--by`` and ``--within`` one meaning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.render import number
from quantbench.results.schema import GROUPS, setting_columns
from quantbench.suggest import did_you_mean, like_setting, no_such_metric

RATE = "rate"
"""A method at another rate is in another task; the name of that task's setting."""

NOMINAL = ("rate_bits", "rate_kbps")
"""Rates that follow from settings, whatever training does."""

RATES = {
    "rate_bits": "rate",
    "spent_bits": "spent rate",
    "entropy_bits": "entropy",
    "joint_entropy_bits": "joint entropy",
    "coded_bits": "coded rate",
    "estimated_bits": "estimated rate",
}

Item = tuple[str, ...]
"""The values of the columns that name it, as text."""


@dataclass(frozen=True)
class Layout:
    """How a table falls into methods and tasks.

    Attributes:
        by: settings that make a method.
        within: settings (and ``rate``, see ``operating_points``) that make a task.
        methods: the name of each row's method.
        tasks: the name of each row's task; one and the same where nothing makes a task.
        points: the rate that each row's method was set to, as text; empty where there is one for all.
        names: all methods, in the order of the table.
    """

    by: list[str]
    within: list[str]
    methods: pd.Series[str]
    tasks: pd.Series[str]
    points: pd.Series[str]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(self.methods))

    def of(self, rows: pd.Index[int] | pd.Series[bool]) -> Layout:
        """The same for some rows, which are numbered anew."""
        chosen = [one[rows].reset_index(drop=True) for one in (self.methods, self.tasks, self.points)]
        return Layout(self.by, self.within, *chosen)


def layout(
    table: pd.DataFrame,
    sizes: Sequence[str] | None = None,
    by: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
    over_rates: bool = False,
    apart: Sequence[str] = (),
) -> Layout:
    """Tell methods and tasks apart.

    By default a method is a quantizer with a gradient and their varying settings, but for those that decide the rate; a task
    is what else varies: simulator, codec and their settings, and the rate. What follows from others (a latent dimension or a
    number of steps that a quantizer is given at a rate) makes neither.

    Args:
        table: rows of results.csv; of skipped trials as well.
        sizes: settings that decide the rate, as the classes say; None where that is not known, and found by the rates.
        over_rates: whether rates stand side by side in one task, as for a rate-distortion curve.
        apart: settings that make a method or a task even where they follow from others, for merged runs differ in them.

    Raises:
        ConfigError: a setting that the table does not have.
    """
    known = settings_of(table)
    sizes = rate_settings(table, sizes)
    points = operating_points(table, sizes)
    columns = {name: table[name] for name in known}
    if points.nunique() > 1 or (RATE in (within or [])):
        columns[RATE] = points
    for option, names, allowed in (("--by", by, known), ("--within", within, [*columns, *({RATE} - columns.keys())])):
        for name in names or []:
            if name not in allowed:
                meant = did_you_mean(like_setting(name, allowed))
                raise ConfigError(f"{option} {name}: no such setting; there are {', '.join(allowed)}{meant}")
    keys = {name: columns[name] if name == RATE else texts(table, name) for name in columns}
    by = _default_by(keys, sizes, apart) if by is None else list(dict.fromkeys(by))
    if both := [name for name in within or [] if name in by]:
        raise ConfigError(f"--within {both[0]}: makes a method already (--by {','.join(by)})")
    within = _default_within(keys, by, sizes, apart) if within is None else list(dict.fromkeys(within))
    if over_rates:
        within = [name for name in within if name != RATE]
    return Layout(by, within, _joined(keys, by), _joined(keys, within), points)


def settings_of(table: pd.DataFrame) -> list[str]:
    """Choices and settings that a table has columns of."""
    return [*(name for name in GROUPS if name in table), *setting_columns([str(name) for name in table])]


def rate_settings(table: pd.DataFrame, sizes: Sequence[str] | None) -> list[str]:
    """The quantizer's varying settings that decide its rate, and nothing else.

    Where two values of such a setting give the same rate, as four stages of 16 codes and two of 256, they make two methods.
    """
    candidates = [
        name for name in settings_of(table) if name.startswith("quantizer.") and table[name].nunique(dropna=False) > 1
    ]
    if sizes is not None:
        candidates = [name for name in candidates if name in sizes]
    if not candidates or "quantizer" not in table:
        return []
    choice, nominal = texts(table, "quantizer"), nominal_rate(table).map(_rate_text).astype(object)
    found = []
    for name in candidates:
        values = texts(table, name)
        rated = nominal != ""
        follows = values[rated].groupby([choice[rated], nominal[rated]]).nunique().max() if rated.any() else 0
        varies = bool(values.groupby(choice).nunique().gt(1).any())
        if (sizes is not None or (varies and rated.any())) and not follows > 1:
            found.append(name)
    return found


def operating_points(table: pd.DataFrame, sizes: Sequence[str]) -> pd.Series[str]:
    """The rate that each row's method was set to: the nominal one, or the settings that decide it where there is none."""
    exact = nominal_rate(table).map(_rate_text).astype(object)
    found = nominal_rate(table).round(6).map(_rate_text).astype(object)
    found = found if found.nunique() == exact.nunique() else exact
    unrated = found == ""
    if unrated.any() and sizes:
        named = [texts(table, name).map(lambda value, name=name: value and f"{_last(name)}={value}") for name in sizes]
        settings = [" ".join(filter(None, values)) for values in zip(*named, strict=True)]
        found = found.where(~unrated, pd.Series(settings, index=table.index, dtype=object))
    return found


def nominal_rate(table: pd.DataFrame) -> pd.Series[float]:
    """The nominal rate of each row, in bits a frame or, where the source's dimension is known, a dimension; NaN for none."""
    if "rate_bits" not in table or table["rate_bits"].isna().all():
        return pd.Series(float("nan"), index=table.index)
    return rates(table, "rate_bits")[0]


def rates(table: pd.DataFrame, column: str | None = None) -> tuple[pd.Series[float], str]:
    """The rate of each row, and its name for people.

    Bits of a frame are bits a dimension of the source where the table tells its dimension, for only these can be compared
    between frames of different sizes.

    Args:
        column: by default the nominal rate, and the bits spent of quantizers that have none, as those with an entropy coder.

    Raises:
        ConfigError: ``column`` is no column, or empty.
    """
    if column is None:
        return _nominal_or_spent(table)
    there = [name for name in (*RATES, "rate_kbps") if name in table and table[name].notna().any()]
    if column not in there:
        raise no_such_metric("--rate ", column, there, "no such column, or it is empty")
    rate = _known_rate(table, column) if column in NOMINAL else table[column].astype("float64")
    if column == "rate_kbps":
        return rate, "rate in kbit/s"
    kind = RATES.get(column, column)
    if "simulator.frame_dim" in table:
        dim = pd.to_numeric(table["simulator.frame_dim"], errors="coerce").astype("float64")
        if (dim > 0).all():
            return rate / dim, f"{kind} in bits a dimension"
    return rate, f"{kind} in bits a frame"


def _nominal_or_spent(table: pd.DataFrame) -> tuple[pd.Series[float], str]:
    known = [name for name in ("rate_bits", "spent_bits", "rate_kbps") if name in table and table[name].notna().any()]
    if not known:
        raise ConfigError("there are no rates: the columns rate_bits, spent_bits and rate_kbps are empty")
    rate, label = rates(table, known[0])
    if known[:2] != ["rate_bits", "spent_bits"] or "quantizer" not in table:
        return rate, label
    rated = rate.notna().groupby(texts(table, "quantizer")).transform("any")
    if rated.all():
        return rate, label
    return rate.where(rated, rates(table, "spent_bits")[0]), f"{label} (spent bits where there is no nominal rate)"


def _known_rate(table: pd.DataFrame, column: str) -> pd.Series[float]:
    """A nominal rate, also of trials that failed before it was measured: that of others with their settings.

    Without it they would be of a task of their own, in which they are compared with nothing.
    """
    rate = table[column].astype("float64")
    settings = [name for name in setting_columns([str(one) for one in table]) if not name.startswith(("gradient.", "train."))]
    groups = [name for name in ("simulator", "codec", "quantizer") if name in table]
    if not rate.isna().any() or not groups:
        return rate
    alike = rate.groupby([texts(table, name) for name in [*groups, *settings]])
    only = alike.transform("nunique") == 1
    return rate.fillna(alike.transform("mean").where(only))


def texts(table: pd.DataFrame, name: str) -> pd.Series[str]:
    """A column of choices or of a setting as text, equal where they are."""
    return table[name].map(_choice_text if name in GROUPS else text).astype(object)


def _choice_text(value: object) -> str:
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def text(value: object) -> str:
    """A setting as text throughout, so that 1 and 1.0 of two files are the same, and no digit is lost; empty for none.

    A number that stands among texts in one file and among numbers in another is the same, too.
    """
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, str):
        return _number_text(float(value)) if _FLOAT.fullmatch(value) else value
    return _number_text(value) if isinstance(value, int | float | np.number) and not isinstance(value, bool) else str(value)


def _number_text(value: int | float | np.number) -> str:
    number = float(value)
    return str(int(value)) if number.is_integer() and abs(number) < 2**53 else repr(number)


_FLOAT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+(?:e[+-]\d+)?|e[+-]\d+)")
"""As Python writes a float that is no whole number, or a whole one with its point."""


def _rate_text(rate: float) -> str:
    """A rate as text; it is computed, so that its last digits say nothing."""
    return number(rate, digits=12)


def averaged_over(table: pd.DataFrame, parts: Layout) -> list[str]:
    """Settings that vary among trials of one method, task and seed, which are averaged."""
    others = [name for name in settings_of(table) if name not in (*parts.by, *parts.within)]
    varying = [name for name in others if table[name].nunique(dropna=False) > 1]
    if not varying:
        return []
    own = [one[table.index] for one in (parts.methods, parts.tasks, parts.points)]  # at other rates sizes differ, and must
    groups = table.groupby([*own, table["seed"]], sort=False)
    return [name for name in varying if (groups[name].nunique(dropna=False) > 1).any()]


def _default_by(keys: dict[str, pd.Series[str]], sizes: Sequence[str], apart: Sequence[str]) -> list[str]:
    usual = _joined(keys, ["quantizer", "gradient", *(name for name in sizes if name in keys)])
    own = [name for name in keys if name.startswith(("quantizer.", "gradient.")) and name not in sizes]
    return ["quantizer", "gradient", *(name for name in own if name in apart or not _follows(keys[name], usual))]


def _default_within(keys: dict[str, pd.Series[str]], by: list[str], sizes: Sequence[str], apart: Sequence[str]) -> list[str]:
    within: list[str] = []
    sizes = [name for name in sizes if name in keys]
    for name in keys:
        if name in (*by, *sizes) or name.startswith(("quantizer.", "gradient.")):
            continue
        if name in apart:
            within.append(name)
            continue
        if _follows(keys[name], _joined(keys, within)):
            continue
        # How a method is trained may depend on it; another source or another rate is another task, whoever was tried on it.
        given = [*by, *within] if name == "simulator.frame_dim" else [*by, *sizes, *within]
        source = name in GROUPS or name == RATE or (name.startswith("simulator.") and name != "simulator.frame_dim")
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


def item_names(items: Sequence[Item], by: Sequence[str], enough: int) -> list[str]:
    """Names for people: choices as they are, settings as ``commitment=1``; what an item does not have is left out.

    Args:
        enough: an item whose first so many settings no other one has is named by these alone.
    """
    first = Counter(item[:enough] for item in items)
    shown = [item[:enough] if first[item[:enough]] == 1 else item for item in items]
    short = [_last(name) for name in by]
    labels = [last if short.count(last) == 1 else name for last, name in zip(short, by, strict=True)]
    values = [{item[place] for item in items} for place in range(len(by))]
    known = [{one: one for one in some} if name in GROUPS else _shorter(some) for name, some in zip(by, values, strict=True)]
    names = []
    for item in shown:
        parts = [_said(name, label, short[value]) for name, label, short, value in zip(by, labels, known, item, strict=False)]
        names.append(" ".join(filter(None, parts)) or "(no name)")
    return names


def _shorter(values: set[str]) -> dict[str, str]:
    """Numbers of twelve digits where all stay distinct, other values as they are."""
    short = {value: number(float(value), 12) if _FLOAT.fullmatch(value) else value for value in values}
    return short if len({*short.values()}) == len(values) else {value: value for value in values}


def _said(name: str, label: str, value: str) -> str:
    if name == RATE and not value:
        return "no rate"
    return value if not value or name in GROUPS or (name == RATE and "=" in value) else f"{label}={value}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _follows(values: pd.Series[str], groups: pd.Series[str]) -> bool:
    """Whether every group has one value only, as where a quantizer needs a latent dimension of its own."""
    return bool(values.groupby(groups).nunique().max() <= 1)
