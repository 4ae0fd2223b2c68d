"""Sets of methods of which no two differ significantly, and the letters that name them."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

MOST_GROUPS = 100
"""More tell nobody anything; their number can grow exponentially with that of methods."""
MOST_STEPS = 50_000


def groups(alike: NDArray[np.bool_]) -> tuple[list[list[int]], bool]:
    """The largest sets of which all pairs are alike, in the order of their members, and whether they are all.

    Where they are more than ``MOST_GROUPS``, those of neighbours instead: the longest runs of places of which all pairs are
    alike. Members of one are alike then, too, but two that share none need not differ.
    """
    found = cliques(alike)
    return (neighbours(alike), False) if found is None else (found, True)


def cliques(alike: NDArray[np.bool_]) -> list[list[int]] | None:
    """The largest sets of which all pairs are alike (Bron and Kerbosch 1973, with a pivot); None where they are too many.

    Sets are the bits of an integer: their intersections take no time then, even of thousands of methods.
    """
    near = [sum(1 << int(j) for j in np.flatnonzero(row) if j != i) for i, row in enumerate(alike)]
    found: list[int] = []
    stack = [(0, (1 << len(alike)) - 1, 0)]
    steps = 0
    while stack:
        clique, candidates, done = stack.pop()
        steps += 1
        if steps > MOST_STEPS or len(found) > MOST_GROUPS:
            return None
        if not candidates and not done:
            found.append(clique)
            continue
        pivot = max(_members(candidates | done), key=lambda place: (candidates & near[place]).bit_count())
        for place in _members(candidates & ~near[pivot]):
            stack.append((clique | 1 << place, candidates & near[place], done & near[place]))
            candidates &= ~(1 << place)
            done |= 1 << place
    return sorted(_members(one) for one in found)


def _members(bits: int) -> list[int]:
    return [place for place, bit in enumerate(reversed(bin(bits)[2:])) if bit == "1"]


def neighbours(alike: NDArray[np.bool_]) -> list[list[int]]:
    """The longest runs of places of which all pairs are alike."""
    found: list[list[int]] = []
    end = 0
    for start in range(len(alike)):
        stop = max(end, start + 1)
        while stop < len(alike) and alike[start:stop, stop].all():
            stop += 1
        if stop > end:
            found.append(list(range(start, stop)))
            end = stop
    return found


def letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ...: the name of a group."""
    first, last = divmod(number, len(ascii_lowercase))
    return (letters(first - 1) if first else "") + ascii_lowercase[last]
