"""Log-mel frames of real recordings: the toy codec's bridge to real data."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantbench.audio import recordings
from quantbench.audio.recordings import Array
from quantbench.audio.spectra import mel_filters
from quantbench.components import State, at_least, between, component
from quantbench.errors import ConfigError
from quantbench.files import write_cache
from quantbench.simulators.base import Frames, Simulator
from quantbench.simulators.splits import half
from quantbench.streams import Streams
from quantbench.terminal import say

FLOOR = 1e-5
"""Mel magnitude below which a band counts as silent; a frame with nothing above it is left out."""
CACHE_VERSION = 3


@component
class AudioFrames(Simulator):
    """Log-mel frames of the recordings (WAV, FLAC, Ogg) in a folder; the target is the input.

    Each band has zero mean and unit variance over the training files. Files, not frames, are split into training and
    held-out. No finite number of bits is exact for this source.

    Attributes:
        folder: where the recordings are; ``scripts/get_audio.sh`` fills the default one with speech.
        frame_dim: mel bands.
        sample_rate: in Hz; recordings of another rate are resampled.
        window, hop: of the short-time spectrum, in samples.
        held_out: share of the files kept for evaluation.
        evaluate_on: of the held-out frames ``all``, or one of two halves, ``validation`` and ``test``.
    """

    sizes = ("frame_dim",)
    paths = ("folder",)

    folder: str = "data/speech"
    frame_dim: int = 40
    sample_rate: int = 16000
    window: int = 512
    hop: int = 256
    held_out: float = 0.1
    evaluate_on: Literal["all", "validation", "test"] = "all"

    def check(self) -> None:
        at_least("simulator.frame_dim", self.frame_dim, 2)
        at_least("simulator.sample_rate", self.sample_rate, 1000)
        at_least("simulator.window", self.window, 16)
        at_least("simulator.hop", self.hop, 1)
        between("simulator.held_out", self.held_out, 0.001, 0.9)
        empty = int((mel_filters(self.sample_rate, self.window, self.frame_dim, slaney=False).max(0) <= 0).sum())
        if empty:
            raise ConfigError(
                f"simulator.frame_dim={self.frame_dim}: {empty} of the mel bands hold no frequency of a window of "
                f"{self.window} samples; use fewer bands or a longer simulator.window"
            )
        recordings.find(Path(self.folder))

    def prepare(self) -> None:
        self._load()

    def fingerprint(self) -> str:
        return recordings.fingerprint(Path(self.folder))

    @property
    def shared_world(self) -> bool:
        return True

    @property
    def input_dim(self) -> int:
        return self.frame_dim

    def world(self, streams: Streams) -> State:
        """All frames, (frames, bands), and ``runs``: without a trial axis, for the recordings are the same for all."""
        return {name: tensor.to(streams.device) for name, tensor in self._load().items()}

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        chosen = streams.integers(purpose, len(world["train"]), frames)
        frame = world["train"].index_select(0, chosen.flatten()).view(*chosen.shape, self.frame_dim)
        return Frames(frame, frame)

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """Every frame of the held-out files, the same for all trials; a run ends where a file does, and before silence."""
        held_out, runs = world["held_out"], world["runs"].tolist()
        # Between runs of one file lies silence, so that the halves share no sound, and at most one file.
        if self.evaluate_on != "all":
            held_out, runs = half(held_out, runs, first=self.evaluate_on == "validation")
        frames = held_out.expand(streams.trials, -1, -1)
        return Frames(frames, frames, runs=tuple(runs))

    def _load(self) -> State:
        folder = Path(self.folder).resolve()
        return _load(folder, self.sample_rate, self.frame_dim, self.window, self.hop, self.held_out)


@lru_cache(maxsize=2)
def _load(folder: Path, sample_rate: int, bands: int, window: int, hop: int, share: float) -> State:
    """``train`` and ``held_out`` frames, each (frames, bands), with zero mean and unit variance per band over training, and
    ``runs``: how many held-out frames in a row follow each other.

    A worker trains many stacks on the same recordings: the last ones are kept. Raises ConfigError where there are no frames.
    """
    files = recordings.find(folder)
    settings = f"log-mel {CACHE_VERSION} {sample_rate} {bands} {window} {hop} {share}"
    cache = recordings.cache_path("log-mel", settings, folder, files, ".npz")
    none = (OSError, EOFError, ValueError, KeyError, BadZipFile)  # there is none yet, or it is damaged and made anew
    with contextlib.suppress(*none), np.load(cache, allow_pickle=False) as stored:
        return {name: torch.from_numpy(stored[name]) for name in ("train", "held_out", "runs")}
    chosen = recordings.held_out_files(folder, files, share)
    filters = torch.tensor(mel_filters(sample_rate, window, bands, slaney=False).T, dtype=torch.float32)
    found = recordings.decode(
        folder, files, chosen, sample_rate, window, lambda samples: _log_mel(samples, filters, window, hop)
    )
    train, held_out = (np.concatenate([one[:, 1:] for one in files]) for files in (found.train, found.held_out))
    runs = np.concatenate([_runs(one[:, 0]) for one in found.held_out])
    mean, std = train.mean(0), train.std(0) + 1e-8
    train, held_out = (train - mean) / std, (held_out - mean) / std
    try:
        write_cache(cache, lambda file: np.savez(file, train=train, held_out=held_out, runs=runs))
    except OSError as error:
        say(f"log-mel frames are not cached: {error}", error=True)
    return {"train": torch.from_numpy(train), "held_out": torch.from_numpy(held_out), "runs": torch.from_numpy(runs)}


def _log_mel(samples: Array, filters: Tensor, window: int, hop: int) -> Array | None:
    """The place of each frame and the natural logarithm of its mel magnitudes, (frames, 1 + bands), without silent frames.

    None where there are no others.
    """
    hann = torch.hann_window(window)
    spectrum = torch.stft(torch.from_numpy(samples), window, hop, window=hann, center=False, return_complex=True).abs()
    mel = filters @ (spectrum / hann.sum())
    heard = mel.amax(0) > FLOOR
    place = heard.nonzero().T.to(mel.dtype)
    return np.asarray(torch.cat([place, mel[:, heard].clamp_min(FLOOR).log()]).T.contiguous().numpy()) if heard.any() else None


def _runs(places: Array) -> NDArray[np.int64]:
    """Lengths of the runs of places that follow each other."""
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    return np.diff(np.concatenate([[0], ends, [len(places)]])).astype(np.int64)
