"""Vector quantization with a learned codebook."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from quantbench.components import (
    PerTrial,
    State,
    at_least,
    at_most,
    between,
    component,
    over_chunks,
    over_frames,
    product,
    take,
    trial_mean,
)
from quantbench.quantizers.base import CODEBOOK, SOFT, Code, Quantizer
from quantbench.streams import Streams

DISTANCES_PER_TRIAL = 2**18
"""Distances held at a time, so that a large evaluation set against a large codebook stays small in memory."""

LARGEST_CODEBOOK = 2**20
KMEANS_STEPS = 20
USAGE_DECAY = 0.99
SMALLEST_COUNT = 1e-5


@component
class VectorQuantizer(Quantizer):
    """A codebook of ``codes`` vectors per trial; the nearest one (Euclidean) is the code.

    van den Oord et al. (2017), arXiv 1711.00937: the codebook loss ``mean((sg(y) - c)**2)`` draws codewords to latents,
    the commitment loss ``mean((y - sg(c))**2)`` draws latents to codewords. Means are over dimensions too, as in public
    implementations.

    Attributes:
        codes: size of the codebook.
        commitment: weight of the commitment loss.
        codebook_weight: weight of the codebook loss (``update_by=gradient``).
        update_by: ``gradient``, or ``ema``: moving averages of the latents of each code (appendix A.1 of the paper).
        decay: of the moving averages.
        init_by: of the codebook: ``data`` (first latents), ``kmeans`` (on the first latents) or ``normal``.
        restart: a code used less than this share of ``1 / codes`` is replaced by a latent of the current batch
            (Dhariwal et al. 2020, arXiv 2005.00341); 0 never.
        restart_every: steps between looks for dead codes.
    """

    offers = frozenset({CODEBOOK, SOFT})

    codes: int = 256
    commitment: PerTrial = 0.25
    codebook_weight: PerTrial = 1.0
    update_by: Literal["gradient", "ema"] = "gradient"
    decay: PerTrial = 0.99
    init_by: Literal["data", "kmeans", "normal"] = "data"
    restart: float = 0.0
    restart_every: int = 100

    def check(self) -> None:
        super().check()
        at_least("quantizer.codes", self.codes, 2)
        at_most("quantizer.codes", self.codes, LARGEST_CODEBOOK)
        at_least("quantizer.codebook_weight", self.codebook_weight, 0)
        between("quantizer.decay", self.decay, 0, 1)
        between("quantizer.restart", self.restart, 0, 1)
        at_least("quantizer.restart_every", self.restart_every, 1)

    def alphabet(self, dim: int) -> list[int]:
        return [self.codes]

    def init(self, streams: Streams, dim: int) -> State:
        codebook = streams.normal("codebook", self.codes, dim)
        state: State = {}
        if self.restart:
            state["usage"] = codebook.new_full((streams.trials, self.codes), 1 / self.codes)
        if self.update_by == "gradient":
            return state | {"codebook": nn.Parameter(codebook)}
        counts = codebook.new_ones(streams.trials, self.codes)
        return state | {"codebook": codebook, "counts": counts, "sums": codebook.clone()}

    def fit_frames(self, batch: int) -> int:
        return max(batch, 4 * self.codes)

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        if self.init_by == "normal":
            return
        chosen = streams.permutations("codebook", latents.shape[1])[:, : self.codes]
        codebook = take(latents, chosen)
        if self.init_by == "kmeans":
            for _ in range(KMEANS_STEPS):
                counts, sums = count_and_sum(nearest(codebook, latents), latents, self.codes)
                codebook = torch.where(counts.unsqueeze(-1) > 0, sums / counts.clamp_min(1).unsqueeze(-1), codebook)
        state["codebook"].copy_(codebook)
        if "sums" in state:
            state["sums"].copy_(codebook)

    def quantize(self, state: State, latents: Tensor) -> Code:
        with torch.no_grad():
            index = nearest(state["codebook"], latents)
        return Code(take(state["codebook"], index), index.unsqueeze(-1))

    def soft(self, state: State, latents: Tensor, temperature: float | Tensor) -> Tensor:
        codebook = state["codebook"]
        logits = distances(codebook, latents, -1 / over_frames(temperature))
        return product(torch.softmax(logits, dim=-1), codebook)

    def loss(self, latents: Tensor, code: Code) -> Tensor:
        commitment = super().loss(latents, code)
        if self.update_by == "ema":
            return commitment
        return commitment + self.codebook_weight * trial_mean((code.values - latents.detach()).square())

    @torch.no_grad()
    def update(self, state: State, trace: list[tuple[Tensor, Code]], streams: Streams, step: int) -> None:
        if self.update_by == "gradient" and not self.restart:
            return
        ((latents, code),) = trace
        assert code.indices is not None
        counts, sums = count_and_sum(code.indices.squeeze(-1), latents, self.codes)
        if self.update_by == "ema":
            new = 1 - over_frames(self.decay)
            state["counts"].lerp_(counts, new.squeeze(-1) if isinstance(new, Tensor) else new)
            state["sums"].lerp_(sums, new)
            alive = state["counts"].unsqueeze(-1) > SMALLEST_COUNT
            means = state["sums"] / state["counts"].clamp_min(SMALLEST_COUNT).unsqueeze(-1)
            state["codebook"].copy_(torch.where(alive, means, state["codebook"]))
        if self.restart:
            state["usage"].lerp_(counts / latents.shape[1], 1 - USAGE_DECAY)
            if step % self.restart_every == 0:
                self._restart(state, latents, streams)

    def _restart(self, state: State, latents: Tensor, streams: Streams) -> None:
        """Move dead codes to latents of this batch, in place."""
        dead = state["usage"] < self.restart / self.codes
        candidates = take(latents, streams.integers("restart", latents.shape[1], self.codes))
        state["codebook"].copy_(torch.where(dead.unsqueeze(-1), candidates, state["codebook"]))
        state["usage"].copy_(torch.where(dead, 1 / self.codes, state["usage"]))
        if self.update_by == "ema":
            state["counts"].copy_(torch.where(dead, 1.0, state["counts"]))
            state["sums"].copy_(torch.where(dead.unsqueeze(-1), candidates, state["sums"]))


def distances(codebook: Tensor, latents: Tensor, factor: float | Tensor = 1.0) -> Tensor:
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
    chunk = max(1, DISTANCES_PER_TRIAL // codebook.shape[1])
    return over_chunks(lambda part: first_minimum(distances(codebook, part)), latents, chunk)


def first_minimum(values: Tensor) -> Tensor:
    """``values.argmin(-1)``, the first of equals; by whole-tensor operations, which are faster on the CPU."""
    count = values.shape[-1]
    above = torch.sub(values, values.amin(-1, keepdim=True)).sign_()  # 0 at a minimum, 1 elsewhere
    place = above.mul_(count).add_(torch.arange(count, dtype=values.dtype, device=values.device))
    return place.amin(-1).nan_to_num_(0).clamp_max_(count - 1).long()


def count_and_sum(index: Tensor, latents: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """How many latents each code has, (trials, codes), and their sum, (trials, codes, dim)."""
    trials, _, dim = latents.shape
    flat = (index + codes * torch.arange(trials, device=index.device).unsqueeze(1)).flatten()
    ones = latents.new_ones(flat.shape)
    counts = latents.new_zeros(trials * codes).index_add_(0, flat, ones).view(trials, codes)
    sums = latents.new_zeros(trials * codes, dim).index_add_(0, flat, latents.detach().reshape(-1, dim))
    return counts, sums.view(trials, codes, dim)
