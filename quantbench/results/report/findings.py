"""What a run found, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from quantbench.metrics import Metric
from quantbench.results.frame import Frame, Values
from quantbench.results.layout import Layout
from quantbench.results.load import Results
from quantbench.results.plots.data import GROWTH
from quantbench.results.rank import Ranking
from quantbench.results.rank_text import rate_words
from quantbench.results.render import estimate, number
from quantbench.results.report.embed import shown_p
from quantbench.results.report.lines import Lines
from quantbench.results.schema import Status
from quantbench.results.statistics import Difference, Estimate, paired_difference

GREW = 10
"""Growth of an encoder's output by less is not reported as one without an end in sight."""

STILL = 1.25
"""... nor is one that grew by less than this in the second half of the training."""

SHOWN = 4
LIMIT = "excess_bits"


class Finding(NamedTuple):
    """One sentence or a few.

    Attributes:
        kind: ``warning`` for what a reader must not miss.
    """

    kind: Literal["result", "warning", "note"]
    text: str


def findings(runs: Results, parts: Layout, rankings: Sequence[Ranking], found: Frame | None, curves: Lines) -> list[Finding]:
    """Findings in the order in which they are read.

    Args:
        rankings, found: of the metric; nothing where no completed trial has one.
    """
    table = runs.results
    said = [Finding("result", _what(table, parts))]
    if found is not None:
        for one in rankings[:SHOWN]:
            said += [*_best(one, found), *_alike(one)]
        if len(rankings) > SHOWN:
            said.append(Finding("note", f"{len(rankings) - SHOWN} more rates: see the rankings."))
    said += [*_ended(table, parts), *_growing(table, parts, curves)]
    for one in rankings[:SHOWN]:
        said += _limit(runs, parts, one)
    return said


def best_in_tasks(found: Frame) -> Counter[str]:
    """In how many tasks each method has the best mean, of tasks with two methods or more; a failed trial is infinitely bad."""
    count: Counter[str] = Counter()
    for values in found.cells():
        tried = np.flatnonzero((~np.isnan(values)).any(axis=1))
        means = np.array([np.nanmean(values[place]) for place in tried])
        if len(tried) > 1 and np.isfinite(means.min()):
            count[found.methods[tried[means.argmin()]]] += 1
    return count


def paired(found: Frame, rate: str | None, first: str, second: str) -> tuple[Difference, int]:
    """The second method's metric less the first's over paired seeds, each the mean over tasks, and how many pairs failed.

    Args:
        rate: of the tasks; None for all.
    """
    places = [found.methods.index(name) for name in (first, second)]
    tasks = set(found.tasks if rate is None else found.rows["task"][found.rows["point"] == rate])
    chosen = [place for place, task in enumerate(found.tasks) if task in tasks]
    cells, seeds = found.cells(), found.seeds()
    return over_tasks([(seeds[task], *(found.sign * cells[task][places])) for task in chosen])


def over_tasks(parts: Sequence[tuple[Values, Values, Values]]) -> tuple[Difference, int]:
    """The difference of b less a over seeds, from seeds, a and b of each task; and how many pairs failed with one of them."""
    by_seed: dict[float, list[float]] = {}
    failed, sizes = 0, [0.0]
    for seeds, a, b in parts:
        for seed, one, other in zip(seeds, a, b, strict=True):
            if np.isfinite(one) and np.isfinite(other):
                by_seed.setdefault(float(seed), []).append(float(other - one))
                sizes.append(max(abs(one), abs(other)))
            elif not (np.isnan(one) or np.isnan(other)):
                failed += 1
    return paired_difference(np.array([np.mean(one) for one in by_seed.values()]), max(sizes)), failed


