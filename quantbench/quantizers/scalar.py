"""Quantizers that treat every latent dimension alone: a uniform one and FSQ."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quantbench.components import PerTrial, State, at_least, component, over_frames
from quantbench.errors import ConfigError
from quantbench.quantizers.base import SOFT, STEP, Code, Quantizer

Levels = int | tuple[int, ...]


@component
class PerDimension(Quantizer):
    """A quantizer with ``levels`` levels in every latent dimension.

    Attributes:
        levels: one number for all dimensions, or one a dimension.
    """

    levels: Levels = 2

    offers = frozenset({SOFT, STEP})

    def check(self) -> None:
        super().check()
        at_least("quantizer.levels", self.levels, 2)

    def check_dim(self, dim: int) -> None:
        if not isinstance(self.levels, int) and len(self.levels) != dim:
            raise ConfigError(
                f"quantizer.levels={list(self.levels)}: {len(self.levels)} entries for codec.latent_dim={dim}; "
                f"give one number, or one a latent dimension"
            )

    def alphabet(self, dim: int) -> list[int]:
        return [self.levels] * dim if isinstance(self.levels, int) else list(self.levels)

    def _counts(self, latents: Tensor) -> Tensor:
        """Levels per dimension, (dim,)."""
        return torch.tensor(self.alphabet(latents.shape[-1]), dtype=latents.dtype, device=latents.device)

    def _grid(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest level and distance of neighbouring levels, (dim,) each."""
        raise NotImplementedError

    def quantize(self, state: State, latents: Tensor) -> Code:
        lowest, step = self._grid(latents)
        level = torch.round((latents.detach() - lowest) / step)
        level = torch.minimum(level.clamp_min(0), self._counts(latents) - 1)
        return Code(lowest + step * level, level.nan_to_num(0).long())

    def soft(self, state: State, latents: Tensor, temperature: float | Tensor) -> Tensor:
        lowest, step = self._grid(latents)
        counts = self._counts(latents)
        number = torch.arange(int(counts.max()), dtype=latents.dtype, device=latents.device)
        levels = lowest[:, None] + step[:, None] * number  # (dim, largest count)
        distance = (latents.unsqueeze(-1) - levels).square()
        logits = -distance / _last_axis(temperature)
        logits = logits.masked_fill(number >= counts[:, None], -math.inf)
        return (torch.softmax(logits, dim=-1) * levels).sum(-1)

    def step(self, state: State, latents: Tensor) -> Tensor:
        return self._grid(latents)[1]


@component
class Uniform(PerDimension):
    """Bounded uniform quantizer: ``levels`` equally spaced values from ``-range`` to ``range``, the nearest one wins.

    Attributes:
        range: the outermost level.
    """

    commitment: PerTrial = 0.25
    range: float = 1.0

    def check(self) -> None:
        super().check()
        if self.range <= 0:
            raise ConfigError(f"quantizer.range={self.range}: must be above 0")

    def _grid(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        counts = self._counts(latents)
        return torch.full_like(counts, -self.range), 2 * self.range / (counts - 1)


@component
class FSQ(PerDimension):
    """Finite scalar quantization: bound every dimension by a tanh, then round.

    Mentzer et al. (2024), arXiv 2309.15505. ``prepare`` maps a latent z to ``h tanh(z + s) - o`` with
    ``h = (levels - 1)(1 + 0.001)/2``, ``o`` = 1/2 for an even number of levels and 0 otherwise, ``s = artanh(o / h)``;
    ``quantize`` rounds to integers; ``restore`` divides by ``levels // 2``, so that codes lie in [-1, 1]. The paper trains
    without a commitment loss and advises at least 5 levels; with 2 the shift s is so large that the tanh starts saturated.
    """

    levels: Levels = 5

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        counts = self._counts(latents)
        half = (counts - 1) * (1 + 1e-3) / 2
        offset = 0.5 * (counts % 2 == 0)
        return torch.tanh(latents + torch.atanh(offset / half)) * half - offset

    def restore(self, state: State, values: Tensor) -> Tensor:
        return values / (self._counts(values) // 2)

    def _grid(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        counts = self._counts(latents)
        return -(counts // 2), torch.ones_like(counts)


def _last_axis(temperature: float | Tensor) -> float | Tensor:
    """A per-trial temperature (trials,) for tensors (trials, frames, dim, levels)."""
    spread = over_frames(temperature)
    return spread.unsqueeze(-1) if isinstance(spread, Tensor) else spread
