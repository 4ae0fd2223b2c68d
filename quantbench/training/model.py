"""The codecs of a stack with their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from quantbench.components import State
from quantbench.gradients import Moment
from quantbench.gradients.acting import Strategy, asked
from quantbench.precision import LOW, TF32, computing, rounded, rounded_weights
from quantbench.quantizers import Code, Passed, by_means
from quantbench.quantizers.base import Trace
from quantbench.simulators import Frames
from quantbench.streams import Streams
from quantbench.training.optimizer import Parameters
from quantbench.training.stack import Stack

CHUNK = 1024
"""Frames encoded at a time for a codebook, so that memory stays bounded; fixed, as all that numbers may depend on."""


class Model:
    """Encoder, bottleneck and decoder of all trials of a stack.

    In low precision, each half computes with its weights rounded, and ``codec`` and ``quantizer`` hold what they are rounded
    from; buffers hold what has been rounded.

    Attributes:
        item: latents of one frame: 1 of features, many of a waveform.
        features: numbers of the target for each latent.
        networks: precision of encoder and decoder.
        bottleneck: precision of quantizer and strategy.
    """

    def __init__(self, stack: Stack, streams: Streams) -> None:
        simulator = stack.simulator
        self.stack, self.streams = stack, streams
        self.networks, self.bottleneck = stack.train.precision, stack.train.bottleneck
        self.item = stack.codec.latents_per_frame(simulator.input_dim)
        self.features = simulator.target_dim / self.item
        self.codec = stack.codec.init(streams, simulator.input_dim, simulator.side_dim, simulator.target_dim)
        self.quantizer = stack.quantizer.init(streams, stack.codec.latent_dim)
        empty = torch.zeros(len(stack.seeds), 0, device=stack.device)
        self.parameters = Parameters([self.codec, self.quantizer], empty)
        self.critic = stack.loss.init(streams)
        self.critic_parameters = Parameters([self.critic]) if self.critic else None
        self.memories, self.refits = self._asked()
        self.encoder = self.parameters.columns(self.codec, "encoder.")
        self._buffers = [
            tensor
            for state, parameters in self._trained()
            for tensor in state.values()
            if not any(tensor is leaf for leaf in parameters.leaves)
        ]
        self._buffers += [tensor for memory in self.memories for tensor in memory.values()]
        for tensor in self.quantizer.values():
            if not tensor.requires_grad:
                tensor.copy_(self._rounded(tensor, self.bottleneck))

    @property
    def still(self) -> bool:
        """Whether nothing of it can change: no weights, and nothing that a quantizer or a strategy keeps."""
        return not (self.parameters.leaves or self._buffers or self.critic or self.refits)

    def _trained(self) -> list[tuple[State, Parameters]]:
        """Every state with what trains it."""
        critic = [(self.critic, self.critic_parameters)] if self.critic_parameters is not None else []
        return [(self.codec, self.parameters), (self.quantizer, self.parameters), *critic]

    def _asked(self) -> tuple[list[State], int]:
        """What the strategy keeps of every elementary quantization, in the order in which these ask it; what it refits of."""
        latents = torch.zeros(self.streams.trials, 1, self.stack.codec.latent_dim, device=self.stack.device)
        gradient, quantizer = self.stack.gradient, self.stack.quantizer
        return asked(gradient, quantizer, self.quantizer, lambda: self.prepare(latents), self.streams)

    def state_dict(self) -> State:
        """Everything that is learned or kept, by the name of its part and its own; not copied."""
        parts = {"codec": self.codec, "quantizer": self.quantizer, "critic": self.critic}
        parts |= {f"memory.{number}": memory for number, memory in enumerate(self.memories)}
        return {f"{part}.{name}": tensor.detach() for part, state in parts.items() for name, tensor in state.items()}

    def load_state_dict(self, state: State) -> None:
        """Take over, in place, what ``state_dict`` gave."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])

    @torch.no_grad()
    def load_codec(self, weights: State) -> None:
        """Set the codecs' weights, trial axis first."""
        for name, tensor in self.codec.items():
            tensor.copy_(weights[name])

    @torch.no_grad()
    def standardize(self, frames: Frames) -> None:
        """Bring the encoder's output for ``frames`` to unit variance, a trial at a time.

        That changes the units, not the codec. A codebook moves by about the learning rate a step: in units of its own, a codec
        whose latents are ten times larger than another's would hold it still.
        """
        encoded = self.encode(frames)
        spread = (encoded - encoded.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
        self.stack.codec.rescale(self.codec, 1 / spread.clamp_min(1e-12))

    @torch.no_grad()
    def fit(self, frames: Frames) -> None:
        """Start the quantizer from the first latents."""
        encoded = self.encode(frames)
        with computing(self.bottleneck):
            self.stack.quantizer.fit(self.quantizer, self._rounded(encoded, self.bottleneck), self.streams)

    @torch.no_grad()
    def refit(self, frames: Frames, streams: Streams) -> None:
        """Make the codebook anew, of the encoder's output for ``frames``."""
        parts = [self.encode(frames.part(start, CHUNK)) for start in range(0, frames.input.shape[1], CHUNK)]
        with computing(self.bottleneck):
            encoded = self._rounded(torch.cat(parts, dim=1), self.bottleneck)
            by_means(self.stack.quantizer).fit(self.quantizer, encoded, streams)

    def encode(self, frames: Frames) -> Tensor:
        """The encoder's output, (trials, latents, latent_dim)."""
        with computing(self.networks):
            return self.stack.codec.encode(self._weights("encoder."), self._rounded(frames.input, self.networks))

    def prepare(self, encoded: Tensor) -> Tensor:
        """The latents that are quantized, (trials, latents, dim), made from the encoder's output."""
        with computing(self.bottleneck):
            return self.stack.quantizer.prepare(self.codebooks(), self._rounded(encoded, self.bottleneck))

    def hard(self, latents: Tensor, moment: Moment) -> Code:
        """The hard code of prepared latents."""
        with computing(self.bottleneck):
            return self.stack.gradient.hard(self.stack.quantizer, self.codebooks(), latents, moment)

    def values(self, indices: Tensor) -> Tensor:
        """The values (trials, latents, dim) of a code's indices, as ``hard`` has them. Raises as ``Quantizer.decode``."""
        with computing(self.bottleneck):
            return self.stack.quantizer.decode(self.codebooks(), indices)

    def prefixes(self, indices: Tensor) -> list[Tensor]:
        """``Quantizer.prefixes`` of a code's indices."""
        with computing(self.bottleneck):
            return list(self.stack.quantizer.prefixes(self.codebooks(), indices))

    def pass_through(self, latents: Tensor, moment: Moment, remember: bool = False) -> Passed:
        """What passes through the bottleneck while training.

        Args:
            remember: whether the strategy keeps, from now on, what it took in; only at a step of the training.
        """
        memories = self.memories if remember else [_copy(memory) for memory in self.memories]
        strategy = Strategy(self.stack.gradient, moment, memories)
        with computing(self.bottleneck):
            passed = self.stack.quantizer.forward(self.codebooks(), latents, strategy, moment)
            loss = torch.zeros_like(passed.loss) if self.refits else passed.loss
            return replace(passed, loss=sum(strategy.losses, start=loss))

    @torch.no_grad()
    def update(self, trace: Trace, step: int, streams: Streams) -> None:
        """What the quantizer changes by itself after an optimizer step, with random numbers from ``streams``."""
        detached = [(latents.detach(), code) for latents, code in trace]
        with computing(self.bottleneck):
            self.stack.quantizer.update(self.quantizer, detached, streams, step)

    def decode(self, received: Tensor, frames: Frames) -> Tensor:
        """The decoder's output for what it receives."""
        with computing(self.bottleneck):
            restored = self.stack.quantizer.restore(self.codebooks(), self._rounded(received, self.bottleneck))
        with computing(self.networks):
            side = None if frames.side is None else self._rounded(frames.side, self.networks)
            restored = self._rounded(restored, self.networks)
            return self.stack.codec.decode(self._weights("decoder."), restored, side, frames.target.shape[1])

    def frame_loss(self, frames: Frames) -> Callable[[Tensor], Tensor]:
        """Loss of each latent's frame, (trials, latents), for what the decoder would receive; without gradient."""

        def loss(received: Tensor) -> Tensor:
            with torch.no_grad():
                output = self.decode(received, frames)
                with computing("float32"):  # a strategy asks, perhaps in low precision
                    each = self.loss_of_each(output, frames)
                return each.repeat_interleave(received.shape[1] // each.shape[1], dim=1)

        return loss

    def loss_of_each(self, output: Tensor, frames: Frames) -> Tensor:
        """The reconstruction loss of every frame, (trials, frames)."""
        return self.stack.loss.each(output, frames.target, self.stack.simulator.waveform_rate)

    def loss(self, output: Tensor, frames: Frames) -> Tensor:
        """The reconstruction loss of every trial, (trials,)."""
        return self.stack.loss.mean(output, frames.target, self.stack.simulator.waveform_rate)

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient of a loss, (trials,), by every trial's parameters, (trials, numbers)."""
        with computing(TF32 if self.networks == TF32 else "float32"):  # what is rounded was so on the way forward
            return self.parameters.gradient(loss.sum())

    def codebooks(self) -> State:
        """The quantizer's state as it computes with it."""
        if self.bottleneck not in LOW:
            return self.quantizer
        return {
            name: rounded_weights(tensor, LOW[self.bottleneck]) if tensor.requires_grad else tensor
            for name, tensor in self.quantizer.items()
        }

    def _weights(self, half: str) -> State:
        """The codec's weights, those of one half as it computes with them."""
        if self.networks not in LOW:
            return self.codec
        return {
            name: rounded_weights(tensor, LOW[self.networks]) if name.startswith(half) and tensor.requires_grad else tensor
            for name, tensor in self.codec.items()
        }

    @staticmethod
    def _rounded(tensor: Tensor, precision: str) -> Tensor:
        low = precision in LOW and tensor.dtype == torch.float32
        return rounded(tensor, LOW[precision]) if low else tensor

    def tensors(self) -> list[Tensor]:
        """Everything in ``state_dict``, in as few tensors as there are, trial axis first."""
        matrices = dict.fromkeys(parameters.matrix for _, parameters in self._trained())
        return [*matrices, *self._buffers]


def _copy(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}
