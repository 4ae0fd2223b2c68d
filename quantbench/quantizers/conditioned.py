"""A quantizer behind an invertible map that brings its input to the size that it is made for."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from quantbench.components import Factor, State, between, component
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer, Trace
from quantbench.quantizers.parts import OFFERS, check_part, check_part_dim, one_state, part_of
from quantbench.quantizers.scalar import FSQ
from quantbench.streams import Streams

SMALLEST_VARIANCE = 1e-5

Affine = tuple[Tensor, Tensor]
"""Factor and shift of a map ``factor * y + shift``."""


@component
class Conditioned(Quantizer):
    """Any quantizer of an input that an invertible affine map conditions, and whose code the inverse map brings back.

    The conditioning of robust residual FSQ, Zhu et al. (2025), arXiv 2508.15860, where every stage has one, so that what
    stages before left over fills the range of the next. ``scale``: one learned factor, ``softplus(p)`` with p = 0 at first, as
    in the authors' code. ``norm``: their invertible layer norm, ``w (y - m) / sqrt(v + 1e-5) + b`` with a learned w and b for
    every dimension. Gradients go through the map, its inverse, and the statistics m and v.

    In the authors' code m and v are those of the very input, an image's, and the inverse map is handed them: a decoder would
    need them beside the codes. The paper's third version has constants instead, fixed after training. How they come about
    was not seen; here, in our reading, m and v are those of a step's latents while training, and moving averages of these at
    any other time, as batch normalization has it, so that indices decode by themselves. The averages are of what the hard
    codes of the stages before left over.

    A strategy acts on the quantizer within.

    Formula: ``T^-1(Q(T(y)))``; ``T(y) = softplus(p) y``, or ``w (y - m)/sqrt(v + 1e-5) + b``; residual: ``sum_i`` of these
    Source: Zhu et al. (2025), arXiv 2508.15860 (zhuxiaoxuhit/robust_rfsq).
    Recommended: by=norm; 2 stages of fsq with 2048 codes or 4 with 1024; learning rate 8e-4.
    Compared with: the formula of the authors' code, which was read; moving averages with nothing.

    Attributes:
        part: the quantizer.
        by: ``norm`` or ``scale``.
        decay: of the moving averages of ``norm``.
    """

    cost = 0.7
    tells_of_whole = True

    part: Quantizer = FSQ(levels=4)
    by: Literal["norm", "scale"] = "norm"
    decay: Factor = 0.99

    def check(self) -> None:
        between("quantizer.decay", self.decay, 0, 1)
        check_part("quantizer.part", self.part)

    def check_dim(self, dim: int) -> None:
        check_part_dim("quantizer.part", self.part, dim)

    def check_latents(self, dim: int, latents: int) -> None:
        if self.by == "norm" and latents < 2:
            raise ConfigError(f"quantizer.by=norm needs at least 2 latents a step, of each trial; there is {latents}")

    @property
    def offers(self) -> frozenset[str]:
        return self.part.offers & OFFERS

    def alphabet(self, dim: int) -> list[int]:
        return self.part.alphabet(dim)

    def init(self, streams: Streams, dim: int) -> State:
        state = one_state([self.part.init(streams, dim)])
        if self.by == "scale":
            return state | {"scale": nn.Parameter(torch.zeros(streams.trials, 1, 1, device=streams.device))}
        zeros = torch.zeros(streams.trials, 1, dim, device=streams.device)
        learned = {"weight": nn.Parameter(zeros + 1), "bias": nn.Parameter(zeros.clone())}
        return state | learned | {"mean": zeros, "variance": zeros + 1}

    def fit_frames(self, batch: int) -> int:
        return self.part.fit_frames(batch)

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        if self.by == "norm":
            for name, statistic in zip(("mean", "variance"), _statistics(latents), strict=True):
                state[name].copy_(statistic)
        self.part.fit(part_of(state, 0), _to(self._map(state), latents), streams)

    def quantize(self, state: State, latents: Tensor) -> Code:
        own, affine = part_of(state, 0), self._map(state)
        code = self.part.quantize(own, self.part.prepare(own, _to(affine, latents)))
        return self._back(own, affine, code)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        own = part_of(state, 0)
        return _from(self._map(state), self.part.restore(own, self.part.decode(own, indices)))

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        received = self.received(state, latents, pass_through, moment)
        return Passed(received, *self.learned(state, latents, moment))

    def received(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Tensor:
        own, affine = part_of(state, 0), self._map(state, latents if moment.training else None)
        inner = self.part.prepare(own, _to(affine, latents))
        return _from(affine, self.part.restore(own, self.part.received(own, inner, pass_through, moment)))

    def learned(self, state: State, latents: Tensor, moment: Moment) -> tuple[Code, Tensor, Trace]:
        """As in the base; the trace begins with the latents before the map, for ``update``."""
        own, affine = part_of(state, 0), self._map(state, latents if moment.training else None)
        code, loss, trace = self.part.learned(own, self.part.prepare(own, _to(affine, latents)), moment)
        code = self._back(own, affine, code)
        return code, loss, [(latents.detach(), code), *trace]

    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        (latents, _), *inner = trace
        if self.by == "norm":
            for name, statistic in zip(("mean", "variance"), _statistics(latents), strict=True):
                state[name].lerp_(statistic, 1 - self.decay)
        self.part.update(part_of(state, 0), inner, streams, step)

    def measure(self, state: State, indices: Tensor, exact: bool = False) -> dict[str, Tensor]:
        return self.part.measure(part_of(state, 0), indices, exact)

    def _map(self, state: State, latents: Tensor | None = None) -> Affine:
        """The map, with statistics of ``latents`` where given, and of the past otherwise."""
        if self.by == "scale":
            scale = state["scale"].exp().log1p()  # softplus; torch's own rounds by the number of trials
            return scale, torch.zeros_like(scale)
        mean, variance = (state["mean"], state["variance"]) if latents is None else _statistics(latents)
        factor = state["weight"] / (variance + SMALLEST_VARIANCE).sqrt()
        return factor, state["bias"] - factor * mean

    def _back(self, own: State, affine: Affine, code: Code) -> Code:
        """The code of the part where the latents are."""
        return Code(_from(affine, self.part.restore(own, code.values)), code.indices)


def _statistics(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over frames, (trials, 1, dim) each."""
    mean = latents.mean(1, keepdim=True)
    return mean, (latents - mean).square().mean(1, keepdim=True)


def _to(affine: Affine, latents: Tensor) -> Tensor:
    return affine[0] * latents + affine[1]


def _from(affine: Affine, values: Tensor) -> Tensor:
    return (values - affine[1]) / affine[0]
