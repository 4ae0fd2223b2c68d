"""Folders of recordings: found, decoded, split; brought to one level and cached as int16 waveforms."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.files import write_cache
from quantbench.install import how_to_install
from quantbench.paths import cache_folder
from quantbench.terminal import Seldom, say

Array = NDArray[np.float32]
Samples = NDArray[np.int16]

SUFFIXES = (".wav", ".flac", ".ogg")
SPLITS = ("auto", "speaker", "file")
FULL_SCALE = 32768
"""An int16 sample divided by this lies in [-1, 1)."""
LEVEL = 10 ** (-16 / 20)
"""RMS that the non-silent part of every recording is brought to: -16 dBFS, the level at which DAC is trained."""
HIGHEST_PEAK = 0.99
SILENT = 10 ** (-60 / 20)
"""RMS (-60 dBFS) that no block of a silent recording exceeds, before its level is changed."""
SILENT_BELOW_LOUDEST = 10 ** (-40 / 20)
"""A block whose RMS lies 40 dB below the recording's loudest does not count for its level."""
BLOCK_SECONDS = 0.02
AUDIBLE = 10 ** (-50 / 20)
"""RMS (-50 dBFS) above which a segment is worth training on."""
NAMED = 5
CACHE_VERSION = 3
FINGERPRINT_VERSION = 1
MIN_SPEAKERS = 3


@dataclass(frozen=True)
class Waveforms:
    """All recordings of a folder, one after the other.

    Attributes:
        train, held_out: int16, (samples,); ``FULL_SCALE`` brings them to [-1, 1).
        train_bounds, held_out_bounds: int64, (files, 2), first sample of each file and the one after its last.
        sources: names of the files relative to the folder, those of ``train`` first.
        skipped: files left out because they are unreadable, silent or shorter than a segment.
    """

    train: torch.Tensor
    train_bounds: torch.Tensor
    held_out: torch.Tensor
    held_out_bounds: torch.Tensor
    sources: tuple[str, ...]
    skipped: int


def find(folder: Path) -> list[Path]:
    """The recordings below ``folder``, sorted. Raises ConfigError when there are none."""
    return find_below(folder, SUFFIXES, "recordings", "scripts/get_audio.sh", "with speech")


def find_below(folder: Path, suffixes: Sequence[str], what: str, script: str, filling: str) -> list[Path]:
    """The files below a simulator's folder, sorted. Raises ConfigError where there are fewer than two.

    Args:
        what: they are called.
        script: that fills the default folder, ``filling`` it with what.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"simulator.folder={folder}: no such folder. Run {script} (in a checkout of QuantBench) to fill it {filling}, "
            f"or set simulator.folder to a folder of your own {what}"
        )
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if len(found) < 2:
        raise ConfigError(
            f"simulator.folder={folder}: {len(found)} {what} found, at least 2 are needed (one to train, one held out); "
            f"allowed are {', '.join(suffixes)}"
        )
    return found


def fingerprint(folder: Path) -> str:
    """A hash of the recordings below ``folder``: of their names relative to it, and of what is in them.

    Kept in the cache by the names, sizes and times of the files, so that they are read once.
    """
    return fingerprint_of(folder, find(folder))


def fingerprint_of(folder: Path, files: list[Path]) -> str:
    """The same of these files below ``folder``, whatever they are."""
    cache = cache_path("content", f"content {FINGERPRINT_VERSION}", folder, files, ".txt")
    with contextlib.suppress(OSError, ValueError):  # there is none yet, or it is damaged and made anew
        if re.fullmatch("[0-9a-f]{64}", kept := cache.read_text()):
            return kept
    found = digest("\n".join(f"{path.relative_to(folder)} {_content(path)}" for path in files))
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        write_cache(cache, lambda file: file.write(found.encode()))
    return found


def _content(path: Path) -> str:
    """A hash of a file; of one that cannot be read, for decoding leaves it out, too, that it cannot."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def read(path: Path, sample_rate: int) -> Array:
    """One recording, mono, (samples,), at ``sample_rate`` Hz.

    Raises:
        ConfigError: the extra ``audio`` is not installed, or a sample is not finite.
        RuntimeError: soundfile cannot read the file.
    """
    try:
        import soundfile
        import soxr
    except ImportError as error:
        raise ConfigError(f"recordings are read with the extra 'audio': {how_to_install('audio')}") from error
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Array = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        first = int(np.argmin(np.isfinite(mono)))
        raise ConfigError(
            f"simulator.folder: {path}: sample {first} ({first / rate:.6g} s) is {mono[first]}, no number; put the recording "
            f"right, or take it out of the folder"
        )
    return mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate)


