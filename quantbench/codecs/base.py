"""The interface of all codecs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from quantbench.components import Component, State, at_least, component
from quantbench.errors import ConfigError
from quantbench.streams import Streams


@component
class Codec(Component):
    """An encoder and a decoder around a bottleneck of ``latent_dim`` dimensions.

    A toy codec turns every frame into one latent. A real one turns every frame, a segment of a waveform, into a sequence of
    ``latents_per_frame`` latents; those of all segments follow each other on one axis.

    Attributes:
        latent_dim: features of the encoder's output.
    """

    stackable: ClassVar[bool] = True
    """Whether trials train faster together than one by one."""

    sizes: ClassVar[tuple[str, ...]] = ("latent_dim",)

    latent_dim: int = 8

    def check(self) -> None:
        at_least("codec.latent_dim", self.latent_dim, 1)

    def check_input(self, sample_rate: int | None, lengths: Mapping[str, int]) -> None:
        """Raise ConfigError when this codec cannot take such frames.

        Args:
            sample_rate: of a waveform, in Hz; None where frames are no waveform.
            lengths: samples of a waveform that the codec must take, by the setting that says so.
        """
        if sample_rate is not None:
            raise ConfigError(
                "codec: takes frames of features, and the simulator draws waveforms; for these choose codec=dac_tiny, "
                "encodec_tiny, seanet or one of their presets, for frames of features another simulator"
            )

    def check_frames(self, input_dim: int, side_dim: int, target_dim: int) -> None:
        """Raise ConfigError when this codec cannot take frames of so many features, or give such."""

    def latents_per_frame(self, input_dim: int) -> int:
        """Latents that a frame of ``input_dim`` features becomes."""
        return 1

    @abstractmethod
    def init(self, streams: Streams, input_dim: int, side_dim: int, target_dim: int) -> State:
        """Initial weights from the stream ``initialisation``; names begin with ``encoder.`` or ``decoder.``."""

    @abstractmethod
    def rescale(self, weights: State, factor: Tensor) -> None:
        """Multiply the latents by ``factor`` (trials,) and let the decoder divide by it, in place; the output stays."""

    @abstractmethod
    def encode(self, weights: State, frames: Tensor) -> Tensor:
        """Frames (trials, frames, input_dim) to latents (trials, frames * latents_per_frame, latent_dim)."""

    @abstractmethod
    def decode(self, weights: State, latents: Tensor, side: Tensor | None, frames: int) -> Tensor:
        """Latents (trials, frames * latents_per_frame, latent_dim) to frames (trials, frames, target_dim).

        Args:
            side: side information, (trials, frames, side_dim), or None.
            frames: to how many frames the latents belong.
        """
