"""Random numbers of a step that is a graph."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from quantbench.streams import Streams
from quantbench.traced import Trace


class Drawn(Streams):
    """Random numbers that are drawn outside of a graph, into tensors of it.

    Streams whose draws are tensor operations, and whose positions are tensors that are moved in place, say so by an attribute
    ``capturable``: these are a part of the graph. What they make once, at a first draw, is there before it is written down.
    """

    def __init__(self, streams: Streams, trace: Trace) -> None:
        self.device, self.trials = streams.device, streams.trials
        self._streams, self._trace = streams, trace
        self._within = streams.capturable
        self._kept: list[tuple[Tensor, Callable[[], Tensor]]] = []
        self._place: int | None = None

    def again(self) -> None:
        """Give the same tensors again, from the first on."""
        self._place = 0

    def refresh(self) -> None:
        """Draw all numbers anew, in their order."""
        for tensor, draw in self._kept:
            tensor.copy_(draw())

    def normal(self, purpose: str, *shape: int) -> Tensor:
        return self._tensor(lambda: self._streams.normal(purpose, *shape))

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        return self._tensor(lambda: self._streams.uniform(purpose, *shape))

    def integers(self, purpose: str, high: int, *shape: int) -> Tensor:
        return self._tensor(lambda: self._streams.integers(purpose, high, *shape))

    def permutations(self, purpose: str, length: int) -> Tensor:
        return self._tensor(lambda: self._streams.permutations(purpose, length))

    def rotations(self, purpose: str, *shape: int, dim: int) -> Tensor:
        return self._tensor(lambda: self._streams.rotations(purpose, *shape, dim=dim))

    def _tensor(self, draw: Callable[[], Tensor]) -> Tensor:
        if self._within:
            with self._trace.outside():
                return draw()
        if self._place is None:
            with self._trace.outside():
                self._kept.append((draw(), draw))
            return self._kept[-1][0]
        if self._place == len(self._kept):
            raise RuntimeError("the step draws more than it did when it was written down")
        self._place += 1
        return self._kept[self._place - 1][0]
