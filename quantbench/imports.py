"""Which modules the names in a configuration may import, and from where.

A configuration names classes, and Python runs a module to import it. What a user types, or keeps in a folder of their own, is
theirs to decide. A sweep that somebody else wrote may ask for classes of this project and for what the user names, no more.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from quantbench.errors import ConfigError

KNOWN = ("quantbench", "vector_quantize_pytorch")
"""Packages that choices of this project name."""


@dataclass(frozen=True)
class Policy:
    """What may be imported beside ``KNOWN``.

    Attributes:
        folders: folders whose modules may be.
        packages: packages, with all that is in them; and what an executor may reach, see ``unnamed``.
        advice: what to tell who asks for more.
    """

    folders: Sequence[Path]
    packages: Sequence[str]
    advice: str


def import_from(folder: Path | str) -> None:
    """Have this process find modules in a folder, too, after all others."""
    place = os.path.abspath(folder)  # Python keeps what it finds in a relative folder, whatever that becomes
    if place not in sys.path:
        sys.path.append(place)


def import_from_config_dir(folder: Path) -> None:
    """The same of a folder given with ``--config-dir``. Raises ConfigError where it is none."""
    if not folder.is_dir():
        raise ConfigError(f"--config-dir {folder}: no such folder")
    import_from(folder)
    _given.add(os.path.abspath(folder))


_given: set[str] = set()
"""Folders that were given with ``--config-dir``."""


def forget_config_dirs() -> None:
    """Have modules of these folders imported anew: a notebook's user changes them, or names another folder."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and any(Path(file).is_relative_to(folder) for folder in _given):
            del sys.modules[name]
    sys.path[:] = [one for one in sys.path if one not in _given]
    _given.clear()
    importlib.invalidate_caches()


def children_import_safely() -> None:
    """Have the processes that this one starts find no modules in the current folder, which may be a stranger's.

    Helpers of multiprocessing and jobs are started with ``python -c`` and ``python -m``, which look there first of all.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


_policies: list[Policy] = []


@contextmanager
def only(policy: Policy) -> Iterator[None]:
    """Within this context, no more than the policy allows."""
    _policies.append(policy)
    try:
        yield
    finally:
        _policies.pop()


def refusal(name: str) -> str | None:
    """Why the dotted name of a class may not be imported; None where it may. Imports nothing."""
    root = name.partition(".")[0]
    for policy in _policies:
        folders = [str(folder) for folder in policy.folders]
        if root not in (*KNOWN, *policy.packages) and not (folders and PathFinder.find_spec(root, folders)):
            return f"is no class of QuantBench, and is not imported because a file says so; {policy.advice}"
    return None


def unnamed(asked: Sequence[str]) -> list[str]:
    """What of it the user did not name, where a file that somebody else may have written asks for it."""
    return [one for one in asked if not all(one in policy.packages for policy in _policies)]
