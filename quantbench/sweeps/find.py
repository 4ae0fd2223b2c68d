"""What a helper does: find limits and references of trained trials. Imports no more than a worker, for it starts as often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench.config import instance
from quantbench.errors import interrupted
from quantbench.schema import Settings
from quantbench.sweeps.worker import describe, one_thread
from quantbench.training import found
from quantbench.training.bounds import Row
from quantbench.training.measure import known
from quantbench.training.yardsticks import Source, limits_of, reference_of

LIMITS, REFERENCE = "limits", "reference"
FAILED = "could not be computed: "
"""How a note begins that says why."""


@dataclass(frozen=True)
class Ask:
    """What a limit or a reference of a trial depends on."""

    trial: str
    simulator: Settings
    seed: int
    measured: Row


def find(what: str, asks: Sequence[Ask], references: bool, folder: Path | None) -> list[Row]:
    """The columns that each of some trials of one source asks for. An error is told in a note, and never raised.

    Args:
        folder: where what takes long is kept.
    """
    rows: list[Row] = []
    source: Source | None = None
    with one_thread(), found.kept_in(folder):
        for ask in asks:
            try:
                if source is None or source.seed != ask.seed:
                    source = Source.of(instance("simulator", ask.simulator), ask.seed)
                look_up = limits_of if what == LIMITS else reference_of
                rows.append(known(look_up(source, ask.measured, references)))
            except (Exception, SystemExit) as error:  # of a user's own class, most likely
                if interrupted(error):
                    raise KeyboardInterrupt from error
                rows.append(not_found(what, describe(error)))
    return rows


def not_found(what: str, reason: str) -> Row:
    """The columns of a trial whose limit or reference could not be found."""
    if what == LIMITS:
        return {"limit_note": f"{FAILED}{reason}"}
    return {"reference_mse": None, "reference_note": f"{FAILED}{reason}"}
