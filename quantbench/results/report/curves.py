"""Curves small enough for a page: each trial's, thinned so that its extremes stay, and bands over the trials of a method."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

POINTS = 1_000_000
"""Points of all trials' curves together; where there are more, each curve is thinned."""

FEWEST = 4
"""Points that a curve always keeps."""

BAND_STEPS = 200
DIGITS = 5
GROWTH = "encoder_growth"
EVERY_TASK = -1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Curves(NamedTuple):
    """Curves as a page embeds them.

    Attributes:
        lines: by metric: ``trial`` (rows of the results), ``grid`` (a place in ``grids``) and ``values`` of each curve.
        bands: by metric: ``method``, ``task`` (numbers; -1 for all tasks together), ``grid``, ``low``, ``middle``, ``high``.
        grids: lists of steps, which many curves share.
        notes: what was left out or thinned.
    """

    lines: dict[str, dict[str, list[Any]]]
    bands: dict[str, dict[str, list[Any]]]
    grids: list[list[int]]
    notes: list[str]


def gather(curves: pd.DataFrame, trials: pd.Series[str], methods: Ints, tasks: Ints, points: int = POINTS) -> Curves:
    """Thin the curves and make bands.

    The growth of the encoder's output over its first value is added as the curve ``encoder_growth``.

    Args:
        curves: rows of curves.csv.
        trials: the trial of each row of the results.
        methods, tasks: the method and the task of each row, as numbers.
        points: how many points the trials' curves may have together.
    """
    rows = pd.Series(np.arange(len(trials)), index=trials.to_numpy())
    known = curves["trial"].isin(rows.index)
    finite = np.isfinite(curves["value"].to_numpy(float))
    notes = []
    if unknown := int((~known).sum()):
        notes.append(f"{unknown} points of curves belong to no trial of the results and are left out")
    if endless := int((known & ~finite).sum()):
        notes.append(f"{endless} points of curves are not finite and are not drawn")
    used = curves[known & finite]
    frame = pd.DataFrame(
        {
            "metric": used["metric"].astype(str),
            "trial": rows[used["trial"]].to_numpy(),
            "step": used["step"].to_numpy(np.int64),
            "value": used["value"].to_numpy(float),
        }
    ).drop_duplicates(["metric", "trial", "step"], keep="last")
    frame = pd.concat([frame, _growth(frame)]).sort_values(["metric", "trial", "step"], kind="stable", ignore_index=True)
    grids: dict[bytes, int] = {}
    lines, thinned = _lines(frame, grids, points)
    if thinned:
        count = len(frame.drop_duplicates(["metric", "trial"]))
        notes.append(
            f"{thinned} of {count} curves are thinned: of each bucket of steps only the lowest and the highest value are kept; "
            f"bands are of all values"
        )
    bands = _bands(frame, methods, tasks, grids)
    return Curves(lines, bands, [np.frombuffer(key, np.int64).tolist() for key in grids], notes)


def thin(values: Floats, most: int) -> Ints:
    """Places that keep the shape of a curve: of equal buckets the lowest and the highest value, and both ends.

    Args:
        values: finite.
        most: how many places there may be, 4 or more.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), (most - 2) // 2 + 1).astype(int)
    kept = {0, len(values) - 1}
    for start, end in pairwise(edges):
        part = values[start:end]
        kept |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(kept))


def rounded(values: Floats, digits: int = DIGITS) -> Floats:
    """So many significant digits, as text needs few characters then."""
    return np.array([float(f"{value:.{digits}g}") for value in values.tolist()])


def _growth(frame: pd.DataFrame) -> pd.DataFrame:
    spread = frame[frame["metric"] == "encoder_std"]
    first = spread.loc[spread.groupby("trial")["step"].idxmin()].set_index("trial")["value"]
    first = first[first > 0]
    spread = spread[spread["trial"].isin(first.index)]
    return spread.assign(metric=GROWTH, value=spread["value"] / first[spread["trial"]].to_numpy())


def _pieces(*keys: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of rows with equal keys."""
    if not len(keys[0]):
        return
    new = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    edges = [0, *(np.flatnonzero(new) + 1).tolist(), len(keys[0])]
    yield from pairwise(edges)


def _lines(frame: pd.DataFrame, grids: dict[bytes, int], points: int) -> tuple[dict[str, dict[str, list[Any]]], int]:
    metrics, trials = frame["metric"].to_numpy(str), frame["trial"].to_numpy()
    steps, values = frame["step"].to_numpy(np.int64), rounded(frame["value"].to_numpy(float))
    pieces = list(_pieces(metrics, trials))
    most = max(FEWEST, points // max(len(pieces), 1)) if len(frame) > points else len(frame)
    found: dict[str, dict[str, list[Any]]] = {}
    thinned = 0
    for start, end in pieces:
        kept = start + thin(values[start:end], most)
        thinned += len(kept) < end - start
        lines = found.setdefault(str(metrics[start]), {"trial": [], "grid": [], "values": []})
        lines["trial"].append(int(trials[start]))
        lines["grid"].append(grids.setdefault(steps[kept].tobytes(), len(grids)))
        lines["values"].append(values[kept].tolist())
    return found, thinned


def _bands(frame: pd.DataFrame, methods: Ints, tasks: Ints, grids: dict[bytes, int]) -> dict[str, dict[str, list[Any]]]:
    """Median, lowest and highest value of each step. Where steps are many, of buckets of them."""
    owned = frame.assign(method=methods[frame["trial"]], task=tasks[frame["trial"]])
    if len(np.unique(tasks)) > 1:
        owned = pd.concat([owned, owned.assign(task=EVERY_TASK)])
    keys = ["metric", "method", "task"]
    table = owned.groupby([*keys, "step"])["value"].agg(["min", "median", "max"]).reset_index()
    metrics, steps = table["metric"].to_numpy(str), table["step"].to_numpy(np.int64)
    low, middle, high = (rounded(table[name].to_numpy(float), 4) for name in ("min", "median", "max"))
    found: dict[str, dict[str, list[Any]]] = {}
    method, task = table["method"].to_numpy(np.int64), table["task"].to_numpy(np.int64)
    for start, end in _pieces(metrics, method, task):
        edges = start + np.unique(np.linspace(0, end - start, min(end - start, BAND_STEPS) + 1).astype(int))[:-1]
        names = ("method", "task", "grid", "low", "middle", "high")
        band = found.setdefault(str(metrics[start]), {name: [] for name in names})
        band["method"].append(int(method[start]))
        band["task"].append(int(task[start]))
        band["grid"].append(grids.setdefault(steps[edges].tobytes(), len(grids)))
        band["low"].append(np.minimum.reduceat(low[:end], edges).tolist())
        band["middle"].append(middle[edges].tolist())
        band["high"].append(np.maximum.reduceat(high[:end], edges).tolist())
    return found


__all__ = ["GROWTH", "Curves", "gather", "thin"]
