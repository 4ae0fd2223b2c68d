"""The interface of all quantizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from quantbench.components import Component, PerTrial, State, at_least, component, trial_mean
from quantbench.streams import Streams

SOFT = "soft assignment"
STEP = "step size"
CODEBOOK = "codebook"
"""What a quantizer can offer to a gradient-passing strategy."""


@dataclass(frozen=True)
class Code:
    """The hard code of latents.

    Attributes:
        values: what is decoded, (trials, frames, dim); carries gradient to what the quantizer learns, none to latents.
        indices: one integer a slot, (trials, frames, slots); None where nothing is quantized.
    """

    values: Tensor
    indices: Tensor | None


@dataclass(frozen=True)
class Passed:
    """What came through a bottleneck while training.

    Attributes:
        received: what the decoder receives (before ``restore``), (trials, frames, dim).
        code: the hard code.
        loss: the quantizer's own loss, (trials,).
        trace: latent and code of every elementary quantization (one a stage of a residual quantizer).
    """

    received: Tensor
    code: Code
    loss: Tensor
    trace: list[tuple[Tensor, Code]]


PassThrough = Callable[["Quantizer", State, Tensor, Code], Tensor]
"""``(quantizer, state, latents, code) -> what the decoder receives``: a gradient strategy at one moment."""


@component
class Quantizer(Component):
    """A hard map from latents to codes.

    The encoder's output goes through ``prepare`` (differentiable), ``quantize`` (not) and ``restore`` (differentiable).
    A gradient strategy replaces what ``quantize`` gives while training.

    Attributes:
        commitment: weight of the commitment loss, the mean of ``(latent - sg(code))**2``.
    """

    offers: ClassVar[frozenset[str]] = frozenset()
    """What a gradient strategy may ask of this quantizer."""

    commitment: PerTrial = 0.0

    def check(self) -> None:
        at_least("quantizer.commitment", self.commitment, 0)

    def check_dim(self, dim: int) -> None:
        """Raise ConfigError when latents of ``dim`` dimensions cannot be quantized."""

    def alphabet(self, dim: int) -> list[int]:
        """Number of codes of every slot; empty where nothing is quantized."""
        raise NotImplementedError

    def init(self, streams: Streams, dim: int) -> State:
        """Initial codebooks and buffers from the stream ``codebook``."""
        return {}

    def fit_frames(self, batch: int) -> int:
        """How many latents ``fit`` wants to see."""
        return batch

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        """Set the state, in place, to the first latents; called once, before training."""

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        """Differentiable map from the encoder's output to where quantization happens."""
        return latents

    def restore(self, state: State, values: Tensor) -> Tensor:
        """Differentiable map from there to what the decoder gets."""
        return values

    def quantize(self, state: State, latents: Tensor) -> Code:
        """The hard code of prepared latents (trials, frames, dim)."""
        raise NotImplementedError

    def soft(self, state: State, latents: Tensor, temperature: float | Tensor) -> Tensor:
        """Mixture of code values with weights softmax(-distance**2 / temperature); only with ``SOFT``."""
        raise NotImplementedError

    def step(self, state: State, latents: Tensor) -> float | Tensor:
        """Distance of neighbouring levels, for all dimensions or (dim,); only with ``STEP``."""
        raise NotImplementedError

    def loss(self, latents: Tensor, code: Code) -> Tensor:
        """The quantizer's own training loss, (trials,)."""
        return self.commitment * trial_mean((latents - code.values.detach()).square())

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough) -> Passed:
        """Quantize for training: a strategy decides what the decoder receives."""
        code = self.quantize(state, latents)
        received = pass_through(self, state, latents, code)
        return Passed(received, code, self.loss(latents, code), [(latents, code)])

    def update(self, state: State, trace: list[tuple[Tensor, Code]], streams: Streams, step: int) -> None:
        """Change the state, in place and without gradient, after an optimizer step (moving averages, restarts)."""
