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

BARS, DOT = Style("#9aa3ad", "", "solid"), Style("#1f5fa8", "o", "none")
FAR, CONTRARY = Style("#1f5fa8", "D", "none"), Style("#c2410c", "", "dashed")
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
    sides = (found.toy, found.real)
    points = np.array([[one.mean for one in side.means] for side in sides]).T
    half = np.nan_to_num([[one.high - one.mean for one in side.means] for side in sides]).T
    far = far_away(points)
    names = [f"{name} ({x:.3g}, {y:.3g})" if out else name for name, out, (x, y) in zip(found.names, far, points, strict=True)]
    # The axes end at the items that are not far away; those stand at the edge, without intervals.
    low, high = (points - half)[~far].min(axis=0), (points + half)[~far].max(axis=0)
    margin = (0.12 if far.any() else 0.06) * (high - low)
    margin = np.where(margin > 0, margin, 1.0)
    points = np.clip(points, low - margin / 2, high + margin / 2)
    half[far] = 0
    panel = Panel(_title(found))
    for pair in found.disagreements:
        ends = points[[pair.first, pair.second]]
        panel.series.append(Series(Look("disagreement", 1, opacity=0.7), ends[:, 0], ends[:, 1], style=CONTRARY))
    x, y = points.T
    for across, middle, wide in ((True, x, half[:, 0]), (False, y, half[:, 1])):
        panel.series.append(Series(Look("bar", across=across), x, y, style=BARS, low=middle - wide, high=middle + wide))
    for look, chosen, style in ((Look("item", mark=5), ~far, DOT), (Look("far", mark=5), far, FAR)):
        panel.series.append(Series(look, x[chosen], y[chosen], style=style))
    panel.texts += [Text(x, y, name, "beside") for name, (x, y) in zip(names, points, strict=True)]
    axes = [
        Axis(f"{label}: {axis_title(side.metric)}", limits=(a, b))
        for label, side, a, b in zip(("toy", "real codec"), sides, low - margin, high + margin, strict=True)
    ]
    legend: list[tuple[str, str | Style]] = [("order differs", CONTRARY)] if found.disagreements else []
    return Picture("Transfer", [panel], axes[0], axes[1], {}, legend, size=(6.2, 4.4))


def far_away(points: Floats) -> NDArray[np.bool_]:
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
