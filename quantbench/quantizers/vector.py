"""Vector quantization with a learned codebook."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import fields, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from quantbench import kernels
from quantbench.components import (
    Alike,
    Factor,
    PerTrial,
    State,
    at_least,
    at_most,
    between,
    component,
    largest,
    over_chunks,
    product,
    take,
)
from quantbench.errors import ConfigError
from quantbench.quantizers import restart as rules
from quantbench.quantizers.base import CODEBOOK, KMEANS, SOFT, WHOLE, Code, Committed, Moment, Quantizer, Trace
from quantbench.quantizers.kmeans import kmeans
from quantbench.quantizers.search import (
    DISTANCES_PER_TRIAL,
    Scores,
    count_and_sum,
    distances_to,
    largest_product,
    nearest,
    weighed,
)
from quantbench.streams import Streams

LARGEST_CODEBOOK = 2**20
KMEANS_STEPS = 20
KMEANS_DISTANCES = 2**31
"""Most distances of a k-means start, beyond which it takes fewer steps, at least one. It sees four latents a code, and from so
few nothing is won by more: of 1024 and 2048 codes in 8 and 64 dimensions, on further frames, one step was within 0.02 dB of
20 steps, two within 0.005 dB, and no step 0.3 to 0.9 dB behind."""
SMALLEST_COUNT = 1e-5
STARTS = Alike(("data", "kmeans", "means"))
"""Starts that draw the same random numbers, so that a stack may have several."""


@component
class CodebookQuantizer(Committed):
    """A quantizer whose nearest codeword, of ``codes`` per trial, is the code; where they come from, a subclass says.

    van den Oord et al. (2017), arXiv 1711.00937: the codebook loss ``mean((sg(y) - c)**2)`` draws codewords to latents,
    the commitment loss ``mean((y - sg(c))**2)`` draws latents to codewords. Means are over dimensions too, as in public
    implementations.

    Attributes:
        codes: size of the codebook.
        commitment: weight of the commitment loss.
        codebook_weight: weight of the codebook loss.
        search: nearest by ``euclidean`` distance; by ``cosine``: distance of the vectors brought to unit length (Yu et al.
            2022, arXiv 2110.04627); or of largest inner product, ``dot`` (IBQ, Shi et al. 2024, arXiv 2412.02692). The code is
            the codeword itself in all cases, as in DAC (arXiv 2306.06546).
    """

    offers = frozenset({CODEBOOK, SOFT, WHOLE})

    sizes: ClassVar[tuple[str, ...]] = ("codes",)

    codes: int = 256
    commitment: PerTrial = 0.25
    codebook_weight: PerTrial = 1.0
    search: Literal["euclidean", "cosine", "dot"] = "euclidean"

    def check(self) -> None:
        super().check()
        at_least("quantizer.codes", self.codes, 2)
        at_most("quantizer.codes", self.codes, LARGEST_CODEBOOK)
        at_least("quantizer.codebook_weight", self.codebook_weight, 0)

    def alphabet(self, dim: int) -> list[int]:
        return [self.codes]

    @abstractmethod
    def codebook(self, state: State) -> Tensor:
        """The codewords (trials, codes, dim), differentiable."""

    def best(self, state: State, latents: Tensor, count: int) -> Tensor:
        """Indices of the ``count`` best codes of each latent, the best first, (trials, frames, count)."""
        one = latents.new_ones(len(latents), 1, 1)
        logits, chunk = self.logits_of(state, one), max(1, DISTANCES_PER_TRIAL // self.codes)
        return over_chunks(lambda part: logits(part).topk(count, dim=-1).indices, latents, chunk)

    def quantize(self, state: State, latents: Tensor) -> Code:
        codebook = self.codebook(state)
        with torch.no_grad():
            index = self._search(codebook, latents)
        return Code(take(codebook, index), index.unsqueeze(-1))

    def decode(self, state: State, indices: Tensor) -> Tensor:
        return take(self.codebook(state), indices.squeeze(-1))

    def logits(self, state: State, latents: Tensor, temperature: Tensor) -> Tensor:
        return self.logits_of(state, temperature)(latents)

    def logits_of(self, state: State, temperature: Tensor) -> Scores:
        if self.search == "dot":
            columns = self.codebook(state).transpose(1, 2)
            return lambda latents: product(latents, columns) / temperature
        scores = distances_to(self._direction(self.codebook(state)), -1 / temperature)
        return lambda latents: scores(self._direction(latents))

    def mixture(self, state: State, weights: Tensor) -> Tensor:
        return product(weights, self.codebook(state))

    def soft_code(self, state: State, latents: Tensor, temperature: Tensor) -> Tensor:
        if self.search != "euclidean" or not kernels.usable(latents):
            logits, codebook = self.logits_of(state, temperature), self.codebook(state)
            return weighed(lambda part: product(torch.softmax(logits(part), dim=-1), codebook), latents, self.codes)
        return kernels.soft_code(self.codebook(state), latents, temperature.flatten().expand(len(latents)))

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        commitment = super().loss(state, latents, code, moment)
        return commitment + self.codebook_weight * moment.error(code.values, latents.detach())

    def _search(self, codebook: Tensor, latents: Tensor) -> Tensor:
        """Index of each latent's codeword, (trials, frames)."""
        if self.search == "dot":
            return largest_product(codebook, latents)
        return nearest(self._direction(codebook), self._direction(latents))

    def _direction(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=-1) if self.search == "cosine" else vectors


