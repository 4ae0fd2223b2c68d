"""The toy codec: small enough to train by the hundred, non-linear enough to fail as large ones do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quantbench import kernels
from quantbench.codecs.base import Codec
from quantbench.components import State, at_least, component, product
from quantbench.precision import whole
from quantbench.streams import Streams

ORDER = ("weight0", "bias0", "slope0", "weight1", "bias1", "slope1", "weight2", "bias2")
"""Of a network's weights."""


class PReLU(torch.autograd.Function):
    """``x`` where it is positive, ``slope x`` elsewhere, with a slope per trial (trials, 1, 1).

    With such a slope torch's own prelu takes a path on the CPU that is many times slower, forward and backward.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return torch.lerp(torch.relu(x), x, slope)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(gradients[0], x, 0)
        negative = gradients[0] - positive
        to_slope = (negative * x).sum((1, 2), keepdim=True)
        return positive.add_(negative.mul_(slope)), to_slope


@whole
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """The activation as one operation."""
    if x.is_cuda:
        return prelu_of_torch(x, slope)
    activated: Tensor = PReLU.apply(x, slope)  # type: ignore[no-untyped-call]
    return activated


def prelu_of_torch(x: Tensor, slope: Tensor) -> Tensor:
    """``PReLU`` by torch's own, trials as channels: on a GPU one pass forward and one backward, not two and five."""
    return torch.prelu(x.reshape(1, len(x), -1), slope.flatten()).view(x.shape)


@component
class MLP(Codec):
    """Encoder and decoder of three frame-wise fully connected layers each, with PReLU and skip connections.

    ``h1 = prelu(x W1 + b1)``, ``h2 = h1 + prelu(h1 W2 + b2)``, ``y = h2 W3 + b3``. Our reading of the toy codec of Mack
    et al. (2025), arXiv 2502.04770. Weights are normal with variance ``1 / inputs``, biases 0, PReLU slopes 0.25.

    Attributes:
        hidden: width of the hidden layers.
        latent_dim: features of the encoder's output.
    """

    sizes = ("hidden", "latent_dim")

    hidden: int = 64

    def check(self) -> None:
        super().check()
        at_least("codec.hidden", self.hidden, 1)

    def init(self, streams: Streams, input_dim: int, side_dim: int, target_dim: int) -> State:
        encoder = self._init_network(streams, "encoder", input_dim, self.latent_dim)
        return encoder | self._init_network(streams, "decoder", self.latent_dim + side_dim, target_dim)

    @torch.no_grad()
    def rescale(self, weights: State, factor: Tensor) -> None:
        factor = factor[:, None, None]
        weights["encoder.weight2"].mul_(factor)
        weights["encoder.bias2"].mul_(factor)
        weights["decoder.weight0"][:, : self.latent_dim].div_(factor)  # the other rows are of side information

    def encode(self, weights: State, frames: Tensor) -> Tensor:
        return self._network(weights, "encoder", frames)

    def decode(self, weights: State, latents: Tensor, side: Tensor | None, frames: int) -> Tensor:
        return self._network(weights, "decoder", latents if side is None else torch.cat([latents, side], dim=-1))

    def _init_network(self, streams: Streams, name: str, inputs: int, outputs: int) -> State:
        weights: State = {}
        for layer, (rows, columns) in enumerate([(inputs, self.hidden), (self.hidden, self.hidden), (self.hidden, outputs)]):
            drawn = streams.normal("initialisation", rows, columns) / rows**0.5
            weights[f"{name}.weight{layer}"] = nn.Parameter(drawn)
            weights[f"{name}.bias{layer}"] = nn.Parameter(drawn.new_zeros(streams.trials, 1, columns))
            if layer < 2:
                weights[f"{name}.slope{layer}"] = nn.Parameter(drawn.new_full((streams.trials, 1, 1), 0.25))
        return weights

    def _network(self, weights: State, name: str, x: Tensor) -> Tensor:
        ordered = [weights[f"{name}.{part}"] for part in ORDER]
        if kernels.usable(x, *ordered):
            return kernels.network(x, ordered)

        def affine(layer: int, x: Tensor) -> Tensor:
            return product(x, weights[f"{name}.weight{layer}"], weights[f"{name}.bias{layer}"])

        h = prelu(affine(0, x), weights[f"{name}.slope0"])
        h = h + prelu(affine(1, h), weights[f"{name}.slope1"])
        return affine(2, h)
