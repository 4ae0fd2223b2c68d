"""Pictures as SVG, PNG and PDF, by matplotlib; the same picture gives the same file."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.files import replacing
from quantbench.install import how_to_install
from quantbench.results.label_places import Box, label_places
from quantbench.results.palette import Style
from quantbench.results.plots.logarithmic import logarithmic
from quantbench.results.plots.picture import Axis, Panel, Picture, Series, Text, apart, nonnegative, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png", ".pdf")
INKS = {"ink": "#222222", "muted": "#6b7280", "bad": "#b91c1c", "paper": "#ffffff", "black": "#000000"}
INK, MUTED, GRID = INKS["ink"], INKS["muted"], "#eceff2"
GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
"""Behind text that stands among data."""

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "quantbench",
    "font.family": "sans-serif",
    "font.size": 9,
    "pdf.fonttype": 42,
    "text.parse_math": False,
}
"""Text stays text in the file, a name with dollar signs is no formula, and the same figure gives the same file."""

MARKS, LINE = 6, 0.17
"""Marks along a line, those of different lines at different points; inches of a line of the legend."""

GAP = 0.1
"""Inches on each side of a panel: numbers of neighbouring axes do not touch."""

FAR, STEPS = 12, 40
"""Dots from a point at which a name gets a thin line to it; places along a line that names keep clear of."""


def check_picture(path: Path, option: str) -> None:
    """Raise ConfigError, before anything is computed, where no picture can be written to ``path``."""
    if path.suffix not in ENDINGS:
        raise ConfigError(f"{option} {path}: must end in one of {', '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: there is no folder {path.parent}")
    check_matplotlib(f"{option} {path}")


def check_matplotlib(what: str) -> None:
    """Raise ConfigError where the extra is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{what}: needs matplotlib; install it with {how_to_install('plot')}") from error


def save(picture: Picture, path: Path, title: str | None = None) -> None:
    """Draw a picture into a file. Raises QuantBenchError where it cannot be written."""
    import matplotlib

    # A date would make every file of the same figure another one.
    metadata: dict[str, Any] = {} if path.suffix == ".png" else {"Date" if path.suffix == ".svg" else "CreationDate": None}
    metadata |= {"Title": title} if title is not None else {}
    try:
        with matplotlib.rc_context(STYLE), replacing(path, durable=False) as partial:  # never through a link
            draw(picture).savefig(partial, format=path.suffix[1:], dpi=160, metadata=metadata)
    except OSError as error:
        raise QuantBenchError(f"{path}: cannot be written ({error.strerror})") from error


def draw(picture: Picture) -> Figure:
    """The figure, within ``STYLE``."""
    figure, grid = _grid(picture)
    for axes, panel in zip(grid, picture.panels, strict=False):
        _panel(axes, panel, picture)
    _axes(grid, picture)
    for axes, panel in zip(grid, picture.panels, strict=False):
        _texts(axes, panel)
    if picture.legend:
        _legend(figure, picture)
    words = picture.caption
    if len(picture.panels) > len(grid):
        words.append(f"the first {len(grid)} of {len(picture.panels)} panels are drawn; --within makes fewer tasks")
    _caption(figure, words)
    if any(text.side == "beside" for panel in picture.panels for text in panel.texts):
        # Fix margins, which the places of names depend on. At 72 dots an inch the units of the screen are points, as in SVG.
        figure.set_dpi(72)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for axes, panel in zip(grid, picture.panels, strict=False):
            _name_points(axes, panel)
    return figure


