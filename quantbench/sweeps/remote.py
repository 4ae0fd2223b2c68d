"""Stacks for workers that a driver does not start itself, perhaps on other machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from quantbench.errors import QuantBenchError
from quantbench.imports import import_from
from quantbench.version import __version__

DEATH = "its worker process died (out of memory, or killed)"


def own_folders() -> list[str]:
    """Folders from which this process imports beside Python's own, as a user's folder of classes; absolute."""
    pythons = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    folders = dict.fromkeys(Path(entry).resolve() for entry in sys.path if entry)
    return [str(folder) for folder in folders if folder.is_dir() and not any(folder.is_relative_to(one) for one in pythons)]


def join_driver(folders: Sequence[str], version: str) -> None:
    """Make this process import what the driver imports.

    Raises:
        QuantBenchError: this process runs another version of QuantBench than the driver.
    """
    if version != __version__:
        raise QuantBenchError(f"a worker has QuantBench {__version__}, the driver {version}; install the same everywhere")
    for folder in folders:
        import_from(folder)
