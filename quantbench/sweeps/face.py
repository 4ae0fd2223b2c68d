"""Sweeps for people who write Python: what the commands ``run`` and ``resume`` do, from lists of overrides to results."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from quantbench.errors import ConfigError, brief
from quantbench.paths import whole
from quantbench.results.load import Results, load
from quantbench.sweeps import runner
from quantbench.sweeps import tune as tuning
from quantbench.sweeps.compose import compose
from quantbench.sweeps.execute import SweepFailed
from quantbench.sweeps.plan import Plan
from quantbench.sweeps.plan import plan as plan_sweep


def sweep(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Results:
    """Run a sweep, as ``quantbench run`` does, and read what it found; failed trials are rows, and a warning.

    ``sweep(["+experiment=ste_vs_anneal", "seed=range(0,8)"])``

    Args:
        overrides: as on the command line; several values of a key are an axis.
        config_dir: a folder with choices and classes of your own.

    Raises:
        ConfigError: something in the configuration is wrong; nothing was trained.
    """
    composed = compose(_words(overrides), _path(config_dir))
    try:
        folder = runner.run(composed)
    except SweepFailed as error:
        warnings.warn(str(error), stacklevel=2)
        folder = error.folder
    if folder is None:
        raise ConfigError("dry_run=true: nothing was trained; quantbench.plan gives what would be")
    return load(folder)


def tune(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Results:
    """Tune every method of a sweep alike, as ``quantbench tune`` does, and read what it found; failed trials are rows.

    ``tune(["+experiment=verdict_small", "budget=10", "studies=2"])``; ``rank`` and ``plot`` read its results.

    Raises:
        ConfigError: something in the configuration is wrong; nothing was trained.
    """
    place = _path(config_dir)
    settings, words = tuning.asked(_words(overrides))
    try:
        folder = tuning.tune(compose(words, place), settings, place)
    except SweepFailed as error:
        warnings.warn(str(error), stacklevel=2)
        folder = tuning.folder_of(error.folder)
    if folder is None:
        raise ConfigError("dry_run=true: nothing was trained; `quantbench tune --dry-run` says how long it would take")
    return load(folder)


def plan(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Plan:
    """What a sweep would be: its trials with all settings, and why some are skipped; trains nothing. Raises ConfigError."""
    return plan_sweep(compose(_words(overrides), _path(config_dir)))


def resume(
    folder: str | Path,
    config_dirs: str | Path | Sequence[str | Path] = (),
    allow: str | Sequence[str] = (),
    collect: bool = False,
) -> Results:
    """Finish an interrupted sweep or search, as ``quantbench resume`` does, and read what it found.

    Args:
        config_dirs: one or several folders with classes of your own that the sweep may use.
        allow: one or several installed packages that it may use, ``slurm``, or the address of its Dask scheduler.
        collect: of a Slurm sweep: take what is finished, submit what is missing, and do not wait.

    Raises:
        ConfigError: there is no sweep, or it is not what it was.
    """
    place, packages = whole(_folder("folder", folder)), [one for one in _each(allow) if isinstance(one, str)]
    if len(packages) != len(_each(allow)):
        raise ConfigError(f"allow={brief(allow)}: must be the name of a package, or a list of names")
    try:
        resume_any = tuning.resume if tuning.is_search(place) else runner.resume
        resume_any(place, [_folder("config_dirs", one) for one in _each(config_dirs)], packages, collect)
    except SweepFailed as error:
        warnings.warn(str(error), stacklevel=2)
    return load(place)


def _words(overrides: Sequence[str]) -> Sequence[str]:
    """Overrides; a single text is a mistake that would be read letter by letter. Raises ConfigError."""
    if not (isinstance(overrides, list | tuple) and all(isinstance(one, str) for one in overrides)):
        raise ConfigError(f"{brief(overrides)}: must be a list of overrides, as ['+experiment=smoke', 'seed=0,1']")
    return overrides


def _path(config_dir: str | Path | None) -> Path | None:
    return None if config_dir is None else _folder("config_dir", config_dir)


def _folder(argument: str, given: object) -> Path:
    """The path of a folder. Raises ConfigError."""
    if not isinstance(given, str | Path):
        raise ConfigError(f"{argument}={brief(given)}: must be the path of a folder")
    return Path(given)


def _each(given: object) -> Sequence[object]:
    """One or several: a single text is one, and not its letters."""
    return given if isinstance(given, list | tuple) else [given]
