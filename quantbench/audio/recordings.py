"""Recordings in a folder: found, read, split into training and held-out ones, and kept as waveforms of one level."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantbench.errors import ConfigError

Array = NDArray[np.float32]
Samples = NDArray[np.int16]

SUFFIXES = (".wav", ".flac", ".ogg")
INSTALL = "pip install 'quantbench[audio]'"
CACHE_VERSION = 2
LEVEL = 10 ** (-16 / 20)
"""Root mean square of the audible part of every recording: 16 dB below full scale, as DAC is trained on."""
PEAK = 0.99
SILENCE = 10 ** (-50 / 20)
"""Root mean square below which a stretch counts as silent."""
FRAME = 400
"""Samples over which loudness is looked at to tell the audible part."""
MOST_NAMED = 5
"""Recordings of one fault that are named; the others are counted."""


@dataclass(frozen=True)
class Waveforms:
    """Recordings as 16-bit samples, all of a kind one after the other.

    Attributes:
        train, held_out: samples, (samples,) each.
        train_bounds, held_out_bounds: where each recording starts and ends, (recordings, 2).
        skipped: recordings left out: unreadable, too short or silent.
    """

    train: Tensor
    train_bounds: Tensor
    held_out: Tensor
    held_out_bounds: Tensor
    skipped: int


def find(folder: Path) -> list[Path]:
    """The recordings below ``folder``, sorted. Raises ConfigError when there are too few."""
    if not folder.is_dir():
        raise ConfigError(
            f"simulator.folder={folder}: no such folder. Run scripts/get_audio.sh (in a checkout of QuantBench) to "
            f"fill it with speech, or set simulator.folder to a folder of your own recordings"
        )
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(found) < 2:
        raise ConfigError(
            f"simulator.folder={folder}: {len(found)} recordings found, at least 2 are needed "
            f"(one to train, one held out); allowed are {', '.join(SUFFIXES)}"
        )
    return found


def read(path: Path, sample_rate: int) -> Array:
    """One recording, mono, at ``sample_rate``. Raises RuntimeError when it cannot be read."""
    try:
        import soundfile
        import soxr
    except ImportError as error:
        raise ConfigError(f"simulator.folder: recordings are read with the extra 'audio': {INSTALL}") from error
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Array = samples.mean(axis=1)
    return mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate)


def held_out_files(folder: Path, files: list[Path], share: float, split: str = "file") -> set[Path]:
    """Recordings to hold out, chosen by a hash of names, so that a new recording does not move the others.

    Args:
        share: of the recordings.
        split: ``file``, ``speaker`` (folders directly below ``folder``), or ``auto``: by speaker where all recordings lie in
            at least three such folders.

    Raises:
        ConfigError: by speaker, but there are fewer than two such folders.
    """
    speakers: dict[str, list[Path]] = {}
    for path in files:
        inner = path.relative_to(folder).parts
        speakers.setdefault(inner[0] if len(inner) > 1 else "", []).append(path)
    if split == "file" or (split == "auto" and (len(speakers) < 3 or "" in speakers)):
        count = min(max(1, round(share * len(files))), len(files) - 1)
        return set(sorted(files, key=lambda path: digest(str(path.relative_to(folder))))[:count])
    if len(speakers) < 2 or "" in speakers:
        raise ConfigError(
            f"simulator.split={split}: recordings must lie in at least two folders directly below simulator.folder={folder}, "
            f"one a speaker; allowed are auto, speaker, file"
        )
    chosen: list[Path] = []
    for number, name in enumerate(sorted(speakers, key=digest)[:-1]):
        more = [*chosen, *speakers[name]]
        if number and abs(len(more) - share * len(files)) > abs(len(chosen) - share * len(files)):
            break
        chosen = more
    return set(chosen)


def load(folder: Path, sample_rate: int, segment: int, held_out: float, split: str) -> Waveforms:
    """All recordings below ``folder``, of one level, mono, at ``sample_rate``.

    Kept under ``$XDG_CACHE_HOME/quantbench`` by the names, sizes and times of the files, and read from there without copying,
    so that processes share them.

    Args:
        segment: samples; shorter recordings are left out.
        held_out, split: see ``held_out_files``.

    Raises:
        ConfigError: nothing left to train on or to hold out, or the extra ``audio`` is not installed.
    """
    files = find(folder)
    stem = cache_path(folder, files, f"waveforms {sample_rate} {segment} {held_out} {split}", "waveforms")
    if (found := _stored(stem)) is not None:
        return found
    away = held_out_files(folder, files, held_out, split)
    kept: dict[bool, list[Samples]] = {False: [], True: []}
    faults: dict[str, list[str]] = {}
    for path in files:
        try:
            samples = read(path, sample_rate)
        except RuntimeError as error:  # soundfile's LibsndfileError
            faults.setdefault("could not be read", []).append(f"{path}: {error}")
            continue
        if len(samples) < segment:
            faults.setdefault(f"shorter than {segment} samples", []).append(str(path))
        elif (normal := _normalised(samples)) is None:
            faults.setdefault("silent", []).append(str(path))
        else:
            kept[path in away].append(normal)
    tell(faults, len(files))
    if not kept[False] or not kept[True]:
        reasons = "; ".join(f"{len(names)} {fault}" for fault, names in faults.items())
        raise ConfigError(
            f"simulator.folder={folder}: of {len(files)} recordings {len(kept[False])} are left to train on and "
            f"{len(kept[True])} to hold out, at least one of each is needed ({reasons})"
        )
    parts = [(np.concatenate(kept[side]), _bounds(kept[side])) for side in (False, True)]
    skipped = sum(map(len, faults.values()))
    _store(stem, parts, skipped)
    return _stored(stem) or _waveforms(parts, skipped)


def audible_starts(samples: Tensor, bounds: Tensor, length: int, grid: int) -> Tensor:
    """Where stretches of ``length`` samples start, every ``grid`` samples of each recording, that are not silent."""
    fitting = bounds[bounds[:, 1] - bounds[:, 0] >= length]
    places = [torch.arange(first, end - length + 1, grid) for first, end in fitting.tolist()]
    starts = torch.cat([torch.zeros(0, dtype=torch.int64), *places])
    energy = torch.zeros(len(samples) + 1, dtype=torch.float64)
    torch.cumsum((samples.double() / 2**15).square_(), 0, out=energy[1:])
    return starts[(energy[starts + length] - energy[starts]) / length > SILENCE**2]


def tell(faults: dict[str, list[str]], total: int) -> None:
    """Say on the standard error which recordings are left out, and how many."""
    for fault, names in faults.items():
        for name in names[:MOST_NAMED]:
            print(f"skipped recording, {fault}: {name}", file=sys.stderr)
        print(f"{len(names)} of {total} recordings skipped: {fault}", file=sys.stderr)


def digest(text: str) -> str:
    """A hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def cache_path(folder: Path, files: list[Path], how: str, name: str) -> Path:
    """Where something made of these files is cached; it changes with their names, sizes and times."""
    listing = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    key = digest("\n".join([f"{CACHE_VERSION} {how}", *listing]))[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "quantbench" / f"{name}-{key}"


def write_cache(path: Path, write: Callable[[str], object]) -> None:
    """Write a cache file in one step, so that another process never reads half of it; say so where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=path.suffix, delete=False) as file:
            write(file.name)
        os.replace(file.name, path)
    except OSError as error:
        print(f"{path.name} is not cached: {error}", file=sys.stderr)


def _normalised(samples: Array) -> Samples | None:
    """A recording at the level ``LEVEL``, 16 bits; None where it is silent."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames, dtype=np.float64).mean(1)
    audible = power > max(1e-8, 1e-4 * float(power.max(initial=0.0)))
    if not audible.any():
        return None
    gain = min(LEVEL / float(np.sqrt(power[audible].mean())), PEAK / float(np.abs(samples).max()))
    normal: Samples = np.round(samples * (gain * 2**15)).astype(np.int16)
    return normal


def _bounds(recordings: list[Samples]) -> NDArray[np.int64]:
    ends = np.cumsum([len(one) for one in recordings])
    return np.stack([ends - [len(one) for one in recordings], ends], axis=1).astype(np.int64)


def _waveforms(parts: list[tuple[Samples, NDArray[np.int64]]], skipped: int) -> Waveforms:
    (train, train_bounds), (held_out, held_out_bounds) = ([torch.from_numpy(array) for array in part] for part in parts)
    return Waveforms(train, train_bounds, held_out, held_out_bounds, skipped)


def _files(stem: Path) -> list[Path]:
    return [stem.with_name(f"{stem.name}-{name}.npy") for name in ("train", "train-bounds", "held-out", "held-out-bounds")]


def _store(stem: Path, parts: list[tuple[Samples, NDArray[np.int64]]], skipped: int) -> None:
    for path, array in zip(_files(stem), [array for part in parts for array in part], strict=True):
        write_cache(path, lambda name, array=array: np.save(name, array))  # type: ignore[misc]
    # Last, for with it the cache counts as complete.
    write_cache(stem.with_suffix(".json"), lambda name: Path(name).write_text(json.dumps({"skipped": skipped})))


def _stored(stem: Path) -> Waveforms | None:
    """What is cached, not copied into memory; None where nothing is."""
    index = stem.with_suffix(".json")
    if not index.exists():
        return None
    arrays = [np.load(path, mmap_mode="c") for path in _files(stem)]
    return _waveforms([(arrays[0], arrays[1]), (arrays[2], arrays[3])], json.loads(index.read_text())["skipped"])
