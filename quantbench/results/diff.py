"""Compares two tables of results, trial by trial over paired seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.results.render import Difference, number, render
from quantbench.results.schema import GROUPS, HIGHER_IS_BETTER, LOWER_IS_BETTER, METRICS, setting_columns
from quantbench.results.statistics import Estimate, bootstrap_mean

BETTER, WORSE, CHANGED, SAME, FEW = "better", "worse", "changed", "not significant", "few seeds"
NEWLY_FAILING, FIXED, FAILING = "newly failing", "fixed", "failing in both"
NOT_IN_BOTH, NOT_MEASURED = "not in both", "not measured"
ONLY_A, ONLY_B = "only in A", "only in B"

SYMBOLS = {BETTER: "+", WORSE: "-", CHANGED: "~", NEWLY_FAILING: "!", FIXED: "*", ONLY_A: "<", ONLY_B: ">"}
"""What stands before a line, so that the eye finds it."""


ENOUGH_SEEDS = 5
"""With fewer the interval is the range of the differences, or nearly: four of noise agree in sign one time in eight."""


@dataclass(frozen=True)
class Line:
    """One group and metric.

    Attributes:
        group: values of the grouping settings.
        seeds: number of paired seeds.
        a, b: means over the paired seeds.
        difference: of B less A, over paired seeds.
    """

    group: tuple[str, ...]
    metric: str
    seeds: int
    a: float
    b: float
    difference: Estimate
    mark: str


@dataclass(frozen=True)
class Comparison:
    """Two tables compared.

    Attributes:
        by: settings that make a group.
        lines: one a group and metric.
        notes: what could not be compared.
    """

    by: list[str]
    lines: list[Line]
    notes: list[str]

    @property
    def regressions(self) -> int:
        """Lines that are worse or newly failing."""
        return sum(line.mark in (WORSE, NEWLY_FAILING) for line in self.lines)


def compare(a: pd.DataFrame, b: pd.DataFrame, metrics: Sequence[str], by: Sequence[str] | None = None) -> Comparison:
    """Compare results ``b`` with the baseline ``a``.

    Trials are matched by identity; those left over by the settings that both tables have, and the seed. A trial that is
    not ``completed`` counts as failing and never enters a mean.

    Args:
        by: settings that make a group; all of them (but the seed) by default.

    Raises:
        ConfigError: a metric or setting that is in neither table.
    """
    _check_columns(a, b, metrics, by or [])
    settings = list(dict.fromkeys([*GROUPS, *setting_columns([*a.columns, *b.columns])]))
    pairs, left_a, left_b, notes = _match(a, b, settings)
    chosen = list(by) if by else [name for name in settings if _varies(name, pairs, left_a, left_b)]
    notes += _column_notes(a, b, metrics)
    lines: list[Line] = []
    paired_trials = _Pairs(pairs, metrics)
    for key, rows in _groups(pairs, chosen):
        lines += [paired_trials.line(key, rows, metric) for metric in metrics]
    paired = {line.group for line in lines}
    for table, mark in ((left_a, ONLY_A), (left_b, ONLY_B)):
        for key, rows in _groups(table, chosen):
            if key in paired:
                notes.append(f"{mark}: {len(rows)} trials of {' '.join(key)}, without a partner")
            else:
                lines += [_unpaired(key, table.iloc[rows], metric, mark) for metric in metrics]
    return Comparison(chosen, lines, notes)


def render_comparison(comparison: Comparison, form: str = "table") -> str:
    """The comparison as text: one line a group and metric, a count of marks, and what could not be compared."""
    header = ["", *comparison.by, "metric", "seeds", "A", "B", "B - A [95 %]", "mark"]
    rows = [
        [
            SYMBOLS.get(line.mark, ""),
            *line.group,
            line.metric,
            line.seeds or None,
            line.a,
            line.b,
            Difference(*line.difference),
            line.mark,
        ]
        for line in comparison.lines
    ]
    text = render(header, rows, form, keys=2 + len(comparison.by))
    if form in ("csv", "json"):
        return text
    marks = pd.Series([line.mark for line in comparison.lines], dtype=str).value_counts(sort=False)
    counts = ", ".join(f"{count} {mark}" for mark, count in marks.items())
    return "\n".join([text, "", counts or "nothing to compare", *(f"note: {note}" for note in comparison.notes)])


def _check_columns(a: pd.DataFrame, b: pd.DataFrame, metrics: Sequence[str], by: Sequence[str]) -> None:
    def numeric(table: pd.DataFrame) -> list[str]:
        known = [*METRICS, "seconds"]
        return [name for name in table if name in known and pd.api.types.is_numeric_dtype(table[name])]

    available = sorted({*numeric(a), *numeric(b)})
    for metric in metrics:
        if metric not in available:
            raise ConfigError(f"--metric {metric}: no such metric; there are {', '.join(available)}")
    settings = [*GROUPS, *setting_columns(list(dict.fromkeys([*a.columns, *b.columns])))]
    for name in by:
        if name not in settings:
            raise ConfigError(f"--by {name}: no such setting; there are {', '.join(settings)}")


def _column_notes(a: pd.DataFrame, b: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    notes = []
    for label, one, other in (("A", a, b), ("B", b, a)):
        own = [str(name) for name in one if name not in other]
        if own:
            used = [name for name in own if name in metrics]
            text = f"columns only in {label}: {', '.join(own)}"
            notes.append(f"{text} (not compared: {', '.join(used)})" if used else text)
    return notes


def _match(a: pd.DataFrame, b: pd.DataFrame, settings: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """Pairs (columns of B with the suffix `` b``), what is left of A and of B, and notes."""
    notes = []
    tables = []
    for label, table in (("A", a), ("B", b)):
        table = table[table["status"] != "skipped"].copy()
        if double := int(table.duplicated("trial").sum()):
            notes.append(f"{label} names {double} trials twice; the last row counts")
            table = table.drop_duplicates("trial", keep="last")
        for name in settings:
            # Text throughout, so that 1 and 1.0 of two files are the same setting; empty where there is none.
            table[name] = table[name].map(_text) if name in table else ""
        tables.append(table)
    a, b = tables
    same = a.merge(b, on="trial", suffixes=("", " b"))
    left_a, left_b = a[~a["trial"].isin(same["trial"])], b[~b["trial"].isin(same["trial"])]
    common = [name for name in settings if (a[name] != "").any() and (b[name] != "").any()]
    key = [*common, "seed"]
    unique_a, unique_b = (table[~table.duplicated(key, keep=False)] for table in (left_a, left_b))
    by_settings = unique_a.merge(unique_b, on=key, suffixes=("", " b"))
    left_a = left_a[~left_a["trial"].isin(by_settings["trial"])]
    left_b = left_b[~left_b["trial"].isin(by_settings["trial b"])]
    if len(by_settings):
        notes.append(f"{len(by_settings)} trials differ in settings that are no columns, and were matched by those that are")
    pairs = pd.concat([same, by_settings], ignore_index=True)
    return pairs, left_a, left_b, notes


def _text(value: object) -> str:
    return "" if pd.isna(value) else number(value)  # type: ignore[call-overload]


def _varies(name: str, *tables: pd.DataFrame) -> bool:
    return len({value for table in tables for value in table[name].unique()}) > 1


def _groups(table: pd.DataFrame, by: list[str]) -> list[tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Rows of each group, by position."""
    if not len(table):
        return []
    if not by:
        return [((), np.arange(len(table)))]
    places = table.groupby([table[name] for name in by], sort=False).indices
    keys = {key if isinstance(key, tuple) else (key,): rows for key, rows in places.items()}
    return [(tuple(map(str, key)), np.asarray(rows)) for key, rows in keys.items()]


