"""Waveforms of real recordings, for real codecs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from quantbench.audio import measures, recordings
from quantbench.components import State, at_least, between, component
from quantbench.errors import ConfigError
from quantbench.simulators.base import Frames, Simulator
from quantbench.streams import Streams

GRID = 1600
"""Samples between the places where a segment may start, before it is moved by up to as many."""


@component
class Audio(Simulator):
    """Segments of the recordings (WAV, FLAC, Ogg) in a folder; a frame is a mono waveform, and the target is the input.

    Recordings are resampled and brought to one level. Training draws random segments that are not silent; evaluation takes
    fixed clips of recordings that are held out. No finite number of bits is exact for this source.

    Attributes:
        folder: where the recordings are; ``scripts/get_audio.sh`` fills the default one with speech.
        sample_rate: in Hz; recordings of another rate are resampled.
        segment: samples of a frame in training.
        clip: samples of a frame in evaluation.
        clips: frames of evaluation.
        held_out: share of the files kept for evaluation.
        split: ``speaker`` holds out whole speakers, folders directly below ``folder``; ``file`` files; ``auto`` speakers
            where there are at least three such folders.
    """

    sizes = ("segment", "clip", "clips")
    paths = ("folder",)

    folder: str = "data/speech"
    sample_rate: int = 16000
    segment: int = 6080
    clip: int = 32000
    clips: int = 48
    held_out: float = 0.1
    split: str = "auto"

    def check(self) -> None:
        at_least("simulator.sample_rate", self.sample_rate, 1000)
        at_least("simulator.segment", self.segment, 64)
        at_least("simulator.clip", self.clip, 2048)  # the longest window of the log-mel distance
        at_least("simulator.clips", self.clips, 1)
        between("simulator.held_out", self.held_out, 0.001, 0.9)
        if self.split not in recordings.SPLITS:
            raise ConfigError(f"simulator.split={self.split}: must be one of {', '.join(recordings.SPLITS)}")
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
        return self.segment

    @property
    def waveform_rate(self) -> int | None:
        return self.sample_rate

    @property
    def lengths(self) -> Mapping[str, int]:
        return {"simulator.segment": self.segment, "simulator.clip": self.clip}

    def world(self, streams: Streams) -> State:
        """All samples, 16 bits each, and where segments and clips start: without a trial axis, for all trials share them."""
        return {name: tensor.to(streams.device) for name, tensor in self._load().items()}

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        chosen = streams.integers(purpose, len(world["starts"]), frames)
        moved = world["starts"][chosen] + streams.integers(purpose, GRID, frames)
        starts = torch.minimum(moved, world["last"][chosen])
        return _frames(world["train"], starts, self.segment)

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """The same clips for all trials."""
        one = _frames(world["held_out"], world["clips"].unsqueeze(0), self.clip).input
        waveforms = one.expand(streams.trials, -1, -1)
        return Frames(waveforms, waveforms)

    def measures(self, output: Tensor, target: Tensor, thorough: bool) -> dict[str, Tensor]:
        every = [measures.measure(*pair, self.sample_rate, thorough) for pair in zip(output, target, strict=True)]
        names = dict.fromkeys(name for one in every for name in one)
        return {
            name: torch.tensor([one.get(name, torch.nan) for one in every], dtype=torch.float64, device=output.device)
            for name in names
        }

    def _load(self) -> State:
        return _load(
            Path(self.folder).resolve(), self.sample_rate, self.segment, self.clip, self.clips, self.held_out, self.split
        )


def _frames(samples: Tensor, starts: Tensor, length: int) -> Frames:
    """Waveforms at ``starts`` (trials, frames): (trials, frames, length)."""
    index = starts.unsqueeze(-1) + torch.arange(length, device=samples.device)
    waveforms = samples[index].float() / recordings.FULL_SCALE
    return Frames(waveforms, waveforms)


@lru_cache(maxsize=2)
def _load(folder: Path, sample_rate: int, segment: int, clip: int, clips: int, held_out: float, split: str) -> State:
    """A worker trains many stacks on the same recordings: keep them."""
    found = recordings.load(folder, sample_rate, segment, held_out, split)
    starts, last = _starts(found.train, found.train_bounds, segment)
    places = _starts(found.held_out, found.held_out_bounds, clip)[0]
    if not len(places):
        raise ConfigError(f"simulator.clip={clip}: no held-out recording in simulator.folder={folder} is so long; lower it")
    # Evenly over all held-out recordings, the longest of which would else be heard too often.
    chosen = torch.linspace(0, len(places) - 1, min(clips, len(places))).long()
    return {"train": found.train, "starts": starts, "last": last, "held_out": found.held_out, "clips": places[chosen]}


def _starts(samples: Tensor, bounds: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Where audible stretches of ``length`` samples start, and the last place to which each may be moved."""
    starts = recordings.audible_starts(samples, bounds, length, GRID)
    file = torch.searchsorted(bounds[:, 0].contiguous(), starts, right=True) - 1
    return starts, bounds[file, 1] - length
