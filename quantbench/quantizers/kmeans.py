"""A codebook made of latents by k-means, as in the code of VP-VAE (Zhai et al. 2026, arXiv 2602.17133)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from quantbench.components import take, trial_error
from quantbench.quantizers.search import count_and_sum, draw
from quantbench.streams import Streams

MOST_STEPS = 200
STILL = 1e-3
"""The change of the whole codebook, a Euclidean length, below which it has converged."""
QUANTILE = 0.9
"""Of the squared distances to the nearest seed; none counts more when the next seed is drawn."""
SPLIT_NOISE = 1e-6

Search = Callable[[Tensor, Tensor], Tensor]
"""``(codebook, latents) -> index`` of each latent's codeword, (trials, frames)."""


def kmeans(latents: Tensor, codes: int, search: Search, streams: Streams) -> Tensor:
    """Means (trials, codes, dim) of the latents (trials, frames, dim) nearest to each, from the stream ``codebook``."""
    codebook = seeds(latents, codes, streams)
    noise = SPLIT_NOISE * streams.normal("codebook", codes, latents.shape[-1])  # once: neighbours decide nothing
    found, rows = codebook.clone(), torch.arange(len(latents), device=latents.device)
    for _ in range(MOST_STEPS):
        counts, sums = count_and_sum(search(codebook, latents), latents, codes)
        new = means(counts, sums, noise)
        change = codebook[0].numel() * trial_error(new, codebook)
        found[rows] = codebook = new
        goes_on = change >= STILL**2  # not with NaN
        if not bool(goes_on.all()):  # who has converged is searched no more
            rows, codebook, latents, noise = (one[goes_on] for one in (rows, codebook, latents, noise))
        if not len(rows):
            break
    return found


def seeds(latents: Tensor, codes: int, streams: Streams) -> Tensor:
    """Latents to start from: each drawn by its squared distance to those before, which the quantile bounds."""
    chosen = [take(latents, streams.integers("codebook", latents.shape[1], 1))]
    distance = (latents - chosen[0]).square().sum(-1)
    for uniform in streams.uniform("codebook", codes - 1, 1).unbind(1):
        weights = distance.minimum(quantile(distance, QUANTILE))
        index = draw(torch.where(weights.sum(1, keepdim=True) > 0, weights, 1.0), uniform)
        chosen.append(take(latents, index))
        distance = distance.minimum((latents - chosen[-1]).square().sum(-1))
    return torch.cat(chosen, dim=1)


def quantile(values: Tensor, share: float) -> Tensor:
    """Of each row of values (trials, number), linear between two of them: (trials, 1)."""
    place, last = share * (values.shape[1] - 1), values.shape[1] - 1
    lower, upper = _ordered(values, int(place), min(int(place) + 1, last))
    return lower + (place - int(place)) * (upper - lower)


def _ordered(values: Tensor, *places: int) -> list[Tensor]:
    """The numbers (trials, 1) that stand at these places of each row in order."""
    if values.device.type != "cpu":
        return [values.kthvalue(place + 1, dim=1, keepdim=True).values for place in places]
    parted = np.partition(values.numpy(), places, axis=1)  # all places at once
    return [torch.from_numpy(parted[:, place : place + 1].copy()) for place in places]


def means(counts: Tensor, sums: Tensor, noise: Tensor) -> Tensor:
    """Sums (trials, codes, dim) divided by counts (trials, codes); a code without latents takes a half of a large one's.

    The first of them goes with the largest code, and so on; both are at its mean, apart by twice the noise.
    """
    found = sums / counts.clamp_min(1).unsqueeze(-1)
    empty = counts == 0
    order = counts.argsort(dim=1, descending=True, stable=True)  # of the codes, the largest first
    used = (~empty).sum(1, keepdim=True).clamp_min(1)
    partner = order.gather(1, (empty.cumsum(1) - 1).clamp_min(0) % used)
    every_empty = (~empty).long().argsort(dim=1, stable=True)  # those first
    place = order.argsort(1)
    halved = (place < empty.sum(1, keepdim=True)) & ~empty
    found = torch.where(halved.unsqueeze(-1), found - take(noise, every_empty.gather(1, place)), found)
    return torch.where(empty.unsqueeze(-1), take(sums / counts.clamp_min(1).unsqueeze(-1), partner) + noise, found)
