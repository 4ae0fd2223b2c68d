"""Mean ranks on a line, with bars over methods that do not differ (Demšar 2006)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantbench.errors import ConfigError
from quantbench.results.palette import Style
from quantbench.results.plots.common import BAD, INK, Picture, caption, literal, marks
from quantbench.results.plots.data import Data
from quantbench.results.rank import Ranking, Standing, rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, BAR = 0.24, 0.13
"""Inches between names, and between bars."""


def critical_difference(data: Data, metric: str | None) -> Picture:
    """Mean ranks, and groups by Wilcoxon's tests with Holm's adjustment over tasks and seeds, as ``quantbench rank`` has them.

    Raises:
        ConfigError: see ``rank``; fewer than two methods; no task that every method has.
    """
    lists = [one for one in rank(data.frame(metric, goal=True)) if len(one.standings) > 1]
    if not lists:
        raise ConfigError("a single method, or one at each rate: there is nothing to rank")
    if len(lists) > 1:
        rates = ", ".join(str(one.rate) for one in lists)
        raise ConfigError(f"methods stand at different rates ({rates}), and are ranked rate by rate: choose one")
    (found,) = lists
    if not found.blocks:
        raise ConfigError("no task and seed has a trial of every method: there are no ranks")
    order = sorted(range(len(found.standings)), key=lambda place: found.standings[place].mean_rank)
    standings = [found.standings[place] for place in order]
    bars = [[found.standings[place].mean_rank for place in group] for group in found.groups if len(group) > 1]
    bars.sort(key=lambda ranks: (min(ranks), max(ranks)))
    labels = [_label(one) for one in standings]
    half = math.ceil(len(standings) / 2)
    figure, axes = _canvas(len(standings), len(bars), half, max(map(len, labels)))
    styles = data.styles()
    below = BAR * (len(bars) + 2)
    for place, (one, label) in enumerate(zip(standings, labels, strict=True)):
        row = place if place < half else len(standings) - 1 - place
        _name(axes, one, label, place < half, below + ROW * (row + 0.5), styles[one.method])
    for number, ranks in enumerate(bars):
        y = BAR * (number + 1.2)
        axes.plot([min(ranks), max(ranks)], [y, y], color=INK, linewidth=2.5, zorder=3, label="group")
        axes.plot(ranks, [y] * len(ranks), "o", color=INK, markersize=4, zorder=4)
    caption(figure, "\n".join(_words(found, len(bars))))
    return Picture(figure, list(found.notes))


def _canvas(methods: int, bars: int, rows: int, longest: int) -> tuple[Figure, Axes]:
    """A scale of ranks at the top; vertical units are inches below it."""
    from matplotlib.figure import Figure

    high = BAR * (bars + 2) + ROW * (rows + 0.5)
    wide = max(3.6, 0.25 * methods) + 2 * (0.07 * longest + 0.25)
    figure = Figure(figsize=(wide, high + 1.15), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylim(high, 0)
    # The scale keeps to the middle, between the names.
    beside = (0.07 * longest + 0.25) / (wide - 2 * (0.07 * longest + 0.25)) * (methods - 1)
    axes.set_xlim(1 - beside, methods + beside)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(1, methods + 1, max(1, methods // 10)))
    axes.tick_params(labelsize=8)
    axes.plot([1, methods], [0, 0], color=INK, linewidth=1.2, clip_on=False)
    axes.set_xlabel("mean rank (1 is best)", color=INK)
    return figure, axes


def _name(axes: Axes, one: Standing, label: str, at_left: bool, y: float, style: Style) -> None:
    """A line from the method's mean rank down and out to its name."""
    left, right = axes.get_xlim()
    methods = left + right - 1  # the limits lie evenly about 1 and the number of methods
    edge = 1 - 0.02 * methods if at_left else methods + 0.02 * methods
    axes.plot(
        [one.mean_rank, one.mean_rank, edge], [0, y, y], color=style.colour, linestyle=style.dash, linewidth=1.1, zorder=2
    )
    axes.plot([one.mean_rank], [0], color=style.colour, zorder=4, clip_on=False, label=one.method, **marks(style, 6))
    axes.annotate(
        label,
        (edge, y),
        xytext=(-4 if at_left else 4, 0),
        textcoords="offset points",
        ha="right" if at_left else "left",
        va="center",
        fontsize=8,
        color=BAD if one.diverged + one.failed else INK,
    )


def _label(one: Standing) -> str:
    bad = f", × {one.diverged + one.failed}/{one.trials}" if one.diverged + one.failed else ""
    return f"{literal(one.method)} ({one.mean_rank:.1f}{bad})"


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
