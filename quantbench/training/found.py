"""What was found of sources and takes long, kept from run to run: limits, bounds and references.

A file holds what one function gave, under a key of all that it was given and of the code of limits. So it does not matter who
wrote it, or what a source is called: other frames, or other code, have other keys. What is missing, damaged or cannot be
written costs time, nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy

from quantbench import limits
from quantbench.errors import ConfigError
from quantbench.files import read_text, write_cache
from quantbench.limits import Limit, Sandwich, samples
from quantbench.limits.densities import Density
from quantbench.limits.finite import Tangent
from quantbench.limits.kmeans import Frames
from quantbench.paths import cache_folder

SWITCH = "QUANTBENCH_YARDSTICKS"
"""Environment variable; ``off`` keeps nothing from run to run."""
LARGEST = 2**26
"""Bytes of a file: the codebooks that k-means is run for take a quarter of that at most."""
PLACES = 257
"""Where a density is looked at, to tell it from others."""
MOST_BYTES, MOST_FILES = 2**28, 20_000
"""Of the folder; beyond, what was written first goes, a quarter of it at a time."""

Result = TypeVar("Result")

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)
"""Where what is found is kept; None to keep nothing."""


def place() -> Path | None:
    """The folder in the user's cache; None where it is switched off, or cannot be written."""
    if os.environ.get(SWITCH) == "off":
        return None
    folder = cache_folder() / "yardsticks"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK | os.X_OK) and folder.is_dir() else None


@contextmanager
def kept_in(folder: Path | None) -> Iterator[None]:
    """Keep what is found meanwhile in a folder, and look there first; None for neither."""
    before = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(before)


def codebook(method: str, frames: Frames, codes: int, seed: int, how_often: int, make: Callable[[], Frames]) -> Frames:
    """The codebook that ``make`` finds for frames, or found for the same ones before.

    Args:
        method: its name.
        how_often: restarts or passes.
    """

    def unpacked(content: dict[str, Any]) -> Frames:
        values = np.frombuffer(base64.b64decode(content["float32"], validate=True), dtype="<f4")
        return values.reshape(codes, frames.shape[1]).astype(np.float32)

    def packed(values: Frames) -> dict[str, Any]:
        return {"float32": base64.b64encode(values.astype("<f4").tobytes()).decode()}

    return _remembered(f"{method} {codes} {seed} {how_often}", (frames,), make, packed, unpacked)


def number(name: str, density: Density, make: Callable[[], float]) -> float:
    """A number that follows from a name and a density, as ``lloyd_max 512``. What the density is called says nothing."""
    x = np.linspace(-density.reach, density.reach, PLACES)
    given = (np.array([density.entropy, density.reach]), density.pdf(x), *density.tails(x))
    return _remembered(name, given, make, float, float)


def bounds(fitted: Frames, judged: Frames, runs: tuple[int, ...] | None, make: Callable[[], Sandwich]) -> Sandwich:
    """Bounds from samples."""

    def unpacked(content: dict[str, Any]) -> Sandwich:
        points, tangents = content["points"], content["tangents"]
        return Sandwich(
            content["dim"],
            tuple(samples.Point(**one) for one in points),
            tuple(samples.Tangent(**one) for one in tangents),
            (content["frames"][0], content["frames"][1]),
        )

    return _remembered(f"sandwich {runs}", (fitted, judged), make, asdict, unpacked)


@contextmanager
def solved(limit: Limit) -> Iterator[None]:
    """Give a limit the tangents that were found before; afterwards keep those that are new."""
    alphabet = limit.alphabet
    folder = _folder.get()
    if alphabet is None or folder is None:
        yield
        return
    path = folder / _name("tangents", (alphabet.points,))
    for tangent in _tangents(path):
        alphabet.tangents.setdefault(tangent.slope, tangent)
    before = len(alphabet.tangents)
    yield
    if len(alphabet.tangents) > before:
        _write(path, [[one.slope, one.height, one.nats, one.distance] for one in alphabet.tangents.values()])


def _tangents(path: Path) -> list[Tangent]:
    try:
        return [Tangent(*map(float, one)) for one in _read(path) or []]
    except (TypeError, ValueError):
        return []


def tidy(folder: Path) -> None:
    """Remove what was written first where there is too much."""
    with suppress(OSError):
        files = sorted((one.stat().st_mtime, one.stat().st_size, one.path) for one in os.scandir(folder) if one.is_file())
        size, count = sum(one[1] for one in files), len(files)
        if size <= MOST_BYTES and count <= MOST_FILES:
            return
        for _, taken, path in files:
            if size <= 0.75 * MOST_BYTES and count <= 0.75 * MOST_FILES:
                return
            with suppress(FileNotFoundError):  # another process is tidying, too
                os.unlink(path)
            size, count = size - taken, count - 1


def _remembered(
    kind: str,
    given: tuple[Any, ...],
    make: Callable[[], Result],
    pack: Callable[[Result], Any],
    unpack: Callable[[Any], Result],
) -> Result:
    folder = _folder.get()
    if folder is None:
        return make()
    path = folder / _name(kind, given)
    content = _read(path)
    if content is not None:
        with suppress(KeyError, TypeError, ValueError, IndexError):
            return unpack(content)
    made = make()
    _write(path, pack(made))
    return made


def _name(kind: str, given: tuple[Any, ...]) -> str:
    """The file of what a function gives for arrays."""
    digest = hashlib.sha256(f"{_version()} {kind}".encode())
    for array in given:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"{kind.partition(' ')[0]}-{digest.hexdigest()[:32]}.json"


@cache
def _version() -> str:
    """Of the code of limits, and of what it computes with: with another one, other numbers may be found."""
    assert limits.__file__ is not None
    sources = [path.read_bytes() for path in sorted(Path(limits.__file__).parent.glob("*.py"))]
    used = f"numpy {np.__version__}, scipy {scipy.__version__}, {platform.machine()}"
    return f"{hashlib.sha256(b''.join(sources)).hexdigest()} {used}"


def _read(path: Path) -> Any:
    """What is kept in a file; None where there is nothing, or nothing of ours."""
    try:
        content = json.loads(read_text(path, LARGEST))
        return content["found"] if content["checksum"] == _checksum(path.name, content["found"]) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ConfigError):
        return None


def _write(path: Path, content: Any) -> None:
    with suppress(OSError):
        text = json.dumps({"checksum": _checksum(path.name, content), "found": content})
        write_cache(path, lambda file: file.write(text.encode()))


def _checksum(name: str, content: Any) -> str:
    return hashlib.sha256(f"{name} {json.dumps(content)}".encode()).hexdigest()[:16]
