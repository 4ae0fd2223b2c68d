"""Quantizers by gradients: one number a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.frame import DROP, Counts
from quantbench.results.layout import layout, text
from quantbench.results.plots.data import Data, axis_title
from quantbench.results.plots.picture import BAD, PAPER, Axis, Cell, Panel, Picture, Scale
from quantbench.results.render import number

SKIPPED = "#e3e6ea"
CELL = (0.62, 0.4)
"""Inches."""
CELLS_ACROSS, MOST_ROWS = 12, 4
"""How many cells of several panels stand side by side, and how many panels one below the other."""

PAIR = ["quantizer", "gradient"]
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
    choices = [table[name].map(text).astype(object) for name in PAIR]
    pairs = pd.Series(list(zip(*choices, strict=True)), index=table.index)
    names = dict(zip(layout(table, None, PAIR).methods, pairs, strict=True))
    rows, columns = (sorted(set(one)) for one in choices)
    skipped = set(pairs[(table["status"] == "skipped").to_numpy()]) - set(pairs[(table["status"] != "skipped").to_numpy()])
    means = {(names[method], task): one.mean for (method, task), (one, _) in found.means(DROP).items()}
    if not means:
        raise ConfigError(f"--metric {found.metric.name}: no pair completed")
    scale = _scale(list(means.values()), found.metric)
    counts = {(names[method], task): one for (method, task), one in found.counts_by_task().items()}
    panels = [Panel(task, cells=_cells(task, means, counts, scale, rows, columns, skipped)) for task in found.tasks]
    across = max(1, min(CELLS_ACROSS // len(columns), len(panels)))
    words = "means over completed trials" + ("; what is lighter is better" if found.metric.sign else "")
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
        size=(max(2.0, CELL[0] * len(columns)), max(0.5, CELL[1] * len(rows))),
        columns=across,
        most=MOST_ROWS * across,
        scale=scale,
        words=[words, *found.notes],
        notes=list(found.notes),
    )


def _scale(means: Sequence[float], metric: Metric) -> Scale:
    """Values to colours that lighten towards what is better."""
    low, high = min(means), max(means)
    log = low > 0 and high > 100 * low
    ends = (low, high if high > low else low + 1)
    return Scale(axis_title(metric), ends, CIVIDIS[::-1] if metric.sign > 0 else CIVIDIS, log)


def _colour(value: float, scale: Scale) -> str:
    low, high, value = np.log([*scale.values, value]) if scale.log else [*scale.values, value]
    place = (value - low) / (high - low) * (len(scale.colours) - 1)
    before = min(int(place), len(scale.colours) - 2)
    ends = [_parts(scale.colours[one]) for one in (before, before + 1)]
    mixed = [a + (place - before) * (b - a) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def _parts(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _cells(
    task: str,
    means: Mapping[tuple[tuple[str, str], str], float],
    counts: Mapping[tuple[tuple[str, str], str], Counts],
    scale: Scale,
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
            face = _colour(mean, scale) if known else SKIPPED if pair in skipped else PAPER
            words = [number(mean, 3).replace("-", "−")] if known else []
            words += [f"× {count.bad}/{count.trials}"] if count.bad else []
            edge = BAD if count.bad else ""
            if words or face != PAPER:
                cells.append(Cell(x, y, face, "\n".join(words), _readable(face) if known else BAD, edge))
    return cells


def _readable(face: str) -> str:
    red, green, blue = _parts(face)
    return "#222222" if 0.3 * red + 0.59 * green + 0.11 * blue > 128 else "#ffffff"
