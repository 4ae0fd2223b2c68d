"""Search among codewords and statistics of codes, trial by trial."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench import kernels
from quantbench.components import over_chunks, product
from quantbench.precision import whole

DISTANCES_PER_TRIAL = 2**18
"""Distances held at a time, so that a large evaluation set against a large codebook stays small in memory."""


def distances(codebook: Tensor, latents: Tensor, factor: Tensor) -> Tensor:
    """``factor`` times the squared distances less the latents' own squared length, (trials, frames, codes).

    Enough for argmin and softmax. The factor, (trials, 1, 1), goes to the small codebook instead of the large table.
    Distances are taken about the codebook's mean: far from the origin the squares would swallow the differences.
    """
    mean = codebook.detach().mean(1, keepdim=True)
    centred = codebook - mean
    scaled = factor * centred
    return product(latents - mean, -2 * scaled.transpose(1, 2), (centred * scaled).sum(-1).unsqueeze(1))


def nearest(codebook: Tensor, latents: Tensor) -> Tensor:
    """Index of the nearest codeword of each latent, (trials, frames); the first one of equals."""
    if kernels.usable(codebook, latents):
        return kernels.nearest(codebook, latents)
    one = codebook.new_ones(1, 1, 1)
    chunk = max(1, DISTANCES_PER_TRIAL // codebook.shape[1])
    return over_chunks(lambda part: first_minimum(distances(codebook, part, one)), latents, chunk)


def largest_product(codebook: Tensor, latents: Tensor) -> Tensor:
    """Index of the codeword with the largest inner product with each latent, (trials, frames); the first one of equals."""
    chunk = max(1, DISTANCES_PER_TRIAL // codebook.shape[1])
    negative = -codebook.transpose(1, 2)
    return over_chunks(lambda part: first_minimum(product(part, negative)), latents, chunk)


@whole
def first_minimum(values: Tensor) -> Tensor:
    """``values.argmin(-1)``, the first of equals; by whole-tensor operations, which are faster on the CPU."""
    count = values.shape[-1]
    above = torch.sub(values, values.amin(-1, keepdim=True)).sign_()  # 0 at a minimum, 1 elsewhere
    place = above.mul_(count).add_(torch.arange(count, dtype=values.dtype, device=values.device))
    return place.amin(-1).nan_to_num_(0).clamp_max_(count - 1).long()


@whole
def count_and_sum(index: Tensor, latents: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """How many latents each code has, (trials, codes), and their sum, (trials, codes, dim)."""
    trials, _, dim = latents.shape
    flat = (index + codes * torch.arange(trials, device=index.device).unsqueeze(1)).flatten()
    ones = latents.new_ones(flat.shape)
    counts = latents.new_zeros(trials * codes).index_add_(0, flat, ones).view(trials, codes)
    if kernels.usable(latents):
        return counts, kernels.sum_by_index(index, latents.detach(), codes)
    sums = latents.new_zeros(trials * codes, dim).index_add_(0, flat, latents.detach().reshape(-1, dim))
    return counts, sums.view(trials, codes, dim)


def draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """Indices (trials, draws) drawn in proportion to weights (trials, number), each above 0, by uniform numbers."""
    reached = weights.cumsum(1)
    total = reached[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # the product may round up to the total
    return torch.searchsorted(reached, (uniform * total).minimum(below), right=True).clamp_max(weights.shape[1] - 1)
