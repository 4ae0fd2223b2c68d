"""Perturbations that stay within the cell of a code, or at its distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantbench.components import Factor, State, between, component
from quantbench.gradients.base import Gradient
from quantbench.quantizers.base import CODEBOOK, GRID, Code, Moment, Quantizer

SMALLEST_DISTANCE = 1e-6


@component
class NSVQ(Gradient):
    """Noise substitution: ``y + |c - y| e / |e|`` with normal noise e and the codeword c; the length is differentiated.

    Other methods by that name, or nearly so, are about encoders that move (``ns_vq``).

    Formula: ``y + |c - y| e/|e|``
    Source: Vali & Bäckström (2022), IEEE Access 10.
    Recommended: no loss of the codebook (quantizer.commitment=0, quantizer.codebook_weight=0), restarts of rarely used codes.
    Compared with: the authors' code, read.
    """

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({CODEBOOK})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        direction = nn.functional.normalize(moment.normal(latents), dim=-1)
        return latents + length(code.values - latents) * direction


@component
class FSP(Gradient):
    """Finite scalar perturbation: ``y + U(-step/2, step/2)``, and y itself where that leaves the outer cells.

    Formula: ``y + U(-step/2, step/2)``, else y
    Source: Zhai et al. (2026), arXiv 2602.17133.
    Recommended: quantizer cdf (a distribution function before equal cells); quantize_rate 0.
    Compared with: vector-quantize-pytorch, and the authors' code, read.

    Attributes:
        quantize_rate: share of values that pass with STE instead.
    """

    quantize_rate: Factor = 0.0

    def check(self) -> None:
        between("gradient.quantize_rate", self.quantize_rate, 0, 1)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({GRID})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        grid = quantizer.grid(latents)
        noise = grid.step * (moment.uniform(latents) - 0.5)
        proposal = (latents + noise).detach()
        inside = (proposal > grid.lowest - grid.step / 2) & (proposal < grid.highest + grid.step / 2)
        error = torch.where(inside, noise, 0.0)
        quantized = moment.uniform(latents) < self.quantize_rate
        return latents + torch.where(quantized, (code.values - latents).detach(), error)


def length(vectors: Tensor) -> Tensor:
    """Euclidean length over the last axis, kept, with a gradient of 0 at 0."""
    return vectors.square().sum(-1, keepdim=True).clamp_min(SMALLEST_DISTANCE**2).sqrt()
