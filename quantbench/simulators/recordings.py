"""Log-mel frames of a folder of recordings: split by file, normalised and cached."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from quantbench.audio.recordings import cache_path, find, held_out_files, read
from quantbench.errors import ConfigError
from quantbench.files import write_cache

Array = NDArray[np.float32]

FLOOR = 1e-5
"""Mel magnitude below which a band counts as silent; a frame with nothing above it is left out."""
CACHE_VERSION = 1


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


def load(folder: Path, how: LogMel) -> tuple[Array, Array]:
    """Training and held-out frames, each (frames, bands), with zero mean and unit variance per band over training.

    The result is cached under ``$XDG_CACHE_HOME/quantbench`` by the names, sizes and times of the files.

    Raises:
        ConfigError: nothing readable in the folder, or the extra ``audio`` is not installed.
    """
    files = find(folder)
    cache = cache_path("log-mel", f"{CACHE_VERSION} {how}", folder, files, ".npz")
    none = (OSError, EOFError, ValueError, KeyError, BadZipFile)  # there is none yet, or it is damaged and made anew
    with contextlib.suppress(*none), np.load(cache, allow_pickle=False) as stored:
        return stored["train"], stored["held_out"]
    frames: dict[str, list[Array]] = {"train": [], "held_out": []}
    held_out = held_out_files(folder, files, how.held_out)
    unreadable = []
    for path in files:
        try:
            mel = _log_mel(read(path, how.sample_rate), how)
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


def _store(cache: Path, train: Array, held_out: Array) -> None:
    try:
        write_cache(cache, lambda file: np.savez(file, train=train, held_out=held_out))
    except OSError as error:
        print(f"log-mel frames are not cached: {error}", file=sys.stderr)
