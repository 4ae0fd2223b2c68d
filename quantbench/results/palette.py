"""Colours, markers and dashes of methods: the same method looks the same in every picture."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""Of Okabe and Ito (2008), told apart with any colour vision; their yellow, too light on white, is a dark ochre here."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("solid", "dashed", "dotted", "dashdot")

KNOWN = ("ste", "mste", "noise", "soft_to_hard", "rotation", "nsvq", "diveq", "gumbel_st")
"""Strategies that most pictures show: each has a colour of its own."""


class Style(NamedTuple):
    """How a method is drawn: never by colour alone."""

    colour: str
    marker: str
    dash: str


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each name.

    A name's first choice depends on the name alone. Where two names of one picture want the same, the later in the alphabet
    takes the next that is free, so pictures of the same methods agree in any order.
    """
    taken: set[int] = set()
    found = {}
    every = len(COLOURS) * len(DASHES)
    for name in sorted(set(names), key=lambda name: (not _is_known(name), name)):
        place = _first_choice(name)
        for step in range(every):
            if (chosen := (place + step * len(COLOURS) + step // len(DASHES)) % every) not in taken:
                break
        taken.add(chosen)
        dash, colour = divmod(chosen, len(COLOURS))
        found[name] = Style(COLOURS[colour], MARKERS[(colour + 3 * dash) % len(MARKERS)], DASHES[dash])
    return {name: found[name] for name in names}


def _strategy(name: str) -> str | None:
    """The well-known strategy among the words of a name, as in ``vq ste commitment=1``."""
    return next((word for word in name.split() if word in KNOWN), None)


def _is_known(name: str) -> bool:
    return _strategy(name) is not None


def _first_choice(name: str) -> int:
    strategy = _strategy(name)
    return KNOWN.index(strategy) if strategy else zlib.crc32(name.encode()) % (len(COLOURS) * len(DASHES))
