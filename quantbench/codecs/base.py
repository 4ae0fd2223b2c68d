"""The interface of all codecs."""

from __future__ import annotations

from torch import Tensor

from quantbench.components import Component, State, at_least, component
from quantbench.streams import Streams


@component
class Codec(Component):
    """An encoder and a decoder around a bottleneck of ``latent_dim`` dimensions.

    Attributes:
        latent_dim: features of the encoder's output.
    """

    latent_dim: int = 8

    def check(self) -> None:
        at_least("codec.latent_dim", self.latent_dim, 1)

    def init(self, streams: Streams, input_dim: int, side_dim: int, target_dim: int) -> State:
        """Initial weights from the stream ``initialisation``."""
        raise NotImplementedError

    def encode(self, weights: State, frames: Tensor) -> Tensor:
        """Frames (trials, frames, input_dim) to latents (trials, frames, latent_dim)."""
        raise NotImplementedError

    def decode(self, weights: State, latents: Tensor, side: Tensor | None) -> Tensor:
        """Latents (trials, frames, latent_dim) and side information to frames (trials, frames, target_dim)."""
        raise NotImplementedError
