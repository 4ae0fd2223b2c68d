"""The interface of all quantizers."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from quantbench.components import Component, PerTrial, State, at_least, component, trial_error
from quantbench.streams import Streams

SOFT = "soft assignment"
"""``logits`` and ``mixture``."""
GRID = "grid of levels"
"""``grid``: equally spaced levels in every dimension."""
CODEBOOK = "codebook"
"""``codebook``, and code values that carry gradient to it."""
KMEANS = "codebook of means"
"""``fit`` makes a codebook of the means of latents, where ``init_by`` is ``kmeans`` or ``kmeans++``."""
DITHER = "dither"
"""``dither``: noise that fills the quantizer's cell."""
WHOLE = "single stage"
"""``pass_through`` sees the whole bottleneck, so that what it returns is all that the decoder receives."""


@dataclass(frozen=True)
class Code:
    """The hard code of latents.

    Attributes:
        values: what is decoded, (trials, frames, dim); carries gradient to what the quantizer learns, none to latents.
        indices: one integer a slot, (trials, frames, slots); None where nothing is quantized.
    """

    values: Tensor
    indices: Tensor | None


Trace = list[tuple[Tensor, Code]]


@dataclass(frozen=True)
class Moment:
    """When a bottleneck acts, and where its noise comes from.

    Attributes:
        progress: 0 at the first step of the training, 1 at the last and while evaluating. While a step is captured as a
            graph, it and ``step`` are ``traced.Traced``, which act as numbers.
        streams: random numbers.
        purpose: the stream to draw from.
        training: whether a training step asks.
        frame_loss: distortion of each frame, (trials, frames), for what the decoder would receive; None where nobody asks
            for gradients.
        step: the optimizer step, 1 for the first; the last while evaluating.
        item: latents in a row that belong together: 1 for frames of features, all of a waveform's.
        features: numbers of the target that each latent stands for; 1 where nothing is decoded.
        counted: 1 for frames that count in losses, 0 for others, (trials, frames, 1); None where all do.
        memory: what the strategy keeps of one elementary quantization (``Gradient.memory``); empty where it keeps nothing.
    """

    progress: float
    streams: Streams
    purpose: str = "gradient noise"
    training: bool = True
    frame_loss: Callable[[Tensor], Tensor] | None = None
    step: int = 1
    item: int = 1
    features: float = 1.0
    counted: Tensor | None = None
    memory: State = field(default_factory=dict)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers in the shape of ``like`` (trials, ...)."""
        return self.streams.normal(self.purpose, *like.shape[1:])

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1) in the shape of ``like`` (trials, ...)."""
        return self.streams.uniform(self.purpose, *like.shape[1:])

    def stream(self, purpose: str) -> str:
        """The stream for a quantizer's own ``purpose``: while evaluating another, or looks at a training would change it."""
        return purpose if self.training else f"evaluation {purpose}"

    def uniform_items(self, like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1), one an item, for the frames of ``like``: (trials, frames, 1)."""
        drawn = self.streams.uniform(self.purpose, like.shape[1] // self.item, 1)
        return drawn.repeat_interleave(self.item, dim=1)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the frames that count: (trials, frames, ...) -> (trials, ...)."""
        if self.counted is None:
            return values.mean(1)
        weights = self.counted.view(*self.counted.shape[:2], *[1] * (values.dim() - 2))
        return (weights * values).sum(1) / weights.sum(1).clamp_min(1)

    def error(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean square difference over the frames that count: twice (trials, frames, dim) -> (trials,)."""
        if self.counted is None:
            return trial_error(a, b)
        share = self.counted.mean((1, 2)).clamp_min(1 / self.counted.shape[1])
        return trial_error(self.counted * a, self.counted * b) / share


@dataclass(frozen=True)
class Grid:
    """Equally spaced levels in every dimension, (dim,) each: ``lowest + step * i`` for i in 0 .. counts - 1."""

    lowest: Tensor
    step: Tensor
    counts: Tensor

    @property
    def highest(self) -> Tensor:
        """The highest level, (dim,)."""
        return self.lowest + self.step * (self.counts - 1)

    def clamp(self, level: Tensor) -> Tensor:
        """Level numbers brought into 0 .. counts - 1."""
        return level.clamp_min(0).minimum(self.counts - 1)


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
    trace: Trace


class PassThrough(Protocol):
    """A gradient strategy at one moment."""

    @property
    def draws(self) -> bool:
        """Whether the strategy draws codewords, as ``Gradient.draws`` says."""

    def __call__(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, /) -> Tensor:
        """What the decoder receives."""

    def counting(self, counted: Tensor) -> PassThrough:
        """The same strategy for a stage in whose losses some frames count alone: ``counted`` as in ``Moment``."""


@component
class Quantizer(Component):
    """A hard map from latents to codes.

    The encoder's output goes through ``prepare`` (differentiable), ``quantize`` (not) and ``restore`` (differentiable).
    A gradient strategy replaces what ``quantize`` gives while training. ``alone``, ``bounds``, ``finer`` and ``centre`` are
    what quantizers made of others ask of them.
    """

    own_gradient: ClassVar[bool] = False
    """Whether the quantizer passes the gradient by itself, so that no strategy but ``own`` can be chosen."""

    cost: ClassVar[float] = 0.0
    """Work of a trial beyond that of vector quantization with the straight-through estimator, in a default trial's work."""

    tells_of_whole: ClassVar[bool] = False
    """Whether its docstring has formula and source of the residual quantizer, too, whose stages it is."""

    @property
    def offers(self) -> frozenset[str]:
        """What a gradient strategy may ask of this quantizer."""
        return frozenset()

    @property
    def alone(self) -> str | None:
        """Why it cannot be a stage or a part of another quantizer; None where it can."""
        return "it passes the gradient by itself" if self.own_gradient else None

    @property
    def bounds(self) -> bool:
        """Whether ``prepare`` bounds latents, for good and without a state: it then comes once, before all stages."""
        return False

    def finer(self, latents: Tensor) -> float | Tensor | None:
        """How many times finer a further stage is, for all dimensions or (dim,); None where it finds that out by itself."""
        return None

    def centre(self, latents: Tensor) -> Tensor | None:
        """The middle of the codes, (dim,), where a further stage has what is left over; None for 0."""
        return None

    @property
    def updates(self) -> bool:
        """Whether ``update`` may change anything."""
        return type(self).update is not Quantizer.update

    def check_dim(self, dim: int) -> None:
        """Raise ConfigError when latents of ``dim`` dimensions cannot be quantized."""

    def check_latents(self, dim: int, latents: int) -> None:
        """Raise ConfigError when so few latents a step, of one trial, are too few to train with."""

    @abstractmethod
    def alphabet(self, dim: int) -> list[int]:
        """Number of codes of every slot; empty where nothing is quantized."""

    def nominal_bits(self, dim: int) -> float | None:
        """Bits per frame with codes of fixed length; None where there is no such number."""
        alphabet = self.alphabet(dim)
        return sum(math.log2(codes) for codes in alphabet) if alphabet else None

    def init(self, streams: Streams, dim: int) -> State:
        """Initial codebooks and buffers from the stream ``codebook``."""
        return {}

    def fit_frames(self, batch: int) -> int:
        """How many latents ``fit`` wants to see."""
        return batch

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        """Set the state, in place, to the first encoder outputs (before ``prepare``); called once, before training."""

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        """Differentiable map from the encoder's output to where quantization happens."""
        return latents

    def restore(self, state: State, values: Tensor) -> Tensor:
        """Differentiable map from there to what the decoder gets."""
        return values

    @abstractmethod
    def quantize(self, state: State, latents: Tensor) -> Code:
        """The hard code of prepared latents (trials, frames, dim)."""

    def decode(self, state: State, indices: Tensor) -> Tensor:
        """The values (trials, frames, dim) of a code's indices (trials, frames, slots)."""
        raise NotImplementedError

    def parts(self, dim: int) -> list[int]:
        """Slots of each part of the code, in their order: of a stage, of a group; empty where it has no parts."""
        return []

    def prefixes(self, state: State, indices: Tensor) -> Iterator[Tensor]:
        """Values (trials, frames, dim) that a decoder makes of the first part of a code, of the first two, ..., of all.

        Nothing where a part refines none before it. One prefix for each of ``parts``, made when it is asked for.
        """
        return iter(())

    def logits(self, state: State, latents: Tensor, temperature: Tensor) -> Tensor:
        """``-distance**2 / temperature`` to every codeword, up to a constant a frame; only with ``SOFT``.

        (trials, frames, codes), or (trials, frames, dim, levels) where every dimension is quantized by itself; the temperature
        is (trials, 1, 1).
        """
        raise NotImplementedError

    def logits_of(self, state: State, temperature: Tensor) -> Callable[[Tensor], Tensor]:
        """``logits`` for latents that come part by part."""
        return lambda latents: self.logits(state, latents, temperature)

    def mixture(self, state: State, weights: Tensor) -> Tensor:
        """Code values (trials, frames, dim) mixed with weights in the shape of ``logits``; only with ``SOFT``."""
        raise NotImplementedError

    def soft_code(self, state: State, latents: Tensor, temperature: Tensor) -> Tensor:
        """Code values mixed with weights ``softmax(-distance**2 / temperature)``; only with ``SOFT``."""
        return self.mixture(state, torch.softmax(self.logits(state, latents, temperature), dim=-1))

    def grid(self, latents: Tensor) -> Grid:
        """The levels; only with ``GRID``."""
        raise NotImplementedError

    def codebook(self, state: State) -> Tensor:
        """The codewords (trials, codes, dim), differentiable; only with ``CODEBOOK``."""
        raise NotImplementedError

    def dither(self, state: State, latents: Tensor, moment: Moment) -> Tensor:
        """Noise in the shape of ``latents``, uniform over the cell of the quantizer; only with ``DITHER``."""
        raise NotImplementedError

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        """The quantizer's own training loss, (trials,)."""
        return latents.new_zeros(len(latents))

    def assign(self, state: State, latents: Tensor, moment: Moment) -> Code:
        """The code that a strategy and the losses see: the hard one, unless training assigns codes in another way."""
        return self.quantize(state, latents)

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        """Quantize for training: a strategy decides what the decoder receives."""
        code = self.assign(state, latents, moment)
        received = pass_through(self, state, latents, code)
        return Passed(received, code, self.loss(state, latents, code, moment), [(latents, code)])

    def received(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Tensor:
        """What the decoder receives: the first half of ``forward``, for stages whose second half sees other latents."""
        return pass_through(self, state, latents, self.assign(state, latents, moment))

    def learned(self, state: State, latents: Tensor, moment: Moment) -> tuple[Code, Tensor, Trace]:
        """Hard code, loss (trials,) and trace: the second half of ``forward``."""
        code = self.assign(state, latents, moment)
        return code, self.loss(state, latents, code, moment), [(latents, code)]

    def difference(self, latents: Tensor, values: Tensor) -> Tensor:
        """What the quantization error is the mean square of: latents less their code's values, (trials, frames, dim)."""
        return latents - values

    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        """Change the state, in place and without gradient, after an optimizer step (moving averages, restarts)."""

    def measure(self, state: State, indices: Tensor, exact: bool = False) -> dict[str, Tensor]:
        """Further metrics, (trials,) each, from the codes of all evaluation frames.

        ``spent_bits`` among them takes the place of the sum over slots, for codes that do not fill every slot of every frame.

        Args:
            indices: (trials, frames, slots).
            exact: whether these frames are the source itself, each as likely as it occurs, and no sample of it.
        """
        return {}


@component
class Committed(Quantizer):
    """A quantizer with a commitment loss.

    Attributes:
        commitment: weight of the commitment loss, the mean of ``(latent - sg(code))**2``.
    """

    commitment: PerTrial = 0.0

    def check(self) -> None:
        at_least("quantizer.commitment", self.commitment, 0)

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return self.commitment * moment.error(latents, code.values.detach())
