"""A transfer as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantbench.results.kendall import TAU_INTERVAL
from quantbench.results.render import Cell, Difference, render, wrapped
from quantbench.results.statistics import INTERVAL
from quantbench.results.transfer import Pair, Side, Transfer

MEASURES = {"tau": "Kendall's tau-b", "rho": "Spearman's rho", "agreement": "pairwise agreement"}


def render_transfer(found: Transfer, form: str = "table") -> str:
    """Methods, measures and disagreements, what is left out, and notes.

    As CSV and JSON one long table instead: part (measure, method, trials, pair, separated, left_out, note), name, other (a
    pair's second method, what is counted of trials, or a reason), side (toy, real), value, low, high. A pair's value is its
    first method's metric less its second's, and the first is the one that the real codec finds better.
    """
    if form in ("csv", "json"):
        return render(["part", "name", "other", "side", "value", "low", "high"], _long(found), form)
    parts = [_methods(found, form), _measures(found, form), wrapped(counts(found))]
    if found.disagreements:
        parts.append(
            wrapped("The toy orders these otherwise (the first is the real codec's better one; differences first less second):")
        )
        parts.append(_disagreements(found, form))
    listed = [f"left out: {name}: {reason}" for name, reason in found.left_out.items()]
    listed += [f"note: {note}" for note in found.notes]
    if listed:
        parts.append("\n".join(f"- {line}" if form == "markdown" else wrapped(line) for line in listed))
    return "\n\n".join(parts)


def counts(found: Transfer) -> str:
    """How many pairs there are, how many of them either codec separates, and how many have the same order."""
    separated = found.separated
    if not separated:
        same = sum(pair.same_order for pair in found.pairs)
        return f"The real codec separates none of {len(found.pairs)} pairs; {same} have the same order in both."
    by_toy = [pair for pair in separated if pair.separated_by_toy]
    same, opposite = sum(pair.same_order for pair in by_toy), sum(not pair.same_order for pair in by_toy)
    return (
        f"The real codec separates {len(separated)} of {len(found.pairs)} pairs (Student, Holm over all pairs); the toy orders "
        f"{sum(pair.same_order for pair in separated)} of them the same way. It separates {len(by_toy)} of them itself: "
        f"{same} the same way, {opposite} the opposite way."
    )


def _methods(found: Transfer, form: str) -> str:
    header = ["method"]
    columns: list[Sequence[Cell]] = [found.names]
    for label, side in (("toy", found.toy), ("real", found.real)):
        header += [
            f"{label} {side.metric.name} {INTERVAL}",
            *(f"{label} {name}" for name in ("rank", "seeds", "diverged", "failed")),
        ]
        columns += [side.means, _ranks(side), [str(count) for count in (~np.isnan(side.values)).sum(axis=1)]]
        columns += [[one.diverged for one in side.counts], [one.failed for one in side.counts]]
    by_rank = np.argsort(found.real.order(), kind="stable")
    return render(header, [[column[i] for column in columns] for i in by_rank], form)


def _ranks(side: Side) -> list[str]:
    """1 for the best; methods that are tied share the better rank."""
    order = side.order()
    return [str(1 + int((order < own).sum())) for own in order]


def _measures(found: Transfer, form: str) -> str:
    rows: list[list[Cell]] = [[label, getattr(found, name)] for name, label in MEASURES.items()]
    if np.isnan(found.agreement.mean):
        rows[-1][1] = "none: no pair is separated"
    return render(["measure", f"value {TAU_INTERVAL}"], rows, form)


def _disagreements(found: Transfer, form: str) -> str:
    header = [
        "better",
        "worse",
        f"toy {found.toy.metric.name} {INTERVAL}",
        f"real {found.real.metric.name} {INTERVAL}",
        "the toy",
    ]
    rows: list[list[Cell]] = [
        [
            *(found.names[place] for place in (pair.first, pair.second)),
            *(Difference(*one.estimate) for one in (pair.toy, pair.real)),
            _verdict(pair),
        ]
        for pair in found.disagreements
    ]
    return render(header, rows, form)


def _verdict(pair: Pair) -> str:
    return "contradicts" if pair.separated_by_toy else "cannot tell"


def _long(found: Transfer) -> list[list[Cell]]:
    rows: list[list[Cell]] = [["measure", name, "", "", *getattr(found, name)] for name in MEASURES]
    for label, side in (("toy", found.toy), ("real", found.real)):
        rows += [["method", name, "", label, *one] for name, one in zip(found.names, side.means, strict=True)]
        for name, one, seeds in zip(found.names, side.counts, (~np.isnan(side.values)).sum(axis=1), strict=True):
            counted = {"trials": one.trials, "diverged": one.diverged, "failed": one.failed, "seeds": int(seeds)}
            rows += [["trials", name, what, label, count, "", ""] for what, count in counted.items()]
    for pair in found.pairs:
        names = [found.names[pair.first], found.names[pair.second]]
        part = "separated" if pair.separated else "pair"
        rows += [[part, *names, label, *one.estimate] for label, one in (("toy", pair.toy), ("real", pair.real))]
    rows += [["left_out", name, reason, "", "", "", ""] for name, reason in found.left_out.items()]
    return rows + [["note", "", note, "", "", "", ""] for note in found.notes]
