"""Residual vector quantization: each stage quantizes what the stages before it left over."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from quantbench.components import State, at_least, component
from quantbench.quantizers.base import Code, Passed, PassThrough
from quantbench.quantizers.vector import VectorQuantizer
from quantbench.streams import Streams


@component
class ResidualVQ(VectorQuantizer):
    """``stages`` codebooks of ``codes`` vectors in a row; the code is the sum of the stages' codewords.

    Zeghidour et al. (2021), arXiv 2107.03312. While training, a gradient strategy acts on every stage by itself, and the
    next stage sees the latent less what the strategy passed on; with STE the gradient through all stages together is then
    exactly that of one STE over the sum. Codebooks, and the commitment losses, which add up, are trained on what the hard
    codes of the stages before left over: that is what evaluation will quantize.

    Attributes:
        stages: number of codebooks.
    """

    stages: int = 4

    def check(self) -> None:
        super().check()
        at_least("quantizer.stages", self.stages, 1)

    @property
    def stage(self) -> VectorQuantizer:
        """The quantizer of any one stage."""
        return VectorQuantizer(**{field.name: getattr(self, field.name) for field in fields(VectorQuantizer)})

    def alphabet(self, dim: int) -> list[int]:
        return [self.codes] * self.stages

    def init(self, streams: Streams, dim: int) -> State:
        stages = [self.stage.init(streams, dim) for _ in range(self.stages)]
        return {f"{i}.{name}": tensor for i, stage in enumerate(stages) for name, tensor in stage.items()}

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        for own in self._states(state):
            self.stage.fit(own, latents, streams)
            latents = latents - self.stage.quantize(own, latents).values.detach()

    def quantize(self, state: State, latents: Tensor) -> Code:
        values, indices = torch.zeros_like(latents), []
        for own in self._states(state):
            code = self.stage.quantize(own, latents - values)
            assert code.indices is not None
            values = values + code.values
            indices.append(code.indices)
        return Code(values, torch.cat(indices, dim=-1))

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough) -> Passed:
        # Two residuals: what the strategy left over carries the decoder's gradient; what the hard codes left over trains the
        # codebooks, which evaluation will use on just that, and brings every stage's commitment loss to the encoder.
        residual = hard = latents
        received, losses, trace = [], [], []
        for own in self._states(state):
            passed = self.stage.quantize(own, residual)
            received.append(pass_through(self.stage, own, residual, passed))
            residual = residual - received[-1]
            code = self.stage.quantize(own, hard)
            losses.append(self.stage.loss(hard, code))
            trace.append((hard, code))
            hard = hard - code.values.detach()
        values = torch.stack([code.values for _, code in trace]).sum(0)
        indices = torch.cat([code.indices for _, code in trace if code.indices is not None], dim=-1)
        return Passed(torch.stack(received).sum(0), Code(values, indices), torch.stack(losses).sum(0), trace)

    def update(self, state: State, trace: list[tuple[Tensor, Code]], streams: Streams, step: int) -> None:
        for own, entry in zip(self._states(state), trace, strict=True):
            self.stage.update(own, [entry], streams, step)

    def _states(self, state: State) -> list[State]:
        """The state of each stage; tensors are shared, so that changes in place reach the whole state."""
        names = {name.partition(".")[2] for name in state}
        return [{name: state[f"{i}.{name}"] for name in names} for i in range(self.stages)]
