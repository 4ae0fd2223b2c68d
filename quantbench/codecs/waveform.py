"""What real codecs have in common: torch modules that turn waveforms into a sequence of latents and back."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from quantbench import modules
from quantbench.codecs.base import Codec
from quantbench.components import State, at_least, component
from quantbench.errors import ConfigError
from quantbench.streams import Streams

LENGTH = "parametrizations.weight.original0"
"""End of the name under which PyTorch's weight normalisation keeps the length of a convolution's weights."""
MOST_SKELETONS = 4
_skeletons: dict[str, nn.ModuleDict] = {}
"""The last ones built in this process, by codec and settings: components are made anew for every stack."""


@component
class WaveformCodec(Codec):
    """A convolutional codec of mono waveforms: one latent for every ``hop`` samples. Trained trial by trial.

    A subclass gives ``build``. Its encoder maps (segments, 1, samples) to (segments, latent_dim, latents), its decoder back.
    The encoder's last layer stands for the projection into the space in which DAC quantizes, for between two linear maps
    nothing but their product counts.

    Attributes:
        sample_rate: in Hz, of the recordings that the codec is made for.
        strides: of the encoder's blocks, the first first; their product is the hop.
    """

    stackable: ClassVar[bool] = False

    sample_rate: int = 16000
    strides: tuple[int, ...] = (8, 5, 4, 2)

    @property
    def hop(self) -> int:
        """Samples of a latent."""
        return math.prod(self.strides)

    @abstractmethod
    def build(self) -> nn.ModuleDict:
        """A codec with fresh weights, as modules ``encoder`` and ``decoder``."""

    def check(self) -> None:
        super().check()
        at_least("codec.sample_rate", self.sample_rate, 1)
        at_least("codec.strides", self.strides, 1)
        if not self.strides:
            raise ConfigError("codec.strides=[]: must name at least one stride")
        with torch.device("meta"):
            self.build()

    def check_input(self, sample_rate: int | None, lengths: Mapping[str, int]) -> None:
        if sample_rate is None:
            raise ConfigError("codec: takes waveforms, and the simulator draws none; choose simulator=audio, or codec=mlp")
        if sample_rate != self.sample_rate:
            raise ConfigError(
                f"simulator.sample_rate={sample_rate}: this codec is made for codec.sample_rate={self.sample_rate}; set both "
                f"alike (recordings are resampled)"
            )
        for setting, samples in lengths.items():
            if samples % self.hop or not samples:
                below = max(self.hop, samples // self.hop * self.hop)
                raise ConfigError(
                    f"{setting}={samples}: must be a multiple of the codec's hop of {self.hop} samples (codec.strides="
                    f"{list(self.strides)}), as are {below} and {below + self.hop}"
                )

    def latents_per_frame(self, input_dim: int) -> int:
        return input_dim // self.hop

    def init(self, streams: Streams, input_dim: int, side_dim: int, target_dim: int) -> State:
        return modules.stacked(self.build, streams.integers("initialisation", 2**31).tolist(), streams.device, buffers=False)

    @torch.no_grad()
    def rescale(self, weights: State, factor: Tensor) -> None:
        # The last convolution of the encoder and the first of the decoder; their weights are directions with a length each.
        last = [name for name in weights if name.startswith("encoder.") and name.endswith(LENGTH)][-1]
        first = next(name for name in weights if name.startswith("decoder.") and name.endswith(LENGTH))
        weights[last].mul_(factor[:, None, None, None])
        weights[last.removesuffix(LENGTH) + "bias"].mul_(factor[:, None])
        weights[first].div_(factor[:, None, None, None])

    def encode(self, weights: State, frames: Tensor) -> Tensor:
        encoded = [latents.transpose(1, 2).flatten(0, 1) for latents in self._every("encoder", weights, frames.unsqueeze(2))]
        return torch.stack(encoded)

    def decode(self, weights: State, latents: Tensor, side: Tensor | None, frames: int) -> Tensor:
        segments = latents.view(len(latents), frames, -1, self.latent_dim).transpose(2, 3)
        return torch.stack([waveform.squeeze(1) for waveform in self._every("decoder", weights, segments)])

    def _every(self, part: str, weights: State, inputs: Tensor) -> list[Tensor]:
        """What one part of the codec gives for every trial's segments, (segments, channels, length) each."""
        module = self._skeleton()[part]
        own = {name.removeprefix(f"{part}."): tensor for name, tensor in weights.items() if name.startswith(f"{part}.")}
        found = []
        for trial, segments in enumerate(inputs):
            with modules.holding(module, own, trial):
                found.append(module(segments))
        return found

    def _skeleton(self) -> nn.ModuleDict:
        """Modules whose tensors are exchanged for those of a trial at every call."""
        key = f"{type(self).__qualname__} {vars(self)}"
        if key not in _skeletons:
            while len(_skeletons) >= MOST_SKELETONS:
                _skeletons.pop(next(iter(_skeletons)))
            _skeletons[key] = self.build()
        return _skeletons[key]
