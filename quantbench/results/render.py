"""Tables as aligned text, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from quantbench.results.statistics import Estimate

FORMATS = ("table", "csv", "markdown")


def number(value: Any, digits: int = 4) -> str:
    """So many significant digits; empty for a missing value."""
    if isinstance(value, bool | str) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, float) and math.isnan(value):
        return ""
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{digits}g}"


def estimate(value: Estimate, sign: bool = False) -> str:
    """``mean [low, high]`` with three digits; the mean alone where there is no interval."""
    mean = ("+" if sign and value.mean > 0 else "") + number(value.mean, 3)
    return mean if math.isnan(value.low) else f"{mean} [{number(value.low, 3)}, {number(value.high, 3)}]"


def render(header: Sequence[str], rows: Sequence[Sequence[str]], form: str = "table") -> str:
    """Rows of text in one of ``FORMATS``."""
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        return text.getvalue().rstrip("\n")
    if form == "markdown":
        lines = [list(header), ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [list(header), ["-" * width for width in widths], *map(list, rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
