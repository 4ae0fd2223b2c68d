"""Search among codewords and statistics of codes, trial by trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from quantbench import kernels
from quantbench.components import over_chunks, over_chunks_again, product
from quantbench.precision import whole

DISTANCES_PER_TRIAL = 2**18
"""Distances held at a time, so that a large evaluation set against a large codebook stays small in memory."""
DISTANCES_ON_A_GPU = 2**22
"""Distances of all trials together that are held at a time on a GPU: 16 MiB, which its cache holds, so that no table of them
goes to its memory and back."""
CODES_AT_A_TIME = 4096
"""Codes of a larger codebook are searched part by part, so that products stay products of matrices, not of a few rows."""

MOST_WEIGHTS = 2**24
"""Largest table, latents times codes, of weights that a trial's training keeps."""

Scores = Callable[[Tensor], Tensor]
"""From latents (trials, frames, dim) to what each code is judged by, (trials, frames, codes)."""


def distances(codebook: Tensor, latents: Tensor, factor: Tensor) -> Tensor:
    """``factor`` times the squared distances less the latents' own squared length, (trials, frames, codes).

    Enough for argmin and softmax. The factor, (trials, 1, 1), goes to the small codebook instead of the large table.
    Distances are taken about the codebook's mean: far from the origin the squares would swallow the differences.
    """
    return distances_to(codebook, factor)(latents)


def distances_to(codebook: Tensor, factor: Tensor) -> Scores:
    """``distances`` to one codebook, for latents that come part by part."""
    mean = codebook.detach().mean(1, keepdim=True)
    centred = _centred_distances_to(codebook - mean, factor)
    return lambda latents: centred(latents - mean)


def _centred_distances_to(centred: Tensor, factor: Tensor) -> Scores:
    scaled = factor * centred
    columns, squares = -2 * scaled.transpose(1, 2), (centred * scaled).sum(-1).unsqueeze(1)
    return lambda latents: product(latents, columns, squares)


def nearest(codebook: Tensor, latents: Tensor) -> Tensor:
    """Index of the nearest codeword of each latent, (trials, frames); the first one of equals."""
    if kernels.usable(codebook, latents):
        return kernels.nearest(codebook, latents)
    return _on_device(_nearest, codebook, latents)


def _nearest(codebook: Tensor, latents: Tensor) -> Tensor:
    one = codebook.new_ones(1, 1, 1)
    if codebook.shape[1] > CODES_AT_A_TIME:
        mean = codebook.mean(1, keepdim=True)
        return _least_of_parts([_centred_distances_to(part, one) for part in _parts(codebook - mean)], latents - mean)
    found = distances_to(codebook, one)
    return over_chunks(lambda part: first_minimum(found(part)), latents, DISTANCES_PER_TRIAL // codebook.shape[1])


def largest_product(codebook: Tensor, latents: Tensor) -> Tensor:
    """Index of the codeword with the largest inner product with each latent, (trials, frames); the first one of equals."""
    return _on_device(_largest_product, codebook, latents)


def _largest_product(codebook: Tensor, latents: Tensor) -> Tensor:
    if codebook.shape[1] > CODES_AT_A_TIME:
        return _least_of_parts([_negative_products(part) for part in _parts(codebook)], latents)
    found = _negative_products(codebook)
    return over_chunks(lambda part: first_minimum(found(part)), latents, DISTANCES_PER_TRIAL // codebook.shape[1])


Search = Callable[[Tensor, Tensor], Tensor]
"""From codewords (trials, codes, dim) and latents (trials, frames, dim) to indices (trials, frames)."""


def _on_device(search: Search, codebook: Tensor, latents: Tensor) -> Tensor:
    """A search, on a GPU of few trials at a time."""
    if not latents.is_cuda:
        return search(codebook, latents)
    of_trial = min(DISTANCES_PER_TRIAL, latents.shape[1] * min(codebook.shape[1], CODES_AT_A_TIME))
    return by_trials(search, codebook, latents, max(1, DISTANCES_ON_A_GPU // of_trial))


def by_trials(search: Search, codebook: Tensor, latents: Tensor, count: int) -> Tensor:
    """A search of ``count`` trials at a time."""
    if len(latents) <= count:
        return search(codebook, latents)
    pairs = zip(torch.split(codebook, count), torch.split(latents, count), strict=True)
    return torch.cat([search(*pair) for pair in pairs])


def weighed(function: Scores, latents: Tensor, codes: int) -> Tensor:
    """``function`` of latents, which weighs all codes for each of them: part by part where the table would be large."""
    every = latents.shape[1] * codes <= MOST_WEIGHTS
    return function(latents) if every else over_chunks_again(function, latents, max(1, MOST_WEIGHTS // 4 // codes))


@whole
def first_minimum(values: Tensor) -> Tensor:
    """``values.argmin(-1)``, the first of equals; by whole-tensor operations, which are faster on the CPU."""
    if values.is_cuda:  # where they would cost a pass over memory each
        return values.argmin(-1)
    count = values.shape[-1]
    above = torch.sub(values, values.amin(-1, keepdim=True)).sign_()  # 0 at a minimum, 1 elsewhere
    place = above.mul_(count).add_(torch.arange(count, dtype=values.dtype, device=values.device))
    return place.amin(-1).nan_to_num_(0).clamp_max_(count - 1).long()


def _negative_products(codebook: Tensor) -> Scores:
    negative = -codebook.transpose(1, 2)
    return lambda latents: product(latents, negative)


def _parts(codebook: Tensor) -> Sequence[Tensor]:
    return torch.split(codebook, CODES_AT_A_TIME, dim=1)


def _least_of_parts(parts: Sequence[Scores], latents: Tensor) -> Tensor:
    """Index of the least of all parts' scores, (trials, frames); the first of equals, 0 where nothing compares."""

    def search(some: Tensor) -> Tensor:
        least = some.new_full(some.shape[:2], math.inf)
        index = torch.zeros_like(least, dtype=torch.long)
        for number, part in enumerate(parts):
            scores = part(some)
            value = scores.amin(-1)
            index = torch.where(value < least, number * CODES_AT_A_TIME + first_minimum(scores), index)
            least = torch.where(value < least, value, least)
        return index

    return over_chunks(search, latents, DISTANCES_PER_TRIAL // CODES_AT_A_TIME)


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


@whole
def draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """Indices (trials, draws) drawn in proportion to weights (trials, number), each above 0, by uniform numbers."""
    reached = weights.cumsum(1)
    total = reached[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # the product may round up to the total
    return torch.searchsorted(reached, (uniform * total).minimum(below), right=True).clamp_max(weights.shape[1] - 1)
