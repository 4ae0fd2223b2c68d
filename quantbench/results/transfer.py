"""Does the ranking that a toy codec finds carry over to a real one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.items import Items, Matrix, items, shortened, sign_of, split_by
from quantbench.results.ranks import Pair, agreement, correlation, pairs_of
from quantbench.results.render import estimate, number, render
from quantbench.results.statistics import Estimate, bootstrap_mean

FEWEST = 3
"""Items that make a ranking."""


@dataclass(frozen=True)
class Transfer:
    """What two tables say of the same items.

    Attributes:
        metrics: of the toy and of the real codec.
        by: settings that name an item.
        names: of the items, the best of the real codec first.
        toy, real: values (items, seeds), less is better.
        pairs: all pairs, by position in ``names``.
        agreement: share of the pairs that the real codec separates which the toy orders the same way.
        notes: what was left out, and why.
    """

    metrics: tuple[str, str]
    by: list[str]
    names: list[str]
    toy: Matrix
    real: Matrix
    pairs: list[Pair]
    kendall: Estimate
    spearman: Estimate
    agreement: Estimate
    notes: list[str]

    @property
    def separated(self) -> list[Pair]:
        """Pairs that the real codec tells apart."""
        return [pair for pair in self.pairs if pair.separated]

    @property
    def disagreements(self) -> list[Pair]:
        """Those of them that the toy orders the other way, the largest difference first."""
        return sorted((pair for pair in self.separated if not pair.agrees), key=lambda pair: -abs(pair.real.mean))


def transfer(toy: pd.DataFrame, real: pd.DataFrame, metrics: tuple[str, str], by: Sequence[str]) -> Transfer:
    """Compare the rankings of two tables.

    Args:
        metrics: of the toy and of the real codec.
        by: settings that name an item; others that are needed to tell its trials apart are added.

    Raises:
        ConfigError: a metric or setting that is not there, or fewer than three items in common.
    """
    every = split_by(toy, real, by)
    notes = [f"items are told apart by {name} too" for name in every[len(by) :]]
    first, second = items(toy, metrics[0], every, "the toy's table"), items(real, metrics[1], every, "the real codec's table")
    kept, left_out = _common(first, second)
    notes += left_out
    if len(kept) < FEWEST:
        raise ConfigError(f"only {len(kept)} items in both tables with a completed trial, at least {FEWEST} make a ranking")
    notes += [
        f"{label}: {count} of {len(one.seeds)} trials of {name} did not complete, and count for nothing"
        for label, one in (("toy", first), ("real", second))
        for name, count in one.failed.items()
        if count and name in kept
    ]
    values = [np.stack([one.values[one.names.index(name)] for name in kept]) for one in (first, second)]
    order = np.argsort(np.nanmean(values[1], axis=1), kind="stable")
    a, b = (one[order] for one in values)
    short = shortened(list(dict.fromkeys([*first.names, *second.names])), len(by))
    notes += [f"{label}: one seed, so no intervals" for label, one in (("toy", a), ("real", b)) if one.shape[1] < 2]
    pairs = pairs_of(a, b)
    names = [short[kept[i]] for i in order]
    found = correlation(a, b, "kendall"), correlation(a, b, "spearman"), agreement(a, b, pairs)
    return Transfer(metrics, every, names, a, b, pairs, *found, notes)


def _common(toy: Items, real: Items) -> tuple[list[str], list[str]]:
    """Names of items with a value in both tables, and why others are left out."""
    kept, notes = [], []
    for name in dict.fromkeys([*toy.names, *real.names]):
        reasons = [
            f"not in the {label}'s table" if name not in one.names else f"no trial of the {label}'s completed"
            for label, one in (("toy", toy), ("real codec", real))
            if name not in one.names or np.isnan(one.values[one.names.index(name)]).all()
        ]
        if reasons:
            notes.append(f"left out: {name}, {' and '.join(reasons)}")
        else:
            kept.append(name)
    return kept, notes


def means(values: Matrix, metric: str) -> list[Estimate]:
    """Mean of each item in the metric's own sign, with its bootstrap interval over seeds."""
    sign = sign_of(metric)
    return [bootstrap_mean(sign * row[~np.isnan(row)]) for row in values]


def render_transfer(found: Transfer, form: str = "table") -> str:
    """The ranking of both tables, the agreement in numbers, and the pairs on which they disagree."""
    toy_rank, real_rank = (np.argsort(np.argsort(np.nanmean(one, axis=1))) + 1 for one in (found.toy, found.real))
    header = ["item", f"toy {found.metrics[0]}", f"real {found.metrics[1]}", "toy rank", "real rank"]
    columns = zip(
        found.names, means(found.toy, found.metrics[0]), means(found.real, found.metrics[1]), toy_rank, real_rank, strict=True
    )
    rows = [[name, estimate(a), estimate(b), str(i), str(j)] for name, a, b, i, j in columns]
    text = render(header, rows, form)
    return text if form == "csv" else "\n".join([text, "", *_numbers(found), *_disagreements(found), *_notes(found)])


def _numbers(found: Transfer) -> list[str]:
    separated = found.separated
    agreed = sum(pair.agrees for pair in separated)
    own = sum(pair.toy_separated for pair in separated)
    return [
        f"pairwise agreement  {estimate(found.agreement) or 'none'}  {agreed} of the {len(separated)} pairs that the real "
        f"codec separates ({len(found.pairs)} pairs in all); the toy separates {own} of them",
        f"Kendall's tau       {estimate(found.kendall)}",
        f"Spearman's rho      {estimate(found.spearman)}",
    ]


def _disagreements(found: Transfer) -> list[str]:
    if not found.disagreements:
        return []
    signs = [sign_of(metric) for metric in found.metrics]
    lines = ["", "the real codec separates, the toy orders the other way:"]
    for pair in found.disagreements:
        better, worse = (pair.first, pair.second) if pair.real.mean > 0 else (pair.second, pair.first)
        toy, real = (
            abs(one.mean) * sign * direction for one, sign, direction in zip((pair.toy, pair.real), signs, (1, -1), strict=True)
        )
        lines.append(
            f"  {found.names[better]} before {found.names[worse]}: {number(real, 3)} {found.metrics[1]} in the real codec, "
            f"{'+' if toy > 0 else ''}{number(toy, 3)} {found.metrics[0]} in the toy"
        )
    return lines


def _notes(found: Transfer) -> list[str]:
    return ["", *(f"note: {note}" for note in found.notes)] if found.notes else []
