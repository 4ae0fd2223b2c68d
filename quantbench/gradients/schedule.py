"""How a setting moves while training."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from quantbench.components import Component, Factor, above, between, component
from quantbench.errors import ConfigError
from quantbench.traced import Traced

Shape = Literal["constant", "linear", "exponential", "cosine", "logarithmic"]


@component
class Schedule(Component):
    """The course of a setting from ``start`` to ``end``; constant before ``begin`` and after ``finish``.

    Attributes:
        start: value at the beginning.
        end: value that it arrives at.
        shape: of the way between them: ``constant`` (always ``start``), ``linear``, ``exponential`` (a straight line in the
            logarithm), ``cosine`` (half a period, flat at both ends) or ``logarithmic`` (``log2(1 + share)``, fast at first).
        begin, finish: shares of the training, 0 to 1.
    """

    start: Factor = 1.0
    end: Factor = 1.0
    shape: Shape = "constant"
    begin: float = 0.0
    finish: float = 1.0

    def check(self) -> None:
        between("begin", self.begin, 0, 1)
        between("finish", self.finish, 0, 1)
        if self.begin > self.finish:
            raise ConfigError(f"begin={self.begin}: must not be above finish={self.finish}")
        if self.shape == "exponential" and min(self.start, self.end) <= 0:
            raise ConfigError(f"start={self.start}, end={self.end}: must be above 0 for an exponential course")

    def check_above(self, where: str, lowest: float) -> None:
        """Raise ConfigError unless both ends of the setting ``where`` are above ``lowest``."""
        for name in ("start", "end"):
            above(f"{where}.{name}", getattr(self, name), lowest)

    def check_between(self, where: str, low: float, high: float) -> None:
        """Raise ConfigError unless both ends of the setting ``where`` lie between ``low`` and ``high``."""
        for name in ("start", "end"):
            between(f"{where}.{name}", getattr(self, name), low, high)

    def at(self, progress: float) -> Tensor:
        """The value at a share ``progress`` (0 to 1) of the training, (trials, 1, 1)."""
        if self.shape == "constant":
            return self.start
        if isinstance(progress, Traced):
            return progress.tensor(self.at)
        width = self.finish - self.begin
        share = (progress - self.begin) / width if width else float(progress >= self.finish)
        share = min(max(share, 0.0), 1.0)
        if self.shape == "exponential":
            return self.start * (self.end / self.start) ** share
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        elif self.shape == "logarithmic":
            share = math.log2(1 + share)
        return self.start + (self.end - self.start) * share