def held_out_files(folder: Path, files: list[Path], share: float) -> set[Path]:
    """Files to hold out, chosen by a hash of their names, so that a new file moves at most one other."""
    count = min(max(1, round(share * len(files))), len(files) - 1)
    return set(sorted(files, key=lambda path: digest(str(path.relative_to(folder))))[:count])


def held_out_speakers(folder: Path, files: list[Path], share: float) -> set[Path]:
    """All files of the speakers to hold out, chosen by a hash of their names; the first folder is the speaker.

    As many speakers as bring the share of their files nearest to ``share``, at least one and not all.

    Raises:
        ConfigError: fewer than two speakers, or files that belong to none.
    """
    speakers, loose = _speakers(folder, files)
    if loose or len(speakers) < 2:
        raise ConfigError(
            f"simulator.split=speaker: {folder} has {len(speakers)} folders of speakers and {loose} recordings outside "
            f"them; at least 2 folders and no recording outside them are needed; allowed are {', '.join(SPLITS)}"
        )
    order = sorted(speakers, key=digest)
    counts = list(accumulate(speakers[speaker] for speaker in order[:-1]))
    nearest = min(range(len(counts)), key=lambda i: abs(counts[i] / len(files) - share))
    chosen = set(order[: nearest + 1])
    return {path for path in files if path.relative_to(folder).parts[0] in chosen}


def _speakers(folder: Path, files: list[Path]) -> tuple[Counter[str], int]:
    """Number of files in each folder below ``folder``, and of files outside them."""
    parts = [path.relative_to(folder).parts for path in files]
    return Counter(part[0] for part in parts if len(part) > 1), sum(len(part) == 1 for part in parts)


def held_out_by(split: str, folder: Path, files: list[Path], share: float) -> set[Path]:
    """Files to hold out with simulator.split=``split``. Raises ConfigError for an unknown split or too few speakers."""
    if split not in SPLITS:
        raise ConfigError(f"simulator.split={split}: allowed are {', '.join(SPLITS)}")
    if split == "auto":
        speakers, loose = _speakers(folder, files)
        split = "speaker" if len(speakers) >= MIN_SPEAKERS and not loose else "file"
    return (held_out_speakers if split == "speaker" else held_out_files)(folder, files, share)


def load(folder: Path, sample_rate: int, segment: int, held_out: float, split: str) -> Waveforms:
    """The recordings below ``folder`` as mono waveforms of one level, split into training and held-out files.

    The non-silent part of each file gets an RMS of -16 dBFS, or less where its peak would exceed 0.99. The result is
    cached under ``$XDG_CACHE_HOME/quantbench`` and mapped into memory, so that several workers share it.

    Args:
        sample_rate: in Hz; recordings of another rate are resampled.
        segment: files of fewer samples are skipped.
        held_out: share of the files to hold out.
        split: "speaker" holds out whole folders below ``folder``, "file" single files, "auto" speakers if there are
            three or more of them.

    Raises:
        ConfigError: nothing to train on or to hold out, an unknown ``split``, or no extra ``audio``.
    """
    files = find(folder)
    chosen = held_out_by(split, folder, files, held_out)
    settings = f"waveforms {CACHE_VERSION} {sample_rate} {segment} {held_out} {split}"
    index = cache_path("waveforms", settings, folder, files, ".json")
    stored = _open(index)
    if stored:
        return stored
    made = _waveforms(decode(folder, files, chosen, sample_rate, segment, lambda samples: at_level(samples, sample_rate)))
    return _store(index, made) or made


