"""Noise in place of quantization while training."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from quantbench.components import Factor, State, between, component
from quantbench.errors import ConfigError
from quantbench.gradients.base import Gradient
from quantbench.gradients.schedule import Schedule
from quantbench.quantizers.base import DITHER, GRID, Code, Moment, Quantizer

SMALLEST_ERROR = 1e-12


@component
class Noise(Gradient):
    """Statistical emulation: the decoder receives ``y + scale s e``, with independent noise e of unit variance.

    With ``match=step`` and uniform noise this is the additive uniform noise of Ballé et al.; ``match=error`` is this project's
    own variant for quantizers without a step: the noise has the power of the quantization error measured on the batch.

    Formula: ``y + scale s e``
    Source: none, this project's own, of ``match=error`` (the choice ``noise``); Ballé et al. (2017), arXiv 1611.01704, of
    ``match=step`` (the choice ``additive_noise``).
    Recommended: uniform noise of one step for grids.
    Compared with: ``noise``: nothing; ``additive_noise``: the paper's formula.

    Attributes:
        distribution: of e, ``uniform`` or ``gaussian``.
        match: s is ``step / sqrt(12)`` (``step``, for quantizers with a grid of levels) or the root mean square of Q(y) - y
            over the batch (``error``).
        scale_gradient: whether the gradient passes through s too (with ``match=error``). Without it the encoder can
            drown the noise by growing, and does.
        scale: in multiples of s.
    """

    distribution: Literal["uniform", "gaussian"] = "uniform"
    match: Literal["step", "error"] = "error"
    scale_gradient: bool = True
    scale: Schedule = Schedule()

    def check(self) -> None:
        if self.match == "step" and not self.scale_gradient:
            raise ConfigError("gradient.scale_gradient=false: has a meaning only with gradient.match=error")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({GRID}) if self.match == "step" else frozenset()

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        scale = self.scale.at(moment.progress) * self._scale(quantizer, latents, code)
        return latents + scale * self._unit_noise(latents, moment)

    def _scale(self, quantizer: Quantizer, latents: Tensor, code: Code) -> Tensor:
        if self.match == "step":
            return quantizer.grid(latents).step / math.sqrt(12)
        power = (code.values - latents).square().mean((1, 2), keepdim=True)
        scale = power.clamp_min(SMALLEST_ERROR**2).sqrt()
        return scale if self.scale_gradient else scale.detach()

    def _unit_noise(self, latents: Tensor, moment: Moment) -> Tensor:
        if self.distribution == "gaussian":
            return moment.normal(latents)
        return math.sqrt(12) * (moment.uniform(latents) - 0.5)


@component
class NoiseSTEMix(Gradient):
    """A mixture item by item (frames of features, or waveforms): clean latents, STE, or noise.

    Formula: per item ``y``, ``y + sg(Q(y) - y)`` or ``y + s e``
    Source: none, this project's own, as it is by default (the choice ``noise_ste_mix``); Parker et al. (2024), arXiv 2411.19842
    (TAAE), of a quarter clean, a quarter STE and half uniform noise of one step (the choice ``taae``).
    Recommended: as TAAE, clean 0.25, ste 0.25, noise.match step; its levels are quantizer=scalar quantizer.bound=inside.
    Compared with: ``noise_ste_mix``: nothing; ``taae``: the authors' code, read.

    Attributes:
        clean: share of items that pass unquantized.
        ste: share of items that pass with STE; the others get noise.
        noise: which noise.
    """

    clean: Factor = 0.0
    ste: Factor = 0.5
    noise: Noise = Noise()

    def check(self) -> None:
        self.noise.check()
        for name in ("clean", "ste"):
            between(f"gradient.{name}", getattr(self, name), 0, 1)
        if self.clean + self.ste > 1:
            raise ConfigError(f"gradient.clean={self.clean}, gradient.ste={self.ste}: must add up to at most 1")

    @property
    def needs(self) -> frozenset[str]:
        return self.noise.needs

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        noisy = self.noise.pass_through(quantizer, state, latents, code, moment)
        drawn = moment.uniform_items(latents)
        quantized = latents + (code.values - latents).detach()
        return torch.where(drawn < self.clean, latents, torch.where(drawn < self.clean + self.ste, quantized, noisy))


@component
class Universal(Gradient):
    """Universal quantization: ``Q(y - u) + u`` with a dither u that encoder and decoder share, while training and at test time.

    The error is then independent of y and distributed as the dither (within the quantizer's range), so that the gradient of
    the expectation is exactly 1. What it spends, ``spent_bits``, is the entropy of the codes given the dither, as in the
    source, averaged over values of the dither.

    Formula: ``Q(y - u) + u``
    Source: Agustsson & Theis (2020), arXiv 2006.09952.
    Recommended: nothing to set.
    Compared with: the paper's claim, an error that is uniform and independent.
    """

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({DITHER})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return latents + (self.hard(quantizer, state, latents, moment).values - latents).detach()

    def hard(self, quantizer: Quantizer, state: State, latents: Tensor, moment: Moment) -> Code:
        dither = quantizer.dither(state, latents, moment)
        code = quantizer.quantize(state, latents - dither)
        return Code(code.values + dither, code.indices)
