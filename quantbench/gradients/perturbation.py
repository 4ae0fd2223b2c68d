"""Perturbations that stay within the cell of a code, or at its distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantbench.components import Factor, State, at_least, between, component
from quantbench.gradients.base import Gradient
from quantbench.quantizers.base import CODEBOOK, GRID, Code, Moment, Quantizer

SMALLEST_DISTANCE = 1e-6


@component
class NSVQ(Gradient):
    """Noise substitution: ``y + |c - y| e / |e|`` with normal noise e and the codeword c; the length is differentiated.

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


@component
class VP(Gradient):
    """Vector perturbation: y moves within a ball that holds as many latents as a code would have, if the move is accepted.

    Our reading of VP-VAE and its code: the ball's radius is ``eta`` times the distance to the ``n``-th nearest latent, n =
    latents / codes; a move to y' is accepted (Metropolis-Hastings) with the ratio of densities, ``(d_k(y) d_n(y) / (d_k(y')
    d_n(y')))**dim`` with the distance d_k to the k-th nearest latent, and only if y lies in the ball of y' too. The source
    searches a queue of many batches, and makes the codebook by k-means when training is over; here the batch is searched, and
    the codebook follows the latents by its own loss.

    Formula: ``y + sg(move)``, accepted with ``(d_k(y) d_n(y) / (d_k(y') d_n(y')))**dim``
    Source: Zhai et al. (2026), arXiv 2602.17133.
    Recommended: eta 1, k 8.
    Compared with: the authors' code, read; the differences are named above.

    Attributes:
        eta: radius of the ball in multiples of the distance to the n-th neighbour.
        k: neighbour for the estimate of density.
    """

    cost = 10.0
    fewest_latents = 2  # a neighbour sets the radius

    eta: Factor = 1.0
    k: int = 8

    def check(self) -> None:
        at_least("gradient.eta", self.eta, 0)
        at_least("gradient.k", self.k, 1)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({CODEBOOK})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        with torch.no_grad():
            move = self._move(latents, quantizer.codebook(state).shape[1], moment)
        return latents + move

    def _move(self, latents: Tensor, codes: int, moment: Moment) -> Tensor:
        frames, dim = latents.shape[1:]
        if frames < self.fewest_latents:  # the last part of an evaluation may be a single one
            return torch.zeros_like(latents)
        n = min(frames - 1, max(1, round(frames / codes)))
        k = min(frames - 1, self.k)
        near, far = _ranked(_distances(latents, latents), (k + 1, n + 1))  # the first is the latent itself
        radius = (moment.uniform(latents[..., :1]).log() / dim).exp()  # a power rounds by its place in a tensor
        move = self.eta * far * radius * nn.functional.normalize(moment.normal(latents), dim=-1)
        moved = _distances(latents + move, latents)
        new_near, new_far = _ranked(moved, (k, n))
        ratio = dim * (near.log() + far.log() - new_near.log() - new_far.log())
        accepted = moment.uniform(latents[..., :1]).clamp_min(SMALLEST_DISTANCE).log() < ratio
        # The way back is taken from the same table: y itself may be the neighbour that sets the radius, and rounding must not
        # decide whether it lies in the ball.
        returns = moved.diagonal(dim1=1, dim2=2).unsqueeze(-1) <= self.eta * new_far
        return torch.where(accepted & returns, move, 0.0)


def _distances(points: Tensor, latents: Tensor) -> Tensor:
    """Distance from each point to each latent, (trials, points, latents)."""
    # From differences, not from products: symbols of a finite source make equal latents, whose distance is exactly 0.
    exact = torch.cdist(points, latents, compute_mode="donot_use_mm_for_euclid_dist")
    return exact.clamp_min(SMALLEST_DISTANCE)


def _ranked(distances: Tensor, ranks: tuple[int, int]) -> list[Tensor]:
    """The distances of the given ranks, 1 for the smallest, (trials, points, 1) each."""
    return [distances.kthvalue(rank, dim=-1, keepdim=True).values for rank in ranks]


def length(vectors: Tensor) -> Tensor:
    """Euclidean length over the last axis, kept, with a gradient of 0 at 0."""
    return vectors.square().sum(-1, keepdim=True).clamp_min(SMALLEST_DISTANCE**2).sqrt()
