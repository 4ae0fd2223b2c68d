"""VRVQ: residual quantization with a number of stages that a network chooses for every frame."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from quantbench.components import Factor, PerTrial, State, above, at_least, between, component, constant, product, total
from quantbench.entropy import entropy
from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer, Trace
from quantbench.quantizers.parts import OFFERS, check_part, check_part_dim
from quantbench.quantizers.residual import Residual
from quantbench.quantizers.vector import VectorQuantizer
from quantbench.streams import Streams


@component
class VRVQ(Quantizer):
    """Variable rate residual quantization: a frame of importance p is coded by 1 to ``stages`` stages.

    Chae et al. (2024), arXiv 2410.06016. A network gives every frame an importance p between 0 and 1. Stage k = 0, 1, ... codes
    it where ``s = p level stages`` is at least k. Backward, that step has the slope of a smooth one,
    ``f(x) = 1/2 + log(cosh(a (x + 1/2)) / cosh(a (x - 1/2))) / 2 a`` of x = s - k. The mean importance is in the loss. While
    training, the level of an item (a frame of features, or a waveform) is uniform on ``level_min`` to ``level_max``, and the
    last items of a step, the share ``full``, use all stages and have no part in that mean. A stage has no loss of frames
    that it does not code. As in ``residual``, the commitment loss of every stage reaches the encoder, as of what the hard codes
    before left over. In the authors' code that of a later stage reaches it through ``I - W_out W_in`` of the projections of
    every stage before: not at all, were there none. At evaluation the level is ``level``: one codec serves many rates.

    The authors' network reads features from before the encoder's last layer, by convolutions over time. Here a network with one
    hidden layer reads the encoder's output frame by frame; it starts with p near 1/2, as theirs. In a codec of frames
    that is all there is to see; of waveforms it is our reading.

    The rate varies from frame to frame, so there is no nominal one. A slot of a stage that does not code a frame holds a
    further symbol. ``spent_bits`` are the entropy of the number of stages, and of every slot the entropy of the codes of those
    frames that have one, times their share: what an entropy coder without context spends that first tells how many stages
    follow; corrected for the size of a sample, as of any quantizer (``quantbench.entropy``). ``fixed_bits`` are the same with
    codes of fixed length; the authors' rate is ``fixed_bits`` less ``count_bits``: they do not count what telling the number
    costs. The further symbol is one of the codes in ``usage`` and ``perplexity``, and in ``entropy_bits``, which is larger
    than ``spent_bits`` for it.

    Formula: ``sum_k [s >= k] Q_k(r_k)``, ``s = p level stages``; slope ``(tanh(a (x + 1/2)) - tanh(a (x - 1/2))) / 2``
    Source: Chae et al. (2024), arXiv 2410.06016 (SonyResearch/VRVQ, a copy at lixinghe1999/VRVQ).
    Recommended: 8 stages of vq, 1024 codes, projection 8, search cosine; alpha 2, levels 0.125 to 6, full 0.25, rate weight 2
    against 15 for the mel loss.
    Compared with: the formula of the authors' code, which was read.

    Attributes:
        stage: the quantizer of a stage.
        stages: most stages of a frame.
        level: at evaluation; with more, frames have more stages.
        level_min, level_max: while training.
        full: share of the items that use all stages while training.
        alpha: steepness of the smooth step.
        rate_weight: weight of the mean importance in the loss.
        hidden: units of the network.
    """

    metrics = (
        Metric("stages_used", "stages that code a frame, mean"),
        Metric("count_bits", "entropy of the number of stages that code a frame", "bits"),
        Metric("fixed_bits", "bits of a frame with codes of fixed length, and count_bits", "bits"),
    )

    alone = "its codes have no fixed length"
    sizes = ("stages", "level", "rate_weight")
    cost = 1.9

    stage: Quantizer = VectorQuantizer(codes=16)
    stages: int = 4
    level: Factor = 1.0
    level_min: Factor = 0.125
    level_max: Factor = 6.0
    full: float = 0.25
    alpha: Factor = 2.0
    rate_weight: PerTrial = 0.1
    hidden: int = 32

    def check(self) -> None:
        at_least("quantizer.stages", self.stages, 1)
        above("quantizer.level", self.level, 0)
        above("quantizer.level_min", self.level_min, 0)
        if self.level_max < self.level_min:
            raise ConfigError(f"quantizer.level_max={self.level_max}: must be at least quantizer.level_min={self.level_min}")
        between("quantizer.full", self.full, 0, 1)
        above("quantizer.alpha", self.alpha, 0)
        at_least("quantizer.rate_weight", self.rate_weight, 0)
        at_least("quantizer.hidden", self.hidden, 1)
        check_part("quantizer.stage", self.stage)

    def check_dim(self, dim: int) -> None:
        check_part_dim("quantizer.stage", self.stage, dim)

    def check_latents(self, dim: int, latents: int) -> None:
        self.stage.check_latents(dim, latents)

    @property
    def offers(self) -> frozenset[str]:
        return self.stage.offers & OFFERS

    @property
    def _all(self) -> Residual:
        """The residual quantizer of all stages."""
        return Residual(self.stage, self.stages)

    def alphabet(self, dim: int) -> list[int]:
        each = self.stage.alphabet(dim)
        return each + [codes + 1 for codes in each] * (self.stages - 1)

    def nominal_bits(self, dim: int) -> float | None:
        return None

    def init(self, streams: Streams, dim: int) -> State:
        state = self._all.init(streams, dim)
        for layer, (rows, columns) in enumerate([(dim, self.hidden), (self.hidden, 1)]):
            scale = 0.1 if layer else 1.0  # of the last layer, so that p starts near 1/2
            state[f"weight{layer}"] = nn.Parameter(scale * streams.normal("codebook", rows, columns) / rows**0.5)
            state[f"bias{layer}"] = nn.Parameter(torch.zeros_like(state[f"weight{layer}"][:, :1]))
        return state

    def fit_frames(self, batch: int) -> int:
        return self._all.fit_frames(batch)

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        self._all.fit(state, latents, streams)

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return self._all.prepare(state, latents)

    def restore(self, state: State, values: Tensor) -> Tensor:
        return self._all.restore(state, values)

    def quantize(self, state: State, latents: Tensor) -> Code:
        code = self._all.quantize(state, latents)
        assert code.indices is not None
        with torch.no_grad():
            mask = self._mask(self.importance(state, latents) * self.level)
        indices = self._marked(state, code.indices, mask)
        return Code(self.decode(state, indices), indices)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        return total(self._added(state, indices))

    def parts(self, dim: int) -> list[int]:
        return self._all.parts(dim)

    def prefixes(self, state: State, indices: Tensor) -> Iterator[Tensor]:
        return itertools.accumulate(self._added(state, indices))

    def _added(self, state: State, indices: Tensor) -> list[Tensor]:
        """What each stage adds to the sum, (trials, frames, dim) each: nothing where a frame does not use it."""
        used = self._used(state, indices)
        parts = self._all.added(state, indices.minimum(self._further(state) - 1))
        return [part * used[..., stage : stage + 1] for stage, part in enumerate(parts)]

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        importance = self.importance(state, latents)
        items = latents.shape[1] // moment.item
        kept, level = items, self.level
        if moment.training:
            kept = items - int(items * self.full)
            share = moment.streams.uniform("level", items, 1).repeat_interleave(moment.item, dim=1)
            level = self.level_min + (self.level_max - self.level_min) * share
        mask = self._mask(importance * level)
        first = slice(0, kept * moment.item)
        mask = torch.cat([mask[:, first], torch.ones_like(mask[:, first.stop :])], dim=1)
        received = self._all.received(state, latents, pass_through, moment, mask)
        code, loss, trace = self._all.learned(state, latents, moment, mask)
        assert code.indices is not None
        if kept:
            loss = loss + self.rate_weight * importance[:, first].mean((1, 2))
        return Passed(received, Code(code.values, self._marked(state, code.indices, mask)), loss, trace)

    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        self._all.update(state, trace, streams, step)

    def importance(self, state: State, latents: Tensor) -> Tensor:
        """The importance p of every frame, (trials, frames, 1)."""
        hidden = torch.relu(product(latents, state["weight0"], state["bias0"]))
        # A sigmoid; torch's own rounds by a number's place in a tensor, so by the number of trials.
        return 0.5 + 0.5 * torch.tanh(0.5 * product(hidden, state["weight1"], state["bias1"]))

    def measure(self, state: State, indices: Tensor, exact: bool = False) -> dict[str, Tensor]:
        used = self._used(state, indices)
        each = self.stage.alphabet(state["weight0"].shape[1])
        count = _entropies(list(used.sum(-1).cpu()), self.stages, exact)  # 1 to all of them
        share = used.double().mean(1).cpu()
        spent, fixed = count.clone(), count.clone()
        for slot, codes in enumerate(each * self.stages):
            of_slot = share[:, slot // len(each)]
            spent += of_slot * _entropies([trial[trial < codes] for trial in indices[..., slot].cpu()], codes, exact)
            fixed += of_slot * math.log2(codes)
        return {"stages_used": share.sum(-1), "count_bits": count, "fixed_bits": fixed, "spent_bits": spent}

    def _mask(self, scaled: Tensor) -> Tensor:
        """Which stages code frames of scaled importance (trials, frames, 1): (trials, frames, stages), with the slope of f."""
        # Stage by stage: a gradient that is summed over so short an axis would round by the number of trials.
        return torch.cat([self._step(scaled * self.stages - stage) for stage in range(self.stages)], dim=-1)

    def _step(self, left: Tensor) -> Tensor:
        """1 from 0 on and 0 below, with the slope of f."""
        slope = (torch.tanh(self.alpha * (left + 0.5)) - torch.tanh(self.alpha * (left - 0.5))) / 2
        return (left >= 0).to(left.dtype) + slope.detach() * (left - left.detach())

    def _further(self, state: State) -> Tensor:
        """The further symbol of every slot, (slots,): the number of its codes."""
        codes = self.stage.alphabet(state["weight0"].shape[1]) * self.stages
        return constant(tuple(codes), torch.long, state["weight0"].device)

    def _marked(self, state: State, indices: Tensor, mask: Tensor) -> Tensor:
        """Indices with the further symbol in the slots of stages that do not code a frame."""
        slots = indices.shape[-1] // self.stages
        return torch.where(mask.repeat_interleave(slots, dim=-1) > 0.5, indices, self._further(state))

    def _used(self, state: State, indices: Tensor) -> Tensor:
        """Which stages code each frame, (trials, frames, stages)."""
        slots = indices.shape[-1] // self.stages
        return (indices < self._further(state))[..., ::slots]


def _entropies(symbols: list[Tensor], most: int, exact: bool) -> Tensor:
    """Entropies in bits, (trials,), of each trial's integers (number,) of ``most`` values; 0 of none."""
    counts = [one.bincount().double().numpy() for one in symbols]
    bits = [entropy(one, math.log2(most), exact).bits if one.any() else 0.0 for one in counts]
    return torch.tensor(bits, dtype=torch.float64)
