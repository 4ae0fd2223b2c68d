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
    """The largest sets of which all pairs are alike (Bron and Kerbosch 1973, with a pivot); None where they are too many."""
    near = [{int(j) for j in np.flatnonzero(row) if j != i} for i, row in enumerate(alike)]
    found: list[list[int]] = []
    stack: list[tuple[list[int], set[int], set[int]]] = [([], set(range(len(alike))), set())]
    steps = 0
    while stack:
        clique, candidates, done = stack.pop()
        steps += 1
        if steps > MOST_STEPS or len(found) > MOST_GROUPS:
            return None
        if not candidates and not done:
            found.append(sorted(clique))
            continue
        pivot = max(sorted(candidates | done), key=lambda place: len(candidates & near[place]))
        for place in sorted(candidates - near[pivot]):
            stack.append(([*clique, place], candidates & near[place], done & near[place]))
            candidates = candidates - {place}
            done = done | {place}
    return sorted(found)


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