@component
class VectorQuantizer(CodebookQuantizer):
    """A codebook of ``codes`` learned vectors per trial; the nearest one is the code.

    Formula: ``c[k]``, ``k = argmin |y - c|``; loss ``a |sg(y) - c|**2 + b |y - sg(c)|**2``
    Source: van den Oord et al. (2017), arXiv 1711.00937.
    Recommended: commitment 0.25 (DAC, with a codebook weight of 1) to 1; EMA decay 0.8 to 0.99; k-means start and restarts of
    codes used less than once or twice (Zeghidour et al. 2021).
    Compared with: vector-quantize-pytorch; the code of the authors of each restart, read.

    Attributes:
        update_by: ``gradient``, or ``ema``: moving averages of the latents of each code (van den Oord et al. 2017, appendix
            A.1); the codebook loss is then left out.
        decay: of the moving averages.
        smoothing: of the counts that sums are divided by (Laplace's, 1e-5 in EnCodec and vector-quantize-pytorch), which draws
            codes that are not in use to the origin; 0: they stay where they are.
        init_by: of the codebook: ``data`` (first latents), ``kmeans`` (on the first latents: 20 steps, fewer from 8192 codes
            on), ``kmeans++`` (likewise, from distant latents and until it converges: VP-VAE's), ``means`` (each the mean of an
            equal share of the first latents, so that all lie about their centre: SF-DiVeQ's start) or ``normal``.
        restart: codes used less than this get another codeword; 0 never. The rule says in which units. A stack of which no
            trial restarts counts no codes.
        restart_by: ``usage``: in shares of ``1 / codes``; ``count``: in latents a step, EnCodec's has 2 with ``restart_every``
            1; both replace by a latent of the batch. ``hits``: in shares of the steps since the last look, NSVQ's
            has 0.01; a codeword in use is copied; ``weighted_hits``: likewise, one more in use more likely, as in DiVeQ's.
            ``idle``: not hit in ``restart_every`` steps; a latent with noise of the
            share ``restart`` of its length, 0.01 in the code of Huh et al. ``online``: all move, the less the more they are
            used, at every step; ``restart`` is a factor, 1 in CVQ-VAE.
        restart_every: steps between looks for such codes.
        projection: dimensions of the space that is quantized, between two learned affine maps (the factorised codes of Yu
            et al. 2022, as in DAC); 0 for the latents' own space.
        affine: whether codewords are ``scale * c + shift`` with a learned scale and shift for all of them (Huh et al. 2023,
            arXiv 2305.08842), so that codes that are not in use follow those that are.
        affine_lr: learning rate of scale and shift, in multiples of the others'.
    """

    offers = CodebookQuantizer.offers | {KMEANS}

    update_by: Literal["gradient", "ema"] = "gradient"
    decay: Factor = 0.99
    init_by: Annotated[Literal["data", "kmeans", "kmeans++", "means", "normal"], STARTS] = "data"
    smoothing: float = 0.0
    restart: PerTrial = 0.0
    restart_by: rules.Rule = "usage"
    restart_every: int = 100
    projection: int = 0
    affine: bool = False
    affine_lr: Factor = 10.0

    def check(self) -> None:
        super().check()
        between("quantizer.decay", self.decay, 0, 1)
        at_least("quantizer.smoothing", self.smoothing, 0)
        between("quantizer.restart", self.restart, 0, math.inf if self.restart_by == "count" else 1)
        at_least("quantizer.restart_every", self.restart_every, 1)
        at_least("quantizer.projection", self.projection, 0)
        at_least("quantizer.affine_lr", self.affine_lr, 0)
        if self.restart and self.restart_by == "online" and self.update_by == "ema":
            raise ConfigError("quantizer.restart_by=online: needs quantizer.update_by=gradient; both would move every codeword")
        if self.affine and self.update_by == "ema":
            raise ConfigError("quantizer.affine=true: needs quantizer.update_by=gradient; moving averages leave no affine map")

    @property
    def updates(self) -> bool:
        return self.update_by == "ema" or bool(largest(self.restart) > 0)

    def init(self, streams: Streams, dim: int) -> State:
        state: State = {}
        inner = self.projection or dim
        if self.projection:
            for name, rows, columns in (("inwards", dim, inner), ("outwards", inner, dim)):
                state[name] = nn.Parameter(streams.normal("codebook", rows, columns) / rows**0.5)
                state[f"{name}_bias"] = nn.Parameter(state[name].new_zeros(streams.trials, 1, columns))
        codebook = streams.normal("codebook", self.codes, inner)
        if self.affine:
            for name in ("affine_scale", "affine_shift"):
                state[name] = nn.Parameter(codebook.new_zeros(streams.trials, 1, inner))
        if largest(self.restart) > 0:
            state["usage"] = rules.begin(self.restart_by, streams, self.codes)
        if self.update_by == "gradient":
            return state | {"codewords": nn.Parameter(codebook)}
        counts = codebook.new_ones(streams.trials, self.codes)
        return state | {"codewords": codebook, "counts": counts, "sums": codebook.clone()}

    def fit_frames(self, batch: int) -> int:
        return max(batch, 4 * self.codes)

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        if self.init_by == "normal":
            return
        latents = self.prepare(state, latents)
        if self.init_by == "kmeans++":
            self._place_all(state, kmeans(latents, self.codes, self._search, streams))
            return
        chosen = streams.permutations("codebook", latents.shape[1])[:, : self.codes]
        codebook = take(latents, chosen)
        starts = (self.init_by,) * len(latents) if isinstance(self.init_by, str) else self.init_by
        for start, improved in (("kmeans", self._by_kmeans), ("means", self._by_means)):
            if rows := [trial for trial, one in enumerate(starts) if one == start]:
                codebook[rows] = improved(codebook[rows], latents[rows])
        self._place_all(state, codebook)

    def _by_kmeans(self, codebook: Tensor, latents: Tensor) -> Tensor:
        """Codewords (trials, codes, dim) after some steps of k-means from these."""
        steps = min(KMEANS_STEPS, KMEANS_DISTANCES // (latents.shape[1] * self.codes))
        for _ in range(max(1, steps)):
            index = self._search(codebook, latents)
            counts, sums = count_and_sum(index, latents, self.codes)
            codebook = torch.where(counts.unsqueeze(-1) > 0, sums / counts.clamp_min(1).unsqueeze(-1), codebook)
        return codebook

    def _by_means(self, codebook: Tensor, latents: Tensor) -> Tensor:
        """Means of equal shares of the latents, (trials, codes, dim)."""
        share = latents.shape[1] // self.codes
        return latents[:, : share * self.codes].reshape(len(latents), self.codes, share, -1).mean(2)

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return product(latents, state["inwards"], state["inwards_bias"]) if self.projection else latents

    def restore(self, state: State, values: Tensor) -> Tensor:
        return product(values, state["outwards"], state["outwards_bias"]) if self.projection else values

    def codebook(self, state: State) -> Tensor:
        if not self.affine:
            return state["codewords"]
        scale, shift = self._affine(state)
        return state["codewords"] * scale + shift

    def _affine(self, state: State) -> tuple[Tensor, Tensor]:
        return 1 + self.affine_lr * state["affine_scale"], self.affine_lr * state["affine_shift"]

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        if self.update_by == "ema":
            return Committed.loss(self, state, latents, code, moment)
        return super().loss(state, latents, code, moment)

    @torch.no_grad()
    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        restarting = largest(self.restart) > 0
        if self.update_by == "gradient" and not restarting:
            return
        ((latents, code),) = trace
        assert code.indices is not None
        counts, sums = count_and_sum(code.indices.squeeze(-1), latents, self.codes)
        if self.update_by == "ema":
            new = 1 - self.decay
            state["counts"].lerp_(counts, new.squeeze(-1))
            state["sums"].lerp_(sums, new)
            state["codewords"].copy_(self._means(state))
        if restarting:
            decay = self.decay.squeeze(-1)
            rules.track(self.restart_by, state["usage"], counts, latents.shape[1], decay)
            if self.restart_by == "online":
                codebook = self.codebook(state)
                anchors = take(latents, self._search(latents, codebook))
                moved = rules.towards(state["usage"], codebook, anchors, self.restart.unsqueeze(1))
                self._place(state, moved, (self.restart > 0).unsqueeze(1))
            elif self.restart_by == "idle" or step % self.restart_every == 0:
                self._restart(state, latents, streams)

    def _means(self, state: State) -> Tensor:
        """The codewords that moving averages give, (trials, codes, dim)."""
        counts = state["counts"].unsqueeze(-1)
        if self.smoothing:
            total = counts.sum(1, keepdim=True)
            return state["sums"] / ((counts + self.smoothing) / (total + self.codes * self.smoothing) * total)
        means = state["sums"] / counts.clamp_min(SMALLEST_COUNT)
        return torch.where(counts > SMALLEST_COUNT, means, state["codewords"])

    def _restart(self, state: State, latents: Tensor, streams: Streams) -> None:
        """Give dead codes another codeword, in place."""
        threshold = self.restart.unsqueeze(1)
        dead = rules.dead(self.restart_by, state["usage"], threshold, self.restart_every)
        if self.restart_by == "hits":
            candidates = rules.from_codewords(self.codebook(state), dead, streams)
        elif self.restart_by == "weighted_hits":
            candidates = rules.from_used_codewords(self.codebook(state), state["usage"], dead, streams)
        else:
            noise = self.restart.view(-1, 1, 1) if self.restart_by == "idle" else None
            candidates = rules.from_latents(latents, self.codes, noise, streams)
        self._place(state, candidates, dead)
        rules.forget(self.restart_by, state["usage"], dead, threshold)

    def _place_all(self, state: State, codewords: Tensor) -> None:
        """Put codewords (trials, codes, dim) in the places of all that there are."""
        self._place(state, codewords, torch.ones_like(codewords[..., 0], dtype=torch.bool))

    def _place(self, state: State, codewords: Tensor, chosen: Tensor) -> None:
        """Put codewords (trials, codes, dim) in the places of the chosen codes (trials, codes), or (trials, 1) for all."""
        if self.affine:
            scale, shift = self._affine(state)
            codewords = (codewords - shift) / scale
        state["codewords"].copy_(torch.where(chosen.unsqueeze(-1), codewords, state["codewords"]))
        if self.update_by == "ema":
            state["counts"].copy_(torch.where(chosen, 1.0, state["counts"]))
            state["sums"].copy_(torch.where(chosen.unsqueeze(-1), codewords, state["sums"]))


def by_means(one: Quantizer) -> Quantizer:
    """A quantizer like this one whose codebooks, those of its parts too, ``fit`` makes by k-means."""
    changed: dict[str, Any] = {
        field.name: by_means(value) for field in fields(one) if isinstance(value := getattr(one, field.name), Quantizer)
    }
    if isinstance(one, VectorQuantizer):
        changed["init_by"] = "kmeans++"
    return replace(one, **changed)
