"""Lighter and darker forms of a colour, and how well it is seen (WCAG 2.2, contrast ratio)."""

from __future__ import annotations

from collections.abc import Sequence

LIGHT_GROUND, DARK_GROUND = "#ffffff", "#14181d"
"""Of pages; the dark one is report.css's ``--paper``."""

LEAST_CONTRAST = 3.0
"""Of a line against its ground (WCAG 1.4.11)."""

PALE, DEEP = 0.27, 0.02
"""Luminances of the ends of a ramp: the palest is still seen on white."""

DARK_PALE, DARK_DEEP = 0.16, 0.8
"""And what becomes of the palest line of a light page, and of black, on a dark one."""

RED, GREEN, BLUE = 0.2126, 0.7152, 0.0722


def luminance(colour: str) -> float:
    red, green, blue = _linear(colour)
    return RED * red + GREEN * green + BLUE * blue


def contrast(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def shade(colour: str, wanted: float) -> str:
    """The colour with this luminance: mixed with black or with white."""
    own = luminance(colour)
    if wanted <= own:
        return _coloured([part * wanted / own if own else 0.0 for part in _linear(colour)])
    white = (wanted - own) / (1 - own)
    return _coloured([part + (1 - part) * white for part in _linear(colour)])


def ramp(colour: str, count: int) -> list[str]:
    """Shades of a colour in even steps to the eye, the palest first."""
    ends = [PALE ** (1 / 3), DEEP ** (1 / 3)]
    return [shade(colour, (ends[0] + (ends[1] - ends[0]) * place / max(count - 1, 1)) ** 3) for place in range(count)]


def on_dark(colour: str) -> str:
    """The colour of a line on a dark page: what stands out most on white does so there too."""
    place = min(luminance(colour) ** (1 / 3) / (0.3 ** (1 / 3)), 1.0)
    ends = [DARK_DEEP ** (1 / 3), DARK_PALE ** (1 / 3)]
    return shade(colour, (ends[0] + (ends[1] - ends[0]) * place) ** 3)


def _linear(colour: str) -> list[float]:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def _coloured(parts: Sequence[float]) -> str:
    curved = [12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055 for part in parts]
    return "#" + "".join(f"{min(max(round(part * 255), 0), 255):02x}" for part in curved)
