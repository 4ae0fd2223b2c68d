"""Quantizers by gradients: one number a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.frame import Counts
from quantbench.results.layout import layout, texts
from quantbench.results.plots.data import Data, axis_title
from quantbench.results.plots.picture import BAD, PAPER, Axis, Cell, Panel, Picture
from quantbench.results.render import number
from quantbench.results.schema import Status

SKIPPED = "#e3e6ea"
CELL, LOWEST = (0.62, 0.4), 0.3
"""Inches; and the height of cells where there are many rows, which two lines of words still fit."""
HIGH = 8.0
"""Inches of a panel from which on its cells are lower."""
CELLS_ACROSS, MOST_ROWS = 12, 4
"""How many cells of several panels stand side by side (of one panel too, where it can be turned), and how many panels one
below the other."""

PAIR = ["quantizer", "gradient"]
Key = tuple[tuple[str, str], str]
"""A quantizer with a gradient, and a task."""
CIVIDIS = (
    "#00224e", "#083370", "#35456c", "#4f576c", "#666970", "#7d7c78", "#948e77", "#aea371", "#c8b866", "#e5cf52", "#fee838",
)  # fmt: skip
"""Matplotlib's colours of this name (Nuñez et al. 2018): told apart with any colour vision and in grey."""


def heatmap(data: Data, metric: str | None) -> Picture:
    """The mean of each pair over completed trials, a panel a task; pairs that do not fit are grey, failures counted.

    Raises:
        ConfigError: no such metric, an empty column, or ``--by`` other than quantizer and gradient.
    """
    if data.by is not None and set(data.by) != set(PAIR):
        raise ConfigError(f"--by {','.join(data.by)}: a heatmap is of quantizer,gradient")
    found = Data(data.runs, data.audit, PAIR, data.within).frame(metric)
    table = data.ran().results
    choices = [texts(table, name) for name in PAIR]
    pairs = pd.Series(list(zip(*choices, strict=True)), index=table.index)
    names = dict(zip(layout(table, None, PAIR).methods, pairs, strict=True))
    rows, columns = (sorted(set(one)) for one in choices)
    turned = len(columns) > CELLS_ACROSS and len(columns) > len(rows)  # else a strip, whose names nobody can read
    skipped = set(pairs[(table["status"] == Status.SKIPPED).to_numpy()]) - set(
        pairs[(table["status"] != Status.SKIPPED).to_numpy()]
    )
    means = {(names[method], task): one.mean for (method, task), (one, _) in found.means().items()}
    if not means:
        raise ConfigError(f"--metric {found.metric.name}: no pair completed")
    colours = _colours(means, found.metric)
    counts = {(names[method], task): one for (method, task), one in found.counts_by_task().items()}
    panels = [Panel(task, cells=_cells(task, means, counts, colours, rows, columns, skipped)) for task in found.tasks]
    if turned:
        rows, columns = columns, rows
        panels = [replace(one, cells=[replace(cell, x=cell.y, y=cell.x) for cell in one.cells]) for one in panels]
    across = max(1, min(CELLS_ACROSS // len(columns), len(panels)))
    height = min(CELL[1], max(LOWEST, HIGH / len(rows)))
    words = f"{axis_title(found.metric)}: means over completed trials" + "; what is lighter is better" * bool(found.metric.sign)
    if skipped:
        words += f"; grey: {len(skipped)} pairs that do not fit"
    if any(one.bad for one in counts.values()):
        words += "; ×: trials that diverged or failed, of how many"
    return Picture(
        f"{found.metric.name} of each pair",
        panels,
        Axis("", names=columns),
        Axis("", names=rows),
        {},
        size=(max(2.0, CELL[0] * len(columns)), max(0.5, height * len(rows))),
        columns=across,
        most=max(1, min(MOST_ROWS, int(MOST_ROWS * HIGH / (height * len(rows))))) * across,
        words=[words, *found.notes],
        notes=list(found.notes),
    )


def _colours(means: Mapping[Key, float], metric: Metric) -> dict[Key, str]:
    """Colours of values, which lighten towards what is better; on a logarithmic scale where values span decades."""
    values = np.array(list(means.values()))
    if values.min() > 0 and values.max() > 100 * values.min():
        values = np.log(values)
    places = (values - values.min()) / (np.ptp(values) or 1) * (len(CIVIDIS) - 1)
    stops = np.array([_parts(colour) for colour in (CIVIDIS[::-1] if metric.sign > 0 else CIVIDIS)])
    mixed = np.stack([np.interp(places, np.arange(len(CIVIDIS)), part) for part in stops.T], 1).round().astype(int)
    return {key: "#" + "".join(f"{part:02x}" for part in parts) for key, parts in zip(means, mixed.tolist(), strict=True)}


def _parts(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _cells(
    task: str,
    means: Mapping[Key, float],
    counts: Mapping[Key, Counts],
    colours: Mapping[Key, str],
    rows: list[str],
    columns: list[str],
    skipped: set[tuple[str, str]],
) -> list[Cell]:
    cells = []
    for y, quantizer in enumerate(rows):
        for x, strategy in enumerate(columns):
            pair = (quantizer, strategy)
            mean, count = means.get((pair, task), math.nan), counts.get((pair, task), Counts())
            known = not math.isnan(mean)
            face = colours[pair, task] if known else SKIPPED if pair in skipped else PAPER
            words = [number(mean, 3).replace("-", "−")] if known else []
            words += [f"× {count.bad}/{count.trials}"] if count.bad else []
            edge = BAD if count.bad else ""
            if words or face != PAPER:
                cells.append(Cell(x, y, face, "\n".join(words), _readable(face) if known else BAD, edge))
    return cells


def _readable(face: str) -> str:
    red, green, blue = _parts(face)
    return "#222222" if 0.3 * red + 0.59 * green + 0.11 * blue > 128 else "#ffffff"
