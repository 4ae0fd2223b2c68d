"""Where the names of points go, so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""

RADII = (7, 13, 22, 34, 50, 70)
ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
PASSES = 4
NAME, POINT, BAR, OUTSIDE = 50.0, 50.0, 4.0, 500.0
"""What it costs to cover a name, a point, a piece of a line, or to leave the frame; the next radius costs 3."""

MOST_BARS = 5
"""Covering more pieces costs no more: a name over many is better than one that is far away or over another."""


def label_places(
    points: NDArray[np.float64], sizes: NDArray[np.float64], bars: Sequence[Box], frame: Box
) -> list[tuple[float, float]]:
    """Lower left corners of boxes of the given sizes, one a point, in the points' units (those of the screen).

    Each box takes the cheapest of the places around its point, in several passes, for what the others cover changes.
    """
    candidates = [_around(point, size) for point, size in zip(points, sizes, strict=True)]
    fixed = [_fixed_cost(boxes, points, np.array(bars).reshape(-1, 4), frame) for boxes in candidates]
    chosen = [int(cost.argmin()) for cost in fixed]
    for _ in range(PASSES):
        for own, boxes in enumerate(candidates):
            others = [candidates[i][place] for i, place in enumerate(chosen) if i != own]
            covered = _overlap(boxes, np.array(others).reshape(-1, 4)).sum(axis=1)
            chosen[own] = int((fixed[own] + NAME * covered).argmin())
    return [(float(boxes[i][0]), float(boxes[i][1])) for boxes, i in zip(candidates, chosen, strict=True)]


def _around(point: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes at every radius and angle, near ones first; the box's nearest edge or corner faces the point."""
    boxes = []
    for radius in RADII:
        for angle in ANGLES:
            x, y = point + radius * np.array([np.cos(angle), np.sin(angle)])
            left = x - size[0] * (1 - np.cos(angle)) / 2
            bottom = y - size[1] * (1 - np.sin(angle)) / 2
            boxes.append((left, bottom, left + size[0], bottom + size[1]))
    return np.array(boxes)


def _fixed_cost(
    boxes: NDArray[np.float64], points: NDArray[np.float64], bars: NDArray[np.float64], frame: Box
) -> NDArray[np.float64]:
    distance = np.repeat(np.arange(len(RADII), dtype=float), len(ANGLES))
    # To the side is where one looks for a name first, to the right before all.
    turn = np.tile(np.abs(np.sin(ANGLES)) + 0.2 * (np.cos(ANGLES) < 0), len(RADII))
    dots = np.hstack([points - 4, points + 4])
    outside = (boxes[:, 0] < frame[0]) | (boxes[:, 1] < frame[1]) | (boxes[:, 2] > frame[2]) | (boxes[:, 3] > frame[3])
    cost = 3 * distance + turn + POINT * _overlap(boxes, dots).sum(axis=1)
    return np.asarray(cost + BAR * np.minimum(_overlap(boxes, bars).sum(axis=1), MOST_BARS) + OUTSIDE * outside)


def _overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each box (rows) meets each other one (columns)."""
    a, b = boxes[:, None, :], others[None, :, :]
    return np.asarray((a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2]) & (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3]))
