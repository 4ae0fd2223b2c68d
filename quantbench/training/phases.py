"""What a stack is at, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Phases(NamedTuple):
    """All names, so that a worker can tell one as a number."""

    waiting: str = "waiting"
    warm_start: str = "warm start"
    training: str = "training"
    measuring: str = "measuring"
    references: str = "limits and references"
    auditing: str = "auditing"


PHASES = Phases()

Told = Callable[[str, float], None]
"""Told what is being done from now on, and which share of all that comes after the last step was done since the last call."""


def silent(phase: str, share: float) -> None:
    """For whom nobody waits."""
