"""What trainings measure beside what is always measured, and what they leave in the folder of their run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Keep:
    """What to keep, and where; none of it changes what a training finds.

    Attributes:
        folder: of the run; None to keep nothing.
        checkpoint_every: steps between checkpoints; 0 for none.
        export: whether reconstructions and weights are written.
        references: whether each trial is compared with what a known quantizer reaches.
        yardsticks: whether limits and references are found right after the training; a sweep has that done beside it.
    """

    folder: Path | None = None
    checkpoint_every: int = 0
    export: bool = False
    references: bool = True
    yardsticks: bool = True


NOTHING = Keep()
