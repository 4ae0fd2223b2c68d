"""What is shown of chance: a mean and its interval."""

from __future__ import annotations

from typing import NamedTuple

INTERVAL = "[95 % if normal]"
"""What an interval of a mean is called: it holds what it says for values that vary about normally from seed to seed."""


class Estimate(NamedTuple):
    """A mean and its interval; the ends are NaN where one value allows no interval."""

    mean: float
    low: float
    high: float