def _grid(picture: Picture) -> tuple[Figure, list[Axes]]:
    """A figure with axes for each panel, and room for names beside and below them, the legend and the caption."""
    from matplotlib.figure import Figure

    count = min(len(picture.panels), picture.most)
    across = min(count, picture.columns)
    down = math.ceil(count / across)
    x, y = picture.x, picture.y
    wide = across * (picture.size[0] + 0.4 * (not y.names)) + (0.4 + 0.075 * _longest(y.names) if y.names else 0.6)
    high = down * (picture.size[1] + 0.35 + 0.15 * (not x.names)) + (0.7 + 0.055 * _longest(x.names) if x.names else 0.5)
    if picture.legend:
        labels = [label for label, _ in picture.legend]
        high = max(high, LINE * _lines(labels, 2) + 0.8)
        wide += (0.5 + 0.068 * _longest(labels)) * _columns(labels, high)
    figure = Figure(figsize=(wide, high), layout="constrained")
    figure.get_layout_engine().set(w_pad=GAP)  # type: ignore[union-attr, call-arg]
    shared = all(panel.limits is None for panel in picture.panels)
    grid = list(figure.subplots(down, across, squeeze=False, sharey=shared, sharex=bool(y.names)).ravel())
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]


def _longest(labels: Sequence[str]) -> int:
    return max(len(part) for label in labels for part in label.split("\n"))


