"""The loss of the Descript Audio Codec with its discriminators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from quantbench import modules
from quantbench.components import State, above, at_least, component
from quantbench.errors import ConfigError
from quantbench.losses.audio import Audio
from quantbench.losses.base import Loss
from quantbench.losses.discriminators import Critic, critic_loss, generator_losses
from quantbench.streams import Streams

Judge = Callable[[Critic, Tensor, Tensor], Tensor]
"""From the critic, recordings and reconstructions (segments, samples) to a loss."""

_critics: dict[int, Critic] = {}
"""The one built in this process, by its width; its tensors are exchanged for those of a trial at every call."""


@component
class Adversarial(Loss):
    """Another loss of waveforms, and discriminators that are trained against the codec.

    Attributes:
        distance: the other loss.
        adversarial: weight of the loss for being told from a recording.
        feature_matching: weight of the difference of what the discriminators' layers see.
        critic_channels: width of the discriminators; 32 as published, which wants a GPU.
        critic_lr: their learning rate.
    """

    sizes = ("critic_channels",)

    distance: Loss = Audio()
    adversarial: float = 1.0
    feature_matching: float = 2.0
    critic_channels: int = 32
    critic_lr: float = 1e-4  # type: ignore[misc]

    def check(self) -> None:
        self.distance.check()
        if self.distance.critic_lr:
            raise ConfigError(f"loss.distance: {type(self.distance).__name__} has discriminators of its own")
        for name in ("adversarial", "feature_matching"):
            at_least(f"loss.{name}", getattr(self, name), 0)
        at_least("loss.critic_channels", self.critic_channels, 1)
        above("loss.critic_lr", self.critic_lr, 0)

    def init(self, streams: Streams) -> State:
        return modules.stacked(self._build, streams.integers("critic", 2**31).tolist(), streams.device, buffers=False)

    def check_input(self, sample_rate: int | None, lengths: Mapping[str, int]) -> None:
        self.distance.check_input(sample_rate, lengths)
        if sample_rate is None:
            raise ConfigError("loss: compares waveforms; choose simulator=audio, or loss=mse")
        for setting, samples in lengths.items():
            if samples < self._build().shortest:
                raise ConfigError(f"{setting}={samples}: must be at least {self._build().shortest} for the discriminators")

    def each(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        return self.distance.each(output, target, sample_rate)

    def mean(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        return self.distance.mean(output, target, sample_rate)

    def measures(self, output: Tensor, target: Tensor, sample_rate: int | None) -> dict[str, Tensor]:
        return self.distance.measures(output, target, sample_rate)

    def critic(self, state: State, output: Tensor, target: Tensor) -> Tensor:
        return self._every(state, output.detach(), target, critic_loss)

    def against(self, state: State, output: Tensor, target: Tensor) -> Tensor:
        def loss(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
            adversarial, feature_matching = generator_losses(critic, real, fake)
            return self.adversarial * adversarial + self.feature_matching * feature_matching

        return self._every({name: tensor.detach() for name, tensor in state.items()}, output, target, loss)

    def _every(self, state: State, output: Tensor, target: Tensor, loss: Judge) -> Tensor:
        """A loss of every trial, (trials,)."""
        if self.critic_channels not in _critics:
            _critics.clear()
            _critics[self.critic_channels] = self._build().to(output.device)
        module = _critics[self.critic_channels]
        found = []
        for trial, (fake, real) in enumerate(zip(output, target, strict=True)):
            with modules.holding(module, state, trial):
                found.append(loss(module, real, fake))
        return torch.stack(found)

    def _build(self) -> Critic:
        return Critic(channels=self.critic_channels)
