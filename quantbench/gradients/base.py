"""The interface of all gradient-passing strategies."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from quantbench.components import Component, State, component
from quantbench.quantizers.base import Code, Quantizer
from quantbench.streams import Streams


@dataclass(frozen=True)
class Moment:
    """When a strategy acts, and where its noise comes from.

    Attributes:
        progress: 0 at the first step of the training, 1 at the last and while evaluating.
        streams: random numbers.
        purpose: the stream to draw from.
    """

    progress: float
    streams: Streams
    purpose: str = "gradient noise"


@component
class Gradient(Component):
    """What the decoder receives while training, and how the gradient reaches the encoder."""

    @property
    def needs(self) -> frozenset[str]:
        """What the quantizer must offer."""
        return frozenset()

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        """What the decoder receives in place of ``code.values``.

        Args:
            quantizer, state: of one elementary quantization.
            latents: prepared encoder output y, (trials, frames, dim), differentiable.
            code: its hard code Q(y).
            moment: how far training is, and random numbers.
        """
        raise NotImplementedError
