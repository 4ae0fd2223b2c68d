"""What the reading commands do, for people who write Python: rank, diff and transfer of runs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import pandas as pd

from quantbench.errors import ConfigError, brief
from quantbench.paths import published_folder
from quantbench.results.cells import read_csv, unguarded
from quantbench.results.chosen import chosen as chosen_by
from quantbench.results.chosen import render_chosen
from quantbench.results.diff import Comparison, compare
from quantbench.results.diff_text import render_comparison
from quantbench.results.frame import DROP, POLICIES, WHOLE_SEED, WORST, Frame, find_metric, frame, has_goal
from quantbench.results.load import Results, load
from quantbench.results.orders import Orders, compare_orders, render_orders
from quantbench.results.rank import Over, Ranking
from quantbench.results.rank import rank as rank_frame
from quantbench.results.rank_text import render_ranking
from quantbench.results.rate_distortion import Bjontegaard, Point, bjontegaard, pareto
from quantbench.results.render import number
from quantbench.results.tracks import TRACKS, has_tracks, of_track
from quantbench.results.transfer import Transfer
from quantbench.results.transfer import transfer as transfer_runs
from quantbench.results.transfer_text import render_transfer

Runs = Results | str | Path | Sequence[Results | str | Path]
"""Results that are loaded, or where they are: a results.csv, the folder of a run, or a pattern of these; or several."""
Names = str | Sequence[str] | None
"""Names, in a list or separated by commas."""
TABLES = ("ranking", "pareto", "bd")
PUBLISHED = "published"
Found = TypeVar("Found")


@dataclass(frozen=True, repr=False)
class Reading(Generic[Found]):
    """What was found, and how the command shows it.

    Attributes:
        found: the numbers.
        text: from a format (``table``, ``csv``, ``json``, ``markdown``) to what the command prints.
    """

    found: Found
    text: Callable[[str], str]

    @property
    def table(self) -> pd.DataFrame:
        """The lines that the command prints, one column an interval's end."""
        text = dict.fromkeys(("method", "task", "mark", "metric"), str)
        return unguarded(read_csv(io.StringIO(self.text("csv")), dtype=text, keep_default_na=False, na_values=[""]))

    def __str__(self) -> str:
        return self.text("table")

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return self.text("markdown")


@dataclass(frozen=True)
class Ranked:
    """Rankings of methods, rate by rate where they differ in it.

    Attributes:
        rankings: one, or one a rate.
        points: every method at every rate, those of the Pareto set marked; empty where there is one rate.
        curves: Bjøntegaard's differences from the method ``against``.
        chosen: what a search chose, and how often, where it was asked for.
    """

    rankings: list[Ranking]
    points: list[Point]
    curves: list[Bjontegaard]
    chosen: pd.DataFrame | None = None


def rank(
    *runs: Runs,
    metric: str | None = None,
    by: Names = None,
    within: Names = None,
    over: Over | None = None,
    failures: str = WORST,
    against: str | None = None,
    rate: str | None = None,
    table: str | None = None,
    track: str | None = None,
    others: str | Path | None = None,
    chosen: bool = False,
) -> Reading[Ranked]:
    """Rank the methods of one or several runs, as ``quantbench rank`` does; the arguments are its options.

    Args:
        over: by default other tasks where the results are of `quantbench tune` and have tasks enough to tell any two methods
            apart, else other seeds.
        others: further results of `quantbench tune`, or ``published`` for those that come with the project.
        chosen: whether to say, too, what `quantbench tune` chose, and how often; as CSV and JSON that alone.

    Raises:
        ConfigError: no such metric, setting or method, or nothing to rank.
    """
    _check("over", over, (None, *get_args(Over)))
    _check("track", track, (None, *TRACKS))
    _check("failures", failures, tuple(POLICIES))
    _check("table", table, (None, *TABLES))
    by, within = words_of("by", by), words_of("within", within)
    every = _loaded(*runs) if others is None else _among(_loaded(*runs), others)
    usual: Over = "tasks" if has_tracks(every) else "seeds"
    choices = chosen_by(every) if chosen else None
    every = of_track(every, track)
    framed = frame(every, metric, by, within, goal=True)
    found = rank_frame(framed, over or usual, failures)
    if over is None and usual == "tasks" and not any(one.separable for one in found):
        found = _over_seeds(found, framed, failures)
    found[0].notes[:0] = every.notes
    if table == "bd" and against is None:
        raise ConfigError("--table bd: needs --against METHOD")
    over_rates = frame(every, metric, by, within, over_rates=True, goal=True, rate=rate)
    points = pareto(over_rates, failures)
    if len({(point.task, number(point.rate, 12)) for point in points}) == len({point.task for point in points}):
        points = []  # a single rate each: nothing to trade
    curves = [] if against is None else bjontegaard(over_rates, against)

    def text(form: str) -> str:
        if choices is not None and form in ("csv", "json"):
            return render_chosen(choices, form)
        ranking = render_ranking(found, points, over_rates.rate, curves, form, table)
        return ranking if choices is None else f"{ranking}\n\n{render_chosen(choices, form)}"

    return Reading(Ranked(found, points, curves, choices), text)