Made = TypeVar("Made", bound=NDArray[Any])


@dataclass(frozen=True)
class Decoded(Generic[Made]):
    """What was made of the recordings of a folder, an array of each.

    Attributes:
        sources: names of the files relative to the folder, those of ``train`` first.
        skipped: files left out because they are unreadable, silent or too short.
    """

    train: list[Made]
    held_out: list[Made]
    sources: tuple[str, ...]
    skipped: int


def decode(
    folder: Path, files: list[Path], chosen: set[Path], sample_rate: int, shortest: int, make: Callable[[Array], Made | None]
) -> Decoded[Made]:
    """Read recordings and make something of each; what is left out is told.

    Args:
        chosen: files to hold out.
        sample_rate: in Hz; recordings of another rate are resampled.
        shortest: files of fewer samples are skipped.
        make: takes samples, (samples,); gives None where they are silent.

    Raises:
        ConfigError: nothing to train on or to hold out, a sample that is not finite, or no extra ``audio``.
    """
    parts: dict[bool, list[Made]] = {False: [], True: []}
    names: dict[bool, list[str]] = {False: [], True: []}
    left_out, log = _LeftOut(), Seldom()
    say(f"preparing {len(files)} recordings in {folder}; the next run finds them in the cache", error=True)
    for number, path in enumerate(files):
        log.say(lambda number=number: f"{number} of {len(files)} recordings prepared")  # type: ignore[misc]
        try:
            samples = read(path, sample_rate)
        except RuntimeError as error:  # soundfile's LibsndfileError
            left_out.unreadable.append(f"{path}: {error}")
            continue
        if len(samples) < shortest:
            left_out.short.append(f"{path}: {len(samples)} samples, fewer than {shortest}")
        elif (made := make(samples)) is None:
            left_out.silent.append(f"{path}: silent")
        else:
            parts[path in chosen].append(made)
            names[path in chosen].append(str(path.relative_to(folder)))
    left_out.tell(len(files))
    for held_out, purpose in ((False, "train on"), (True, "hold out")):
        if not parts[held_out]:
            raise ConfigError(
                f"simulator.folder={folder}: nothing to {purpose} in {len(files)} recordings: {left_out.counts()}, "
                f"{len(parts[False])} left to train on, {len(parts[True])} to hold out"
            )
    return Decoded(parts[False], parts[True], (*names[False], *names[True]), left_out.total())


def _waveforms(found: Decoded[Samples]) -> Waveforms:
    train, held_out = (torch.from_numpy(np.concatenate(parts)) for parts in (found.train, found.held_out))
    return Waveforms(train, _bounds(found.train), held_out, _bounds(found.held_out), found.sources, found.skipped)


@dataclass
class _LeftOut:
    """Messages about the files left out."""

    unreadable: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def total(self) -> int:
        return len(self.unreadable) + len(self.short) + len(self.silent)

    def counts(self) -> str:
        return f"{len(self.unreadable)} unreadable, {len(self.short)} too short, {len(self.silent)} silent"

    def tell(self, files: int) -> None:
        for message in [*self.unreadable, *self.short[:NAMED], *self.silent[:NAMED]]:
            say(f"skipped recording {message}", error=True)
        if self.total():
            say(f"{self.total()} of {files} recordings skipped: {self.counts()}", error=True)


