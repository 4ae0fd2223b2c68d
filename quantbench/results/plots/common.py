"""What all pictures share: the look of text and axes, panels, the legend, and files that do not change from run to run."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.results.palette import Style
from quantbench.terminal import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png", ".pdf")
INSTALL = "pip install 'quantbench[plot]'"
INK, MUTED, GRID, BAD = "#222222", "#6b7280", "#eceff2", "#b91c1c"
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
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

LONGEST = 80
"""Characters of a name that are shown."""

MOST_PANELS = 12
COLUMNS = 4
WIDTH, HEIGHT = 3.3, 2.9
"""Inches of a panel."""

LINE = 0.17
"""Inches of a line of the legend."""


@dataclass
class Picture:
    """A figure, and what its reader should know beside what it shows."""

    figure: Figure
    notes: list[str] = field(default_factory=list)


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
        raise ConfigError(f"{what}: needs matplotlib; install it with {INSTALL}") from error


def save(figure: Figure, path: Path, title: str | None = None) -> None:
    """Write a figure within ``STYLE``. Raises QuantBenchError where the file cannot be written."""
    import matplotlib

    # A date would make every file of the same figure another one.
    metadata: dict[str, Any] = {} if path.suffix == ".png" else {"Date" if path.suffix == ".svg" else "CreationDate": None}
    if title is not None:
        metadata["Title"] = title
    try:
        with matplotlib.rc_context(STYLE):
            figure.savefig(path, dpi=160, metadata=metadata)
    except OSError as error:
        raise QuantBenchError(f"{path}: cannot be written ({error.strerror})") from error


def literal(name: str) -> str:
    """A name as it can be drawn: in one line, control characters spelled out, not longer than ``LONGEST``."""
    shown = visible(name).replace("\n", " ").replace("\t", " ")
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def wrapped(name: str, width: int) -> str:
    """A name over several lines, broken at spaces, and within words that are longer."""
    return "\n".join(textwrap.wrap(literal(name), width)) or literal(name)


def panels(titles: Sequence[str], labels: Sequence[str] = (), columns: int = COLUMNS) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each title and room at the right for a legend of ``labels``."""
    from matplotlib.figure import Figure

    across = min(len(titles), columns)
    down = math.ceil(len(titles) / across)
    width, height = WIDTH * across + (1.4 if across == 1 else 0), HEIGHT * down + 0.5
    beside = 0.0
    if labels:
        height = max(height, LINE * _lines(labels, 2) + 0.8)
        longest = max(len(part) for label in labels for part in label.split("\n"))
        beside = (0.5 + 0.068 * longest) * _columns(labels, height)
    figure = Figure(figsize=(width + beside, height), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes, title in zip(grid, titles, strict=False):
        plain(axes)
        axes.set_title(wrapped(title, 44), loc="left", fontsize=9, color=INK)
    for axes in grid[len(titles) :]:
        axes.remove()
    return figure, list(grid[: len(titles)])


def plain(axes: Axes) -> None:
    """No box, a light grid below the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _columns(labels: Sequence[str], height: float) -> int:
    """One column where the legend fits beside panels of this height, otherwise two."""
    return 1 if LINE * _lines(labels, 1) + 0.4 <= height else 2


def _lines(labels: Sequence[str], columns: int) -> int:
    """Lines of a legend's longest column; matplotlib gives columns equal numbers of labels."""
    return max(int(part.sum()) for part in np.array_split([label.count("\n") + 1 for label in labels], columns))


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend right of all panels, where it covers nothing."""
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


def handle(style: Style) -> Any:
    """A method's line in a legend."""
    from matplotlib.lines import Line2D

    dash: Any = style.dash
    return Line2D([], [], color=style.colour, linestyle=dash, **marks(style, 5))


def marks(style: Style, size: float) -> dict[str, Any]:
    """How a method's markers look, on a white edge; stars and crosses larger, for they are thin."""
    larger = {"*": 1.9, "P": 1.35, "X": 1.35}.get(style.marker, 1.0)
    edge = 0.3 if larger > 1 else 0.5
    return {"marker": style.marker, "markersize": size * larger, "markeredgecolor": "white", "markeredgewidth": edge}


def caption(figure: Figure, text: str) -> None:
    """Small print below all panels: what intervals are, and what is not in the picture."""
    width = int(figure.get_size_inches()[0] * 17)
    lines = "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, width))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=7.5, color=MUTED)


def label_axes(axes: Sequence[Axes], x: str, y: str, columns: int = COLUMNS) -> None:
    """Name the vertical axis at the left of each row of panels, the horizontal one below those with none beneath."""
    across = min(len(axes), columns)
    for place, one in enumerate(axes):
        one.tick_params(labelsize=8, labelleft=place % across == 0)
        if place % across == 0:
            one.set_ylabel(y, color=INK)
        if place + across >= len(axes):
            one.set_xlabel(x, color=INK)


def logarithmic(axes: Axes, axis: str = "y") -> None:
    """A logarithmic axis with powers of ten in plain text, for matplotlib's own are formulas."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    getattr(axes, f"set_{axis}scale")("log")
    ticks = getattr(axes, f"{axis}axis")
    low, high = sorted(getattr(axes, f"get_{axis}lim")())
    ticks.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    if low > 0 and math.log10(high / low) < 2:
        ticks.set_minor_formatter(FuncFormatter(lambda value, _: power(value) if _leading(value) in (2, 5) else ""))
    else:
        ticks.set_minor_formatter(NullFormatter())
    ticks.set_tick_params(which="minor", labelsize=8)


def power(value: float) -> str:
    """``0.01`` to ``1000`` as they are, ``10⁵`` for a power of ten further out."""
    if value <= 0:
        return ""
    if 0.009 < value < 1001:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = round(value / 10**exponent)
    raised = f"10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return raised if mantissa == 1 else f"{mantissa}·{raised}"


def _leading(value: float) -> int:
    return round(value / 10 ** math.floor(math.log10(value) + 1e-9)) if value > 0 else 0


def with_counts(names: Sequence[str], counts: Mapping[str, str], width: int = 34) -> list[str]:
    """Names for a legend, each with what ended badly."""
    return [wrapped(name, width) + (f"\n× {counts[name]}" if counts.get(name) else "") for name in names]
