"""How rows of the user's own are split into those to train on and those held out."""

from __future__ import annotations

import hashlib
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]

STRETCHES = 8
"""Stretches of rows that follow each other in time which are held out of a single recording, evenly spread over it."""


def half(frames: Tensor, runs: list[int], first: bool) -> tuple[Tensor, list[int]]:
    """The first or the second half of frames (frames, features), as near as whole runs allow; a single run is cut."""
    if len(runs) == 1:
        runs = [runs[0] // 2, runs[0] - runs[0] // 2]
    ends = np.cumsum(runs)
    place = 1 + int(np.abs(ends[:-1] - ends[-1] / 2).argmin())
    middle = int(ends[place - 1])
    return (frames[:middle], runs[:place]) if first else (frames[middle:], runs[place:])


def by_groups(labels: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """Rows to hold out, (rows,): all of the groups chosen by a hash of their names, so that a new one moves few others.

    As many groups as bring the share of the rows nearest to ``share``, at least one and not all; of one group none.
    """
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda group: hashlib.sha256(str(names[group]).encode()).hexdigest())
    reached = list(accumulate(int(counts[group]) for group in order[:-1]))
    if not reached:
        return np.zeros(len(labels), dtype=bool)
    nearest = min(range(len(reached)), key=lambda number: abs(reached[number] / len(labels) - share))
    chosen = np.zeros(len(names), dtype=bool)
    chosen[order[: nearest + 1]] = True
    held_out: NDArray[np.bool_] = chosen[place.reshape(-1)]
    return held_out


def by_time(rows: int, share: float) -> NDArray[np.bool_]:
    """Rows to hold out, (rows,): stretches evenly spread, for neighbours in time are too much alike to judge each other."""
    stretches = max(1, min(STRETCHES, int(rows * min(share, 1 - share)) // 16))
    length = round(rows * share / stretches)
    held_out = np.zeros(rows, dtype=bool)
    for number in range(stretches):
        first = (2 * number + 1) * rows // (2 * stretches) - length // 2
        held_out[first : first + length] = True
    return held_out


def at_random(rows: int, share: float) -> NDArray[np.bool_]:
    """Rows to hold out, (rows,), where each stands alone; always the same ones."""
    held_out = np.zeros(rows, dtype=bool)
    held_out[np.random.default_rng(0).permutation(rows)[: min(max(1, round(rows * share)), rows - 1)]] = True
    return held_out


def runs_of(rows: Rows, labels: NDArray[Any]) -> list[int]:
    """How many rows in a row follow each other: their numbers rise by one, and their labels, (rows,) each, stay."""
    if not len(rows):
        return []
    begins = np.flatnonzero((np.diff(rows) != 1) | (labels[1:] != labels[:-1])) + 1
    return [int(length) for length in np.diff([0, *begins.tolist(), len(rows)])]
