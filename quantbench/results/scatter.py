"""A picture of two rankings: what the toy says against what the real codec says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.results.items import sign_of
from quantbench.results.transfer import Transfer, means

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INSTALL = "pip install 'quantbench[plot]'"
SUFFIXES = (".svg", ".png", ".pdf")
INK, MUTED, ACCENT = "#1f2430", "#8a93a6", "#2f6fde"
TRIED = 24
"""Places around a point at which its name is tried."""


def scatter(found: Transfer, path: Path) -> None:
    """Write the picture: a point an item, with its name and the intervals of both means.

    Raises:
        ConfigError: the extra ``plot`` is not installed, or the file's name has no known ending.
        QuantBenchError: the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--plot {path}: must end with {', '.join(SUFFIXES)}")
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"--plot {path}: needs the extra 'plot': {INSTALL}") from error
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "quantbench", "font.size": 9}):
        figure = Figure(figsize=(7, 5.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        _points(axes, found)
        axes.set_title(_title(found), loc="left", fontsize=10, color=INK)
        figure.draw_without_rendering()
        _names(axes, found)
        try:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
        except OSError as error:
            raise QuantBenchError(f"--plot {path}: cannot be written ({error.strerror})") from error


def _title(found: Transfer) -> str:
    separated = found.separated
    agreed = sum(pair.agrees for pair in separated)
    return f"{agreed} of {len(separated)} separated pairs in the same order, Kendall's tau {found.kendall.mean:.2f}"


def _points(axes: Axes, found: Transfer) -> None:
    for metric, axis in zip(found.metrics, "xy", strict=True):
        better = "less" if sign_of(metric) > 0 else "more"
        getattr(axes, f"set_{axis}label")(f"{'toy' if axis == 'x' else 'real codec'}: {metric} ({better} is better)", color=INK)
    x, y = means(found.toy, found.metrics[0]), means(found.real, found.metrics[1])
    for a, b in zip(x, y, strict=True):
        for one, places in ((a, ([a.low, a.high], [b.mean, b.mean])), (b, ([a.mean, a.mean], [b.low, b.high]))):
            if not np.isnan(one.low):
                axes.plot(*places, color=MUTED, linewidth=1, zorder=1)
    axes.plot([one.mean for one in x], [one.mean for one in y], "o", color=ACCENT, markersize=6, zorder=2)
    axes.margins(0.12)
    axes.grid(color="#e6e9ef", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=INK, length=3)


def _names(axes: Axes, found: Transfer) -> None:
    """Put every name beside its point where it covers no other name and no point, as near as can be."""
    x, y = means(found.toy, found.metrics[0]), means(found.real, found.metrics[1])
    points = axes.transData.transform([(a.mean, b.mean) for a, b in zip(x, y, strict=True)])
    frame = axes.get_window_extent()
    taken: list[Any] = []
    for name, point in sorted(zip(found.names, points, strict=True), key=lambda pair: -pair[1][1]):
        best, least = None, np.inf
        text = axes.annotate(name, point, xycoords="figure pixels", fontsize=8, color=INK, va="center")
        for radius in (9, 18, 30, 44):
            for angle in np.linspace(0, 2 * np.pi, TRIED, endpoint=False):
                dx, dy = radius * np.cos(angle), radius * np.sin(angle)
                text.set_horizontalalignment("left" if dx >= 0 else "right")
                text.set_position((point[0] + dx, point[1] + dy))
                box = text.get_window_extent().expanded(1.02, 1.15)
                cost = radius / 10 + abs(np.sin(angle)) + 40 * sum(box.overlaps(other) for other in taken)
                cost += 40 * sum(box.contains(*other) for other in points)
                cost += 100 * (box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1)
                if cost < least:
                    best, least, kept = (text.get_horizontalalignment(), text.get_position(), radius), cost, box
        assert best is not None
        text.set_horizontalalignment(best[0])
        text.set_position(best[1])
        taken.append(kept)
        # In the data's coordinates, so that what is saved at another resolution lies where it was measured.
        back = axes.transData.inverted().transform
        (from_x, from_y), (to_x, to_y) = back(best[1]), back(point)
        text.remove()
        line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3} if best[2] > 9 else None
        axes.annotate(name, (to_x, to_y), (from_x, from_y), fontsize=8, color=INK, va="center", ha=best[0], arrowprops=line)
