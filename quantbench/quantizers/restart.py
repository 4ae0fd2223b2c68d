"""Codes that are not in use get another codeword: when one counts as dead, and what takes its place.

Public code differs in both, and calls all of it restart, replacement, expiry or discarding. The rules here:

``usage``: a moving average of its share of the latents is below a share of ``1 / codes``; a latent of the batch takes its place
(Dhariwal et al. 2020, arXiv 2005.00341).
``count``: a moving average of the number of its latents a step is below a number; likewise (Zeghidour et al. 2021, arXiv
2107.03312; EnCodec's code looks at every step for codes below 2).
``hits``: it was hit in less than a share of the steps since the last look; a codeword in use is copied, up to noise of 1e-12
(Vali & Bäckström 2022, IEEE Access 10, whose code looks for less than 1 % every 100 steps or more); those in use are copied
evenly.
``weighted_hits``: likewise, but what is copied is drawn in proportion to the steps in which it was hit, up to noise of 1e-9
(DiVeQ, Vali et al. 2025, arXiv 2509.26469).
``idle``: it was not hit in so many steps; a latent of the batch takes its place, with noise of a share of its length (Huh et
al. 2023, arXiv 2305.08842, whose code has 0.01 and 20 steps).
``online``: every code moves at every step towards the latent that its search finds nearest, by the weight
``exp(-10 K p / 0.01 - 0.001)`` with a moving average p of its share of the latents and K codes: one that is in use hardly, one
that is not at once (CVQ-VAE, Zheng & Vedaldi 2023, arXiv 2307.15139, with the anchor ``closest`` of its code).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from quantbench.components import take
from quantbench.precision import whole
from quantbench.quantizers.search import draw
from quantbench.streams import Streams

Rule = Literal["usage", "count", "hits", "weighted_hits", "idle", "online"]

HITS = ("hits", "weighted_hits")

USAGE_DECAY = 0.99
COPY_NOISE = {"hits": 1e-12, "weighted_hits": 1e-9}


def begin(rule: Rule, streams: Streams, codes: int) -> Tensor:
    """What is known of the codes before any was used, (trials, codes)."""
    start = {"usage": 1 / codes, "count": float("inf")}.get(rule, 0.0)
    return torch.full((streams.trials, codes), start, device=streams.device)


def track(rule: Rule, seen: Tensor, counts: Tensor, frames: int, decay: Tensor) -> None:
    """Take in, in place, how many of a step's ``frames`` latents each code had; ``decay`` is (trials, 1)."""
    if rule in ("usage", "online"):
        seen.lerp_(counts / frames, 1 - USAGE_DECAY)
    elif rule == "count":
        seen.copy_(torch.where(seen.isinf(), counts, seen * decay + (1 - decay) * counts))
    elif rule in HITS:
        seen.add_((counts > 0).to(seen.dtype))
    else:
        seen.copy_(torch.where(counts > 0, 0.0, seen + 1))


def dead(rule: Rule, seen: Tensor, threshold: Tensor, every: int) -> Tensor:
    """Which codes get another codeword, (trials, codes), by thresholds (trials, 1); none of a trial whose threshold is 0."""
    if rule == "usage":
        return _rarer(seen, threshold)
    if rule == "count":
        return seen < threshold
    if rule in HITS:
        return seen / every < threshold
    return (seen >= every) & (threshold > 0)


@whole
def _rarer(seen: Tensor, threshold: Tensor) -> Tensor:
    """Whether a code's share is below a share of that of an even use; in low precision, too, that share is not rounded."""
    return seen < threshold / seen.shape[1]


def towards(seen: Tensor, codewords: Tensor, anchors: Tensor, factor: Tensor) -> Tensor:
    """The codewords (trials, codes, dim) after a step of ``online``.

    Args:
        anchors: the latent nearest to each codeword, in the same shape.
        factor: of the weight, (trials, 1); 1 in the source.
    """
    share = torch.exp(-10 * seen.shape[1] * seen / (1 - USAGE_DECAY) - 1e-3)
    weight = (factor * share).unsqueeze(-1)
    return (1 - weight) * codewords + weight * anchors


def forget(rule: Rule, seen: Tensor, replaced: Tensor, threshold: Tensor) -> None:
    """Let the replaced codes begin anew, in place; thresholds are (trials, 1)."""
    if rule in HITS:  # counted from one look to the next, for all codes
        seen.zero_()
    else:
        fresh = threshold if rule == "count" else torch.full_like(threshold, 1 / seen.shape[1] if rule == "usage" else 0.0)
        seen.copy_(torch.where(replaced, fresh, seen))


def from_latents(latents: Tensor, codes: int, noise: Tensor | None, streams: Streams) -> Tensor:
    """Latents of the batch, (trials, codes, dim), with noise of a share (trials, 1, 1) of their length."""
    chosen = take(latents, streams.integers("restart", latents.shape[1], codes))
    if noise is None:
        return chosen
    size = torch.linalg.vector_norm(chosen, dim=-1, keepdim=True)
    disturbed: Tensor = chosen + noise * size * streams.normal("restart", *chosen.shape[1:])
    return disturbed


def from_codewords(codewords: Tensor, unused: Tensor, streams: Streams) -> Tensor:
    """Copies of codewords in use, (trials, codes, dim), each as often as it must; those that are there where none is in use."""
    codes = unused.shape[1]
    order = (streams.uniform("restart", codes) + unused).argsort(1)  # those in use first, each part in a random order
    used = (~unused).sum(1, keepdim=True)
    rank = (unused.cumsum(1) - 1).clamp_min(0)
    copies = take(codewords, order.gather(1, rank % used.clamp_min(1)))
    copies = torch.where(used.unsqueeze(-1) > 0, copies, codewords)
    return copies + COPY_NOISE["hits"] * streams.normal("restart", *copies.shape[1:])


def from_used_codewords(codewords: Tensor, hits: Tensor, unused: Tensor, streams: Streams) -> Tensor:
    """Copies of codewords in use, (trials, codes, dim), drawn by their hits; those that are there where none is in use."""
    weights = torch.where(unused, 0.0, hits)
    copies = take(codewords, draw(weights, streams.uniform("restart", hits.shape[1])))
    copies = torch.where((weights.sum(1) > 0).view(-1, 1, 1), copies, codewords)
    return copies + COPY_NOISE["weighted_hits"] * streams.normal("restart", *copies.shape[1:])
