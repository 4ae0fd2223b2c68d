"""Straight-through estimators: the decoder receives the hard code, the encoder a gradient as if nothing had happened."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from quantbench.components import Factor, State, at_least, component
from quantbench.gradients.base import Gradient
from quantbench.quantizers.base import CODEBOOK, GRID, Code, Moment, Quantizer

SMALLEST_STD = 1e-12


@component
class STE(Gradient):
    """Straight-through estimator: ``y + sg(Q(y) - y)``.

    Formula: ``y + sg(Q(y) - y)``
    Source: Bengio et al. (2013), arXiv 1308.3432.
    Recommended: nothing to set; a commitment loss of weight 0.25 to 1 with learned codebooks.
    Compared with: vector-quantize-pytorch.
    """

    hard_forward = True

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return latents + (code.values - latents).detach()


@component
class ClippedSTE(Gradient):
    """STE whose gradient is zero where the latent lies outside the levels: ``dy = g 1[lowest <= y <= highest]``.

    Formula: ``dy = g 1[lowest <= y <= highest]``
    Source: Hubara et al. (2016), arXiv 1602.02830.
    Recommended: nothing to set.
    Compared with: the paper's formula.
    """

    hard_forward = True

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({GRID})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        clipped = clip(quantizer, latents)
        return clipped + (code.values - clipped).detach()


@component
class MSTE(Gradient):
    """Modified STE: the quantization noise is tied to the encoder's scale, ``y + sg(Q(y) - y) s(y) / sg(s(y))``.

    Our reading of Mack et al. (2025), arXiv 2502.04770, of which summaries alone could be had: the noise is multiplied by a
    factor of value 1 whose gradient follows a standard deviation, so that it is tied to the computational graph. Here s is
    that of the encoder's output over the frames of a batch. When the codebook follows the encoder, Q(a y) = a Q(y), so the
    derivative with respect to the scale a is Q(y). STE gives y instead and so rewards growth that does not help; this gives
    y + (Q(y) - y) = Q(y). The other candidate is the standard deviation of the noise itself, which grows alike where codewords
    are centroids.

    Formula: ``y + sg(Q(y) - y) s(y) / sg(s(y))``, s the standard deviation
    Source: Mack et al. (2025), arXiv 2502.04770.
    Recommended: no commitment loss.
    Compared with: nothing: the paper could not be had, and there is no public code.

    Attributes:
        scope: ``all``: one standard deviation for all latent dimensions; ``dimension``: one for each.
        of: whose standard deviation s is: of the ``latent`` y, or of the ``error`` Q(y) - y, Q(y) held fixed.
    """

    hard_forward = True

    scope: Literal["all", "dimension"] = "all"
    of: Literal["latent", "error"] = "latent"

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        measured = latents if self.of == "latent" else code.values.detach() - latents
        centred = measured - measured.mean(1, keepdim=True)
        variance = centred.square().mean((1, 2) if self.scope == "all" else 1, keepdim=True)
        std = variance.clamp_min(SMALLEST_STD**2).sqrt()
        return latents + (code.values - latents).detach() * (std / std.detach())


@component
class EWGS(Gradient):
    """Element-wise gradient scaling: ``dy = g (1 + delta sign(g) (y - Q(y)))``, y clipped to the levels (range 1).

    The source lets delta follow the trace of the Hessian, estimated now and then; here it is constant, as in the authors'
    code without that option.

    Formula: ``dy = g (1 + delta sign(g) (y - Q(y)))``
    Source: Lee et al. (2021), arXiv 2104.00903.
    Recommended: delta from the Hessian; where it is constant the source takes 0.001.
    Compared with: the authors' code, read.

    Attributes:
        delta: how much a gradient grows that pushes away from the level, and shrinks that pushes to it.
    """

    hard_forward = True

    delta: Factor = 1e-3

    def check(self) -> None:
        at_least("gradient.delta", self.delta, 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({GRID})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        grid = quantizer.grid(latents)
        clipped = clip(quantizer, latents)
        error = (clipped - code.values).detach() / (grid.highest - grid.lowest)
        scaled: Tensor = _ScaledGradient.apply(clipped, self.delta * error)  # type: ignore[no-untyped-call]
        return scaled + (code.values - scaled).detach()


@component
class Synchronised(Gradient):
    """STE that lets the decoder's gradient reach the codeword too: ``y + sg(Q(y) - y) + nu (c - sg(c))``.

    The synchronised update of the source; its second part, an extra step of the codebook before every step of the codec, is
    left out.

    Formula: ``y + sg(Q(y) - y) + nu (c - sg(c))``
    Source: Huh et al. (2023), arXiv 2305.08842.
    Recommended: nu 0.2, with quantizer.affine=true and restarts.
    Compared with: the authors' code, read; vector-quantize-pytorch does something else.

    Attributes:
        nu: the codeword's share of the gradient.
    """

    hard_forward = True

    nu: Factor = 0.2

    def check(self) -> None:
        at_least("gradient.nu", self.nu, 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({CODEBOOK})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        to_codebook = self.nu * (code.values - code.values.detach())
        return latents + (code.values - latents).detach() + to_codebook


def clip(quantizer: Quantizer, latents: Tensor) -> Tensor:
    """Latents brought between the lowest and the highest level, without gradient where that changes them."""
    grid = quantizer.grid(latents)
    inside = (latents >= grid.lowest) & (latents <= grid.highest)
    return torch.where(inside, latents, latents.detach().maximum(grid.lowest).minimum(grid.highest))


class _ScaledGradient(torch.autograd.Function):
    """The identity, with gradient ``g (1 + sign(g) factor)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradients[0] * (1 + gradients[0].sign() * factor), None
