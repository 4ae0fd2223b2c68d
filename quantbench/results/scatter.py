"""A picture of a transfer: every item by its toy metric and its real one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.results.label_places import Box, label_places
from quantbench.results.render import estimate
from quantbench.results.transfer import Side, Transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png", ".pdf")
INSTALL = "pip install 'quantbench[plot]'"
INK, MUTED, DOT, CONTRARY = "#222222", "#9aa3ad", "#1f5fa8", "#c2410c"
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
STEPS = 40
"""Places along a line between two items that names keep clear of."""

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "quantbench",
    "font.family": "sans-serif",
    "font.size": 9,
    "pdf.fonttype": 42,
}
"""Text stays text in the file, and the same figure gives the same file."""


def check_plot(path: Path) -> None:
    """Raise ConfigError, before anything is computed, where no picture can be written to ``path``."""
    if path.suffix not in ENDINGS:
        raise ConfigError(f"--plot {path}: must end in one of {', '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"--plot {path}: there is no folder {path.parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"--plot {path}: needs matplotlib; install it with {INSTALL}") from error


def scatter(found: Transfer, path: Path) -> None:
    """Draw the items with the 95 % intervals of their means, and a line between those that the two codecs order otherwise.

    Raises:
        ConfigError: see ``check_plot``.
        QuantBenchError: the file cannot be written.
    """
    check_plot(path)
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = _figure(found)
        # A date would make every file of the same figure another one.
        metadata: dict[str, Any] = {} if path.suffix == ".png" else {"Date" if path.suffix == ".svg" else "CreationDate": None}
        try:
            figure.savefig(path, dpi=160, metadata=metadata)
        except OSError as error:
            raise QuantBenchError(f"{path}: cannot be written ({error.strerror})") from error


def _figure(found: Transfer) -> Figure:
    from matplotlib.figure import Figure

    # 72 dots an inch: the screen's units, in which names are placed, are points, those of SVG and PDF.
    figure = Figure(figsize=(7.2, 5.2), dpi=72, layout="constrained")
    axes = figure.add_subplot()
    points = np.array([[one.mean for one in side.means] for side in (found.toy, found.real)]).T
    _disagreements(axes, found, points)
    bars = [_half_widths(side) for side in (found.toy, found.real)]
    axes.errorbar(points[:, 0], points[:, 1], xerr=bars[0], yerr=bars[1], fmt="none", ecolor=MUTED, elinewidth=0.8, zorder=2)
    axes.plot(*points.T, "o", color=DOT, markersize=5, markeredgecolor="white", markeredgewidth=0.6, zorder=4)
    axes.margins(0.08)
    axes.set_xlabel(_axis("toy", found.toy), color=INK)
    axes.set_ylabel(_axis("real codec", found.real), color=INK)
    axes.set_title(_title(found), loc="left", fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eceff2", linewidth=0.7)
    axes.set_axisbelow(True)
    figure.draw_without_rendering()  # settles the margins, which the places of names depend on
    figure.set_layout_engine("none")
    _names(axes, found, points, bars)
    return figure


def _half_widths(side: Side) -> NDArray[np.float64]:
    """Half the intervals of the means; 0 where there is none."""
    return np.nan_to_num([one.high - one.mean for one in side.means])


def _axis(label: str, side: Side) -> str:
    return f"{label}: {side.metric} ({'lower' if side.sign > 0 else 'higher'} is better)"


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


def _names(axes: Axes, found: Transfer, points: NDArray[np.float64], half: list[NDArray[np.float64]]) -> None:
    """Write the names beside their points, with a thin line to those that found no room near."""
    to_screen = axes.transData.transform
    centres = to_screen(points)
    low, high = to_screen(points - np.array(half).T), to_screen(points + np.array(half).T)
    bars: list[Box] = []
    for (x, y), (left, bottom), (right, top) in zip(centres, low, high, strict=True):
        bars += [(left, y - 1, right, y + 1), (x - 1, bottom, x + 1, top)]
    for pair in found.disagreements:
        steps = np.linspace(centres[pair.first], centres[pair.second], STEPS)
        bars += [(x - 2, y - 2, x + 2, y + 2) for x, y in steps]
    texts = [axes.text(0, 0, name, fontsize=8, color=INK, va="bottom", zorder=5, bbox=PAPER) for name in found.names]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([(extent.width + 2, extent.height + 1) for extent in extents])
    box = axes.get_window_extent()
    places = np.array(label_places(centres, sizes, bars, (box.x0, box.y0, box.x1, box.y1)))
    for text, corner, size, centre in zip(texts, places, sizes, centres, strict=True):
        x, y = axes.transData.inverted().transform(corner)
        text.set_position((x, y))
        nearest = np.clip(centre, corner, corner + size)
        if np.hypot(*(nearest - centre)) > 12:
            ends = axes.transData.inverted().transform([nearest, centre])
            axes.plot(*ends.T, color=MUTED, linewidth=0.6, zorder=3, scalex=False, scaley=False)
