"""What follows from the code and the choices alone, kept from run to run: to know it takes all classes, and torch, seconds."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from quantbench.files import write_cache
from quantbench.paths import cache_folder, config_folder
from quantbench.version import __version__

Found = TypeVar("Found")


def kept(name: str, make: Callable[[], Found]) -> Found:
    """What ``make`` gives, plain data, kept under a key of all the code and choices that it follows from."""
    package = Path(__file__).parent.parent
    files = sorted([*package.rglob("*.py"), *config_folder().rglob("*.yaml")])
    key = hashlib.sha256(b"\0".join([__version__.encode(), *(path.read_bytes() for path in files)])).hexdigest()[:16]
    place = cache_folder() / f"{name}-{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # damaged, it is made anew
        content = json.loads(place.read_text(encoding="utf-8"))
        if content["checksum"] == _checksum(content["found"]):
            known: Found = content["found"]
            return known
    found = make()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        text = json.dumps({"checksum": _checksum(found), "found": found})
        write_cache(place, lambda file: file.write(text.encode()))
        for old in place.parent.glob(f"{name}-*.json"):
            if old != place:
                old.unlink(missing_ok=True)
    return found


def _checksum(found: object) -> str:
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
