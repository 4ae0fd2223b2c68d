"""What changed between the beginning of a run and its ``resume``: told, and refused where its trials are others now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from quantbench.errors import ConfigError
from quantbench.paths import SWEEP_FILE
from quantbench.results.progress import read_plan
from quantbench.sweeps import stored
from quantbench.sweeps.plan import Plan
from quantbench.sweeps.stored import Stored
from quantbench.sweeps.trial import Record
from quantbench.terminal import say
from quantbench.version import __version__

MOST_TOLD = 5
"""Differences that a message names."""


def read_sweep(folder: Path) -> Stored:
    """The sweep of a run's folder. Raises ConfigError, which names the copy where there is one."""
    try:
        return stored.read(folder / SWEEP_FILE)
    except ConfigError as error:
        copy = folder / "journal" / SWEEP_FILE
        if not (folder / SWEEP_FILE).is_file() or not copy.is_file():
            raise
        raise ConfigError(f"{error}; {copy} is a copy of what it was: put that back") from error


def check_same(found: Stored, planned: Plan, folder: Path, records: Mapping[str, Record]) -> None:
    """Raise ConfigError where a sweep under way would train other trials than those that it began with."""
    journal = folder / "journal"
    try:
        began: set[str] | None = set(read_plan(journal)["trial"].dropna())
    except FileNotFoundError:  # it was killed before it wrote its plan, or begins anew
        began = None
    here = {trial.id for trial in planned.trials}
    copy = journal / SWEEP_FILE
    if not records.keys() <= here or here != (began or here) or (found.changed and began is None):
        raise _refusal(found, folder, f"; {len(records)} finished trials stay as they are", copy)
    if found.changed:
        say(f"{folder / SWEEP_FILE}: was changed since this run began{_told(found, copy)}; its trials are the same", error=True)


def check_complete(found: Stored, planned: Plan, folder: Path, trials: Collection[str]) -> None:
    """The same for a sweep whose table is complete, with the trials of that table."""
    if {trial.id for trial in planned.trials} != set(trials):
        raise _refusal(found, folder, "", None)
    say(f"{folder / SWEEP_FILE}: was changed since this run began; its trials are the same", error=True)


def _refusal(found: Stored, folder: Path, kept: str, copy: Path | None) -> ConfigError:
    if not found.changed:
        return ConfigError(
            f"{folder / SWEEP_FILE}: is as it was, but another version of QuantBench began this run, and its trials are others "
            f"now{kept}. Run it anew with `quantbench run`, or go on with the version that began it"
        )
    put_back = f"put it back as it was ({copy} is a copy)" if copy and copy.is_file() else "put it back as it was"
    other = f"; QuantBench {found.version} began it, this is {__version__}" if found.version != __version__ else ""
    return ConfigError(
        f"{folder / SWEEP_FILE}: its trials are not those that this run began with{_told(found, copy)}{other}{kept}. To go on, "
        f"{put_back}; for other settings, run a sweep of its own with `quantbench run`"
    )


def _told(found: Stored, copy: Path | None) -> str:
    """What differs from the copy of the beginning, in brackets; nothing where there is none that can be read."""
    if copy is None or not copy.exists():
        return ""
    try:
        unlike = stored.differences(stored.read(copy).content, found.content)
    except ConfigError:  # the copy only tells more
        return ""
    more = f"; and {len(unlike) - MOST_TOLD} more" if len(unlike) > MOST_TOLD else ""
    return f" ({'; '.join(unlike[:MOST_TOLD])}{more})" if unlike else ""
