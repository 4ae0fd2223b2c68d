"""Points of a trial's curves, packed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

Point = tuple[int, str, float]
"""Step, metric, value."""

_names: dict[tuple[str, ...], tuple[str, ...]] = {}
"""Metrics that occur together: trials share them."""


class Points(Sequence[Point]):
    """Points in 17 bytes each. As tuples they would take ten times as much, and a large sweep has a hundred million.

    Attributes:
        metrics: names of the metrics.
        kinds: of each point, the place of its metric in ``metrics``; at most 256 differ.
    """

    __slots__ = ("kinds", "metrics", "steps", "values")

    def __init__(self, points: Iterable[Point] = ()) -> None:
        points = list(points)
        metrics = tuple(dict.fromkeys(metric for _, metric, _ in points))
        self.metrics = _names.setdefault(metrics, metrics)
        places = {metric: place for place, metric in enumerate(metrics)}
        self.steps = array("q", [int(step) for step, _, _ in points])
        self.kinds = bytes(places[metric] for _, metric, _ in points)
        self.values = array("d", [float(value) for _, _, value in points])

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[Point]:
        for step, kind, value in zip(self.steps, self.kinds, self.values, strict=True):
            yield step, self.metrics[kind], value

    @overload
    def __getitem__(self, place: int) -> Point: ...
    @overload
    def __getitem__(self, place: slice) -> list[Point]: ...
    def __getitem__(self, place: int | slice) -> Point | list[Point]:
        if isinstance(place, slice):
            return list(self)[place]
        return self.steps[place], self.metrics[self.kinds[place]], self.values[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Points) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # two of them may be equal
