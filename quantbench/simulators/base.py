"""The interface of all simulators."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.components import Component, State, component
from quantbench.errors import ConfigError
from quantbench.limits import Limit, Unknown
from quantbench.streams import Streams

HELD_OUT_FRAMES = 4096
"""Fewest frames of the fixed held-out set on which an infinite source is evaluated."""
HELD_OUT_FEATURES = 2**17
"""Fewest features of all frames of that set: with them the standard error of a mean square is about 0.4 %."""


@dataclass(frozen=True)
class Frames:
    """Frames of every trial of a stack.

    Attributes:
        input: what the encoder sees, (trials, frames, input_dim).
        target: what the decoder should give, (trials, frames, target_dim).
        side: what the decoder is told beside the code, (trials, frames, side_dim), or None.
        runs: how many frames in a row follow each other in time, run by run over all frames and alike in all trials; None
            where every frame stands alone. Parts of frames have none.
    """

    input: Tensor
    target: Tensor
    side: Tensor | None = None
    runs: tuple[int, ...] | None = None

    def part(self, start: int, length: int) -> Frames:
        """The frames ``start .. start + length - 1`` (fewer at the end) of each trial."""
        length = min(length, self.input.shape[1] - start)
        side = None if self.side is None else self.side.narrow(1, start, length)
        return Frames(self.input.narrow(1, start, length), self.target.narrow(1, start, length), side)

    def spread(self, most: int) -> Frames:
        """At most ``most`` frames of each trial, evenly spaced over all of them."""
        total = self.input.shape[1]
        if total <= most:
            return self
        chosen = torch.linspace(0, total - 1, most, device=self.input.device).long()
        side = None if self.side is None else self.side.index_select(1, chosen)
        return Frames(self.input.index_select(1, chosen), self.target.index_select(1, chosen), side)


@component
class Simulator(Component):
    """Draws frames from a source.

    A subclass gives ``draw`` and, where the source has random parts of its own, ``world``. All sources have about unit
    variance in every dimension.
    """

    @property
    def source_bits(self) -> float | None:
        """Bits per frame that perfect reconstruction needs; None where no finite number is exact."""
        return None

    @property
    @abstractmethod
    def input_dim(self) -> int:
        """Features of a frame that the encoder sees."""

    @property
    def target_dim(self) -> int:
        """Features of a frame that the decoder should give."""
        return self.input_dim

    @property
    def side_dim(self) -> int:
        """Features of side information; 0 for none."""
        return 0

    @property
    def waveform_rate(self) -> int | None:
        """Samples a second where a frame is a waveform, else None."""
        return None

    @property
    def lengths(self) -> Mapping[str, int]:
        """Samples of the frames that training and evaluation use, by the setting that says so; empty without waveforms."""
        return {}

    @property
    def bytes_per_trial(self) -> int:
        """Memory that the source itself takes for each trial (its alphabet)."""
        return 0

    @property
    def shared_world(self) -> bool:
        """Whether all trials share one world, so that what is found for one seed holds for all."""
        return type(self).world is Simulator.world

    @property
    def exact(self) -> bool:
        """Whether evaluation is an expectation over the source itself, and no sample of it."""
        return False

    def limit(self, world: State, trial: int) -> Limit | Unknown:
        """The least mean square error of any codec at a rate, for one trial's world."""
        return Unknown(f"no limit is known for {type(self).__name__}")

    def prepare(self) -> None:
        """Slow work done once for all trials before anything trains, such as reading recordings into a cache."""

    def fingerprint(self) -> str:
        """What its data is: equal for the same recordings in another place, and another one once they change.

        Part of a trial's identity, in the place of the settings that are ``paths``; empty where no data of the user's is read.
        """
        return ""

    def world(self, streams: Streams) -> State:
        """What is drawn once per trial (an alphabet, a rotation), from the stream ``source``."""
        return {}

    @abstractmethod
    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        """Draw ``frames`` frames for each trial from the stream ``purpose``."""

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """The frames that judge a codec: every symbol of a finite source, else a fixed held-out set."""
        return self.draw(world, streams, self.held_out_frames, purpose="evaluation")

    def measures(self, output: Tensor, target: Tensor, thorough: bool) -> dict[str, Tensor]:
        """Further metrics, (trials,) each, of all frames; ``thorough`` asks for the slow ones too, which no curve has."""
        return {}

    @property
    def held_out_frames(self) -> int:
        """Frames of the held-out set."""
        return max(HELD_OUT_FRAMES, HELD_OUT_FEATURES // self.target_dim)


def check_alphabet(setting: str, bits: int, bytes_per_symbol: int) -> None:
    """Raise ConfigError when one trial's alphabet of ``2**bits`` symbols takes more than ``memory_allowed``."""
    largest = (memory_allowed() // bytes_per_symbol).bit_length() - 1
    if bits > largest:
        raise ConfigError(
            f"{setting}={bits}: its alphabet would take {bytes_per_symbol / 2**30:.3g} x 2^{bits} GiB a trial; this machine "
            f"allows at most {setting}={largest} ({memory_allowed() / 2**30:.3g} GiB)"
        )


def memory_allowed() -> int:
    """Bytes that the alphabets of one stack may take: a 32nd of the machine's memory, for every worker holds one stack, and
    frames and activations of several times that size."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 32
