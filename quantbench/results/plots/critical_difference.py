"""Mean ranks on a line, with bars over methods that do not differ (Demšar 2006)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quantbench.errors import ConfigError
from quantbench.results.palette import Style
from quantbench.results.plots.data import Data
from quantbench.results.plots.picture import BAD, INK, Axis, Look, Panel, Picture, Series, Text, literal
from quantbench.results.rank import Ranking, Standing, rank

ROW, BAR = 0.24, 0.13
"""Inches between names, and between bars."""

LETTER = 0.07
"""Inches of a letter of a name."""

INKED = Style(INK, "o", "solid")


def critical_difference(data: Data, metric: str | None) -> Picture:
    """Mean ranks, and groups by Wilcoxon's tests with Holm's adjustment over tasks and seeds, as ``quantbench rank`` has them.

    Raises:
        ConfigError: see ``rank``; fewer than two methods; no task that every method has.
    """
    return of_ranking(rank(data.frame(metric, goal=True)), data.styles, data.labels)


def of_ranking(rankings: list[Ranking], styles: dict[str, Style], names: Mapping[str, str] | None = None) -> Picture:
    """See ``critical_difference``."""
    lists = [one for one in rankings if len(one.standings) > 1]
    if not lists:
        raise ConfigError("a single method, or one at each rate: there is nothing to rank")
    if len(lists) > 1:
        rates = ", ".join(str(one.rate) for one in lists)
        raise ConfigError(f"methods stand at different rates ({rates}), and are ranked rate by rate: choose one")
    (found,) = lists
    if not found.blocks:
        raise ConfigError("no task and seed has a trial of every method: there are no ranks")
    standings = sorted(found.standings, key=lambda one: one.mean_rank)
    bars = [[found.standings[place].mean_rank for place in group] for group in found.groups if len(group) > 1]
    bars.sort(key=lambda ranks: (min(ranks), max(ranks)))
    methods, half = len(standings), math.ceil(len(standings) / 2)
    labels = [_label(one, (names or {}).get(one.method, one.method)) for one in standings]
    below, beside = BAR * (len(bars) + 2), LETTER * max(map(len, labels)) + 0.25
    high, wide = below + ROW * (half + 0.5), max(3.6, 0.25 * methods)
    panel = Panel("", [_line([1, methods], [0, 0], 1.2)])
    for place, (one, label) in enumerate(zip(standings, labels, strict=True)):
        row = place if place < half else methods - 1 - place
        _name(panel, one, label, place < half, below + ROW * (row + 0.5), methods)
    for number, ranks in enumerate(bars):
        panel.series.append(_line(ranks, [BAR * (number + 1.2)] * len(ranks), 2.5, 4))
    # The scale keeps to the middle, between the names.
    margin = beside / wide * (methods - 1)
    return Picture(
        f"Mean ranks by {found.metric.name}",
        [panel],
        Axis(
            "mean rank (1 is best)", limits=(1 - margin, methods + margin), ticks=range(1, methods + 1, max(1, methods // 10))
        ),
        Axis("", limits=(high, 0), ticks=[]),
        styles,
        size=(wide + 2 * beside, high),
        words=_words(found, len(bars)),
        notes=list(found.notes),
    )


def _line(x: list[float] | list[int], y: list[float] | list[int], line: float, mark: float = 0) -> Series:
    order = np.argsort(x, kind="stable")
    return Series(
        Look("group" if mark else "scale", line, mark), np.array(x, float)[order], np.array(y, float)[order], style=INKED
    )


def _name(panel: Panel, one: Standing, label: str, at_left: bool, y: float, methods: int) -> None:
    """A line from the method's mean rank down and out to its name."""
    edge = 1 - 0.02 * methods if at_left else methods + 0.02 * methods
    x = np.array([one.mean_rank, one.mean_rank, edge])
    panel.series += [
        Series(Look("stem", line=1.1), x, np.array([0, y, y]), one.method),
        Series(Look("rank", mark=6), x[:1], np.zeros(1), one.method),
    ]
    panel.texts.append(Text(edge, y, label, "left" if at_left else "right", BAD if one.diverged + one.failed else INK))


def _label(one: Standing, name: str) -> str:
    bad = f", × {one.diverged + one.failed}/{one.trials}" if one.diverged + one.failed else ""
    return f"{literal(name)} ({one.mean_rank:.1f}{bad})"


def _words(found: Ranking, bars: int) -> list[str]:
    words = [f"{found.metric.titled}: mean ranks over {found.blocks} {found.units}"]
    if found.separable:
        words[0] += (
            "; a bar joins methods of which no two differ significantly (Wilcoxon's signed-rank tests, Holm's adjustment, 5 %; "
            "of these tasks alone)"
        )
    if found.separable and not bars:
        words.append("every two methods differ significantly")
    if any(one.diverged + one.failed for one in found.standings):
        words.append("×: trials that diverged or failed, which rank as worst")
    return [*words, *found.notes]
