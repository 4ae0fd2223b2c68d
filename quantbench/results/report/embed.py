"""Numbers and text as a page's script reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, fields, replace
from typing import Any

from quantbench.results.palette import Style
from quantbench.results.plots.picture import Axis, Look, Panel, Picture, Series, nonnegative
from quantbench.results.report.lines import Grids, rounded
from quantbench.results.statistics import SIGNIFICANT

COLUMN_DIGITS = 7

Number = float | int | str | None


def number(value: float) -> Number:
    """What JSON can hold: infinity, which it has not, as text."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.{COLUMN_DIGITS}g}")


def numbers(values: Iterable[float]) -> list[Number]:
    return [number(float(value)) for value in values]


def picture(made: Picture, methods: Mapping[str, int], grids: Grids, column: str | None = None) -> dict[str, Any]:
    """A picture as a page's draw.js reads it.

    Args:
        methods: the number of each.
        grids: takes the steps of curves.
        column: of the results, which has the horizontal values of trials.
    """
    return {
        "title": made.title,
        "x": _axis(made.x, methods) | {"nonnegative": nonnegative(made, across=True)},
        "y": _axis(made.y, methods) | {"nonnegative": nonnegative(made, across=False)},
        "size": made.size,
        "columns": made.columns,
        "most": made.most,
        "words": made.caption,
        "column": column,
        "panels": [_panel(one, methods, grids) for one in made.panels],
    }


def _axis(axis: Axis, methods: Mapping[str, int]) -> dict[str, Any]:
    known = _known(replace(axis, words=""), Axis(""))
    if axis.methods:
        known["methods"] = [methods[name] for name in axis.methods]
    return {"title": axis.title, **{name: list(one) if isinstance(one, range) else one for name, one in known.items()}}


def _known(one: Any, usual: Any) -> dict[str, Any]:
    """Fields that differ from the usual ones."""
    pairs = {each.name: getattr(one, each.name) for each in fields(one)}
    return {name: value for name, value in pairs.items() if value != getattr(usual, name)}


def _panel(panel: Panel, methods: Mapping[str, int], grids: Grids) -> dict[str, Any]:
    """Series of one look as columns: of thousands of methods, each has a point or two."""
    found: dict[tuple[Look, Style | None], list[Series]] = {}
    for one in panel.series:
        if one.look.role != "broken":  # the page has every trial's own curve
            found.setdefault((one.look, one.style), []).append(one)
    groups = []
    for (look, style), several in found.items():
        group: dict[str, Any] = {"look": _known(look, Look(""))}
        if style is not None:
            group["style"] = style._asdict()
        if several[0].method is not None:
            group["method"] = [methods[str(one.method)] for one in several]
        columns = [_series(one, grids) for one in several]
        groups.append(group | {name: [one[name] for one in columns] for name in columns[0]})
    return {
        "title": panel.title,
        "series": groups,
        "texts": [asdict(one) | {"y": number(one.y)} for one in panel.texts],
        "cells": [[*astuple(one)] for one in panel.cells],
    }


def _series(one: Series, grids: Grids) -> dict[str, Any]:
    shorten = (lambda values: numbers(rounded(values))) if one.look.sparse else numbers
    found: dict[str, Any] = {}
    if not one.look.spread:  # else they are in a column, or at an edge
        found["x"] = grids.place(one.x) if one.look.sparse else numbers(one.x)
    found["y"] = number(float(one.y[0])) if one.look.spread else shorten(one.y)
    for name in ("low", "high"):
        if (values := getattr(one, name)) is not None:
            found[name] = shorten(values)
    return found | {name: list(values) for name in ("seeds", "rows") if (values := getattr(one, name)) is not None}


def shown_p(value: float) -> float:
    """A p-value of two digits, or of as many as show on which side of the bound of what is significant it is."""
    for digits in range(2, 17):
        rounded = float(f"{value:.{digits}g}")
        if (rounded < SIGNIFICANT) == (value < SIGNIFICANT):
            return rounded
    return value


def embedded(data: dict[str, Any]) -> str:
    """JSON that is inert within a script element, whatever its strings hold."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII only
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
