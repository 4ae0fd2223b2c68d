"""Noise in place of quantization while training."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from quantbench.components import State, component
from quantbench.errors import ConfigError
from quantbench.gradients.base import Gradient, Moment
from quantbench.quantizers.base import STEP, Code, Quantizer

SMALLEST_ERROR = 1e-12


@component
class Noise(Gradient):
    """Statistical emulation: the decoder receives ``y + s e``, with independent noise e of unit variance.

    With ``match=step`` and uniform noise this is the additive uniform noise of Ballé et al. (2017), arXiv 1611.01704; with
    ``match=error`` the noise has the power of the quantization error measured on the batch.

    Attributes:
        distribution: of e, ``uniform`` or ``gaussian``.
        match: s is ``step / sqrt(12)`` (``step``) or the root mean square of Q(y) - y over the batch (``error``).
        scale_gradient: whether the gradient passes through s too (with ``match=error``). Without it the encoder can
            drown the noise by growing, and does.
    """

    distribution: Literal["uniform", "gaussian"] = "uniform"
    match: Literal["step", "error"] = "error"
    scale_gradient: bool = True

    def check(self) -> None:
        if self.match == "step" and not self.scale_gradient:
            raise ConfigError("gradient.scale_gradient=false: has a meaning only with gradient.match=error")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({STEP}) if self.match == "step" else frozenset()

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return latents + self._scale(quantizer, state, latents, code) * self._unit_noise(latents, moment)

    def _scale(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code) -> float | Tensor:
        if self.match == "step":
            return quantizer.step(state, latents) / math.sqrt(12)
        power = (code.values - latents).square().mean((1, 2), keepdim=True)
        scale = power.clamp_min(SMALLEST_ERROR**2).sqrt()
        return scale if self.scale_gradient else scale.detach()

    def _unit_noise(self, latents: Tensor, moment: Moment) -> Tensor:
        shape = latents.shape[1:]
        if self.distribution == "gaussian":
            return moment.streams.normal(moment.purpose, *shape)
        return math.sqrt(12) * (moment.streams.uniform(moment.purpose, *shape) - 0.5)
