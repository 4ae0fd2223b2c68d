"""No codec at all: the frames are latents already."""

from __future__ import annotations

from torch import Tensor

from quantbench.codecs.base import Codec
from quantbench.components import State, component
from quantbench.errors import ConfigError
from quantbench.streams import Streams


@component
class Identity(Codec):
    """Frames are the latents, and what comes out of the bottleneck is the output: only the quantizer trains.

    For latents of an encoder that exists: which quantizer suits it? What a decoder would make of the error is not known, so
    the distortion is that of the latents. Where the quantizer has nothing to train either, it is measured as it is.

    Attributes:
        latent_dim: features of a frame; the choice ``identity`` takes them from the simulator.
    """

    def check_frames(self, input_dim: int, side_dim: int, target_dim: int) -> None:
        if side_dim or input_dim != target_dim:
            raise ConfigError("codec: gives back what it takes, and the simulator's target is another one; choose codec=mlp")
        if self.latent_dim != input_dim:
            raise ConfigError(
                f"codec.latent_dim={self.latent_dim}: must be {input_dim}, as many as the frames have features; leave it out "
                f"on the command line"
            )

    def init(self, streams: Streams, input_dim: int, side_dim: int, target_dim: int) -> State:
        return {}

    def rescale(self, weights: State, factor: Tensor) -> None:
        """Nothing to do: latents stay in the units of the frames, which a simulator brings to about unit variance."""

    def encode(self, weights: State, frames: Tensor) -> Tensor:
        return frames

    def decode(self, weights: State, latents: Tensor, side: Tensor | None, frames: int) -> Tensor:
        return latents
