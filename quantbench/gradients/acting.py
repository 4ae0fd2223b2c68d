"""A strategy at work: how quantizers call it, with what it keeps of each elementary quantization."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from quantbench.components import State
from quantbench.gradients.base import Gradient
from quantbench.quantizers.base import Code, Moment, Quantizer
from quantbench.streams import Streams


class Strategy:
    """A gradient strategy at one moment, as quantizers call it.

    Args:
        memories: what it keeps of each elementary quantization, in the order of its calls; none where it keeps nothing.

    Attributes:
        losses: its own, of each call while training.
    """

    def __init__(self, gradient: Gradient, moment: Moment, memories: list[State]) -> None:
        self.gradient, self.moment, self.memories = gradient, moment, iter(memories)
        self.keeps = bool(memories)
        self.losses: list[Tensor] = []

    @property
    def draws(self) -> bool:
        return self.gradient.draws(self.moment.progress)

    def counting(self, counted: Tensor) -> Strategy:
        """It goes on with its memories and losses."""
        part = copy.copy(self)
        part.moment = replace(self.moment, counted=counted)
        return part

    def __call__(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code) -> Tensor:
        own = replace(self.moment, memory=next(self.memories)) if self.keeps else self.moment
        received = self.gradient.pass_through(quantizer, state, latents, code, own)
        if own.training and (loss := self.gradient.loss(quantizer, state, latents, code, received, own)) is not None:
            self.losses.append(loss if own.counted is None else loss * own.counted.mean((1, 2)))
        return received


class _Asked:
    """Asks a strategy, in the place of a training, what it keeps of each elementary quantization, and what it refits of.

    Attributes:
        memories: of each elementary quantization, in the order of the calls.
        refits: most latents that any of their codebooks is made of.
    """

    draws = False

    def __init__(self, gradient: Gradient, streams: Streams) -> None:
        self.gradient, self.streams = gradient, streams
        self.memories: list[State] = []
        self.refits = 0

    def counting(self, counted: Tensor) -> _Asked:
        return self

    def __call__(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code) -> Tensor:
        dim = latents.shape[-1]
        self.memories.append(self.gradient.memory(quantizer, dim, self.streams))
        self.refits = max(self.refits, self.gradient.refits(quantizer, dim))
        return latents


@torch.no_grad()
def asked(
    gradient: Gradient, quantizer: Quantizer, state: State, prepared: Callable[[], Tensor], streams: Streams
) -> tuple[list[State], int]:
    """What a strategy keeps of every elementary quantization, in the order in which these ask it; what it refits of.

    Args:
        prepared: gives a latent as it is quantized, (trials, 1, dim).
    """
    if type(gradient).memory is Gradient.memory and type(gradient).refits is Gradient.refits:
        return [], 0
    ask = _Asked(gradient, streams)
    quantizer.forward(state, prepared(), ask, Moment(0.0, streams, training=False))
    return ask.memories if any(ask.memories) else [], ask.refits
