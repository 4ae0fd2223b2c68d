"""What a run found, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from quantbench.results.methods import Layout
from quantbench.results.rank import Ranking
from quantbench.results.render import estimate, number
from quantbench.results.report.curves import GROWTH, Curves
from quantbench.results.scores import Scores
from quantbench.results.statistics import Estimate, student_mean

GREW = 10
"""Growth of an encoder's output by less is not reported as one without an end in sight."""

STILL = 1.25
"""... nor is one that grew by less than this in the second half of the training."""

SHOWN = 4


class Finding(NamedTuple):
    """One sentence or a few.

    Attributes:
        kind: ``warning`` for what a reader must not miss.
    """

    kind: Literal["result", "warning", "note"]
    text: str


def findings(
    table: pd.DataFrame, parts: Layout, ranking: Ranking | None, scores: Scores | None, curves: Curves
) -> list[Finding]:
    """Findings in the order in which they are read.

    Args:
        ranking, scores: None where no completed trial has a metric.
    """
    found = [Finding("result", _what(table, parts))]
    if ranking is not None and scores is not None:
        found += [*_best(ranking, scores), *_alike(ranking)]
    found += [*_ended(table, parts), *_growing(table, parts, curves), *_limit(table, parts, ranking)]
    return found


def best_in_tasks(scores: Scores) -> Counter[str]:
    """In how many tasks each method has the best mean, of tasks with two methods or more; a failed trial is infinitely bad."""
    count: Counter[str] = Counter()
    for values in scores.values:
        tried = np.flatnonzero((~np.isnan(values)).any(axis=1))
        means = np.array([np.nanmean(values[place]) for place in tried])
        if len(tried) > 1 and np.isfinite(means.min()):
            count[scores.methods[tried[means.argmin()]]] += 1
    return count


def paired(scores: Scores, first: str, second: str) -> tuple[Estimate, int, int]:
    """The second method's metric less the first's over pairs of task and seed, with Student's interval.

    Gives how many pairs that is, too, and of how many one failed.
    """
    a, b = scores.methods.index(first), scores.methods.index(second)
    differences = np.concatenate([values[b] - values[a] for values in scores.values if values.size])
    both = np.concatenate([~np.isnan(values[[a, b]]).any(axis=0) for values in scores.values if values.size])
    good = np.isfinite(differences)
    return student_mean(scores.sign * differences[good]), int(good.sum()), int((both & ~good).sum())


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


def _best(ranking: Ranking, scores: Scores) -> Iterator[Finding]:
    first, *others = ranking.standings
    better = "lower" if ranking.sign > 0 else "higher"
    if not others:
        yield Finding(
            "result", f"{first.method}: {ranking.metric} {estimate(first.center)}. There is no other method to compare."
        )
        return
    if not ranking.blocks:
        wins = best_in_tasks(scores)
        total = wins.total()
        text = "No task and seed has a trial of every method, so no method is best overall."
        if total:
            text += f" Of {counted(total, 'task')} with two methods or more, the best mean {ranking.metric} has: "
            text += ", ".join(f"{name} in {count}" for name, count in wins.most_common(SHOWN)) + "."
        yield Finding("result", text)
        return
    second = others[0]
    over = f"{counted(len(ranking.tasks), 'task')}"
    text = f"Best by {ranking.metric} ({better} is better): {first.method}, {estimate(first.center)}"
    text += f" (interquartile mean over {over} and all seeds)."
    difference, pairs, failed = paired(scores, first.method, second.method)
    if not pairs:
        yield Finding("result", f"{text} The next is {second.method}; no pair of task and seed completed with both.")
        return
    gap = Estimate(abs(difference.mean), *sorted(np.copysign(1, difference.mean) * np.array(difference[1:])))
    unit = " dB" if ranking.metric.endswith("_db") else ""
    worse = "worse" if difference.mean * ranking.sign > 0 else "better in the mean of pairs"
    text += f" The next, {second.method}, is {estimate(gap)}{unit} {worse} over {counted(pairs, 'pair')} of task and seed"
    text += f", {counted(failed, 'further pair')} failing with one of them: " if failed else ": "
    p = ranking.p_values[0, 1]
    if ranking.significant(0, 1):
        text += f"a significant difference (Wilcoxon's signed-rank test with Holm's adjustment, p = {number(float(p), 2)})."
    elif ranking.separable:
        text += f"not significant (Wilcoxon's signed-rank test with Holm's adjustment, p = {number(float(p), 2)})."
    else:
        text += "whether that is more than chance cannot be told from so few pairs."
    yield Finding("result", text)


