"""The codecs of a stack with their weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantbench.components import State
from quantbench.gradients import Moment
from quantbench.quantizers import Code, Passed
from quantbench.simulators import Frames
from quantbench.streams import Streams
from quantbench.training.optimizer import Parameters
from quantbench.training.stack import Stack


class Model:
    """Encoder, bottleneck and decoder of all trials of a stack."""

    def __init__(self, stack: Stack, streams: Streams) -> None:
        simulator = stack.simulator
        self.stack, self.streams = stack, streams
        self.codec = stack.codec.init(streams, simulator.input_dim, simulator.side_dim, simulator.target_dim)
        self.quantizer = stack.quantizer.init(streams, stack.codec.latent_dim)
        self.parameters = Parameters([self.codec, self.quantizer])
        self.critic = stack.loss.init(streams)
        self.critic_parameters = Parameters([self.critic]) if self.critic else None
        self.encoder = self.parameters.columns(self.codec, "encoder.")
        self._buffers = [
            tensor
            for state, parameters in self._trained()
            for tensor in state.values()
            if not any(tensor is leaf for leaf in parameters.leaves)
        ]

    def _trained(self) -> list[tuple[State, Parameters]]:
        """Every state with what trains it."""
        critic = [(self.critic, self.critic_parameters)] if self.critic_parameters is not None else []
        return [(self.codec, self.parameters), (self.quantizer, self.parameters), *critic]

    @torch.no_grad()
    def start_from(self, weights: State, frames: Frames) -> None:
        """Set the codecs' weights, trial axis first, and bring the latents of ``frames`` to unit variance.

        That changes the units, not the codec. A codebook moves by about the learning rate a step: in units of its own, a codec
        whose latents are ten times larger than another's would hold it still.
        """
        for name, tensor in self.codec.items():
            tensor.copy_(weights[name])
        latents = self.stack.codec.encode(self.codec, frames.input)
        spread = (latents - latents.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
        self.stack.codec.rescale(self.codec, 1 / spread.clamp_min(1e-12))

    def latents(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """The encoder's output and its prepared form."""
        encoded = self.stack.codec.encode(self.codec, frames.input)
        return encoded, self.stack.quantizer.prepare(self.quantizer, encoded)

    def hard(self, latents: Tensor, moment: Moment) -> Code:
        """The hard code of prepared latents."""
        return self.stack.gradient.hard(self.stack.quantizer, self.quantizer, latents, moment)

    def surrogate(self, latents: Tensor, moment: Moment) -> Passed:
        """What passes while training."""

        def pass_through(quantizer: object, state: State, latents: Tensor, code: Code) -> Tensor:
            return self.stack.gradient.pass_through(quantizer, state, latents, code, moment)  # type: ignore[arg-type]

        return self.stack.quantizer.forward(self.quantizer, latents, pass_through, moment)

    def decode(self, received: Tensor, frames: Frames) -> Tensor:
        """The decoder's output for what it receives."""
        restored = self.stack.quantizer.restore(self.quantizer, received)
        return self.stack.codec.decode(self.codec, restored, frames.side, frames.target.shape[1])

    def frame_loss(self, frames: Frames) -> Callable[[Tensor], Tensor]:
        """Loss of each latent's frame, (trials, latents), for what the decoder would receive; without gradient."""

        def loss(received: Tensor) -> Tensor:
            with torch.no_grad():
                each = self.loss_of_each(self.decode(received, frames), frames)
                return each.repeat_interleave(received.shape[1] // each.shape[1], dim=1)

        return loss

    def loss_of_each(self, output: Tensor, frames: Frames) -> Tensor:
        """The reconstruction loss of every frame, (trials, frames)."""
        return self.stack.loss.each(output, frames.target, self.stack.simulator.waveform_rate)

    def loss(self, output: Tensor, frames: Frames) -> Tensor:
        """The reconstruction loss of every trial, (trials,)."""
        return self.stack.loss.mean(output, frames.target, self.stack.simulator.waveform_rate)

    def fit(self, frames: Frames, streams: Streams) -> None:
        """Start the quantizer from the first latents."""
        with torch.no_grad():
            self.stack.quantizer.fit(self.quantizer, self.latents(frames)[0], streams)

    def tensors(self) -> list[Tensor]:
        """Everything a trial keeps, trial axis first."""
        matrices = dict.fromkeys(parameters.matrix for _, parameters in self._trained())
        return [*matrices, *self._buffers]
