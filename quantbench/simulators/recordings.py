"""Log-mel frames of a folder of recordings: found, decoded, split by file, normalised and cached."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from quantbench.errors import ConfigError

Array = NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".ogg")
FLOOR = 1e-5
"""Mel magnitude below which a band counts as silent; a frame with nothing above it is left out."""
CACHE_VERSION = 1
INSTALL = "pip install 'quantbench[audio]'"


@dataclass(frozen=True)
class LogMel:
    """How recordings become frames.

    Attributes:
        sample_rate: in Hz; recordings of another rate are resampled.
        bands: mel bands, features of a frame.
        window, hop: in samples.
        held_out: share of the files (not of the frames) kept for evaluation.
    """

    sample_rate: int
    bands: int
    window: int
    hop: int
    held_out: float


def find(folder: Path) -> list[Path]:
    """The recordings below ``folder``, sorted. Raises ConfigError when there are none."""
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


def load(folder: Path, how: LogMel) -> tuple[Array, Array]:
    """Training and held-out frames, each (frames, bands), with zero mean and unit variance per band over training.

    The result is cached under ``$XDG_CACHE_HOME/quantbench`` by the names, sizes and times of the files.

    Raises:
        ConfigError: nothing readable in the folder, or the extra ``audio`` is not installed.
    """
    files = find(folder)
    cache = _cache_path(folder, files, how)
    if cache.exists():
        with np.load(cache, allow_pickle=False) as stored:
            return stored["train"], stored["held_out"]
    frames: dict[str, list[Array]] = {"train": [], "held_out": []}
    held_out = _held_out_files(folder, files, how.held_out)
    unreadable = []
    for path in files:
        try:
            mel = _log_mel(_read(path, how.sample_rate), how)
        except RuntimeError as error:  # soundfile's LibsndfileError
            unreadable.append(f"{path}: {error}")
            continue
        frames["held_out" if path in held_out else "train"].append(mel)
    for message in unreadable:
        print(f"skipped recording {message}", file=sys.stderr)
    if unreadable:
        print(f"{len(unreadable)} of {len(files)} recordings could not be read", file=sys.stderr)
    if not all(sum(map(len, parts)) for parts in frames.values()):
        raise ConfigError(f"simulator.folder={folder}: no frames to train on or none to hold out in {len(files)} files")
    train, evaluation = np.concatenate(frames["train"]), np.concatenate(frames["held_out"])
    mean, std = train.mean(0), train.std(0) + 1e-8
    train, evaluation = (train - mean) / std, (evaluation - mean) / std
    _store(cache, train, evaluation)
    return train, evaluation


def _held_out_files(folder: Path, files: list[Path], share: float) -> set[Path]:
    """Files to hold out, chosen by a hash of their names, so that a new file does not move the others."""
    count = min(max(1, round(share * len(files))), len(files) - 1)
    return set(sorted(files, key=lambda path: _digest(str(path.relative_to(folder))))[:count])


def _read(path: Path, sample_rate: int) -> Array:
    """One recording, mono, at ``sample_rate``."""
    try:
        import soundfile
        import soxr
    except ImportError as error:
        raise ConfigError(f"simulator=audio_frames reads recordings with the extra 'audio': {INSTALL}") from error
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Array = samples.mean(axis=1)
    return mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate)


def _log_mel(samples: Array, how: LogMel) -> Array:
    """Natural logarithm of mel magnitudes, (frames, bands), without silent frames."""
    if len(samples) < how.window:
        return np.zeros((0, how.bands), dtype=np.float32)
    window = torch.hann_window(how.window)
    spectrum = torch.stft(
        torch.from_numpy(samples), how.window, how.hop, window=window, center=False, return_complex=True
    ).abs()
    mel = torch.from_numpy(mel_filters(how.sample_rate, how.window, how.bands)) @ (spectrum / window.sum())
    mel = mel[:, mel.amax(0) > FLOOR]
    return np.asarray(mel.clamp_min(FLOOR).log().T.contiguous().numpy())


def mel_filters(sample_rate: int, window: int, bands: int) -> Array:
    """Triangular filters with centres equally spaced on O'Shaughnessy's mel scale, (bands, window // 2 + 1)."""

    def to_mel(hertz: float) -> float:
        return 2595.0 * float(np.log10(1 + hertz / 700))

    edges = 700 * (10 ** (np.linspace(to_mel(0), to_mel(sample_rate / 2), bands + 2) / 2595) - 1)
    bins = np.linspace(0, sample_rate / 2, window // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _cache_path(folder: Path, files: list[Path], how: LogMel) -> Path:
    listing = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    key = _digest("\n".join([f"{CACHE_VERSION} {how}", *listing]))[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "quantbench" / f"log-mel-{key}.npz"


def _store(cache: Path, train: Array, held_out: Array) -> None:
    """Write the cache file in one step, so that another process never reads half of it."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, train=train, held_out=held_out)
        os.replace(file.name, cache)
    except OSError as error:
        print(f"log-mel frames are not cached: {error}", file=sys.stderr)
