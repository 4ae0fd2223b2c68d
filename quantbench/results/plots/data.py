"""What pictures are drawn from: the tables of runs and of audits, and a metric of theirs by method, task and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.audit_table import read_audit
from quantbench.results.frame import Counts, Frame, frame, has_goal
from quantbench.results.layout import Layout, layout, texts
from quantbench.results.load import Results, load
from quantbench.results.palette import Style, crowded, styles
from quantbench.results.plots.view import labels_of
from quantbench.results.schema import BAD, Status
from quantbench.results.statistics import INTERVAL
from quantbench.results.tracks import of_track

FAILURES = BAD
GROWTH = "encoder_growth"

BEST, GROWN, GREW = 6, 2, 10.0
"""Of too many methods these are coloured: the best ones, and those whose encoders' outputs grew most, ten times or more: a
picture without them would say that all is well."""


@dataclass(frozen=True)
class Data:
    """What was given.

    Attributes:
        runs: results and curves; None where only audits were given.
        audit: rows of audit.csv; empty where there is none.
        by, within: settings that make a method and a task; None for the usual ones.
        labels: what methods are called in pictures, where that is not their name.
        whole: results with all tracks and phases, of which ``runs`` are one track's scores.
    """

    runs: Results | None
    audit: pd.DataFrame = field(default_factory=pd.DataFrame)
    by: Sequence[str] | None = None
    within: Sequence[str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    whole: Results | None = None
    _frames: dict[str | None, Frame] = field(default_factory=dict, repr=False, compare=False)

    def ran(self) -> Results:
        """Results, with a trial that ran. Raises ConfigError where there is none."""
        runs = self.given()
        if (runs.results["status"] == Status.SKIPPED).all():
            raise ConfigError("every trial was skipped, for its quantizer and gradient do not fit")
        return runs

    def given(self) -> Results:
        """Results. Raises ConfigError where there is no trial."""
        if self.runs is None or self.runs.results.empty:
            raise ConfigError("there are no trials: no results.csv was given, or it is empty")
        return self.runs

    def whole_runs(self) -> Results:
        """Results with all tracks and phases. Raises ConfigError where there is no trial."""
        return self.given() if self.whole is None else self.whole

    def frame(self, metric: str | None, usual: str | None = None, goal: bool = False) -> Frame:
        """A metric by method, task and seed.

        Args:
            usual: the metric where none is asked for; by default what the codecs were trained for.
            goal: whether methods are to be ordered by it.

        Raises:
            ConfigError: see ``ran`` and ``frame``.
        """
        name = metric or usual
        if goal or name not in self._frames:
            self._frames[name] = frame(self.ran(), name, goal=goal, parts=self.layout)
        return self._frames[name]

    @cached_property
    def layout(self) -> Layout:
        """Methods and tasks."""
        runs = self.given()
        return layout(runs.results, runs.sizes, self.by, self.within, apart=runs.apart)

    @cached_property
    def styles(self) -> dict[str, Style]:
        """A style for every method: the same in all pictures of these tables."""
        return styles(self.layout.names, self.chosen)

    @property
    def chosen(self) -> list[str]:
        """The methods that are coloured where all are too many for a panel."""
        return [*self.best, *self.grown]

    @cached_property
    def best(self) -> list[str]:
        """The methods of the least mean rank over tasks; where there is room for all, all of them."""
        names = [name for name in self.layout.names if name in self.counts]  # all else was skipped
        if not crowded(names):
            return names
        if not has_goal(self.ran()):
            return names[:BEST]
        goal = self.frame(None, goal=True)
        means = [(method, task, goal.sign * one.mean) for (method, task), (one, _) in goal.means().items()]
        table = pd.DataFrame(means, columns=["method", "task", "mean"])
        ranks = table.groupby("task")["mean"].rank().groupby(table["method"]).mean().sort_values(kind="stable")
        return [str(name) for name in ranks.index[:BEST]]

    @cached_property
    def grown(self) -> list[str]:
        """Of the others those whose encoders' outputs grew most."""
        table = self.given().results
        if GROWTH not in table:
            return []
        most = table[GROWTH].groupby(self.layout.methods.to_numpy(object)).max().sort_values(ascending=False, kind="stable")
        return [str(name) for name in most.index[most >= GREW] if name not in self.best and name in self.counts][:GROWN]

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Of each method, how many of its trials ended how."""
        status = self.given().results["status"].astype(str).to_numpy()
        methods, names = pd.factorize(self.layout.methods.to_numpy(object)[status != Status.SKIPPED])
        ended = status[status != Status.SKIPPED]
        trials, diverged, completed = (
            np.bincount(methods[chosen], minlength=len(names)).tolist()
            for chosen in (slice(None), ended == Status.DIVERGED, ended == Status.COMPLETED)
        )
        failed = [all_of - some - good for all_of, some, good in zip(trials, diverged, completed, strict=True)]
        return dict(zip(map(str, names), map(Counts, trials, diverged, failed), strict=True))

    @cached_property
    def points(self) -> tuple[pd.DataFrame, list[str]]:
        """Finite points of curves (``metric``, ``row`` of the results, ``step``, ``value``), in this order, and notes.

        The growth of the encoder's output over its first value is added as the curve ``encoder_growth``.
        """
        table, curves = self.given().results, self.given().curves
        rows = pd.Series(np.arange(len(table)), index=table["trial"].astype(str).to_numpy())
        rows = rows[~rows.index.duplicated(keep="last")]
        trials, values = curves["trial"].astype(str), curves["value"].to_numpy(float, na_value=np.nan)
        known, finite = trials.isin(rows.index).to_numpy(), np.isfinite(values)
        notes = []
        if unknown := int((~known).sum()):
            notes.append(f"{unknown} points of curves belong to no trial of the results and are left out")
        if endless := int((known & ~finite).sum()):
            notes.append(f"{endless} points of curves are not finite and are not drawn")
        used = curves[known & finite]
        found = pd.DataFrame(
            {
                "metric": used["metric"].astype(str).astype(object),
                "row": rows[trials[known & finite]].to_numpy(np.int64),
                "step": used["step"].to_numpy(np.int64),
                "value": values[known & finite],
            }
        ).drop_duplicates(["metric", "row", "step"], keep="last")
        spread = found[found["metric"] == "encoder_std"]
        first = spread.loc[spread.groupby("row")["step"].idxmin()].set_index("row")["value"]
        first = first[first > 0]
        spread = spread[spread["row"].isin(first.index)]
        grown = spread.assign(metric=GROWTH, value=spread["value"] / first[spread["row"]].to_numpy())
        every = pd.concat([found, grown]).sort_values(["metric", "row", "step"], kind="stable", ignore_index=True)
        return every, notes


def gather(
    paths: Sequence[Path],
    by: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
    labels: Sequence[str] = (),
    track: str | None = None,
) -> Data:
    """Read runs and audits: each path is a results.csv, an audit.csv, or a folder with either.

    Args:
        labels: what methods are to be called, ``METHOD=text`` each.
        track: of results of `quantbench tune`; the tuned one where none is said.

    Raises:
        ConfigError: a file that is missing or is no such table; a setting or a method that the runs do not have.
    """
    audits = [path for path in (_audit_of(path) for path in paths) if path is not None]
    runs = [path for path in paths if _has_results(path)]
    audit = (
        pd.concat([read_audit(path, named=path in paths) for path in audits], ignore_index=True) if audits else pd.DataFrame()
    )
    whole = load(*runs) if runs else None
    found = Data(None if whole is None else of_track(whole, track), audit, by, within, whole=whole)
    if found.runs is not None:  # what is wrong with --by or --within is wrong for all pictures
        layout(found.runs.results, found.runs.sizes, by, within, apart=found.runs.apart)
    if not labels:
        return found
    names = [] if found.runs is None else found.layout.names
    return replace(found, labels=labels_of(labels, list(dict.fromkeys([*names, *pairs_of(audit)]))))


def pairs_of(audit: pd.DataFrame) -> pd.Series[str]:
    """The quantizer with its gradient, of each row of an audit."""
    if audit.empty:
        return pd.Series(dtype=object)
    return texts(audit, "quantizer") + " " + texts(audit, "gradient")


def axis_title(metric: Metric) -> str:
    """A metric with the direction that is better, and its unit where its name does not tell."""
    told = not metric.unit or metric.name.endswith(f"_{metric.unit.lower()}")
    return metric.titled if told else f"{metric.titled}, {metric.unit}"


def interval_words(seeds: Sequence[int], what: str = "mean") -> tuple[str, list[str]]:
    """What a caption says of intervals, and a note where one seed allows none."""
    least, most = min(seeds, default=0), max(seeds, default=0)
    if most < 2:
        return f"{what} of a single seed: no interval", ["a single seed: no intervals"]
    count = str(most) if least == most else f"{least} to {most}"
    lacking = sum(one < 2 for one in seeds)
    notes = [f"{lacking} of {len(seeds)} values are of a single seed: no interval"] if least < 2 else []
    return f"{what} and {INTERVAL[1:-1]} interval over {count} seeds", notes


def _audit_of(path: Path) -> Path | None:
    file = path / "audit.csv" if path.is_dir() else path
    return file if file.name == "audit.csv" and (file.exists() or not path.is_dir()) else None


def _has_results(path: Path) -> bool:
    """Whether a path is to be read as a run; a folder of an audit has no results, and needs none."""
    if path.is_dir():
        return any((path / name).exists() for name in ("results.csv", "results.parquet")) or not (path / "audit.csv").exists()
    return path.name != "audit.csv"
