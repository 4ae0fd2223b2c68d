"""Of more methods than anybody tells apart in one panel, some keep their colours and all others are grey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantbench.results.palette import Style
from quantbench.results.plots.data import Data
from quantbench.results.plots.picture import MUTED, Panel, Picture, Series

GREY = Style(MUTED, "", "solid")


def highlighted(picture: Picture, data: Data) -> Picture:
    """The picture as it is, or with all methods but ``data.chosen`` in grey behind these; a legend that names the latter only.

    Only for pictures whose legend names methods: others have their names beside what they show.
    """
    named = [style for _, style in picture.legend if isinstance(style, str)]
    others = set(named) - set(data.chosen) if named else set()  # an audit has no results to choose by
    if not others:
        return picture
    panels = [replace(panel, series=_sorted(panel, others)) for panel in picture.panels]
    legend = [one for one in picture.legend if one[1] not in others]
    bad = sum(data.counts[name].bad for name in others if name in data.counts)
    trials = sum(data.counts[name].trials for name in others if name in data.counts)
    lost = f"\n× {bad} diverged or failed of {trials}" if bad else ""
    legend.append((f"{len(others)} other methods{lost}", GREY))
    grown = f", and {len(data.grown)} whose encoders' outputs grew most" if data.grown else ""
    words = (
        f"{len(named)} methods are more than can be told apart: the best {len(data.best)} are coloured{grown}; all others are "
        "grey (--by makes fewer methods, and `quantbench report` shows any of them)"
    )
    return replace(picture, panels=panels, legend=legend, words=[*picture.words, words])


def _sorted(panel: Panel, others: set[str]) -> list[Series]:
    """Grey series, then the coloured ones, which cover them."""
    grey = [_grey(one) for one in panel.series if one.method in others]
    return grey + [one for one in panel.series if one.method not in others]


def _grey(one: Series) -> Series:
    """Thin and without marks and intervals; crosses of failures stay."""
    if one.style is not None:
        return one
    none = None if one.low is None else np.full(len(one.x), np.nan)
    look = replace(one.look, line=min(one.look.line, 0.7), mark=0 if one.look.line else one.look.mark, opacity=0.8, band=0.0)
    return replace(one, look=look, style=GREY, low=none, high=none)
