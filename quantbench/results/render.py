"""Tables as aligned text, CSV, JSON or Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from quantbench.results.cells import guard, quoting
from quantbench.results.estimate import INTERVAL, Estimate
from quantbench.results.narrow import GAP, narrow
from quantbench.terminal import visible

FORMATS = ("table", "csv", "json", "markdown")


class Rounded(NamedTuple):
    """A number that people see with so many significant digits."""

    value: float
    digits: int = 3


class Difference(Estimate):
    """An estimate that people see with its sign."""

    __slots__ = ()


Cell = str | float | int | Estimate | Rounded | None
"""What a table holds: machines get all digits, people few."""


def number(value: Any, digits: int = 4) -> str:
    """So many significant digits; empty for a missing value."""
    if isinstance(value, bool | str) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "" if math.isnan(value) else str(value)
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{digits}g}"


def estimate(value: Estimate, sign: bool = False) -> str:
    """``mean [low, high]`` with three digits; the mean alone where there is no interval."""
    mean = ("+" if sign and value.mean > 0 else "") + number(value.mean, 3)
    return mean if math.isnan(value.low) else f"{mean} [{number(value.low, 3)}, {number(value.high, 3)}]"


def brief(cell: Cell) -> str:
    """The same, an interval that is as far below its mean as above as ``mean ±half``."""
    if not isinstance(cell, Estimate) or not math.isfinite(cell.high - cell.low):
        return text(cell)
    below, above = cell.mean - cell.low, cell.high - cell.mean
    if abs(above - below) > 1e-3 * max(above, below):
        return text(cell)
    return f"{text(type(cell)(cell.mean, math.nan, math.nan))} ±{number((above + below) / 2, 2)}"


def text(cell: Cell) -> str:
    """A cell for people."""
    if isinstance(cell, Estimate):
        return estimate(cell, sign=isinstance(cell, Difference))
    return number(cell.value, cell.digits) if isinstance(cell, Rounded) else number(cell)


def render(header: Sequence[str], rows: Sequence[Sequence[Cell]], form: str = "table", width: int | None = None) -> str:
    """Rows in one of ``FORMATS``.

    Machines get an estimate in three columns, ``name``, ``name_low`` and ``name_high``. A table that is too wide for the
    terminal takes a form in which each row can still be read across; files and pipes get the whole table.

    Args:
        width: of the terminal, where that is known otherwise.
    """
    if form in ("csv", "json"):
        columns, values = flat(header, rows)
        if form == "json":
            return json.dumps([dict(zip(columns, row, strict=True)) for row in values], indent=1, ensure_ascii=False)
        out = io.StringIO()
        quoted = quoting(cell for row in values for cell in row)
        csv.writer(out, lineterminator="\n", quoting=quoted).writerows([_guarded(row) for row in [columns, *values]])
        return out.getvalue().rstrip("\n")
    lines = [[_shown(cell) for cell in line] for line in [header, *([text(cell) for cell in row] for row in rows)]]
    if form == "markdown":
        lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        lines.insert(1, ["---"] * len(header))
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    width = terminal_width() if width is None else width
    if width is not None and rows and sum(widths) + GAP * (len(widths) - 1) > width:
        return narrow(lines[0], lines[1:], [[_shown(brief(cell)) for cell in row] for row in rows], width)
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join((" " * GAP).join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _shown(cell: str) -> str:
    return visible(cell).replace("\n", " ")


def _guarded(row: Sequence[Any]) -> list[Any]:
    return [guard(cell) if isinstance(cell, str) else cell for cell in row]


def flat(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for machines: three columns an estimate, None for a missing value, no column without a name."""
    rows = [[cell for name, cell in zip(header, row, strict=True) if name] for row in rows]
    header = [name for name in header if name]
    wide = [any(isinstance(row[i], Estimate) for row in rows) for i in range(len(header))]
    columns: list[str] = []
    for name, is_wide in zip(header, wide, strict=True):
        name = name.removesuffix(f" {INTERVAL}")
        columns += [name, f"{name}_low", f"{name}_high"] if is_wide else [name]
    values: list[list[Any]] = []
    for row in rows:
        out: list[Any] = []
        for cell, is_wide in zip(row, wide, strict=True):
            if is_wide:
                out += (
                    [*cell] if isinstance(cell, Estimate) else [cell.value if isinstance(cell, Rounded) else cell, None, None]
                )
            else:
                out.append(cell.value if isinstance(cell, Rounded) else cell)
        values.append([_known(value) for value in out])
    return columns, values


def terminal_width() -> int | None:
    """Columns of the terminal that standard output goes to; None where it goes elsewhere, unless COLUMNS says so."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def wrapped(line: str) -> str:
    """A line of prose, broken where the terminal would break it anywhere."""
    width = terminal_width()
    return line if width is None else "\n".join(textwrap.wrap(line, width, subsequent_indent="  "))


def _known(value: Any) -> Any:
    """None for a missing value; infinity, which JSON does not have, as text."""
    if not isinstance(value, float) or math.isfinite(value):
        return value.item() if hasattr(value, "item") else value
    return None if math.isnan(value) else str(value)