def _alike(ranking: Ranking) -> Iterator[Finding]:
    if not ranking.separable:
        return
    groups = [[ranking.standings[place].method for place in group] for group in ranking.groups if len(group) > 1]
    for group in groups[:SHOWN]:
        yield Finding("result", f"Not significantly different from one another: {listed(group)}.")
    if len(groups) > SHOWN:
        yield Finding("note", f"{len(groups) - SHOWN} more such groups: see the column groups of the ranking.")
    if not groups and len(ranking.standings) > 1:
        yield Finding("result", "All pairs of methods differ significantly.")


def _ended(table: pd.DataFrame, parts: Layout) -> Iterator[Finding]:
    statuses = table["status"].astype(object).where(table["status"].notna(), "of no status").astype(str)
    counts = Counter(statuses)
    ran = len(table) - counts["skipped"]
    if counts["skipped"]:
        yield Finding("note", f"{counted(counts['skipped'], 'trial')} skipped: their quantizer and gradient do not fit.")
    bad = {status: count for status, count in counts.items() if status not in ("completed", "skipped")}
    if not bad:
        if ran:
            yield Finding("result", "No trial diverged or failed.")
        return
    for status, count in bad.items():
        of = Counter(parts.methods[statuses == status])
        totals = Counter(parts.methods[statuses != "skipped"])
        methods = listed([f"{name} ({some} of {totals[name]})" for name, some in of.most_common()])
        yield Finding("warning", f"{count:,} of {counted(ran, 'trial')} {status}: {methods}.")
    reasons = (
        Counter(str(error) for error in table["error"][statuses.isin(list(bad))].dropna()) if "error" in table else Counter()
    )
    for reason, count in reasons.most_common(3):
        short = reason if len(reason) <= 300 else reason[:300] + " ..."
        yield Finding("note", f"Reason of {counted(count, 'trial')}: {short}")


def _growing(table: pd.DataFrame, parts: Layout, curves: Curves) -> Iterator[Finding]:
    lines = curves.lines.get(GROWTH)
    if lines is None:
        return
    grown: dict[str, list[float]] = {}
    for row, grid, values in zip(lines["trial"], lines["grid"], lines["values"], strict=True):
        steps = np.array(curves.grids[grid])
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


def _limit(table: pd.DataFrame, parts: Layout, ranking: Ranking | None) -> Iterator[Finding]:
    if "gap_db" not in table:
        return
    gaps = table["gap_db"].where(table["status"] == "completed").astype(float).dropna()
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return
    by = gaps.groupby(parts.methods[gaps.index]).agg(["median", "min", "max"]).sort_values("median")

    def said(name: str) -> str:
        middle, low, high = (number(float(by[column].to_dict()[name]), 3) for column in ("median", "min", "max"))
        return f"{middle} dB ({low} to {high})"

    closest, farthest = str(by.index[0]), str(by.index[-1])
    text = "Distance to the limit, the least distortion possible at the bits that a trial spent, in the median (lowest to "
    text += f"highest): closest {closest} with {said(closest)}"
    if closest != farthest:
        text += f", farthest {farthest} with {said(farthest)}"
    best = ranking.standings[0].method if ranking is not None and ranking.blocks else None
    if best is not None and best != closest and best in by.index:
        text += f"; {best}, the best one, {said(best)}. A method that spends few bits can be near its limit and yet have much "
        text += "distortion"
    yield Finding("result", text + ".")
