"""What a picture shows, and nothing of how it is drawn: ``paper`` draws it with matplotlib, a page's draw.js with plotly.

All statistics, colours, names and words are in it, so that both show the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantbench.results.palette import Style
from quantbench.terminal import visible

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

INK, MUTED, BAD, PAPER = "ink", "muted", "bad", "paper"
"""Colours that depend on the page: of text, of what stands back, of failures, of the ground."""

CROSS = Style(BAD, "x", "solid")
LONGEST = 80
"""Characters of a name that are shown."""

MOST_PANELS = 12


@dataclass(frozen=True)
class Axis:
    """An axis of all panels.

    Attributes:
        names: what stands at 0, 1, ... in the place of numbers, from the top or from the left.
        methods: whose names these are, where they are of methods.
        limits: where it ends; by default around the data.
        ticks: where numbers stand; none for an axis that is not drawn, by default chosen by who draws.
        words: why it ends where it does, and what lies outside.
    """

    title: str
    log: bool = False
    names: Sequence[str] = ()
    methods: Sequence[str] = ()
    limits: tuple[float, float] | None = None
    ticks: Sequence[float] | None = None
    words: str = ""


@dataclass(frozen=True)
class Look:
    """How a series is drawn, whosever it is.

    Attributes:
        role: what it is: ``mean``, ``trials``, ``broken`` (a trial that ended badly), ``failed``, ``limit``, ...
        line, mark: widths in points; 0 for none.
        band: opacity of an interval drawn as a band; 0 for bars.
        across: whether intervals lie along the horizontal axis.
        edge: the side, ``left`` or ``right``, at which points stand, whatever their ``x``.
        spread: how far points are moved apart along the vertical axis, by their row.
        sparse: whether only some points of the line have a mark.
    """

    role: str
    line: float = 0.0
    mark: float = 0.0
    opacity: float = 1.0
    band: float = 0.0
    across: bool = False
    edge: str = ""
    spread: float = 0.0
    sparse: bool = False


@dataclass(frozen=True)
class Series:
    """Points or a line, with intervals or without.

    Attributes:
        method: whose it is, and with which it is shown and hidden; None for what is always shown.
        style: by default the method's.
        low, high: ends of intervals; NaN where there is none.
        seeds: how many seeds each point is of.
        rows: the trial of each point, a row of the results.
    """

    look: Look
    x: Floats
    y: Floats
    method: str | None = None
    style: Style | None = None
    low: Floats | None = None
    high: Floats | None = None
    seeds: Sequence[int] | None = None
    rows: Sequence[int] | None = None


@dataclass(frozen=True)
class Text:
    """Words at a place.

    Attributes:
        side: ``left``, ``right`` or ``centre`` of it; ``beside`` a point, where they cover nothing; at the ``top``, whatever y.
    """

    x: float
    y: float
    text: str
    side: str = "centre"
    colour: str = INK
    size: float = 8.0


@dataclass(frozen=True)
class Cell:
    """A coloured rectangle about a place."""

    x: float
    y: float
    colour: str
    text: str
    ink: str
    edge: str = ""


@dataclass
class Panel:
    """Axes with what is drawn in them.

    Attributes:
        limits: where its own axes end, horizontal and vertical, where they are not those of all panels.
    """

    title: str
    series: list[Series] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None


@dataclass
class Picture:
    """Panels side by side.

    Attributes:
        styles: of each method.
        legend: label and style of what needs one, or a method's name as style.
        size: inches of a panel between its axes; columns: how many stand side by side at most.
        words: what intervals and marks are; stands below.
        notes: what a reader should know beside what it shows.
        table: its numbers, which are written beside it; None where other commands print them.
    """

    title: str
    panels: list[Panel]
    x: Axis
    y: Axis
    styles: Mapping[str, Style]
    legend: list[tuple[str, str | Style]] = field(default_factory=list)
    size: tuple[float, float] = (2.9, 2.4)
    columns: int = 4
    most: int = MOST_PANELS
    words: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    table: pd.DataFrame | None = None

    @property
    def caption(self) -> list[str]:
        """All words that stand below."""
        return [*self.words, *filter(None, (self.x.words, self.y.words))]

    def style(self, one: Series) -> Style:
        if one.style is not None:
            return one.style
        return self.styles[one.method] if one.method is not None else Style(INK, "o", "solid")


def apart(rows: Sequence[int] | Ints) -> Floats:
    """Places from -0.5 to 0.5 that depend on the row alone, so that drawing again moves nothing."""
    return np.asarray((np.asarray(rows) * 0.618034) % 1 - 0.5)


def literal(name: str) -> str:
    """A name as it can be drawn: in one line, control characters spelled out, not longer than ``LONGEST``."""
    shown = visible(name).replace("\n", " ").replace("\t", " ")
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def wrapped(name: str, width: int) -> str:
    """A name over several lines, broken at spaces, and within words that are longer."""
    return "\n".join(textwrap.wrap(literal(name), width)) or literal(name)


def with_counts(
    names: Sequence[str], counts: Mapping[str, object], width: int = 34, labels: Mapping[str, str] | None = None
) -> list[str]:
    """Names for a legend, or what takes their place, each with what ended badly."""
    shown = [wrapped((labels or {}).get(name, name), width) for name in names]
    return [
        label + (f"\n× {counts[name]}" if str(counts.get(name, "")) else "") for label, name in zip(shown, names, strict=True)
    ]


def nonnegative(picture: Picture, across: bool) -> bool:
    """Whether an axis of numbers need not begin below zero: no value is negative, and nothing stands before the lowest."""
    axis = picture.x if across else picture.y
    series = [one for panel in picture.panels for one in panel.series]
    if axis.names or axis.ticks is not None or (across and any(one.look.edge == "left" for one in series)):
        return False
    return not any((values < 0).any() for values in ((one.x if across else one.y) for one in series))
