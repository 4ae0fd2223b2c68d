"""Priors of settings: what a search tries of each, from the ``space`` of a choice's file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantbench.errors import ConfigError, brief

LOG_UNIFORM, UNIFORM, CHOICE = "log_uniform", "uniform", "choice"
KINDS = (LOG_UNIFORM, UNIFORM, CHOICE)
ZERO = "zero"
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Prior:
    """The distribution from which a search takes a setting.

    Attributes:
        kind: one of ``KINDS``.
        values: both ends; all values of a choice, which are equally likely.
        zero: the probability that a number is 0 in the place of one from ``log_uniform``.
    """

    kind: str
    values: tuple[Any, ...]
    zero: float = 0.0

    def at(self, share: float) -> Any:
        """The value below which a share, from 0 to 1, of the prior lies. Numbers have four digits."""
        if self.kind == CHOICE:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        low, high = self.values
        if self.kind == UNIFORM:
            return float(f"{low + share * (high - low):.4g}")
        if share < self.zero:
            return 0.0
        share = (share - self.zero) / (1 - self.zero)
        return float(f"{math.exp(math.log(low) + share * (math.log(high) - math.log(low))):.4g}")

    @property
    def quartiles(self) -> list[Any]:
        """The values at its quartiles, each once."""
        return list(dict.fromkeys(self.at(share) for share in QUARTILES))

    @property
    def extremes(self) -> list[Any]:
        """Values that all must be allowed for the prior to be."""
        return [*self.values, *([0.0] if self.zero else [])]

    def __str__(self) -> str:
        if self.kind == CHOICE:
            return f"one of {', '.join(map(_word, self.values))}"
        ends = f"{self.values[0]:g} to {self.values[1]:g}"
        if self.kind == UNIFORM:
            return f"uniform from {ends}"
        return f"log-uniform from {ends}" + (f", or 0 with probability {self.zero:g}" if self.zero else "")


def _word(value: Any) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else f"{value:g}"


def prior(written: Any, where: str) -> Prior:
    """The prior that a file writes as ``{log_uniform: [0.02, 2], zero: 0.2}``, ``{uniform: [0, 1]}`` or ``{choice: [0, 1]}``.

    Raises:
        ConfigError: it is none of these.
    """
    kinds = [name for name in written if name in KINDS] if isinstance(written, Mapping) else []
    if len(kinds) != 1:
        raise ConfigError(f"{where}={brief(written)}: must hold one of {', '.join(KINDS)}")
    (kind,) = kinds
    if other := next((name for name in written if name not in (kind, ZERO)), None):
        raise ConfigError(f"{where}.{other}: is no part of a prior; there are {', '.join((*KINDS, ZERO))}")
    if ZERO in written and kind != LOG_UNIFORM:
        raise ConfigError(f"{where}.{ZERO}: is for {LOG_UNIFORM}; a {kind} says by itself whether 0 is in it")
    values, zero = written[kind], written.get(ZERO, 0.0)
    if not _is_number(zero) or not 0 <= zero < 1:
        raise ConfigError(f"{where}.{ZERO}={brief(zero)}: must be a probability, at least 0 and below 1")
    if kind == CHOICE:
        if not (isinstance(values, list) and values and all(_is_plain(one) for one in values)):
            raise ConfigError(f"{where}.{CHOICE}={brief(values)}: must be a list of numbers, texts, true or false")
        return Prior(kind, tuple(values))
    if not (isinstance(values, list) and len(values) == 2 and all(map(_is_number, values)) and values[0] < values[1]):
        raise ConfigError(f"{where}.{kind}={brief(values)}: must be two numbers, the lower one first")
    if kind == LOG_UNIFORM and values[0] <= 0:
        raise ConfigError(f"{where}.{kind}={brief(values)}: must lie above 0; `{ZERO}: 0.2` beside it adds 0")
    return Prior(kind, (float(values[0]), float(values[1])), float(zero))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool) or _is_number(value)
