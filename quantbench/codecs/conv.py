"""A small convolutional codec of images."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from quantbench import modules
from quantbench.codecs.base import Codec
from quantbench.components import State, at_least, component
from quantbench.errors import ConfigError
from quantbench.streams import Streams


@component
class Conv(Codec):
    """Convolutions for square images, one latent for every square of ``2**halvings`` pixels. Trained trial by trial.

    The encoder has a strided convolution of 4 pixels with ELU for each halving, and one of 3 pixels to the latents; the decoder
    is its mirror image with transposed convolutions. Ours; of no publication.

    Attributes:
        latent_dim: features of the encoder's output.
        colours: channels of an image, 1 for grey, 3 for RGB.
        width: channels of the first layer; each halving doubles them.
        halvings: how often both sides are halved.
    """

    stackable = False
    sizes = ("width", "halvings", "latent_dim")

    colours: int = 1
    width: int = 16
    halvings: int = 2

    def check(self) -> None:
        super().check()
        for name in ("colours", "width", "halvings"):
            at_least(f"codec.{name}", getattr(self, name), 1)

    def check_frames(self, input_dim: int, side_dim: int, target_dim: int) -> None:
        if side_dim or input_dim != target_dim:
            raise ConfigError("codec: takes images alone; for this simulator choose codec=mlp")
        side = math.isqrt(input_dim // self.colours)
        if side * side * self.colours != input_dim:
            raise ConfigError(
                f"codec.colours={self.colours}: frames of {input_dim} numbers are no square images of so many channels; "
                f"set it as simulator.colour (1 for grey, 3 for rgb), with simulator=images"
            )
        if side % 2**self.halvings:
            raise ConfigError(f"codec.halvings={self.halvings}: images of {side} pixels a side cannot be halved so often")

    def latents_per_frame(self, input_dim: int) -> int:
        return int((input_dim // self.colours) // 4**self.halvings)

    def init(self, streams: Streams, input_dim: int, side_dim: int, target_dim: int) -> State:
        return modules.stacked(self._build, streams.integers("initialisation", 2**31).tolist(), streams.device)

    @torch.no_grad()
    def rescale(self, weights: State, factor: Tensor) -> None:
        last = f"encoder.{2 * self.halvings}"
        weights[f"{last}.weight"].mul_(factor[:, None, None, None, None])
        weights[f"{last}.bias"].mul_(factor[:, None])
        weights["decoder.0.weight"].div_(factor[:, None, None, None, None])

    def encode(self, weights: State, frames: Tensor) -> Tensor:
        side = math.isqrt(frames.shape[2] // self.colours)
        images = frames.reshape(*frames.shape[:2], self.colours, side, side)
        return torch.stack([one.flatten(2).transpose(1, 2).flatten(0, 1) for one in self._every("encoder", weights, images)])

    def decode(self, weights: State, latents: Tensor, side: Tensor | None, frames: int) -> Tensor:
        places = math.isqrt(latents.shape[1] // frames)
        shaped = latents.reshape(len(latents), frames, places, places, self.latent_dim).movedim(-1, 2)
        return torch.stack([one.flatten(1) for one in self._every("decoder", weights, shaped)])

    def _every(self, part: str, weights: State, inputs: Tensor) -> list[Tensor]:
        """What one half gives for every trial's images."""
        module = _skeleton(self.latent_dim, self.colours, self.width, self.halvings)[part]
        own = {name.removeprefix(f"{part}."): tensor for name, tensor in weights.items() if name.startswith(f"{part}.")}
        found = []
        for trial, images in enumerate(inputs):
            with modules.holding(module, own, trial):
                found.append(module(images))
        return found

    def _build(self) -> nn.ModuleDict:
        return _built(self.latent_dim, self.colours, self.width, self.halvings)


def _built(latent_dim: int, colours: int, width: int, halvings: int) -> nn.ModuleDict:
    widths = [colours, *(width * 2**number for number in range(halvings))]
    encoder: list[nn.Module] = []
    for before, after in pairwise(widths):
        encoder += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ELU()]
    decoder: list[nn.Module] = [nn.Conv2d(latent_dim, widths[-1], 3, padding=1)]
    for before, after in pairwise(reversed(widths)):
        decoder += [nn.ELU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    last = nn.Conv2d(widths[-1], latent_dim, 3, padding=1)
    return nn.ModuleDict({"encoder": nn.Sequential(*encoder, last), "decoder": nn.Sequential(*decoder)})


@lru_cache(maxsize=4)
def _skeleton(latent_dim: int, colours: int, width: int, halvings: int) -> nn.ModuleDict:
    """Modules whose tensors are exchanged for those of a trial at every call."""
    with modules.seeded(0):
        return _built(latent_dim, colours, width, halvings)
