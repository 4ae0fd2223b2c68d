"""What follows from the code and the choices alone, kept from run to run: to know it takes all classes, and torch, seconds."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from quantbench.files import write_cache
from quantbench.paths import cache_folder, config_folder
from quantbench.version import __version__


def kept(name: str, make: Callable[[], str]) -> str:
    """The text that ``make`` gives, kept under a key of all the code and choices that it follows from."""
    package = Path(__file__).parent.parent
    files = sorted([*package.rglob("*.py"), *config_folder().rglob("*.yaml")])
    key = hashlib.sha256(b"\0".join([__version__.encode(), *(path.read_bytes() for path in files)])).hexdigest()[:16]
    place = cache_folder() / f"{name}-{key}.txt"
    with contextlib.suppress(OSError):
        return place.read_text(encoding="utf-8")
    found = make()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        write_cache(place, lambda file: file.write(found.encode()))
    return found
