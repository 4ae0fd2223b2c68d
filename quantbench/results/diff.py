"""Compares two runs, trial by trial over paired seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.layout import layout, settings_of, texts
from quantbench.results.load import Results
from quantbench.results.merge import differing, told_apart
from quantbench.results.schema import BAD, Status
from quantbench.results.statistics import (
    NOTHING,
    SIGNIFICANT,
    Difference,
    Estimate,
    holm,
    more_failures,
    paired_difference,
)
from quantbench.suggest import no_such_metric

BETTER, WORSE, CHANGED, SAME, IDENTICAL, FEW = "better", "worse", "changed", "not significant", "identical", "few seeds"
NEWLY_FAILING, FIXED, FAILING = "newly failing", "fixed", "failing in both"
NOT_IN_BOTH, NOT_MEASURED = "not in both", "not measured"
ONLY_A, ONLY_B = "only in A", "only in B"

SYMBOLS = {BETTER: "+", WORSE: "-", CHANGED: "~", NEWLY_FAILING: "!", FIXED: "*", ONLY_A: "<", ONLY_B: ">"}
"""What stands before a line, so that the eye finds it."""

FEWEST = 2
"""Pairs that allow a test."""


@dataclass(frozen=True)
class Line:
    """One method in one task, and one metric; or how many of its trials diverged or failed.

    Attributes:
        seeds: number of paired seeds.
        a, b: means over the paired seeds, or numbers of trials.
        difference: of B less A, over paired seeds, with the interval of this line alone.
        p: adjusted for all lines of the comparison; NaN where nothing is tested.
    """

    method: str
    task: str
    metric: str
    seeds: int
    a: float
    b: float
    difference: Estimate
    p: float
    mark: str


@dataclass(frozen=True)
class Comparison:
    """Two runs compared.

    Attributes:
        tests: lines that were tested; their marks hold for all of them together.
        changed: settings with other values in B, as text.
        identical: whether all trials of both have the same metrics, all of them.
        notes: what could not be compared.
    """

    lines: list[Line]
    tests: int
    changed: list[str]
    identical: bool
    notes: list[str]

    @property
    def regressions(self) -> int:
        """Lines that are worse or newly failing."""
        return sum(line.mark in (WORSE, NEWLY_FAILING) for line in self.lines)


def compare(
    a: Results, b: Results, metrics: Sequence[str], by: Sequence[str] | None = None, within: Sequence[str] | None = None
) -> Comparison:
    """Compare results ``b`` with the baseline ``a``.

    Trials are matched by identity; those left over by the settings that both tables have, and the seed. A trial that
    is not ``completed`` never enters a mean: that more of them diverge is tested, that one newly fails is a fault.

    Lines are marked by Student's test of the paired differences with Holm's adjustment over all lines: where nothing
    changed, at most one comparison in twenty has any mark.

    Args:
        by, within: settings that make a method and a task, as everywhere (``layout``).

    Raises:
        ConfigError: a metric or setting that is in neither table.
    """
    metrics = list(dict.fromkeys(metrics))
    known = _known_metrics(a, b, metrics)
    (one, other), notes = _tables(a, b)
    pairs, left_a, left_b, matching = _match(one, other)
    notes += [*matching, *_column_notes(a.results, b.results, metrics)]
    every = pd.concat([pairs, left_a, left_b], ignore_index=True)
    parts = layout(every, _sizes(a, b), by, within) if len(every) else None
    keys = [] if parts is None else list(zip(parts.methods, parts.tasks, strict=True))
    lines: list[Line] = []
    paired = _Pairs(pairs, [known[name] for name in metrics], known)
    if other_rates := _other_rates(pairs):
        notes.append(other_rates)
    for key, rows in _groups(keys[: len(pairs)]):
        lines += paired.lines(key, rows)
    done = {(line.method, line.task) for line in lines}
    ends = (len(pairs), len(pairs) + len(left_a), len(every))
    for table, start, end, mark in ((left_a, *ends[:2], ONLY_A), (left_b, *ends[1:], ONLY_B)):
        for key, rows in _groups(keys[start:end]):
            if key in done:
                notes.append(f"{mark}: {len(rows)} trials of {' '.join(filter(None, key))}, without a partner")
            else:
                lines += _unpaired(key, table.iloc[rows], metrics, mark)
    lines, tests = _adjusted(lines, known)
    lasting = [name for name, metric in known.items() if not metric.cost]
    measured = [{name for name in lasting if name in one.results and one.results[name].notna().any()} for one in (a, b)]
    same = not len(left_a) and not len(left_b) and bool(len(pairs)) and paired.identical and measured[0] == measured[1]
    return Comparison(lines, tests, _changed(a, b), same, notes)


def _known_metrics(a: Results, b: Results, metrics: Sequence[str]) -> dict[str, Metric]:
    known = a.metrics | b.metrics
    if not metrics:
        raise ConfigError("--metric: names no metric")
    tables = [one.results for one in (a, b)]
    there = [name for name in known if any(name in table and pd.api.types.is_numeric_dtype(table[name]) for table in tables)]
    for metric in metrics:
        if metric not in there:
            raise no_such_metric("--metric ", metric, there)
    return known


def _sizes(a: Results, b: Results) -> list[str] | None:
    return None if a.sizes is None or b.sizes is None else [*a.sizes, *b.sizes]


def _other_rates(pairs: pd.DataFrame) -> str:
    """What to say where trials that are paired take other rates: more bits make a better codec."""
    if "rate_bits" not in pairs or "rate_bits b" not in pairs:
        return ""
    before, after = (pd.to_numeric(pairs[name], errors="coerce") for name in ("rate_bits", "rate_bits b"))
    count = int(((before - after).abs() > 1e-6).sum())
    return f"{count} pairs take other rates in B: more bits make a better codec, whatever else changed" if count else ""


def _tables(a: Results, b: Results) -> tuple[list[pd.DataFrame], list[str]]:
    """Both tables of trials that ran, with the settings that either has a column of as text."""
    own = list(dict.fromkeys([*settings_of(a.results), *settings_of(b.results)]))
    configurations = [next(iter(one.configurations.values()), None) for one in (a, b)]
    tables, _, notes = told_apart([a.results, b.results], configurations, ["A", "B"])
    notes[:0] = [f"{label}: {note}" for label, one in (("A", a), ("B", b)) for note in one.notes]
    found = []
    for table in tables:
        table = table[table["status"] != Status.SKIPPED].copy()
        table = table[[name for name in table if "." not in str(name) or name in own]]
        for name in own:  # text throughout, so that 1 and 1.0 of two files are the same setting; empty where there is none
            table[name] = texts(table, name) if name in table else ""
        table["status"] = table["status"].astype(object)
        found.append(table)
    return found, notes


def _changed(a: Results, b: Results) -> list[str]:
    configurations = [next(iter(one.configurations.values()), None) for one in (a, b)]
    if None in configurations:
        return []
    columns = {*a.results.columns, *b.results.columns}
    return [
        f"{name}: {before} in A, {after} in B"
        for name, (before, after) in differing(configurations).items()
        if name not in columns
    ]


def _column_notes(a: pd.DataFrame, b: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    notes = []
    for label, one, other in (("A", a, b), ("B", b, a)):
        own = [str(name) for name in one if name not in other]
        if own:
            used = [name for name in own if name in metrics]
            words = f"columns only in {label}: {', '.join(own)}"
            notes.append(f"{words} (not compared: {', '.join(used)})" if used else words)
    return notes


def _match(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """Pairs (columns of B with the suffix `` b``), what is left of A and of B, and notes."""
    notes = []
    settings = settings_of(a)
    same = a.merge(b, on="trial", suffixes=("", " b"))
    for name in settings:  # a column of B alone tells the pair's value too
        if f"{name} b" in same:
            same[name] = same[name].where(same[name] != "", same[f"{name} b"])
    left_a, left_b = a[~a["trial"].isin(same["trial"])], b[~b["trial"].isin(same["trial"])]
    common = [name for name in settings if (a[name] != "").any() and (b[name] != "").any()]
    key = [*common, "seed"]
    unique_a, unique_b = (table[~table.duplicated(key, keep=False)] for table in (left_a, left_b))
    by_settings = unique_a.merge(unique_b, on=key, suffixes=("", " b"))
    left_a = left_a[~left_a["trial"].isin(by_settings["trial"])]
    left_b = left_b[~left_b["trial"].isin(by_settings["trial b"])] if len(by_settings) else left_b
    if len(by_settings):
        notes.append(f"{len(by_settings)} trials have other identities in B, and were matched by the settings that are columns")
    pairs = pd.concat([same, by_settings], ignore_index=True)
    return pairs.drop(columns=[f"{name} b" for name in settings], errors="ignore"), left_a, left_b, notes


def _groups(keys: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], NDArray[np.int64]]]:
    """Rows of each method and task, by position."""
    if keys:
        numbers, found = pd.factorize(pd.Series([*keys], dtype=object))
        order = np.argsort(numbers, kind="stable")
        edges = np.searchsorted(numbers[order], np.arange(len(found) + 1))
        for place, key in enumerate(found):
            yield key, order[edges[place] : edges[place + 1]]


class _Pairs:
    """Paired trials as arrays: thousands of groups are quicker in numpy than in pandas."""

    def __init__(self, table: pd.DataFrame, metrics: Sequence[Metric], known: dict[str, Metric]) -> None:
        self.metrics = metrics
        self.seed = table["seed"].to_numpy(float, na_value=np.nan)
        self.status = [table["status"].astype(str).to_numpy(), _other(table, "status").astype(str).to_numpy()]
        both = [name for name in known if name in table and f"{name} b" in table]
        self.values = {
            name: [pd.to_numeric(table[one], errors="coerce").to_numpy(float, na_value=np.nan) for one in (name, f"{name} b")]
            for name in both
        }
        self.identical = bool((self.status[0] == self.status[1]).all()) and all(
            np.array_equal(a, b, equal_nan=True) for name, (a, b) in self.values.items() if not known[name].cost
        )

    def lines(self, key: tuple[str, str], rows: NDArray[np.int64]) -> Iterator[Line]:
        """The lines of one method and task, each with the p-value of its own test."""
        a_status, b_status = (status[rows] for status in self.status)
        for metric in self.metrics:
            yield self._line(key, rows, metric)
        seeds = self.seed[rows]
        for status in BAD:
            before, after = (set(seeds[_ended(one, status)].tolist()) for one in (a_status, b_status))
            if before or after:
                yield _failures(key, status, before, after, len(np.unique(seeds)))

    def _line(self, key: tuple[str, str], rows: NDArray[np.int64], metric: Metric) -> Line:
        if metric.name not in self.values:
            return Line(*key, metric.name, 0, np.nan, np.nan, NOTHING, np.nan, NOT_IN_BOTH)
        completed = [status[rows] == Status.COMPLETED for status in self.status]
        a, b = (np.where(good, values[rows], np.nan) for good, values in zip(completed, self.values[metric.name], strict=True))
        known = ~np.isnan(self.seed[rows])
        # Trials of one seed share their frames and weights: they are one observation, and count all or not at all.
        seeds, of_trial = np.unique(self.seed[rows][known], return_inverse=True)
        trials = np.bincount(of_trial, minlength=len(seeds))
        with np.errstate(invalid="ignore"):
            a, b = (np.bincount(of_trial, one[known], len(seeds)) / trials for one in (a, b))
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        if not len(a):
            mark = NOT_MEASURED if completed[0].any() else FAILING
            return Line(*key, metric.name, 0, np.nan, np.nan, NOTHING, np.nan, mark)
        found = paired_difference(b - a, max(float(np.abs(a).max()), float(np.abs(b).max())))
        mark = IDENTICAL if (a == b).all() else _tested(found)
        p = np.nan if mark in (IDENTICAL, FEW) else found.p
        return Line(*key, metric.name, len(a), float(a.mean()), float(b.mean()), found.estimate, p, mark)


def _ended(statuses: NDArray[np.object_], status: str) -> NDArray[np.bool_]:
    """Whether trials ended so; a status that nobody knows is a failure."""
    if status == Status.FAILED:
        return np.asarray((statuses != Status.COMPLETED) & (statuses != Status.DIVERGED))
    return np.asarray(statuses == status)


def _other(table: pd.DataFrame, name: str) -> pd.Series[str]:
    return table[f"{name} b"] if f"{name} b" in table else pd.Series([], dtype=object)


def _tested(found: Difference) -> str:
    return SAME if found.pairs >= FEWEST or not found.estimate.mean else FEW


def _failures(key: tuple[str, str], status: str, before: set[float], after: set[float], seeds: int) -> Line:
    """That more seeds diverge may be chance; that one fails is a fault of code or machine, and never is."""
    a, b = float(len(before)), float(len(after))
    change = Estimate(b - a, np.nan, np.nan)
    if status == Status.DIVERGED:
        return Line(*key, status, seeds, a, b, change, more_failures(len(before), len(after), seeds), SAME)
    mark = NEWLY_FAILING if after - before else FIXED if before - after else FAILING
    return Line(*key, status, seeds, a, b, change, np.nan, mark)


def _adjusted(lines: Sequence[Line], metrics: dict[str, Metric]) -> tuple[list[Line], int]:
    """Lines with their p-values adjusted for all of them, and marks by these; and how many were tested."""
    tested = [place for place, line in enumerate(lines) if not np.isnan(line.p)]
    found = list(lines)
    for place, p in zip(tested, holm([lines[place].p for place in tested]), strict=True):
        line = lines[place]
        sign = 1 if line.metric in BAD else metrics[line.metric].sign
        found[place] = replace(line, p=float(p), mark=_mark(line.difference.mean, sign) if p < SIGNIFICANT else SAME)
    return found, len(tested)


def _mark(difference: float, sign: int) -> str:
    return CHANGED if not sign else BETTER if sign * difference < 0 else WORSE


def _unpaired(key: tuple[str, str], group: pd.DataFrame, metrics: Sequence[str], mark: str) -> Iterator[Line]:
    statuses = group["status"].astype(str).to_numpy()
    good = group[statuses == Status.COMPLETED]

    def line(name: str, value: float, mark: str) -> Line:
        a, b = (value, np.nan) if mark == ONLY_A else (np.nan, value)
        return Line(*key, name, 0, a, b, NOTHING, np.nan, mark)

    for metric in metrics:
        yield line(metric, float(good[metric].mean()) if metric in good and len(good) else np.nan, mark)
    for status in BAD:
        if count := int(_ended(statuses, status).sum()):
            yield line(status, float(count), NEWLY_FAILING if status == Status.FAILED and mark == ONLY_B else mark)