def _over_seeds(found: list[Ranking], framed: Frame, failures: str) -> list[Ranking]:
    """Rankings over seeds in the place of those over tasks, which are too few to tell any two methods apart; said in a note."""
    others = rank_frame(framed, "seeds", failures)
    if not any(one.separable for one in others):
        return found
    one = found[0]
    others[0].notes.append(
        f"{len(one.tasks)} tasks cannot tell {len(one.standings)} methods apart ({one.needed} could): intervals and letters "
        "are over seeds, and speak of these tasks alone, with the settings that were chosen in them"
    )
    return others


def diff(a: Runs, b: Runs, metric: Names = None, by: Names = None, within: Names = None) -> Reading[Comparison]:
    """Compare results ``b`` with the baseline ``a``, as ``quantbench diff`` does.

    Args:
        metric: one or several; by default what the codecs were trained for, the usage of codes and the encoder's growth.

    Raises:
        ConfigError: a metric or a setting that is in neither.
    """
    one, other = _loaded(a), _loaded(b)
    metrics, by, within = words_of("metric", metric), words_of("by", by), words_of("within", within)
    if metrics is None:
        usual = [find_metric(one if has_goal(one) else other, None).name, "usage", "encoder_growth"]
        tables = (one.results, other.results)
        metrics = [name for name in usual if any(name in table and table[name].notna().any() for table in tables)]
    found = compare(one, other, metrics, by, within)
    return Reading(found, lambda form: render_comparison(found, form))


def transfer(
    toy: Runs,
    real: Runs,
    metric: str | tuple[str | None, str | None] | None = None,
    by: Names = None,
    failures: str = DROP,
) -> Reading[Transfer]:
    """Whether the order of methods that a toy codec finds carries over to a real one, as ``quantbench transfer`` does.

    Args:
        metric: of both, or the toy's and the real codec's; by default what each was trained for.

    Raises:
        ConfigError: no such metric, or too few methods in both.
    """
    metrics = metric if isinstance(metric, tuple) else (metric, metric)
    if len(metrics) != 2:
        raise ConfigError(f"metric={brief(metric)}: must be one metric, or the toy's and the real codec's")
    if failures == WORST:
        raise ConfigError("failures=worst: has no meaning for an order of means; use drop or whole-seed")
    _check("failures", failures, (DROP, WHOLE_SEED))
    sides = _loaded(toy), _loaded(real)
    if any(map(has_tracks, sides)):
        raise ConfigError(
            "results of `quantbench tune` are compared by quantbench.results.reading.orders, or `quantbench transfer`"
        )
    found = transfer_runs(*sides, metrics, words_of("by", by), failures)
    return Reading(found, lambda form: render_transfer(found, form))


def orders(
    first: Runs, second: Runs, track: str | None = None, over: Over | None = None, metric: str | None = None
) -> Reading[Orders]:
    """Whether two searches order their methods alike, as ``quantbench transfer`` does for results of `quantbench tune`.

    Args:
        over: what the order and tau's interval are over, tasks by default.

    Raises:
        ConfigError: results of another command, no such track or metric, or too few methods in both.
    """
    _check("over", over, (None, *get_args(Over)))
    _check("track", track, (None, *TRACKS))
    sides = _loaded(first), _loaded(second)
    if not all(map(has_tracks, sides)):
        raise ConfigError("--track and --over: both results must be of `quantbench tune`")
    found = compare_orders(*sides, track, over or "tasks", metric)
    return Reading(found, lambda form: render_orders(found, form))


def of_searches(*runs: Runs) -> bool:
    """Whether any of these results is of `quantbench tune`."""
    return any(has_tracks(_loaded(one)) for one in runs)


def _among(mine: Results, others: str | Path) -> Results:
    """Results with those of others. Raises ConfigError where these are not there, or cannot be compared."""
    if not has_tracks(mine):
        raise ConfigError(f"--with {others}: these results are not of `quantbench tune`, and were not tuned as the others were")
    if others != PUBLISHED:
        return _loaded(mine, others)
    found = sorted(path.parent for path in published_folder().glob("*/columns.json"))
    if not found:
        raise ConfigError(f"--with {PUBLISHED}: no results came with this version; name the folder of a run")
    return _loaded(mine, *found)


def words_of(option: str, names: Names) -> list[str] | None:
    """Names that are in a list, or separated by commas; None where none are given. Raises ConfigError."""
    if names is None:
        return None
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    if not (isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"{option}={brief(names)}: must be a list of names")
    return list(names)


def _check(option: str, value: object, allowed: Sequence[str | None]) -> None:
    """Raise ConfigError unless an option has a value that is allowed."""
    if value not in allowed:
        raise ConfigError(f"{option}={brief(value)}: must be one of {', '.join(filter(None, allowed))}")


def _loaded(*runs: Runs) -> Results:
    """Results of one or several runs. Raises ConfigError."""
    each: list[Any] = [one for given in runs for one in (given if isinstance(given, list | tuple) else [given])]
    if len(each) == 1 and isinstance(each[0], Results):
        return each[0]
    paths: list[str | Path] = []
    for one in each:
        if isinstance(one, Results):
            if not one.folders:
                raise ConfigError("these results are not of a folder, and can be ranked by themselves alone")
            paths += one.folders
        else:
            paths.append(one)
    return load(*paths, curves=False)
