"""Numbers and text as a page's script reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

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
