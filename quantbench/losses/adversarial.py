"""The loss of the Descript Audio Codec with its discriminators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantbench import modules
from quantbench.components import State, at_least, component
from quantbench.errors import ConfigError
from quantbench.losses.audio import Audio
from quantbench.losses.discriminators import Critic, Maps, adversarial_loss, critic_loss, feature_loss
from quantbench.streams import Streams

Judge = Callable[[list[Maps], list[Maps]], Tensor]

_critics: dict[int, Critic] = {}
"""The one built in this process, by its width; its tensors are exchanged for those of a trial at every call."""


@component
class AdversarialAudio(Audio):
    """The losses of ``Audio``, and discriminators that are trained against the codec.

    Attributes:
        adversarial: weight of the loss for being told from a recording.
        feature_matching: weight of the difference of what the discriminators' layers see.
        critic_channels: width of the discriminators; 32 as published, which wants a GPU.
        critic_lr: their learning rate.
    """

    adversarial: float = 1.0
    feature_matching: float = 2.0
    critic_channels: int = 32
    critic_lr: float = 1e-4  # type: ignore[misc]

    def check(self) -> None:
        super().check()
        for name in ("adversarial", "feature_matching"):
            at_least(f"loss.{name}", getattr(self, name), 0)
        at_least("loss.critic_channels", self.critic_channels, 1)
        if self.critic_lr <= 0:
            raise ConfigError(f"loss.critic_lr={self.critic_lr}: must be above 0")

    def init(self, streams: Streams) -> State:
        return modules.stacked(lambda: Critic(self.critic_channels), streams.integers("critic", 2**31).tolist(), streams.device)

    def critic(self, state: State, output: Tensor, target: Tensor) -> Tensor:
        return self._every(state, output.detach(), target, critic_loss)

    def against(self, state: State, output: Tensor, target: Tensor) -> Tensor:
        frozen = {name: tensor.detach() for name, tensor in state.items()}

        def loss(real: list[Maps], fake: list[Maps]) -> Tensor:
            return self.adversarial * adversarial_loss(fake) + self.feature_matching * feature_loss(real, fake)

        return self._every(frozen, output, target, loss)

    def _every(self, state: State, output: Tensor, target: Tensor, loss: Judge) -> Tensor:
        """A loss of every trial, (trials,)."""
        if self.critic_channels not in _critics:
            _critics.clear()
            _critics[self.critic_channels] = Critic(self.critic_channels)
        module = _critics[self.critic_channels]
        found = []
        for trial, (fake, real) in enumerate(zip(output, target, strict=True)):
            with modules.holding(module, state, trial):
                found.append(loss(module(real), module(fake)))
        return torch.stack(found)
