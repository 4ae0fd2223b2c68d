"""Product quantization: groups of latent dimensions with a codebook each."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from quantbench.components import State, component
from quantbench.errors import ConfigError
from quantbench.quantizers.base import CODEBOOK, SOFT, Code, Moment, Passed, PassThrough
from quantbench.quantizers.vector import VectorQuantizer
from quantbench.streams import Streams


@component
class ProductVQ(VectorQuantizer):
    """``groups`` equal parts of the latent's dimensions, each with its own codebook of ``codes`` vectors.

    Jégou et al. (2011), IEEE TPAMI 33(1); grouped codes in neural codecs: Yang et al. (2023), arXiv 2305.02765. A gradient
    strategy acts on every group by itself.

    Formula: ``(c1[k1], c2[k2], ...)``, ``ki = argmin |yi - ci|``
    Source: Jégou et al. (2011), IEEE TPAMI 33(1); Yang et al. (2023), arXiv 2305.02765.
    Recommended: as for vq.

    Attributes:
        groups: number of parts of the latent.
    """

    offers = frozenset({CODEBOOK, SOFT})

    sizes = ("codes", "groups")
    cost = 0.6

    codes: int = 16
    groups: int = 2

    def check_dim(self, dim: int) -> None:
        if self.groups < 1 or dim % self.groups:
            raise ConfigError(f"quantizer.groups={self.groups}: must divide codec.latent_dim={dim}")

    @property
    def group(self) -> VectorQuantizer:
        """The quantizer of any one group."""
        return VectorQuantizer(**{field.name: getattr(self, field.name) for field in fields(VectorQuantizer)})

    def alphabet(self, dim: int) -> list[int]:
        return [self.codes] * self.groups

    def init(self, streams: Streams, dim: int) -> State:
        groups = [self.group.init(streams, dim // self.groups) for _ in range(self.groups)]
        return {f"{i}.{name}": tensor for i, group in enumerate(groups) for name, tensor in group.items()}

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        for own, part in zip(self._own(state), self._parts(latents), strict=True):
            self.group.fit(own, part, streams)

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return self._joined([self.group.prepare(*pair) for pair in self._pairs(state, latents)])

    def restore(self, state: State, values: Tensor) -> Tensor:
        return self._joined([self.group.restore(*pair) for pair in self._pairs(state, values)])

    def quantize(self, state: State, latents: Tensor) -> Code:
        return _join([self.group.quantize(*pair) for pair in self._pairs(state, latents)])

    def decode(self, state: State, indices: Tensor) -> Tensor:
        return self._joined([self.group.decode(*pair) for pair in self._pairs(state, indices)])

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        passed = [self.group.forward(own, part, pass_through, moment) for own, part in self._pairs(state, latents)]
        return Passed(
            self._joined([one.received for one in passed]),
            _join([one.code for one in passed]),
            torch.stack([one.loss for one in passed]).mean(0),
            [entry for one in passed for entry in one.trace],
        )

    def update(self, state: State, trace: list[tuple[Tensor, Code]], streams: Streams, step: int) -> None:
        for own, entry in zip(self._own(state), trace, strict=True):
            self.group.update(own, [entry], streams, step)

    def _pairs(self, state: State, tensor: Tensor) -> list[tuple[State, Tensor]]:
        return list(zip(self._own(state), self._parts(tensor), strict=True))

    def _own(self, state: State) -> list[State]:
        return [
            {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(f"{i}.")}
            for i in range(self.groups)
        ]

    def _parts(self, tensor: Tensor) -> list[Tensor]:
        return list(tensor.chunk(self.groups, dim=-1))

    @staticmethod
    def _joined(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, dim=-1)


def _join(codes: list[Code]) -> Code:
    indices = [code.indices for code in codes if code.indices is not None]
    return Code(torch.cat([code.values for code in codes], dim=-1), torch.cat(indices, dim=-1))
