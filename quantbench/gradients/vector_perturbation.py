"""Moves within balls that hold as many past latents as a code would have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantbench import kernels
from quantbench.components import (
    Factor,
    PerTrial,
    State,
    above,
    at_least,
    between,
    component,
    largest,
    over_chunks,
    take,
    trial_error,
)
from quantbench.gradients.base import Gradient
from quantbench.quantizers.base import CODEBOOK, KMEANS, Code, Moment, Quantizer
from quantbench.streams import Streams

SMALLEST_DISTANCE = 1e-6
SMALLEST_UNIFORM = 1e-6
SMALLEST_STD = 1e-8
LATENTS_OF_A_CODE = 128
"""Of at least so many a code the codebook is made: fewer than the authors' default cost quality, however short the queue."""
DISTANCES_PER_TRIAL = 2**18
"""Held at a time where there are no kernels."""


@component
class VP(Gradient):
    """Vector perturbation: y moves within a ball that holds as many latents as a code would have, if the move is accepted.

    Neighbours are sought in a queue of ``n`` latents for each code, ``n = cluster_size_rate * dim``, which starts with normal
    numbers and takes in a small share of the latents of every step. The ball's radius is ``eta`` times the distance d_n to the
    n-th nearest of them. A move to y' is accepted (Metropolis-Hastings) with the ratio of densities, with the distance d_k to
    the k-th nearest, and only if y lies within the ball of y' too. Losses draw every dimension's mean to 0 and its variance to
    1, as the queue begins.

    There is no codebook while training: the quantizer's own losses are left out, and wherever hard codes are needed (points of
    the curves, the end) k-means makes one. The source makes it of the queue; here it is made of latents of new frames, as many
    as the queue holds and at least 128 a code: a queue takes a hundred times more latents than it is long to be filled with
    them, and of fewer the codebook is worse.

    Formula: ``y + sg(move)``, accepted with ``(d_k(y) d_n(y) / (d_k(y') d_n(y')))**dim``; loss ``a m**2 + b (v - 1)**2``
    Source: Zhai et al. (2026), arXiv 2602.17133.
    Recommended: all as by default.
    Compared with: the authors' code, read.

    Attributes:
        eta: radius of the ball in multiples of the distance to the n-th neighbour.
        cluster_size_rate: n in multiples of the latents' dimensions. Time and memory grow with it.
        k: neighbour for the estimate of density, at most n.
        update_probability: share of a step's latents that go into the queue.
        mean_weight, variance_weight: of the losses: the mean over dimensions of ``m**2`` and ``(v - 1)**2``, with mean m and
            variance v over the latents of a step.
        skewness_weight, kurtosis_weight: likewise of the squared skewness and excess kurtosis; 0.06 and 0.05 in an option of
            the source (``none-kurt``).
    """

    cost = 20.0  # with its default queue
    fewest_latents = 2  # a variance needs two

    eta: Factor = 1.0
    cluster_size_rate: float = 16.0
    k: int = 8
    update_probability: Factor = 0.01
    mean_weight: PerTrial = 0.1
    variance_weight: PerTrial = 0.07
    skewness_weight: PerTrial = 0.0
    kurtosis_weight: PerTrial = 0.0

    def check(self) -> None:
        at_least("gradient.eta", self.eta, 0)
        above("gradient.cluster_size_rate", self.cluster_size_rate, 0)
        at_least("gradient.k", self.k, 1)
        between("gradient.update_probability", self.update_probability, 0, 1)
        for name in ("mean", "variance", "skewness", "kurtosis"):
            at_least(f"gradient.{name}_weight", getattr(self, f"{name}_weight"), 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({CODEBOOK, KMEANS})

    def memory(self, quantizer: Quantizer, dim: int, streams: Streams) -> State:
        queue = streams.normal("memory", max(quantizer.alphabet(dim)) * self._of_a_code(dim), dim)
        return {"queue": queue, "next": torch.zeros(len(queue), dtype=torch.long, device=queue.device)}

    def refits(self, quantizer: Quantizer, dim: int) -> int:
        return max(quantizer.alphabet(dim)) * max(LATENTS_OF_A_CODE, self._of_a_code(dim))

    def _of_a_code(self, dim: int) -> int:
        """How many latents of the queue a code would have: n."""
        return max(1, round(dim * self.cluster_size_rate))

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        with torch.no_grad():
            move = self._move(latents, moment)
            if moment.training:
                chosen = moment.uniform(latents[..., :1]) < self.update_probability
                if moment.counted is not None:  # others are no latents of this stage
                    chosen = chosen & (moment.counted > 0)
                remember(moment.memory, latents, chosen.squeeze(-1))
        return latents + move

    def _move(self, latents: Tensor, moment: Moment) -> Tensor:
        dim, queue = latents.shape[-1], moment.memory["queue"]
        ranks = min(self.k, self._of_a_code(dim)), self._of_a_code(dim)
        near, far = _distances(latents, queue, *ranks)
        share = (moment.uniform(latents[..., :1]).log() / dim).exp()  # a power rounds by its place in a tensor
        size = self.eta * far * share
        move = size * nn.functional.normalize(moment.normal(latents), dim=-1)
        new_near, new_far = _distances(latents + move, queue, *ranks)
        ratio = dim * (near.log() + far.log() - new_near.log() - new_far.log())
        accepted = moment.uniform(latents[..., :1]).clamp_min(SMALLEST_UNIFORM).log() < ratio
        return torch.where(accepted & (size < self.eta * new_far), move, 0.0)

    def loss(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, received: Tensor, moment: Moment) -> Tensor:
        mean = moment.mean(latents).unsqueeze(1)
        centred, others = latents - mean, torch.full_like(mean, latents.shape[1] - 1)
        if moment.counted is not None:
            centred, others = moment.counted * centred, (moment.counted.sum(1, keepdim=True) - 1).clamp_min(1)
        variance = centred.square().sum(1, keepdim=True) / others
        zero = torch.zeros_like(mean)
        loss = self.mean_weight * trial_error(mean, zero) + self.variance_weight * trial_error(variance, zero + 1)
        if largest(self.skewness_weight) > 0 or largest(self.kurtosis_weight) > 0:
            score = centred / variance.clamp_min(SMALLEST_STD**2).sqrt()
            square = score.square()
            loss = loss + self.skewness_weight * trial_error(moment.mean(square * score).unsqueeze(1), zero)
            loss = loss + self.kurtosis_weight * trial_error(moment.mean(square.square()).unsqueeze(1), zero + 3)
        return loss


def remember(memory: State, latents: Tensor, chosen: Tensor) -> None:
    """Put the chosen latents (trials, frames) into a queue, in place, over the oldest that are there."""
    queue, start = memory["queue"], memory["next"]
    size, frames = queue.shape[1], chosen.shape[1]
    count = chosen.sum(1)
    first = (count - size).clamp_min(0)  # of more than there is room for, the last stay
    # Without a size that depends on numbers: all places that may be written to are, those beyond with what is there.
    place = torch.arange(min(size, frames), device=queue.device)
    order = (~chosen).to(torch.uint8).sort(dim=1, stable=True).indices  # the chosen first
    frame = order.gather(1, (first.unsqueeze(1) + place).clamp_max(frames - 1))
    slot = (start.unsqueeze(1) + place) % size
    written = (place < (count - first).unsqueeze(1)).unsqueeze(-1)
    new = torch.where(written, take(latents, frame).to(queue.dtype), take(queue, slot))
    queue.scatter_(1, slot.unsqueeze(-1).expand_as(new), new)
    start.copy_((start + count - first) % size)


def _distances(points: Tensor, samples: Tensor, near: int, far: int) -> list[Tensor]:
    """Distances to the samples of ranks ``near`` and ``far``, 1 for the nearest, (trials, points, 1) each."""
    if kernels.usable(points, samples):
        found = kernels.ranked_distances(points, samples, near, far)
    else:

        def search(part: Tensor) -> Tensor:
            # From differences, not from products: equal latents are at a distance of exactly 0.
            table = torch.cdist(part, samples.to(part.dtype), compute_mode="donot_use_mm_for_euclid_dist")
            return torch.stack([table.kthvalue(rank, dim=-1).values for rank in (near, far)], dim=-1)

        found = over_chunks(search, points, max(1, DISTANCES_PER_TRIAL // samples.shape[1]))
    return list(torch.split(found.clamp_min(SMALLEST_DISTANCE), 1, dim=-1))