def at_level(samples: Array, sample_rate: int) -> Samples | None:
    """A waveform (samples,) in int16 with an RMS of -16 dBFS over its non-silent blocks; None if it is silent.

    Blocks of 20 ms are silent 40 dB below the loudest one; the waveform is if that one lies below -60 dBFS.
    """
    block = max(1, round(BLOCK_SECONDS * sample_rate))
    whole = len(samples) // block * block
    blocks = samples[:whole].reshape(-1, block)  # none, hence silent, in a file shorter than a block
    power = np.square(blocks, dtype=np.float64).mean(1)
    loudest = power.max(initial=0.0)
    if loudest <= SILENT**2:
        return None
    heard = power[power > loudest * SILENT_BELOW_LOUDEST**2]
    gain = min(LEVEL / float(np.sqrt(heard.mean())), HIGHEST_PEAK / float(np.abs(samples).max()))
    levelled: Samples = np.rint(samples * (gain * FULL_SCALE)).astype(np.int16)
    return levelled


def _bounds(parts: list[Samples]) -> torch.Tensor:
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return torch.from_numpy(np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1))


def audible_starts(samples: torch.Tensor, bounds: torch.Tensor, segment: int, grid: int) -> torch.Tensor:
    """First samples of the segments within one file whose RMS is above -50 dBFS; silence is no training material.

    Args:
        samples: int16, (samples,).
        bounds: (files, 2), first sample of each file and the one after its last.
        segment: samples of a segment.
        grid: distance between the starts that are looked at, counted from each file's first sample.

    Returns:
        int64, (starts,), ascending within each file.
    """
    waveform = samples.numpy()
    lowest = segment * (AUDIBLE * FULL_SCALE) ** 2
    found = []
    for start, end in bounds.tolist():
        if end - start < segment:
            continue
        # int64 is exact: 2^30 for a square, and a file has fewer than 2^33 samples
        energy = np.zeros(end - start + 1, dtype=np.int64)
        np.cumsum(np.square(waveform[start:end], dtype=np.int32), dtype=np.int64, out=energy[1:])
        starts = np.arange(0, end - start - segment + 1, grid)
        found.append(start + starts[energy[starts + segment] - energy[starts] > lowest])
    return torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *found]))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def cache_path(kind: str, settings: str, folder: Path, files: list[Path], suffix: str) -> Path:
    """Where what was made of ``files`` with ``settings`` is cached: by their names, sizes and times."""
    listing = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    key = digest("\n".join([settings, *listing]))[:16]
    return cache_folder() / f"{kind}-{key}{suffix}"


def _store(index: Path, made: Waveforms) -> Waveforms | None:
    """Write the cache files, the index last, and open them; None, with a message, if they cannot be written."""
    facts = {
        "train_bounds": made.train_bounds.tolist(),
        "held_out_bounds": made.held_out_bounds.tolist(),
        "sources": made.sources,
        "skipped": made.skipped,
    }
    try:
        for part in ("train", "held_out"):
            samples = getattr(made, part).numpy()
            write_cache(_part(index, part), lambda file, samples=samples: np.save(file, samples))  # type: ignore[misc]
        write_cache(index, lambda file: file.write(json.dumps(facts).encode()))
    except OSError as error:
        say(f"waveforms are not cached: {error}", error=True)
        return None
    return _open(index)


def _part(index: Path, name: str) -> Path:
    return index.with_name(f"{index.stem}-{name}.npy")


def _open(index: Path) -> Waveforms | None:
    """The cached waveforms, mapped into memory; None if there are none or they cannot be read."""
    try:
        facts = json.loads(index.read_text())
        # copy on write: torch wants memory that it may write to, and workers share the pages all the same
        train, held_out = (torch.from_numpy(np.load(_part(index, p), mmap_mode="c")) for p in ("train", "held_out"))
        bounds = [torch.tensor(facts[name], dtype=torch.int64) for name in ("train_bounds", "held_out_bounds")]
        return Waveforms(train, bounds[0], held_out, bounds[1], tuple(facts["sources"]), facts["skipped"])
    except (OSError, EOFError, ValueError, KeyError):
        return None
