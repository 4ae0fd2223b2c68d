"""Trials' own curves, small enough for a page: thinned so that their extremes stay."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from quantbench.results.plots.picture import Floats
from quantbench.results.plots.steps import thin

POINTS = 1_000_000
"""Points of all trials' curves together; where there are more, each curve is thinned."""

FEWEST = 4
"""Points that a curve always keeps."""

DIGITS = 5


class Grids:
    """Lists of steps, which many curves share, by their place."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}

    def place(self, steps: Floats) -> int:
        return self._places.setdefault(np.asarray(steps, np.int64).tobytes(), len(self._places))

    def lists(self) -> list[list[int]]:
        return [np.frombuffer(key, np.int64).tolist() for key in self._places]


class Lines(NamedTuple):
    """Curves by metric: ``trial`` (rows of the results), ``grid`` (a place in ``grids``) and ``values`` of each; and notes."""

    lines: dict[str, dict[str, list[Any]]]
    grids: Grids
    notes: list[str]


def trial_lines(points: pd.DataFrame, most_points: int = POINTS) -> Lines:
    """Thin the curves of ``Data.points`` where they have more points than ``most_points`` together."""
    metrics, trials = (points[name].to_numpy() for name in ("metric", "row"))
    steps, values = points["step"].to_numpy(np.int64), rounded(points["value"].to_numpy(float))
    new = np.flatnonzero((metrics[1:] != metrics[:-1]) | (trials[1:] != trials[:-1])) + 1
    edges = [0, *new.tolist(), len(points)] if len(points) else [0]
    most = max(FEWEST, most_points // max(len(edges) - 1, 1)) if len(points) > most_points else len(points)
    found = Lines({}, Grids(), [])
    thinned = 0
    for start, end in pairwise(edges):
        kept = start + thin(values[start:end], most)
        thinned += len(kept) < end - start
        lines = found.lines.setdefault(str(metrics[start]), {"trial": [], "grid": [], "values": []})
        lines["trial"].append(int(trials[start]))
        lines["grid"].append(found.grids.place(steps[kept]))
        lines["values"].append(values[kept].tolist())
    if thinned:
        words = "of each bucket of steps only the lowest and the highest value are kept; means are of all values"
        found.notes.append(f"{thinned} of {len(edges) - 1} curves are thinned: {words}")
    return found


def rounded(values: Floats, digits: int = DIGITS) -> Floats:
    """So many significant digits, as text needs few characters then."""
    return np.array([float(f"{value:.{digits}g}") for value in values.tolist()])
