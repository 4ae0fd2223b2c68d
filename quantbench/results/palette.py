"""Colours, markers and dashes of methods: the same method looks the same in every picture of the same tables."""

from __future__ import annotations

import math
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from quantbench.results.shades import ramp

COLOURS = ("#00619C", "#D55E00", "#00916A", "#C2699B", "#B87A00", "#3D8FC9", "#000000", "#6B4A12")
"""After Okabe and Ito (2008), told apart with any colour vision; what was too light for a line on white is darker here."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("solid", "dashed", "dotted", "dashdot")

KNOWN = ("ste", "mste", "noise", "soft_to_hard", "rotation", "nsvq", "diveq", "gumbel_st")
"""Strategies that most pictures show: each has a colour of its own."""

MOST_HUES, MOST_LINES = 10, 24
"""More hues, or lines of these hues, than anybody tells apart in one panel."""

FEWEST = 3
"""Methods that differ in one number, from which on their colours show its order."""

NUMBER = re.compile(r"(\S+)=([-+0-9.eE]+)")


class Style(NamedTuple):
    """How a method is drawn: never by colour alone."""

    colour: str
    marker: str
    dash: str


def styles(names: Sequence[str], first: Sequence[str] = ()) -> dict[str, Style]:
    """A style for each name.

    A name's first choice of a colour depends on the name alone. Where others of the picture have it, it takes the next of those
    that the fewest have, so that no colour comes twice before every one came once. Names that differ in one number alone
    share a hue, which darkens as the number grows. The order of names does not matter.

    Args:
        first: names that choose before all others, for they matter most.
    """
    wanted = set(first)
    units = sorted(hues(names), key=lambda unit: (not wanted & set(unit), not _is_known(unit[0]), unit[0]))
    users, taken, found = [0] * len(COLOURS), set[Style](), dict[str, Style]()
    for unit in units:
        usual = _first_choice(unit[0])
        colour = min(range(len(COLOURS)), key=lambda one: (users[one], (one - usual) % len(COLOURS)))
        shades = ramp(COLOURS[colour], len(unit)) if len(unit) > 1 else [COLOURS[colour]]
        for place, (name, shade) in enumerate(zip(unit, shades, strict=True)):
            found[name] = _free(shade, colour + place, users[colour], taken)
            taken.add(found[name])
        users[colour] += 1
    return {name: found[name] for name in names}


def hues(names: Sequence[str]) -> list[list[str]]:
    """Names that share a hue: those that differ in one number alone, in its order, and every other by itself."""
    alike: dict[tuple[str, int], dict[float, str]] = defaultdict(dict)
    for name in sorted(set(names)):
        for found in NUMBER.finditer(name):
            if (value := _number(found[2])) is not None:
                rest = f"{name[: found.start(2)]}*{name[found.end(2) :]}"
                alike[rest, found.start(2)][value] = name
    units, placed = [], set[str]()
    for members in sorted(alike.values(), key=lambda one: -len(one)):
        own = [members[value] for value in sorted(members) if members[value] not in placed]
        if len(own) >= FEWEST:
            units.append(own)
            placed |= set(own)
    return units + [[name] for name in sorted(set(names) - placed)]


def crowded(names: Sequence[str]) -> bool:
    """Whether these are too many for one panel."""
    return len(hues(names)) > MOST_HUES or len(set(names)) > MOST_LINES


def _free(colour: str, marker: int, earlier: int, taken: set[Style]) -> Style:
    """The first style of a colour that nobody has: points differ in their markers, lines in their dashes too."""
    every = [
        Style(colour, MARKERS[(marker + 3 * turn) % len(MARKERS)], DASHES[(turn + turn // len(MARKERS)) % len(DASHES)])
        for turn in range(earlier, earlier + len(MARKERS) * len(DASHES))
    ]
    return next((one for one in every if one not in taken), every[0])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _strategy(name: str) -> str | None:
    """The well-known strategy among the words of a name, as in ``vq ste commitment=1``."""
    return next((word for word in name.split() if word in KNOWN), None)


def _is_known(name: str) -> bool:
    return _strategy(name) is not None


def _first_choice(name: str) -> int:
    strategy = _strategy(name)
    return KNOWN.index(strategy) if strategy else zlib.crc32(NUMBER.sub(r"\1", name).encode()) % len(COLOURS)
