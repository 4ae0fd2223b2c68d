"""The unit of work of a sweep, and what is known of it once it is done."""

from __future__ import annotations

from dataclasses import dataclass

from quantbench.points import Points
from quantbench.results.records import Record as Record
from quantbench.results.schema import Status
from quantbench.schema import Settings


@dataclass(frozen=True)
class Trial:
    """One training of one codec.

    Attributes:
        id: hash of all settings, and of the data that they name, but of the seed; a dash, the seed.
        choices: the name chosen in each group.
        config: checked settings of each group, of ``train``, and the seed.
        shape: a number, equal for trials of a sweep that can share a stack.
        skipped: why the trial cannot be trained, or None.
    """

    id: str
    choices: dict[str, str]
    config: Settings
    shape: int
    skipped: str | None = None


def failure(trial: Trial, error: str) -> Record:
    """The record of a trial that could not be trained."""
    return Record(trial.id, {"status": Status.FAILED, "error": error}, Points())
