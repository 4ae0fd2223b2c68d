"""What trainings leave in the folder of their run beside what they measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Keep:
    """What to keep, and where.

    Attributes:
        folder: of the run; None to keep nothing.
        checkpoint_every: steps between checkpoints; 0 for none.
        export: whether reconstructions and weights are written.
    """

    folder: Path | None = None
    checkpoint_every: int = 0
    export: bool = False


NOTHING = Keep()