def listed(names: Sequence[str]) -> str:
    """a, b and c; long lists are cut, and say so."""
    names = list(names)
    if len(names) > SHOWN + 1:
        names = [*names[:SHOWN], f"{len(names) - SHOWN} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _what(table: pd.DataFrame, parts: Layout) -> str:
    tasks = parts.tasks.nunique()
    seeds = table["seed"].nunique()
    parts_of_it = [counted(len(parts.names), "method"), counted(tasks, "task"), counted(seeds, "seed")]
    return f"{counted(len(table), 'trial')}: {', '.join(parts_of_it)}."


def _at(ranking: Ranking) -> str:
    """Where a ranking is of one rate of several, which."""
    return "" if ranking.rate is None else f"At {rate_words(ranking.rate)}: "


def _best(ranking: Ranking, found: Frame) -> Iterator[Finding]:
    first, *others = ranking.standings
    metric, at = ranking.metric, _at(ranking)
    if not others:
        yield Finding(
            "result", f"{at}{first.method}: {metric.name} {estimate(first.center)}. There is no other method to compare."
        )
    elif not ranking.blocks:
        yield Finding("result", at + _no_best(found))
    elif not np.isfinite(first.center.mean):
        yield Finding("warning", f"{at}No method is best by {metric.name}: with each, too many trials diverged or failed.")
    else:
        yield Finding("result", f"{at}{_first(ranking)} {_next(ranking, found)}")


def _no_best(found: Frame) -> str:
    text = "No seed of a task has a trial of every method, so no method is best overall."
    wins = best_in_tasks(found)
    if total := wins.total():
        text += f" Of {counted(total, 'task')} with two methods or more, the best mean {found.metric.name} has: "
        text += ", ".join(f"{name} in {count}" for name, count in wins.most_common(SHOWN)) + "."
    return text


def _first(ranking: Ranking) -> str:
    first = ranking.standings[0]
    text = f"Best by {ranking.metric.titled}: {first.method}, {estimate(first.center)}"
    return f"{text} (interquartile mean over {counted(len(ranking.tasks), 'task')} and all seeds)."


def _next(ranking: Ranking, found: Frame) -> str:
    """How far the second is from the first, and whether the ranking's test tells them apart."""
    first, second = (one.method for one in ranking.standings[:2])
    difference, failed = paired(found, ranking.rate, first, second)
    if not difference.pairs:
        text = f"The next is {second}; no seed of a task completed with both"
    else:
        mean, *ends = difference.estimate
        gap = Estimate(abs(mean), *sorted(np.copysign(1, mean) * np.array(ends)))
        worse = {1: "worse", 0: "worse or better", -1: "better in the mean of pairs"}[int(np.sign(mean)) * ranking.metric.sign]
        text = f"The next, {second}, is {estimate(gap)}{_unit(ranking.metric)} {worse} over "
        text += counted(difference.pairs, "paired seed")
        text += ", each the mean over tasks" if len(ranking.tasks) > 1 else ""
        text += " (Student's interval, of this pair alone)" if difference.pairs > 1 else ""
        text += f"; {counted(failed, 'further pair')} of task and seed failed with one of them" if failed else ""
    return f"{text}: {said_of_pair(ranking, 0, 1)}."


def said_of_pair(ranking: Ranking, higher: int, lower: int) -> str:
    """What the ranking's test says of two methods, by their places."""
    if not ranking.separable:
        if ranking.blocks >= ranking.needed:
            return f"of {len(ranking.standings):,} methods no pairs are tested"
        at_least = f"at least {ranking.needed} are needed for {counted(len(ranking.standings), 'method')}"
        return f"whether that is more than chance cannot be told from {blocks_of(ranking)}, {at_least}"
    p = number(shown_p(float(ranking.p_values[higher, lower])), 12)
    test = f"(Wilcoxon's signed-rank test with Holm's adjustment over all pairs of the ranking, p = {p})"
    if not ranking.significant(higher, lower):
        return f"not significant {test}"
    if ranking.leaning([higher], [lower]) == [1]:
        return f"a significant difference {test}"
    return f"a significant difference {test}, but the ranks that are tested speak for {ranking.standings[lower].method}"


def blocks_of(ranking: Ranking) -> str:
    """What ranks and tests are over, with their number: ``1 seed``."""
    return counted(ranking.blocks, ranking.units.removesuffix("s"))


def _unit(metric: Metric) -> str:
    return f" {metric.unit}" if metric.unit else ""


def _alike(ranking: Ranking) -> Iterator[Finding]:
    if not ranking.separable:
        return
    at = _at(ranking)
    groups = [[ranking.standings[place].method for place in group] for group in ranking.groups if len(group) > 1]
    for group in groups[:SHOWN]:
        yield Finding("result", f"{at}Not significantly different from one another: {listed(group)}.")
    if len(groups) > SHOWN:
        yield Finding("note", f"{at}{len(groups) - SHOWN} more such groups: see the column groups of the ranking.")
    count = len(ranking.standings)
    if count > 2 and all(ranking.significant(*pair) for pair in combinations(range(count), 2)):
        yield Finding("result", f"{at}All pairs of methods differ significantly.")


def _ended(table: pd.DataFrame, parts: Layout) -> Iterator[Finding]:
    statuses = table["status"].astype(object).where(table["status"].notna(), "of no status").astype(str)
    counts = Counter(statuses)
    ran = len(table) - counts[Status.SKIPPED]
    if counts[Status.SKIPPED]:
        yield Finding("note", f"{counted(counts['skipped'], 'trial')} skipped: their quantizer and gradient do not fit.")
    bad = {status: count for status, count in counts.items() if status not in (Status.COMPLETED, Status.SKIPPED)}
    if not bad:
        if ran:
            yield Finding("result", "No trial diverged or failed.")
        return
    for status, count in bad.items():
        of = Counter(parts.methods[statuses == status])
        totals = Counter(parts.methods[statuses != Status.SKIPPED])
        methods = listed([f"{name} ({some} of {totals[name]})" for name, some in of.most_common()])
        yield Finding("warning", f"{count:,} of {counted(ran, 'trial')} {status}: {methods}.")
        reasons = (
            Counter(str(error) for error in table["error"][statuses == status].dropna()) if "error" in table else Counter()
        )
        for reason, some in reasons.most_common(3):
            short = reason if len(reason) <= 300 else reason[:300] + " ..."
            yield Finding("note", f"Reason of {counted(some, 'trial')} that {status}: {short}")


def _growing(table: pd.DataFrame, parts: Layout, curves: Lines) -> Iterator[Finding]:
    lines = curves.lines.get(GROWTH)
    if lines is None:
        return
    grids, grown = curves.grids.lists(), dict[str, list[float]]()
    for row, grid, values in zip(lines["trial"], lines["grid"], lines["values"], strict=True):
        steps = np.array(grids[grid])
        half = values[int(np.abs(steps - steps[-1] / 2).argmin())]
        if values[-1] >= GREW and values[-1] >= STILL * half:
            grown.setdefault(parts.methods.iloc[row], []).append(values[-1])
    totals = Counter(parts.methods.iloc[lines["trial"]])
    if not grown:
        yield Finding(
            "result", f"No encoder's output grew {GREW} times or more and was still growing at the end of the training."
        )
        return
    each = [
        f"{name} (in {len(ends)} of {totals[name]} trials, {number(float(np.median(ends)), 2)} times in the median)"
        for name, ends in sorted(grown.items(), key=lambda item: -max(item[1]))
    ]
    text = f"The encoder's output grew {GREW} times or more, with no end in sight, with {listed(each)}. (No end in sight: by a "
    yield Finding("warning", f"{text}quarter or more in the second half of the training.)")


def _limit(runs: Results, parts: Layout, ranking: Ranking) -> Iterator[Finding]:
    """How far methods are from the limit, over the trials of their common tasks that completed."""
    table = runs.results
    if LIMIT not in table or not ranking.blocks:
        return
    mine = (table["status"] == Status.COMPLETED) & parts.tasks.isin(ranking.tasks)
    excess = table[LIMIT].astype(float)[mine]
    excess = excess[np.isfinite(excess)]
    if not len(excess):
        return
    by = excess.groupby(parts.methods[excess.index]).agg(["median", "min", "max"]).sort_values("median", kind="stable")

    def said(name: str) -> str:
        middle, low, high = (number(float(by[column].to_dict()[name]), 3) for column in ("median", "min", "max"))
        return f"{middle} bits ({low} to {high})"

    closest, farthest, best = str(by.index[0]), str(by.index[-1]), ranking.standings[0].method
    text = f"{_at(ranking)}Closest to the limit: {closest}, whose rate is {said(closest)} above the least that its distortion "
    text += f"needs ({LIMIT} of completed trials: median, lowest to highest)"
    if closest != farthest:
        text += f"; farthest {farthest} with {said(farthest)}"
    if best not in (closest, farthest) and best in by.index:
        text += f"; {best}, the first of the ranking, {said(best)}"
    yield Finding("result", text + ".")
