"""Log-mel frames of real recordings: the toy codec's bridge to real data."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from quantbench.audio.recordings import find, fingerprint
from quantbench.components import State, at_least, between, component
from quantbench.errors import ConfigError
from quantbench.simulators import recordings
from quantbench.simulators.base import Frames, Simulator
from quantbench.streams import Streams


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
    """

    sizes = ("frame_dim",)
    paths = ("folder",)

    folder: str = "data/speech"
    frame_dim: int = 40
    sample_rate: int = 16000
    window: int = 512
    hop: int = 256
    held_out: float = 0.1

    def check(self) -> None:
        at_least("simulator.frame_dim", self.frame_dim, 2)
        at_least("simulator.sample_rate", self.sample_rate, 1000)
        at_least("simulator.window", self.window, 16)
        at_least("simulator.hop", self.hop, 1)
        between("simulator.held_out", self.held_out, 0.001, 0.9)
        empty = int((recordings.mel_filters(self.sample_rate, self.window, self.frame_dim).max(1) <= 0).sum())
        if empty:
            raise ConfigError(
                f"simulator.frame_dim={self.frame_dim}: {empty} of the mel bands hold no frequency of a window of "
                f"{self.window} samples; use fewer bands or a longer simulator.window"
            )
        find(Path(self.folder))

    def prepare(self) -> None:
        self._load()

    def fingerprint(self) -> str:
        return fingerprint(Path(self.folder))

    @property
    def shared_world(self) -> bool:
        return True

    @property
    def input_dim(self) -> int:
        return self.frame_dim

    def world(self, streams: Streams) -> State:
        """All frames, (frames, bands): the one tensor without a trial axis, for the recordings are the same for all."""
        train, held_out = self._load()
        return {"train": train.to(streams.device), "held_out": held_out.to(streams.device)}

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        chosen = streams.integers(purpose, len(world["train"]), frames)
        frame = world["train"].index_select(0, chosen.flatten()).view(*chosen.shape, self.frame_dim)
        return Frames(frame, frame)

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """Every frame of the held-out files, the same for all trials."""
        frames = world["held_out"].expand(streams.trials, -1, -1)
        return Frames(frames, frames)

    def _load(self) -> tuple[torch.Tensor, torch.Tensor]:
        how = recordings.LogMel(self.sample_rate, self.frame_dim, self.window, self.hop, self.held_out)
        return _load(Path(self.folder).resolve(), how)


@lru_cache(maxsize=2)
def _load(folder: Path, how: recordings.LogMel) -> tuple[torch.Tensor, torch.Tensor]:
    """A worker trains many stacks on the same recordings: keep them."""
    train, held_out = recordings.load(folder, how)
    return torch.from_numpy(train), torch.from_numpy(held_out)