class _Pairs:
    """Paired trials as arrays: thousands of groups are quicker in numpy than in pandas."""

    def __init__(self, table: pd.DataFrame, metrics: Sequence[str]) -> None:
        self.seed = table["seed"].to_numpy()
        self.a_good = (table["status"] == "completed").to_numpy()
        self.b_good = (table["status b"] == "completed").to_numpy()
        columns = [name for metric in metrics for name in (metric, f"{metric} b") if name in table]
        self.values = {name: pd.to_numeric(table[name]).to_numpy(float) for name in columns}

    def line(self, key: tuple[str, ...], rows: NDArray[np.int64], metric: str) -> Line:
        """Compare one metric over the pairs ``rows``."""
        nothing = Estimate(np.nan, np.nan, np.nan)
        if metric not in self.values or f"{metric} b" not in self.values:
            return Line(key, metric, 0, np.nan, np.nan, nothing, NOT_IN_BOTH)
        a, b = self.values[metric][rows], self.values[f"{metric} b"][rows]
        a_good, b_good = self.a_good[rows], self.b_good[rows]
        both = a_good & b_good & ~np.isnan(a) & ~np.isnan(b)
        a, b = a[both], b[both]
        # Trials of one seed share their frames and weights: average them first, then resample seeds.
        seeds, of_trial = np.unique(self.seed[rows][both], return_inverse=True)
        per_seed = np.bincount(of_trial, b - a, len(seeds)) / np.bincount(of_trial, minlength=len(seeds))
        difference = bootstrap_mean(per_seed)
        mark = _mark(metric, difference, len(seeds)) if len(seeds) else NOT_MEASURED if a_good.any() else FAILING
        if (a_good & ~b_good).any():
            mark = NEWLY_FAILING
        elif mark != WORSE and (~a_good & b_good).any():
            mark = FIXED
        means = (float(a.mean()), float(b.mean())) if len(seeds) else (np.nan, np.nan)
        return Line(key, metric, len(seeds), *means, difference, mark)


def _mark(metric: str, difference: Estimate, seeds: int) -> str:
    if seeds < ENOUGH_SEEDS and difference.mean != 0:
        return FEW
    if seeds == 1 or difference.low <= 0 <= difference.high:
        return SAME
    if metric in LOWER_IS_BETTER:
        return BETTER if difference.mean < 0 else WORSE
    if metric in HIGHER_IS_BETTER:
        return BETTER if difference.mean > 0 else WORSE
    return CHANGED


def _unpaired(key: tuple[str, ...], group: pd.DataFrame, metric: str, mark: str) -> Line:
    good = group[group["status"] == "completed"]
    mean = float(good[metric].mean()) if metric in good and len(good) else np.nan
    a, b = (mean, np.nan) if mark == ONLY_A else (np.nan, mean)
    return Line(key, metric, 0, a, b, Estimate(np.nan, np.nan, np.nan), mark)
