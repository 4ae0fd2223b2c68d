"""The interface of all reconstruction losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from quantbench.components import Component, PerTrial, State, above, component, trial_error, trial_mean
from quantbench.streams import Streams


@component
class Loss(Component):
    """What a codec is trained to keep small between its output and the target."""

    def check_input(self, sample_rate: int | None, lengths: Mapping[str, int]) -> None:
        """Raise ConfigError when this loss cannot compare such frames; arguments as for a codec."""

    critic_lr: ClassVar[float] = 0.0
    """Learning rate of what ``init`` gives."""

    def init(self, streams: Streams) -> State:
        """Weights of discriminators that are trained against the codec, from the stream ``critic``; none by default."""
        return {}

    def critic(self, state: State, output: Tensor, target: Tensor) -> Tensor:
        """The loss that the discriminators keep small, (trials,); only where ``init`` gives some."""
        raise NotImplementedError

    def against(self, state: State, output: Tensor, target: Tensor) -> Tensor:
        """What they add to the codec's loss, (trials,); no gradient goes into them."""
        raise NotImplementedError

    @abstractmethod
    def each(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        """The loss of every frame: twice (trials, frames, features) to (trials, frames)."""

    def mean(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        """The mean loss of every trial, (trials,)."""
        return trial_mean(self.each(output, target, sample_rate))

    def measures(self, output: Tensor, target: Tensor, sample_rate: int | None) -> dict[str, Tensor]:
        """Further metrics, (trials,) each, of all evaluation frames."""
        return {}


@component
class MSE(Loss):
    """Mean square error: the distortion that rate-distortion theory and all limits of this project speak of.

    Attributes:
        weight: against the losses of the quantizer. Neural codecs weigh their reconstruction far more than the commitment
            loss: with the published weights of DAC it starts about a hundred times as large.
    """

    weight: PerTrial = 1.0

    def check(self) -> None:
        above("loss.weight", self.weight, 0)

    def each(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        return self.weight.unsqueeze(1) * (output - target).square().mean(-1)

    def mean(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        return self.weight * trial_error(output, target)
