"""A picture of a transfer: every item by its toy metric and its real one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantbench.results.plots.common import INK, STYLE, check_picture, plain, save
from quantbench.results.plots.names import bars, name_points, settle
from quantbench.results.render import estimate
from quantbench.results.transfer import Side, Transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS, DOT, CONTRARY = "#9aa3ad", "#1f5fa8", "#c2410c"
FENCE, FEW = 3.0, 4.0
"""An item is far away beyond so many interquartile ranges, where the others take less than one in so many of the picture."""

STEPS = 40
"""Places along a line between two items that names keep clear of."""


def scatter(found: Transfer, path: Path) -> None:
    """Draw the items with the intervals of their means, and a line between those that the two codecs order otherwise.

    Raises:
        ConfigError: see ``check_picture``.
        QuantBenchError: the file cannot be written.
    """
    check_picture(path, "--plot")
    import matplotlib

    with matplotlib.rc_context(STYLE):
        save(_figure(found), path)


def _figure(found: Transfer) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    axes = figure.add_subplot()
    points = np.array([[one.mean for one in side.means] for side in (found.toy, found.real)]).T
    half = [_half_widths(side) for side in (found.toy, found.real)]
    names = list(found.names)
    far = far_away(points)
    if far.any():
        names = [
            f"{name} ({x:.3g}, {y:.3g})" if is_far else name for name, is_far, (x, y) in zip(names, far, points, strict=True)
        ]
        points, half = _drawn_in(axes, points, half, far)
    _disagreements(axes, found, points)
    axes.errorbar(points[:, 0], points[:, 1], xerr=half[0], yerr=half[1], fmt="none", ecolor=BARS, elinewidth=0.8, zorder=2)
    axes.plot(*points[~far].T, "o", color=DOT, markersize=5, markeredgecolor="white", markeredgewidth=0.6, zorder=4)
    axes.plot(*points[far].T, "D", color="white", markersize=5, markeredgecolor=DOT, zorder=4)
    if not far.any():
        axes.margins(0.08)
    axes.set_xlabel(_axis("toy", found.toy), color=INK)
    axes.set_ylabel(_axis("real codec", found.real), color=INK)
    axes.set_title(_title(found), loc="left", fontsize=9, color=INK)
    plain(axes)
    settle(figure)
    _names(axes, found, names, points, half)
    return figure


def far_away(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Items without which the picture would be a quarter as wide or high: they would leave no room to tell the others apart."""
    far = np.zeros(len(points), bool)
    for values in points.T:
        low, high = np.quantile(values, [0.25, 0.75])
        outside = (values < low - FENCE * (high - low)) | (values > high + FENCE * (high - low))
        if outside.any() and FEW * np.ptp(values[~outside]) < np.ptp(values):
            far |= outside
    return far


def _drawn_in(
    axes: Axes, points: NDArray[np.float64], half: list[NDArray[np.float64]], far: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Limit the axes to the items that are not far away; those stand at the edge, without intervals."""
    widths = np.array(half).T
    low, high = (points - widths)[~far].min(axis=0), (points + widths)[~far].max(axis=0)
    margin = 0.12 * (high - low)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    return np.clip(points, low - margin / 2, high + margin / 2), [np.where(far, 0.0, one) for one in half]


def _half_widths(side: Side) -> NDArray[np.float64]:
    """Half the intervals of the means; 0 where there is none."""
    return np.nan_to_num([one.high - one.mean for one in side.means])


def _axis(label: str, side: Side) -> str:
    return f"{label}: {side.metric.titled}"


def _title(found: Transfer) -> str:
    separated = len(found.separated)
    same = separated - len(found.disagreements)
    order = f"{same} of {separated} separated pairs in the same order" if separated else "no pair is separated"
    return f"Kendall's tau-b {estimate(found.tau)}; {order}"


def _disagreements(axes: Axes, found: Transfer, points: NDArray[np.float64]) -> None:
    label: str | None = "order differs"
    for pair in found.disagreements:
        x, y = points[[pair.first, pair.second]].T
        axes.plot(x, y, color=CONTRARY, linewidth=1, linestyle=(0, (4, 3)), alpha=0.7, zorder=1, label=label)
        label = None
    if found.disagreements:
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, labelcolor=INK)


def _names(axes: Axes, found: Transfer, names: list[str], points: NDArray[np.float64], half: list[NDArray[np.float64]]) -> None:
    """Write the names beside their points, clear of intervals and of lines between items."""
    to_screen = axes.transData.transform
    centres = to_screen(points)
    covered = bars(axes, points - np.array(half).T, points + np.array(half).T, points)
    for pair in found.disagreements:
        steps = np.linspace(centres[pair.first], centres[pair.second], STEPS)
        covered += [(x - 2, y - 2, x + 2, y + 2) for x, y in steps]
    name_points(axes, names, points, covered)
