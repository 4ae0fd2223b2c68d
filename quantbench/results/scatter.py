"""A picture of a transfer: every item by its toy metric and its real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantbench.results.palette import Style
from quantbench.results.plots.data import axis_title
from quantbench.results.plots.paper import check_picture, save
from quantbench.results.plots.picture import Axis, Floats, Look, Panel, Picture, Series, Text
from quantbench.results.render import estimate
from quantbench.results.transfer import Transfer

BARS, DOT = Style("#7d8793", "", "solid"), Style("#1f5fa8", "o", "none")
FAR, CONTRARY = Style("#1f5fa8", "D", "none"), Style("#c2410c", "", "dashed")
Flags = NDArray[np.bool_]
FENCE, FEW = 3.0, 4.0
"""An item is far away beyond so many interquartile ranges, where the others take less than one in so many of the picture."""


def scatter(found: Transfer, path: Path) -> None:
    """Draw the items with the intervals of their means, and a line between those that the two codecs order otherwise.

    Raises:
        ConfigError: see ``check_picture``.
        QuantBenchError: the file cannot be written.
    """
    check_picture(path, "--plot")
    save(picture(found), path)


def picture(found: Transfer) -> Picture:
    """All items where they were measured; where some are far away, the others once more beside them, for themselves."""
    sides = (found.toy, found.real)
    points = np.array([[one.mean for one in side.means] for side in sides]).T
    half = np.nan_to_num([[one.high - one.mean for one in side.means] for side in sides]).T
    far = far_away(points)
    panels = [_panel(found, points, half, far, np.ones(len(far), bool), _title(found))]
    if far.any():
        count = f"{far.sum()} items" if far.sum() > 1 else "one item"
        panels.append(_panel(found, points, half, far, ~far, f"the same without {count} far away"))
    axes = [Axis(f"{label}: {axis_title(side.metric)}") for label, side in zip(("toy", "real codec"), sides, strict=True)]
    legend: list[tuple[str, str | Style]] = [("order differs", CONTRARY)] if found.disagreements else []
    return Picture("Transfer", panels, axes[0], axes[1], {}, legend, size=(4.8, 4.0) if far.any() else (6.2, 4.4))


def _panel(found: Transfer, points: Floats, half: Floats, far: Flags, shown: Flags, title: str) -> Panel:
    """The items shown, with the axes that these take."""
    low, high = (points - half)[shown].min(axis=0), (points + half)[shown].max(axis=0)
    margin = 0.06 * (high - low)
    margin = np.where(margin > 0, margin, 1.0)
    ends = [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]
    panel = Panel(title, limits=(ends[0], ends[1]))
    for pair in found.disagreements:
        if shown[pair.first] and shown[pair.second]:
            x, y = points[[pair.first, pair.second]].T
            panel.series.append(Series(Look("disagreement", 1, opacity=0.7), x, y, style=CONTRARY))
    x, y = points[shown].T
    for across, middle, wide in ((True, x, half[shown][:, 0]), (False, y, half[shown][:, 1])):
        panel.series.append(Series(Look("bar", across=across), x, y, style=BARS, low=middle - wide, high=middle + wide))
    for role, chosen, style in (("item", shown & ~far, DOT), ("far", shown & far, FAR)):
        if chosen.any():
            panel.series.append(Series(Look(role, mark=5), points[chosen, 0], points[chosen, 1], style=style))
    # Among items that are far apart, names of those near one another would cover each other: they are in the other panel.
    named = far if far.any() and shown.all() else shown
    panel.texts += [
        Text(float(x), float(y), name, "beside") for (x, y), name, at in zip(points, found.names, named, strict=True) if at
    ]
    return panel


def far_away(points: Floats) -> Flags:
    """Items without which the picture would be a quarter as wide or high: they would leave no room to tell the others apart."""
    far = np.zeros(len(points), bool)
    for values in points.T:
        low, high = np.quantile(values, [0.25, 0.75])
        outside = (values < low - FENCE * (high - low)) | (values > high + FENCE * (high - low))
        if outside.any() and FEW * np.ptp(values[~outside]) < np.ptp(values):
            far |= outside
    return far


def _title(found: Transfer) -> str:
    separated = len(found.separated)
    same = separated - len(found.disagreements)
    order = f"{same} of {separated} separated pairs in the same order" if separated else "no pair is separated"
    return f"Kendall's tau-b {estimate(found.tau)}; {order}"
