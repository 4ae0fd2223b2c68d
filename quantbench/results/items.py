"""What a results.csv says of each item, an item being the trials that share the values of some columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.results.render import number
from quantbench.results.schema import GROUPS, setting_columns

FITS = 200
"""Rounds of the fit, which converges as a geometric series does."""

Item = tuple[str, ...]
"""The values of the columns that name it, as text."""


@dataclass(frozen=True)
class Measured:
    """One table's items.

    Attributes:
        side: which table this is, in messages: toy or real.
        values: of each item, the metric of each seed that counts; an item without such a seed is there, and empty.
        statuses: of each item, how many trials ended how; skipped ones are in no count but their own.
        averaged: settings that vary within items.
    """

    side: str
    metric: str
    values: dict[Item, dict[int, float]]
    statuses: dict[Item, Counter[str]]
    averaged: list[str]
    notes: list[str] = field(default_factory=list)

    def unfinished(self, item: Item) -> int:
        """Trials that failed or diverged."""
        counts = self.statuses[item]
        return counts.total() - counts["completed"] - counts["skipped"]

    def why_empty(self, item: Item) -> str:
        """Why no seed of an item counts."""
        counts = self.statuses[item]
        if set(counts) == {"skipped"}:
            return f"skipped in {self.side}"
        ended = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        return f"no seed in {self.side} has {self.metric} of all its trials ({ended})"


def measure(table: pd.DataFrame, side: str, metric: str, by: Sequence[str]) -> Measured:
    """Gather a metric by item and seed.

    A seed counts for an item where every trial that the item has of it completed: a mean over some settings only would
    compare unlike things. Trials that failed or diverged are thereby left out of means, whatever they reached.

    Raises:
        ConfigError: a column that is missing, empty, or no number; no completed trial.
    """
    for name in by:
        if name not in (known := _settings(table)):
            raise ConfigError(f"--by {name}: no such setting in {side}; there are {', '.join(known)}")
    notes = []
    if double := int(table.duplicated("trial").sum()):
        notes.append(f"{side} names {double} trials twice; the last row counts")
        table = table.drop_duplicates("trial", keep="last")
    numbers = _numbers(table, side, metric)
    good = (table["status"] == "completed").to_numpy() & np.isfinite(numbers)
    ran = (table["status"] != "skipped").to_numpy()
    seeds, statuses = table["seed"].to_numpy(), table["status"].to_numpy()
    keys = list(zip(*(table[name].map(text) for name in by), strict=True))
    places: dict[Item, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    values = {key: _per_seed(seeds[rows], numbers[rows], good[rows], ran[rows]) for key, rows in places.items()}
    counts = {key: Counter(map(str, statuses[rows])) for key, rows in places.items()}
    return Measured(side, metric, values, counts, _averaged(table[ran], by), notes)


def aligned(measured: Measured, items: Sequence[Item]) -> tuple[NDArray[np.float64], list[str]]:
    """Values as an array (items, seeds), NaN where an item lacks a seed, and notes."""
    own = [set(measured.values[item]) for item in items]
    every = sorted(set.union(*own))
    values = np.array([[measured.values[item].get(seed, np.nan) for seed in every] for item in items])
    gaps = int(np.isnan(values).sum())
    notes = []
    if gaps:
        notes.append(
            f"{measured.side}: {gaps} of {values.size} values are missing; means are adjusted for the seeds that an item lacks"
        )
    return values, notes


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (items, seeds) with gaps (NaN) filled by an effect of the item plus one of the seed, fitted by least squares.

    A mean over the seeds that an item happens to have would count a hard seed against the others only. Where every value is
    there nothing changes.
    """
    missing = np.isnan(values)
    if not missing.any():
        return values
    found = np.where(missing, np.nanmean(values, axis=1, keepdims=True), values)
    for _ in range(FITS):
        rows = found.mean(axis=1, keepdims=True)
        found = np.where(missing, rows + (found - rows).mean(axis=0, keepdims=True), values)
    return found


def told_apart(toy: pd.DataFrame, real: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """Settings of both tables, beside ``by``, without which an item would have several trials of one seed."""
    added: list[str] = []
    common = [name for name in _settings(toy) if name in _settings(real) and name not in by]
    for name in common:
        for table in (toy, real):
            ran = table[table["status"] != "skipped"].drop_duplicates("trial")
            key = [ran[one].map(text) for one in (*by, *added) if one in ran]
            if name not in added and (ran.groupby([*key, ran["seed"]])[name].nunique(dropna=False) > 1).any():
                added.append(name)
    return added


def item_names(items: Sequence[Item], by: Sequence[str], enough: int) -> list[str]:
    """Names for people: choices as they are, settings as ``commitment=1``; what an item does not have is left out.

    Args:
        enough: an item whose first so many settings no other one has is named by these alone.
    """
    first = Counter(item[:enough] for item in items)
    shown = [item[:enough] if first[item[:enough]] == 1 else item for item in items]
    short = [name.rpartition(".")[2] for name in by]
    labels = [last if short.count(last) == 1 else name for last, name in zip(short, by, strict=True)]
    names = []
    for item in shown:
        parts = [
            f"{label}={value}" if name not in GROUPS else value
            for name, label, value in zip(by, labels, item, strict=False)
            if value
        ]
        names.append(" ".join(parts) or "(no name)")
    return names


def _settings(table: pd.DataFrame) -> list[str]:
    return [*(name for name in GROUPS if name in table), *setting_columns(list(table.columns))]


def _numbers(table: pd.DataFrame, side: str, metric: str) -> NDArray[np.float64]:
    if metric not in table:
        raise ConfigError(f"--metric {metric}: no such column in {side}")
    numbers = pd.to_numeric(table[metric], errors="coerce")
    if len(wrong := table[metric][numbers.isna() & table[metric].notna()]):
        raise ConfigError(f"--metric {metric}: the column in {side} holds {wrong.iloc[0]!r}, which is no number")
    completed = table["status"] == "completed"
    if not completed.any():
        ended = ", ".join(f"{count} {status}" for status, count in sorted(Counter(map(str, table["status"])).items()))
        raise ConfigError(f"{side}: no trial completed ({ended or 'the table is empty'})")
    if not numbers[completed].notna().any():
        raise ConfigError(f"--metric {metric}: the column is empty in {side}")
    if table["seed"].isna().any():
        raise ConfigError(f"{side}: {int(table['seed'].isna().sum())} trials have no seed")
    return numbers.to_numpy(float)


def _per_seed(
    seeds: NDArray[np.int64], values: NDArray[np.float64], good: NDArray[np.bool_], ran: NDArray[np.bool_]
) -> dict[int, float]:
    """Means over an item's trials of each seed, of seeds that have as many good ones as any seed has trials."""
    whole = max(Counter(seeds[ran]).values(), default=0)
    having = Counter(seeds[good])
    return {int(seed): float(values[good & (seeds == seed)].mean()) for seed in having if having[seed] == whole}


def _averaged(table: pd.DataFrame, by: Sequence[str]) -> list[str]:
    others = [name for name in _settings(table) if name not in by]
    groups = table.groupby([table[name].map(text) for name in by], sort=False)
    return [name for name in others if (groups[name].nunique(dropna=False) > 1).any()]


def text(value: object) -> str:
    """Text throughout, so that 1 and 1.0 of two files are the same setting; empty where there is none."""
    return "" if pd.isna(value) else number(value, digits=12)  # type: ignore[call-overload]
