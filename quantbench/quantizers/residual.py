"""Residual quantization: each stage quantizes what the stages before it left over."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from quantbench.components import State, at_least, at_most, between, component, total, within
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer, Trace
from quantbench.quantizers.parts import OFFERS, check_part, check_part_dim, measured, one_state, part_of, traces
from quantbench.quantizers.vector import CodebookQuantizer, VectorQuantizer
from quantbench.streams import Streams


@component
class Residual(Quantizer):
    """``stages`` quantizers of one kind in a row; the code is the sum of the stages' codes.

    Zeghidour et al. (2021), arXiv 2107.03312. While training, a gradient strategy acts on every stage by itself, and the
    next stage sees the latent less what the strategy passed on; with STE the gradient through all stages together is then
    exactly that of one STE over the sum. Codebooks, and the losses of the stages, which add up, are trained on what the hard
    codes of the stages before left over: that is what evaluation will quantize.

    Stages whose cells are known are scaled: with L levels a dimension, stage i is L**i times finer, and splits every cell of
    stage i - 1 into L equal ones. A map that bounds the latent comes once, before the first stage. Of uniform levels behind a
    tanh this is our reading of the residual FSQ of the package vector-quantize-pytorch, of signs that of its residual LFQ.

    Formula: ``sum_i s**-i Q(s**i r_i)``, ``r_i`` what is left after stage i - 1, s the levels a dimension; of ``vq``: s = 1
    Source: Zeghidour et al. (2021), arXiv 2107.03312; vector-quantize-pytorch 1.32, ResidualFSQ and ResidualLFQ.
    Recommended: DAC: 9 stages of vq with 1024 codes, projection 8, search cosine, dropout 0.5 to 1, gradient codebooks;
    EnCodec: EMA with decay 0.99, k-means start, restarts; of scalar: a bound, and then no commitment loss; of lfq: as for lfq.
    Compared with: vector-quantize-pytorch; dropout with DAC's code, read.

    Attributes:
        stage: the quantizer of a stage.
        stages: number of stages.
        shared: whether all stages have one codebook.
        beam: how many sums of codes the search keeps from stage to stage, of stages with a codebook; the one with the least
            error is the code. While training, and with 1, each stage takes its best code.
        dropout: share of the items (frames of features, or waveforms) that a training step codes with a random number of
            stages, 1 to ``stages``, each equally likely (quantizer dropout of Zeghidour et al.; DAC's share is 1 in some
            releases, 0.5 in others). As in DAC's code, stages that an item does not use have no loss of it.
    """

    sizes = ("stages",)
    cost = 0.15

    stage: Quantizer = VectorQuantizer(codes=16)
    stages: int = 2
    shared: bool = False
    beam: int = 1
    dropout: float = 0.0

    def check(self) -> None:
        at_least("quantizer.stages", self.stages, 1)
        at_least("quantizer.beam", self.beam, 1)
        if self.beam > 1 and not isinstance(self.stage, CodebookQuantizer):
            raise ConfigError(f"quantizer.beam={self.beam}: needs stages with a codebook, as vq and simvq")
        if self.beam > 1 and isinstance(self.stage, CodebookQuantizer):
            at_most("quantizer.beam", self.beam, self.stage.codes)
        between("quantizer.dropout", self.dropout, 0, 1)
        check_part("quantizer.stage", self.stage)
        for name, part in within(self.stage, "quantizer.stage"):
            if isinstance(part, Residual) and part.dropout:
                raise ConfigError(f"{name}.dropout={part.dropout}: must be 0; quantizer.dropout drops whole stages")

    @property
    def updates(self) -> bool:
        return self.stage.updates

    def check_dim(self, dim: int) -> None:
        check_part_dim("quantizer.stage", self.stage, dim)

    def check_latents(self, dim: int, latents: int) -> None:
        self.stage.check_latents(dim, latents)

    @property
    def offers(self) -> frozenset[str]:
        return self.stage.offers & OFFERS

    @property
    def bounds(self) -> bool:
        return self.stage.bounds

    def finer(self, latents: Tensor) -> float | Tensor | None:
        finer = self.stage.finer(latents)
        return None if finer is None else finer**self.stages

    def centre(self, latents: Tensor) -> Tensor | None:
        return self.stage.centre(latents)

    def alphabet(self, dim: int) -> list[int]:
        return self.stage.alphabet(dim) * self.stages

    def init(self, streams: Streams, dim: int) -> State:
        return one_state([self.stage.init(streams, dim) for _ in range(1 if self.shared else self.stages)])

    def fit_frames(self, batch: int) -> int:
        return self.stage.fit_frames(batch)

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        if self.bounds:  # and so has no state
            return
        for number, own in enumerate(self._own(state)):
            if number == 0 or not self.shared:
                self.stage.fit(own, self._scaled(number, latents), streams)
            latents = latents - self._hard(own, number, latents)[1]

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return self.stage.prepare({}, latents) if self.bounds else latents

    def restore(self, state: State, values: Tensor) -> Tensor:
        return self.stage.restore({}, values) if self.bounds else values

    def quantize(self, state: State, latents: Tensor) -> Code:
        if self.beam > 1:
            return self._searched(state, latents)
        values = torch.zeros_like(latents)
        indices = []
        for number, own in enumerate(self._own(state)):
            index, part = self._hard(own, number, latents - values)
            values = values + part
            indices.append(index)
        return Code(values, torch.cat(indices, dim=-1))

    def _searched(self, state: State, latents: Tensor) -> Code:
        """The code that a beam of sums finds."""
        assert isinstance(self.stage, CodebookQuantizer)
        trials, frames, dim = latents.shape
        sums, chosen = latents.new_zeros(trials, frames, 1, dim), latents.new_zeros(trials, frames, 1, 0, dtype=torch.long)
        with torch.no_grad():
            for number, own in enumerate(self._own(state)):
                rest = (latents.unsqueeze(2) - sums).flatten(1, 2)
                best = self.stage.best(own, self._in(own, number, rest), self.beam)
                parts = self._out(own, number, self.stage.decode(own, best.flatten(1).unsqueeze(-1)))
                width = sums.shape[2]
                every = sums.unsqueeze(3) + parts.view(trials, frames, width, self.beam, dim)
                error = (latents.view(trials, frames, 1, 1, dim) - every).square().sum(-1).flatten(2)
                place = error.topk(min(self.beam, error.shape[-1]), dim=-1, largest=False).indices
                sums = every.flatten(2, 3).gather(2, place.unsqueeze(-1).expand(-1, -1, -1, dim))
                before = chosen.gather(2, (place // self.beam).unsqueeze(-1).expand(-1, -1, -1, number))
                chosen = torch.cat([before, best.view(trials, frames, -1).gather(2, place).unsqueeze(-1)], dim=-1)
        indices = chosen[:, :, 0]
        return Code(self.decode(state, indices), indices)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        return total(self.added(state, indices))

    def added(self, state: State, indices: Tensor) -> list[Tensor]:
        """What each stage adds to the sum, (trials, frames, dim) each."""
        pairs = zip(self._own(state), indices.chunk(self.stages, dim=-1), strict=True)
        return [self._out(own, number, self.stage.decode(own, part)) for number, (own, part) in enumerate(pairs)]

    def parts(self, dim: int) -> list[int]:
        return [len(self.stage.alphabet(dim))] * self.stages

    def prefixes(self, state: State, indices: Tensor) -> Iterator[Tensor]:
        return itertools.accumulate(self.added(state, indices))

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        # Two residuals: what the strategy left over carries the decoder's gradient; what the hard codes left over trains the
        # codebooks, which evaluation will use on just that, and brings every stage's commitment loss to the encoder.
        mask = self._mask(latents, moment)
        received = self.received(state, latents, pass_through, moment, mask)
        return Passed(received, *self.learned(state, latents, moment, mask))

    def received(
        self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment, mask: Tensor | None = None
    ) -> Tensor:
        """As in the base; ``mask``, (trials, frames, stages), is 1 for stages that code a frame and 0 for others; None: all."""
        parts = []
        for number, own in enumerate(self._own(state)):
            inner = self._in(own, number, latents)
            if mask is None:
                part = self._out(own, number, self.stage.received(own, inner, pass_through, moment))
                parts.append(part)
            else:
                used = mask[..., number : number + 1]
                counted = used.detach()
                counting, now = pass_through.counting(counted), dataclasses.replace(moment, counted=counted)
                part = self._out(own, number, self.stage.received(own, inner, counting, now))
                parts.append(part * used)
            latents = latents - part
        return total(parts)

    def learned(self, state: State, latents: Tensor, moment: Moment, mask: Tensor | None = None) -> tuple[Code, Tensor, Trace]:
        """As in the base; ``mask`` as in ``received``."""
        values, indices, losses, trace = [], [], [], []
        for number, own in enumerate(self._own(state)):
            inner = self._in(own, number, latents)
            if mask is None:
                code, loss, entries = self.stage.learned(own, inner, moment)
            else:
                counted = mask[..., number : number + 1].detach()
                code, loss, entries = self.stage.learned(own, inner, dataclasses.replace(moment, counted=counted))
                loss = loss * counted.mean((1, 2))
            part = self._out(own, number, code.values)
            values.append(part if mask is None else part * counted)
            indices.append(code.indices)
            losses.append(loss)
            trace += entries
            latents = latents - part.detach()
        code = Code(total(values), torch.cat([index for index in indices if index is not None], dim=-1))
        return code, total(losses), trace

    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        stages = traces(trace, self.stages)
        if self.shared:
            stages = [[_together(entries) for entries in zip(*stages, strict=True)]]
        for number, entries in enumerate(stages):
            self.stage.update(part_of(state, number), entries, streams, step)

    def _mask(self, latents: Tensor, moment: Moment) -> Tensor | None:
        """Which stages code each frame, (trials, frames, stages); None for all of them."""
        if not self.dropout or not moment.training:
            return None
        items = latents.shape[1] // moment.item
        drawn = moment.streams.integers("stages", self.stages, items, 1) + 1
        dropped = torch.arange(items, device=latents.device).unsqueeze(1) < int(items * self.dropout)
        used = torch.where(dropped, drawn, self.stages).repeat_interleave(moment.item, dim=1)
        return (used > torch.arange(self.stages, device=latents.device)).to(latents.dtype)

    def measure(self, state: State, indices: Tensor, exact: bool = False) -> dict[str, Tensor]:
        return measured(self.stage, self._own(state), indices, exact)

    def _own(self, state: State) -> list[State]:
        """The state of each stage."""
        return [part_of(state, 0 if self.shared else number) for number in range(self.stages)]

    def _scaled(self, number: int, values: Tensor, *, back: bool = False) -> Tensor:
        """Latents as large as those of the first stage; or codes ``back`` from there."""
        finer = self.stage.finer(values)
        if finer is None:  # no scale, and no work for one at every step
            return values
        return values * finer**-number if back else values / finer**-number

    def _in(self, own: State, number: int, latents: Tensor) -> Tensor:
        """What a stage quantizes, of what is left over."""
        latents = self._scaled(number, latents)
        centre = self.stage.centre(latents) if number else None
        if centre is not None:
            latents = latents + centre
        return latents if self.bounds else self.stage.prepare(own, latents)

    def _out(self, own: State, number: int, values: Tensor) -> Tensor:
        """A stage's values as a part of the sum."""
        centre = self.stage.centre(values) if number else None
        if centre is not None:
            values = values - centre
        return self._scaled(number, values if self.bounds else self.stage.restore(own, values), back=True)

    def _hard(self, own: State, number: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of one stage, and its part of the sum."""
        code = self.stage.quantize(own, self._in(own, number, latents))
        assert code.indices is not None
        return code.indices, self._out(own, number, code.values)


def _together(entries: tuple[tuple[Tensor, Code], ...]) -> tuple[Tensor, Code]:
    """Latents and codes of several stages as frames of one."""
    latents = torch.cat([latents for latents, _ in entries], dim=1)
    values = torch.cat([code.values for _, code in entries], dim=1)
    indices = torch.cat([code.indices for _, code in entries if code.indices is not None], dim=1)
    return latents, Code(values, indices)
