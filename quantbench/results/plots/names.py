"""Names beside points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantbench.results.label_places import Box, label_places
from quantbench.results.plots.common import INK, MUTED, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAR = 12
"""Dots from a point at which a name gets a thin line to it."""


def name_points(axes: Axes, names: Sequence[str], points: NDArray[np.float64], covered: Sequence[Box] = ()) -> None:
    """Write names beside their points, with a thin line to those that found no room near.

    Args:
        points: (names, 2) in the units of the data; the figure is settled.
        covered: boxes on the screen that names keep clear of.
    """
    centres = axes.transData.transform(points)
    texts = [axes.text(0, 0, name, fontsize=8, color=INK, va="bottom", zorder=5, bbox=PAPER) for name in names]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([(extent.width + 2, extent.height + 1) for extent in extents])
    box = axes.get_window_extent()
    places = np.array(label_places(centres, sizes, covered, (box.x0, box.y0, box.x1, box.y1)))
    to_data = axes.transData.inverted().transform
    for text, corner, size, centre in zip(texts, places, sizes, centres, strict=True):
        x, y = to_data(corner)
        text.set_position((x, y))
        nearest = np.clip(centre, corner, corner + size)
        if np.hypot(*(nearest - centre)) > FAR:
            ends = to_data([nearest, centre])
            axes.plot(*ends.T, color=MUTED, linewidth=0.6, zorder=3, scalex=False, scaley=False)


def settle(figure: Figure) -> None:
    """Fix margins, which the places of names depend on. At 72 dots an inch the units of the screen are points, as in SVG."""
    figure.set_dpi(72)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def bars(axes: Axes, lows: NDArray[np.float64], highs: NDArray[np.float64], points: NDArray[np.float64]) -> list[Box]:
    """Boxes on the screen of the intervals (points, 2) in both directions; the figure is settled."""
    to_screen = axes.transData.transform
    found: list[Box] = []
    for (x, y), (left, bottom), (right, top) in zip(to_screen(points), to_screen(lows), to_screen(highs), strict=True):
        found += [(left, y - 1, right, y + 1), (x - 1, bottom, x + 1, top)]
    return found
