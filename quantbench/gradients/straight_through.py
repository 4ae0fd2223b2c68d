"""Straight-through estimators: the decoder receives the hard code, the encoder a gradient as if nothing had happened."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from quantbench.components import State, component
from quantbench.gradients.base import Gradient, Moment
from quantbench.quantizers.base import Code, Quantizer

SMALLEST_STD = 1e-12


@component
class STE(Gradient):
    """Straight-through estimator: ``y + sg(Q(y) - y)``. Bengio et al. (2013), arXiv 1308.3432."""

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return latents + (code.values - latents).detach()


@component
class MSTE(Gradient):
    """Modified STE: the quantization noise is tied to the encoder's scale, ``y + sg(Q(y) - y) s(y) / sg(s(y))``.

    Our reading of Mack et al. (2025), arXiv 2502.04770, which states that the noise is multiplied by a factor of value 1
    whose gradient follows the standard deviation of the encoder's output; here s(y) is that standard deviation over the
    frames of a batch. When the codebook follows the encoder, Q(a y) = a Q(y), so the derivative with respect to the scale
    a is Q(y). STE gives y instead and so rewards growth that does not help; this gives y + (Q(y) - y) = Q(y).

    Attributes:
        scope: ``all``: one standard deviation for all latent dimensions; ``dimension``: one for each.
    """

    scope: Literal["all", "dimension"] = "all"

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        centred = latents - latents.mean(1, keepdim=True)
        variance = centred.square().mean((1, 2) if self.scope == "all" else 1, keepdim=True)
        std = variance.clamp_min(SMALLEST_STD**2).sqrt()
        return latents + (code.values - latents).detach() * (std / std.detach())
