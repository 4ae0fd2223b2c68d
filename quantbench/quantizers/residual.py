"""Residual quantization: each stage quantizes what the stages before it left over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import ClassVar

import torch
from torch import Tensor

from quantbench.components import PerTrial, State, at_least, between, component
from quantbench.quantizers.base import CODEBOOK, GRID, SOFT, Code, Moment, Passed, PassThrough, Quantizer
from quantbench.quantizers.binary import LFQ
from quantbench.quantizers.scalar import Levels, Uniform
from quantbench.quantizers.vector import VectorQuantizer
from quantbench.streams import Streams


@component
class Residual(Quantizer):
    """``stages`` quantizers of one kind in a row; the code is the sum of the stages' codes.

    A subclass derives from the quantizer of its stages too, whose settings it takes over.

    Zeghidour et al. (2021), arXiv 2107.03312. While training, a gradient strategy acts on every stage by itself, and the
    next stage sees the latent less what the strategy passed on; with STE the gradient through all stages together is then
    exactly that of one STE over the sum. Codebooks, and the losses of the stages, which add up, are trained on what the hard
    codes of the stages before left over: that is what evaluation will quantize.

    Attributes:
        stages: number of stages.
        shared: whether all stages have one codebook.
        dropout: share of the frames that a training step codes with a random number of stages, 1 to ``stages``, each equally
            likely (quantizer dropout of Zeghidour et al.; DAC's share is 1 in some releases, 0.5 in others).
    """

    sizes: ClassVar[tuple[str, ...]] = ("stages",)

    stages: int = 2
    shared: bool = False
    dropout: float = 0.0

    def check(self) -> None:
        super().check()
        at_least("quantizer.stages", self.stages, 1)
        between("quantizer.dropout", self.dropout, 0, 1)

    @property
    def stage(self) -> Quantizer:
        """The quantizer of any one stage."""
        base = next(cls for cls in type(self).__mro__ if issubclass(cls, Quantizer) and not issubclass(cls, Residual))
        return base(**{field.name: getattr(self, field.name) for field in fields(base)})

    def scale(self, number: int) -> float | Tensor:
        """By what the latents of stage ``number`` are divided before it, and its codes multiplied after it."""
        return 1.0

    def alphabet(self, dim: int) -> list[int]:
        return self.stage.alphabet(dim) * self.stages

    def init(self, streams: Streams, dim: int) -> State:
        stages = [self.stage.init(streams, dim) for _ in range(1 if self.shared else self.stages)]
        return {f"{i}.{name}": tensor for i, stage in enumerate(stages) for name, tensor in stage.items()}

    def fit_frames(self, batch: int) -> int:
        return self.stage.fit_frames(batch)

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        for number, (own, stage) in enumerate(self._own(state)):
            if number == 0 or not self.shared:
                stage.fit(own, latents / self.scale(number), streams)
            latents = latents - self._hard(stage, own, number, latents)[1]

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return latents

    def restore(self, state: State, values: Tensor) -> Tensor:
        return values

    def quantize(self, state: State, latents: Tensor) -> Code:
        values = torch.zeros_like(latents)
        indices = []
        for number, (own, stage) in enumerate(self._own(state)):
            code, part = self._hard(stage, own, number, latents - values)
            values = values + part
            indices.append(code)
        return Code(values, torch.cat(indices, dim=-1))

    def decode(self, state: State, indices: Tensor) -> Tensor:
        total = torch.zeros(())
        for number, (own, stage) in enumerate(self._own(state)):
            slots = indices.shape[-1] // self.stages
            part = stage.decode(own, indices[..., number * slots : (number + 1) * slots])
            total = total + stage.restore(own, part) * self.scale(number)
        return total

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        # Two residuals: what the strategy left over carries the decoder's gradient; what the hard codes left over trains the
        # codebooks, which evaluation will use on just that, and brings every stage's commitment loss to the encoder.
        residual = hard = latents
        used = self._used(latents, moment)
        received, values, losses, trace = [], [], [], []
        for number, (own, stage) in enumerate(self._own(state)):
            scale = self.scale(number)
            inner = stage.prepare(own, residual / scale)
            received.append(stage.restore(own, pass_through(stage, own, inner, stage.quantize(own, inner))) * scale)
            if used is not None:
                received[-1] = received[-1] * (used > number)
            residual = residual - received[-1]
            inner = stage.prepare(own, hard / scale)
            code = stage.quantize(own, inner)
            losses.append(stage.loss(own, inner, code, moment))
            trace.append((inner, code))
            values.append(stage.restore(own, code.values) * scale)
            hard = hard - values[-1].detach()
        indices = torch.cat([code.indices for _, code in trace if code.indices is not None], dim=-1)
        whole = Code(torch.stack(values).sum(0), indices)
        return Passed(torch.stack(received).sum(0), whole, torch.stack(losses).sum(0), trace)

    def update(self, state: State, trace: list[tuple[Tensor, Code]], streams: Streams, step: int) -> None:
        if self.shared:
            latents = torch.cat([latents for latents, _ in trace], dim=1)
            values = torch.cat([code.values for _, code in trace], dim=1)
            indices = torch.cat([code.indices for _, code in trace if code.indices is not None], dim=1)
            self.stage.update(_part(state, 0), [(latents, Code(values, indices))], streams, step)
            return
        for (own, stage), entry in zip(self._own(state), trace, strict=True):
            stage.update(own, [entry], streams, step)

    def _used(self, latents: Tensor, moment: Moment) -> Tensor | None:
        """How many stages code each frame, (trials, frames, 1); None for all of them."""
        if not self.dropout or not moment.training:
            return None
        drawn = moment.streams.integers("stages", self.stages, latents.shape[1], 1) + 1
        dropped = moment.streams.uniform("stages", latents.shape[1], 1) < self.dropout
        return torch.where(dropped, drawn, self.stages)

    def _own(self, state: State) -> Iterator[tuple[State, Quantizer]]:
        """State and quantizer of each stage; tensors are shared, so that changes in place reach the whole state."""
        stage = self.stage
        for number in range(self.stages):
            yield _part(state, 0 if self.shared else number), stage

    def _hard(self, stage: Quantizer, own: State, number: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of one stage, and its values in the latents' space."""
        scale = self.scale(number)
        code = stage.quantize(own, stage.prepare(own, latents / scale))
        assert code.indices is not None
        return code.indices, stage.restore(own, code.values) * scale


@component
class ResidualVQ(Residual, VectorQuantizer):
    """Stages of vector quantization; Zeghidour et al. (2021), arXiv 2107.03312.

    Formula: ``sum_i ci[ki]``, ``ki = argmin |y - sum_(j<i) cj[kj] - ci|``
    Source: Zeghidour et al. (2021), arXiv 2107.03312.
    Recommended: DAC: 9 stages of 1024 codes, projection 8, search cosine, dropout 0.5 to 1, gradient codebooks; EnCodec: EMA
    with decay 0.99, k-means start, restarts.
    """

    offers = frozenset({CODEBOOK, SOFT})

    sizes = ("codes", "stages")
    cost = 0.5

    codes: int = 16
    commitment: PerTrial = 0.25


@component
class ResidualFSQ(Residual, Uniform):
    """Stages of uniform scalar quantization behind one tanh.

    Our reading of the residual FSQ of the package vector-quantize-pytorch, 1.32: with L levels, ``b tanh(z / b)`` with
    ``b = L / (L - 1)`` brings latents to the outer edges of the outer cells; stage i has L levels from ``-L**-i`` to ``L**-i``,
    which split every cell of stage i - 1 into L equal ones.

    Formula: ``sum_i L**-i q(r_i L**i)``, q uniform with L levels on [-1, 1], ``r_0 = b tanh(z/b)``
    Source: vector-quantize-pytorch 1.32, ResidualFSQ.
    Recommended: no commitment loss is needed behind the tanh.
    """

    offers = frozenset({GRID, SOFT})

    sizes = ("levels", "stages")

    levels: Levels = 4
    commitment: PerTrial = 0.25

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        counts = torch.tensor(self.stage.alphabet(latents.shape[-1]), dtype=latents.dtype, device=latents.device)
        bound = counts / (counts - 1)
        return bound * torch.tanh(latents / bound)

    def scale(self, number: int) -> float | Tensor:
        return float(self.levels) ** -number if isinstance(self.levels, int) else torch.tensor(self.levels).float() ** -number


@component
class ResidualLFQ(Residual, LFQ):
    """Stages of lookup-free quantization, the codes of stage i being ``+-2**-i`` in every dimension.

    Our reading of the residual LFQ of the package vector-quantize-pytorch.

    Formula: ``sum_i 2**-i sign(r_i)``
    Source: vector-quantize-pytorch 1.32, ResidualLFQ.
    Recommended: as for lfq.
    """

    offers = frozenset({GRID, SOFT})

    sizes = ("stages",)
    cost = 1.3

    commitment: PerTrial = 0.25

    def scale(self, number: int) -> float:
        return 2.0**-number


def _part(state: State, number: int) -> State:
    prefix = f"{number}."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