def _panel(axes: Axes, panel: Panel, picture: Picture) -> None:
    from matplotlib.patches import Rectangle

    if panel.title:
        axes.set_title(wrapped(panel.title, 44 if picture.size[0] > 2.5 else 30), loc="left", fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    if not panel.cells:
        axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    lines = sum(one.look.sparse for one in panel.series)
    for place, one in enumerate(panel.series):
        _series(axes, _at_edge(one, picture.y), picture.style(one), place, lines)
    for cell in panel.cells:
        edge, wide = (INKS.get(cell.edge, cell.edge), 1.4) if cell.edge else ("white", 0.5)
        face = INKS.get(cell.colour, cell.colour)
        corner = (cell.x - 0.47, cell.y - 0.45)
        axes.add_patch(Rectangle(corner, 0.94, 0.9, facecolor=face, edgecolor=edge, linewidth=wide))
        ink = INKS.get(cell.ink, cell.ink)
        axes.text(cell.x, cell.y, cell.text, ha="center", va="center", fontsize=7, color=ink)


def _at_edge(one: Series, axis: Axis) -> Series:
    """Crosses of failures that lie beyond an axis stand at its end; all else is where it was measured, or outside."""
    if one.look.role != "failed" or one.look.edge or axis.limits is None:
        return one
    low, high = axis.limits
    return replace(one, y=np.clip(one.y, None if math.isnan(low) else low, None if math.isnan(high) else high))


def _series(axes: Axes, one: Series, style: Style, place: int, lines: int) -> None:
    look, colour = one.look, INKS.get(style.colour, style.colour)
    order = 2 + 0.001 * place
    x, y = one.x, one.y if one.rows is None or not look.spread else one.y + look.spread * apart(one.rows)
    if one.low is not None and one.high is not None:
        middle = x if look.across else y
        if look.band and not np.isnan(one.low).all():
            axes.fill_between(x, one.low, one.high, color=colour, alpha=look.band, linewidth=0)
        elif not look.band:
            around = {"xerr" if look.across else "yerr": np.nan_to_num([middle - one.low, one.high - middle]).clip(0)}
            axes.errorbar(x, y, **around, fmt="none", ecolor=colour, elinewidth=1.1, zorder=order)  # type: ignore[arg-type]
    if not look.line and not look.mark:
        return
    options = _marks(style, look.mark) if look.mark else {}
    if look.sparse:
        every = max(1, len(x) // MARKS)
        options["markevery"] = (place * every // lines, every)
    if look.edge:
        x = np.full(len(y), 0.985 if look.edge == "right" else 0.015)
        options["transform"] = axes.get_yaxis_transform()
    elif look.role in ("scale", "rank"):
        options["clip_on"] = False
    dash: Any = style.dash if look.line else "none"
    name = one.method if one.method is not None and look.role == "mean" else look.role
    drawn = {"color": colour, "linestyle": dash, "linewidth": look.line, "alpha": look.opacity, "zorder": order}
    axes.plot(x, y, label=name, **drawn, **options)


def _marks(style: Style, size: float) -> dict[str, Any]:
    """How a method's markers look, on a white edge; stars and crosses larger, for they are thin."""
    if style.marker == "x":
        return {"marker": "x", "markersize": size}
    if size < 4:
        return {"marker": "o", "markersize": size, "markeredgewidth": 0}
    larger = {"*": 1.9, "P": 1.35, "X": 1.35}.get(style.marker, 1.0)
    edge = 0.3 if larger > 1 else 0.5
    return {"marker": style.marker, "markersize": size * larger, "markeredgecolor": "white", "markeredgewidth": edge}


def _axes(grid: Sequence[Axes], picture: Picture) -> None:
    """Ends, numbers and names of axes: at the left of each row of panels, and below those with none beneath."""
    across = min(len(grid), picture.columns)
    for place, axes in enumerate(grid):
        own = picture.panels[place].limits
        first, last = place % across == 0 or own is not None, place + across >= len(grid)
        axes.tick_params(labelsize=8, labelleft=first)
        edges = {one.look.edge for panel in picture.panels for one in panel.series if one.look.edge}
        if any(text.side == "beside" for text in picture.panels[place].texts):
            axes.margins(0.12)
        limits = own or (picture.x.limits, picture.y.limits)
        _axis(axes, "x", replace(picture.x, limits=limits[0]), last, edges)
        _axis(axes, "y", replace(picture.y, limits=limits[1]), place % across == 0, set())
        for which, across_it in (("x", True), ("y", False)):
            if nonnegative(picture, across_it) and getattr(axes, f"get_{which}lim")()[0] < 0:
                getattr(axes, f"set_{which}lim")(0, None)
        _whole_marks(axes)


def _whole_marks(axes: Axes) -> None:
    """Marks at an edge are drawn whole, where no part of their line lies outside."""
    corners = np.sort([axes.get_xlim(), axes.get_ylim()])
    for line in axes.get_lines():
        if line.get_transform() != axes.transData:
            continue  # at an edge, whatever its values
        points = np.asarray(line.get_xydata())
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) and ((points >= corners[:, 0]) & (points <= corners[:, 1])).all():
            line.set_clip_on(False)


def _axis(axes: Axes, which: str, axis: Axis, titled: bool, edges: set[str]) -> None:
    settings = getattr(axes, f"set_{which}lim"), getattr(axes, f"set_{which}ticks"), getattr(axes, f"set_{which}label")
    set_limits, set_ticks, set_label = settings
    if titled:
        set_label(axis.title, color=INK)
    if axis.log:
        logarithmic(axes, which)
    elif which == "x":
        axes.locator_params(axis="x", nbins=6)
    if axis.names:
        turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if which == "x" else {}
        set_ticks(np.arange(len(axis.names)), axis.names, fontsize=8, **turned)
        ends = (-0.5, len(axis.names) - 0.5) if which == "x" else (len(axis.names) - 0.4, -0.6)
        set_limits(*ends)
        if axes.patches:
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
    if axis.ticks is not None:
        set_ticks(axis.ticks)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
    if axis.limits is not None:
        set_limits(*(None if math.isnan(end) else end for end in axis.limits))
    elif edges and which == "x":
        low, high = axes.get_xlim()
        room = 0.06 * (high - low)
        set_limits(low - room * ("left" in edges), high + room * ("right" in edges))


def _texts(axes: Axes, panel: Panel) -> None:
    """Words at their places; those beside points come when margins are settled."""
    tops = [text.x for text in panel.texts if text.side == "top"]
    if tops:
        left, right = axes.get_xlim()
        room = 0.03 * (right - left)
        axes.set_xlim(min(left, min(tops) - room), max(right, max(tops) + room))
    places = {"left": ("right", -4), "right": ("left", 4), "centre": ("center", 0), "top": ("center", 0)}
    for text in panel.texts:
        if text.side == "beside":
            continue
        align, away = places[text.side]
        top = text.side == "top"
        axes.annotate(
            text.text,
            (text.x, 1 if top else text.y),
            xycoords=("data", "axes fraction") if top else "data",
            xytext=(away, 0),
            textcoords="offset points",
            ha=align,
            va="top" if top else "center",
            fontsize=text.size,
            color=INKS.get(text.colour, text.colour),
        )


def _columns(labels: Sequence[str], height: float) -> int:
    """One column where the legend fits beside panels of this height, otherwise two."""
    return 1 if LINE * _lines(labels, 1) + 0.4 <= height else 2


def _lines(labels: Sequence[str], columns: int) -> int:
    """Lines of a legend's longest column; matplotlib gives columns equal numbers of labels."""
    return max(int(part.sum()) for part in np.array_split([label.count("\n") + 1 for label in labels], columns))


def _legend(figure: Figure, picture: Picture) -> None:
    """A legend right of all panels, where it covers nothing."""
    from matplotlib.lines import Line2D

    labels, handles = [label for label, _ in picture.legend], []
    for _, style in picture.legend:
        own = picture.styles[style] if isinstance(style, str) else style
        dash: Any = own.dash
        colour = INKS.get(own.colour, own.colour)
        handles.append(Line2D([], [], color=colour, linestyle=dash, linewidth=1.5, **(_marks(own, 5) if own.marker else {})))
    # Matplotlib would leave out what begins with an underscore, so texts are set afterwards.
    drawn = figure.legend(
        handles,
        ["?"] * len(handles),
        loc="outside right upper",
        ncols=_columns(labels, float(figure.get_size_inches()[1])),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        handlelength=2.6,
        labelspacing=0.35,
    )
    for text, label in zip(drawn.get_texts(), labels, strict=True):
        text.set_text(label)


def _caption(figure: Figure, words: Sequence[str]) -> None:
    """Small print below all panels: what intervals are, and what is not in the picture."""
    width = int(figure.get_size_inches()[0] * 17)
    lines = "\n".join(line for part in words for line in textwrap.wrap(part, width))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=7.5, color=MUTED)


def _name_points(axes: Axes, panel: Panel) -> None:
    """Write names beside their points, clear of intervals and lines, with a thin line to those that found no room near."""
    names = [text for text in panel.texts if text.side == "beside"]
    points = np.array([(text.x, text.y) for text in names])
    centres = axes.transData.transform(points)
    texts = [_written(axes, text) for text in names]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([(extent.width + 2, extent.height + 1) for extent in extents])
    box = axes.get_window_extent()
    places = np.array(label_places(centres, sizes, _covered(axes, panel), (box.x0, box.y0, box.x1, box.y1)))
    to_data = axes.transData.inverted().transform
    for text, corner, size, centre in zip(texts, places, sizes, centres, strict=True):
        x, y = to_data(corner)
        text.set_position((x, y))
        nearest = np.clip(centre, corner, corner + size)
        if np.hypot(*(nearest - centre)) > FAR:
            ends = to_data([nearest, centre])
            axes.plot(*ends.T, color=MUTED, linewidth=0.6, zorder=1.9, scalex=False, scaley=False)


def _written(axes: Axes, text: Text) -> Any:
    return axes.text(0, 0, text.text, fontsize=text.size, color=INK, va="bottom", zorder=5, bbox=GROUND)


def _covered(axes: Axes, panel: Panel) -> list[Box]:
    """Boxes on the screen that names keep clear of: intervals and lines."""
    to_screen = axes.transData.transform
    found: list[Box] = []
    for one in panel.series:
        if one.low is not None and one.high is not None:
            ends = [np.where(np.isnan(end), one.x if one.look.across else one.y, end) for end in (one.low, one.high)]
            sides = [np.stack([end, one.y] if one.look.across else [one.x, end], 1) for end in ends]
            for (left, bottom), (right, top) in zip(to_screen(sides[0]), to_screen(sides[1]), strict=True):
                found.append((left, bottom - 1, right, top + 1) if one.look.across else (left - 1, bottom, right + 1, top))
        elif one.look.line:
            corners = to_screen(np.stack([one.x, one.y], 1))
            along = np.concatenate([np.linspace(a, b, STEPS) for a, b in pairwise(corners)])
            found += [(x - 2, y - 2, x + 2, y + 2) for x, y in along]
    return found
