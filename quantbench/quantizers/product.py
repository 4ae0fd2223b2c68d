"""Product quantization: groups of latent dimensions with a quantizer each."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.components import State, at_least, component, total
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer, Trace
from quantbench.quantizers.parts import OFFERS, check_part, check_part_dim, measured, one_state, part_of, traces
from quantbench.quantizers.vector import VectorQuantizer
from quantbench.streams import Streams


@component
class Product(Quantizer):
    """``groups`` equal parts of the latent's dimensions, each with its own quantizer of one kind.

    Jégou et al. (2011), IEEE TPAMI 33(1); grouped codes in neural codecs: Yang et al. (2023), arXiv 2305.02765. A gradient
    strategy acts on every group by itself. The loss is the mean of those of the groups.

    Formula: ``(Q1(y1), Q2(y2), ...)``, of ``vq``: ``Qi(yi) = ci[ki]``, ``ki = argmin |yi - ci|``
    Source: Jégou et al. (2011), IEEE TPAMI 33(1); Yang et al. (2023), arXiv 2305.02765.
    Recommended: as for the quantizer of a group.
    Compared with: its definition.

    Attributes:
        part: the quantizer of a group.
        groups: number of parts of the latent.
    """

    sizes = ("groups",)
    cost = 0.2

    part: Quantizer = VectorQuantizer(codes=16)
    groups: int = 2

    def check(self) -> None:
        at_least("quantizer.groups", self.groups, 1)
        check_part("quantizer.part", self.part)

    @property
    def updates(self) -> bool:
        return self.part.updates

    def check_dim(self, dim: int) -> None:
        if dim % self.groups:
            raise ConfigError(f"quantizer.groups={self.groups}: must divide codec.latent_dim={dim}")
        check_part_dim("quantizer.part", self.part, dim // self.groups)

    def check_latents(self, dim: int, latents: int) -> None:
        self.part.check_latents(dim // self.groups, latents)

    @property
    def offers(self) -> frozenset[str]:
        return self.part.offers & OFFERS

    @property
    def bounds(self) -> bool:
        return self.part.bounds

    def finer(self, latents: Tensor) -> float | Tensor | None:
        finer = self.part.finer(self._split(latents)[0])
        return finer.repeat(self.groups) if isinstance(finer, Tensor) else finer

    def centre(self, latents: Tensor) -> Tensor | None:
        centre = self.part.centre(self._split(latents)[0])
        return None if centre is None else centre.repeat(self.groups)

    def alphabet(self, dim: int) -> list[int]:
        return self.part.alphabet(dim // self.groups) * self.groups

    def parts(self, dim: int) -> list[int]:
        return [len(self.part.alphabet(dim // self.groups))] * self.groups

    def init(self, streams: Streams, dim: int) -> State:
        return one_state([self.part.init(streams, dim // self.groups) for _ in range(self.groups)])

    def fit_frames(self, batch: int) -> int:
        return self.part.fit_frames(batch)

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        for own, part in self._pairs(state, latents):
            self.part.fit(own, part, streams)

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return _cat([self.part.prepare(*pair) for pair in self._pairs(state, latents)])

    def restore(self, state: State, values: Tensor) -> Tensor:
        return _cat([self.part.restore(*pair) for pair in self._pairs(state, values)])

    def quantize(self, state: State, latents: Tensor) -> Code:
        return _code([self.part.quantize(*pair) for pair in self._pairs(state, latents)])

    def decode(self, state: State, indices: Tensor) -> Tensor:
        return _cat([self.part.decode(*pair) for pair in self._pairs(state, indices)])

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        every = [self.part.forward(*pair, pass_through, moment) for pair in self._pairs(state, latents)]
        return Passed(_cat([one.received for one in every]), *_learned([(one.code, one.loss, one.trace) for one in every]))

    def received(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Tensor:
        return _cat([self.part.received(*pair, pass_through, moment) for pair in self._pairs(state, latents)])

    def learned(self, state: State, latents: Tensor, moment: Moment) -> tuple[Code, Tensor, Trace]:
        return _learned([self.part.learned(*pair, moment) for pair in self._pairs(state, latents)])

    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        for number, own in enumerate(traces(trace, self.groups)):
            self.part.update(part_of(state, number), own, streams, step)

    def measure(self, state: State, indices: Tensor, exact: bool = False) -> dict[str, Tensor]:
        return measured(self.part, [part_of(state, number) for number in range(self.groups)], indices, exact)

    def _pairs(self, state: State, tensor: Tensor) -> list[tuple[State, Tensor]]:
        return [(part_of(state, number), part) for number, part in enumerate(self._split(tensor))]

    def _split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        return tensor.chunk(self.groups, dim=-1)


def _cat(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, dim=-1)


def _code(codes: list[Code]) -> Code:
    indices = [code.indices for code in codes if code.indices is not None]
    return Code(_cat([code.values for code in codes]), _cat(indices))


def _learned(parts: list[tuple[Code, Tensor, Trace]]) -> tuple[Code, Tensor, Trace]:
    codes, losses, own = zip(*parts, strict=True)
    return _code(list(codes)), total(losses) / len(losses), [entry for trace in own for entry in trace]
