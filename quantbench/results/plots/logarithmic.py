"""Logarithmic axes of matplotlib with numbers in plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def logarithmic(axes: Axes, which: str) -> None:
    """A logarithmic axis with powers of ten in plain text, for matplotlib's own are formulas."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    getattr(axes, f"set_{which}scale")("log")
    ticks = getattr(axes, f"{which}axis")
    low, high = sorted(getattr(axes, f"get_{which}lim")())
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
