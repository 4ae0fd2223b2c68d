"""Quantizers that treat every latent dimension alone."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from quantbench.components import PerTrial, State, above, at_least, component, constant, trial_mean
from quantbench.errors import ConfigError
from quantbench.quantizers.base import DITHER, GRID, SOFT, WHOLE, Code, Committed, Grid, Moment
from quantbench.streams import Streams

Levels = int | tuple[int, ...]

SMALLEST_STEP = 1e-6
MARGIN = 1e-3
"""Of FSQ's bound against the outermost levels."""


@component
class PerDimension(Committed):
    """A quantizer with a grid of levels in every latent dimension; the nearest level is the code."""

    offers = frozenset({SOFT, GRID, DITHER, WHOLE})

    @abstractmethod
    def grid(self, latents: Tensor) -> Grid:
        """The levels."""

    def quantize(self, state: State, latents: Tensor) -> Code:
        grid = self.grid(latents)
        level = grid.clamp(torch.round((latents.detach() - grid.lowest) / grid.step)).nan_to_num(0)
        return Code(grid.lowest + grid.step * level, level.long())

    def decode(self, state: State, indices: Tensor) -> Tensor:
        level = indices.to(torch.float32)
        grid = self.grid(level)
        return grid.lowest + grid.step * level

    def logits(self, state: State, latents: Tensor, temperature: Tensor) -> Tensor:
        grid = self.grid(latents)
        levels = self._levels(grid)
        logits = -(latents.unsqueeze(-1) - levels).square() / temperature.unsqueeze(-1)
        return logits.masked_fill(levels > grid.highest[:, None] + grid.step[:, None] / 2, -math.inf)

    def mixture(self, state: State, weights: Tensor) -> Tensor:
        # The trailing axis is short: summed level by level, every trial's numbers are the same in any stack.
        levels = self._levels(self.grid(weights[..., 0]))
        return sum((weights[..., i] * levels[:, i] for i in range(1, levels.shape[1])), weights[..., 0] * levels[:, 0])

    def dither(self, state: State, latents: Tensor, moment: Moment) -> Tensor:
        return self.grid(latents).step * (moment.uniform(latents) - 0.5)

    def _counts(self, latents: Tensor) -> Tensor:
        """Levels per dimension, (dim,)."""
        return constant(tuple(self.alphabet(latents.shape[-1])), latents.dtype, latents.device)

    def _levels(self, grid: Grid) -> Tensor:
        """All levels, (dim, largest count)."""
        number = torch.arange(max(self.alphabet(len(grid.counts))), dtype=grid.step.dtype, device=grid.step.device)
        return grid.lowest[:, None] + grid.step[:, None] * number


@component
class Leveled(PerDimension):
    """A quantizer with ``levels`` levels in every latent dimension.

    Attributes:
        levels: one number for all dimensions, or one a dimension.
    """

    sizes: ClassVar[tuple[str, ...]] = ("levels",)

    levels: Levels = 2

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

    def finer(self, latents: Tensor) -> float | Tensor:
        return float(self.levels) if isinstance(self.levels, int) else self._counts(latents)


@component
class Uniform(Leveled):
    """Bounded uniform quantizer: ``levels`` equally spaced values from ``-range`` to ``range``, the nearest one wins.

    Formula: nearest of ``-range + 2 range i / (levels - 1)``
    Source: Max (1960), IRE Trans. Inf. Theory 6(1).
    Recommended: a commitment loss with STE, or a bound.
    Compared with: the table of the paper.

    Attributes:
        range: the outermost level.
        bound: what keeps latents z within the cells: ``none``; ``tanh``: ``b tanh(z / b)``, b being the outer edge of the
            outer cells, ``range levels / (levels - 1)``; or ``inside``: ``range tanh(z)``, between the outermost levels, as for
            the symmetric levels of TAAE (arXiv 2411.19842).
    """

    bounds = True

    commitment: PerTrial = 0.25
    range: float = 1.0
    bound: Literal["none", "tanh", "inside"] = "none"

    def check(self) -> None:
        super().check()
        above("quantizer.range", self.range, 0)

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        if self.bound == "none":
            return latents
        if self.bound == "inside":
            return self.range * torch.tanh(latents)
        counts = self._counts(latents)
        edge = self.range * counts / (counts - 1)
        return edge * torch.tanh(latents / edge)

    def grid(self, latents: Tensor) -> Grid:
        counts = self._counts(latents)
        return Grid(torch.full_like(counts, -self.range), 2 * self.range / (counts - 1), counts)


@component
class LSQ(Leveled):
    """Learned step size quantization: ``s round(clip(y / s, -n, p))`` with one learned step s.

    Esser et al. (2020), arXiv 1902.08153; n = levels // 2, p = levels - 1 - n, as for signed integers. ``prepare`` divides by
    s and clips, ``restore`` multiplies: with STE between them the gradient to s is ``round(v) - v`` inside the range and -n or
    p outside, as in the paper. It is scaled by ``1 / sqrt(dim p)``; s starts at ``2 mean|y| / sqrt(p)`` (p at least 1).

    Formula: ``s round(clip(y/s, -n, p))``, gradient of s times ``1/sqrt(dim p)``
    Source: Esser et al. (2020), arXiv 1902.08153.
    Recommended: no commitment loss.
    Compared with: the paper's equations, and code read (lsq-net).
    """

    levels: Levels = 4

    def init(self, streams: Streams, dim: int) -> State:
        return {"step": nn.Parameter(torch.ones(streams.trials, 1, 1, device=streams.device))}

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        state["step"].copy_(2 * trial_mean(latents.abs())[:, None, None] / math.sqrt(self._largest()))

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        grid = self.grid(latents)
        return (latents / self._step(state, latents)).maximum(grid.lowest).minimum(grid.highest)

    def restore(self, state: State, values: Tensor) -> Tensor:
        return values * self._step(state, values)

    def grid(self, latents: Tensor) -> Grid:
        counts = self._counts(latents)
        return Grid(-(counts // 2), torch.ones_like(counts), counts)

    def _largest(self) -> int:
        levels = self.levels if isinstance(self.levels, int) else max(self.levels)
        return max(1, levels - 1 - levels // 2)

    def _step(self, state: State, latents: Tensor) -> Tensor:
        """The step with its value kept and its gradient scaled."""
        step = state["step"].clamp_min(SMALLEST_STEP)
        scale = 1 / math.sqrt(latents.shape[-1] * self._largest())
        return step * scale + (step * (1 - scale)).detach()


@component
class FSQ(Leveled):
    """Finite scalar quantization: bound every dimension by a tanh, then round.

    Mentzer et al. (2024), arXiv 2309.15505. ``prepare`` maps a latent z to ``h tanh(z + s) - o`` with
    ``h = (levels - 1)(1 - 0.001)/2``, ``o`` = 1/2 for an even number of levels and 0 otherwise, ``s = tan(o / h)``;
    ``quantize`` rounds to integers; ``restore`` divides by ``levels // 2``, so that codes lie in [-1, 1]. The paper trains
    without a commitment loss and advises at least 5 levels.

    Formula: ``round(h tanh(z + s) - o) / (levels // 2)``
    Source: Mentzer et al. (2024), arXiv 2309.15505.
    Recommended: at least 5 levels, as 8, 5, 5, 5 for 1000 codes; no commitment loss.
    Compared with: the paper's listing; vector-quantize-pytorch (shift=artanh).

    Attributes:
        shift: of z, for even numbers of levels: ``tan``, as published; or ``artanh``, as in vector-quantize-pytorch: ``s =
            artanh(o / h)`` with ``h = (levels - 1)(1 + 0.001)/2``, so that z = 0 comes to the middle. With 2 levels that shift
            is so large that the tanh starts saturated.
    """

    bounds = True

    levels: Levels = 5
    shift: Literal["tan", "artanh"] = "tan"

    def centre(self, latents: Tensor) -> Tensor:
        return -0.5 * (self._counts(latents) % 2 == 0)

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        counts = self._counts(latents)
        offset = 0.5 * (counts % 2 == 0)
        if self.shift == "tan":
            half = (counts - 1) * (1 - MARGIN) / 2
            shift = torch.tan(offset / half)
        else:
            half = (counts - 1) * (1 + MARGIN) / 2
            shift = torch.atanh(offset / half)
        return torch.tanh(latents + shift) * half - offset

    def restore(self, state: State, values: Tensor) -> Tensor:
        return values / (self._counts(values) // 2)

    def grid(self, latents: Tensor) -> Grid:
        counts = self._counts(latents)
        return Grid(-(counts // 2), torch.ones_like(counts), counts)


@component
class IFSQ(Leveled):
    """FSQ whose bounding function makes a normal latent nearly uniform: ``2 sigmoid(1.6 z) - 1`` in the place of tanh.

    iFSQ, arXiv 2601.17124, whose code rounds ``(levels - 1)/2`` times that, for odd numbers of levels; even ones, with levels
    half-way between integers, are our reading. ``restore`` brings codes to [-1, 1].

    Formula: ``round((levels-1)/2 (2 sigmoid(1.6 z) - 1))``
    Source: arXiv 2601.17124 (Tencent-Hunyuan/iFSQ).
    Recommended: odd numbers of levels, 17 (4 bits a dimension) in the source.
    Compared with: the formula of the authors' code, which was read.
    """

    bounds = True

    levels: Levels = 5

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return (torch.sigmoid(1.6 * latents) - 0.5) * (self._counts(latents) - 1)

    def restore(self, state: State, values: Tensor) -> Tensor:
        return values * (2 / (self._counts(values) - 1))

    def grid(self, latents: Tensor) -> Grid:
        counts = self._counts(latents)
        return Grid((1 - counts) / 2, torch.ones_like(counts), counts)


@component
class CDF(Leveled):
    """``levels`` equal cells of the unit interval, to which a distribution function maps the latents; codes are midpoints.

    The quantizer of finite scalar perturbation, Zhai et al. (2026), arXiv 2602.17133, with the normal distribution function;
    ``restore`` brings a uniform value to zero mean and unit variance.

    Formula: ``sqrt(12) ((floor(levels F(z)) + 1/2) / levels - 1/2)``, F the normal distribution function
    Source: Zhai et al. (2026), arXiv 2602.17133.
    Recommended: gradient fsp.
    Compared with: vector-quantize-pytorch.

    Attributes:
        moments: weight of the loss ``0.1 mean(y)**2 + 0.07 (var(y) - 1)**2``, averaged over dimensions, that draws the
            encoder's output y to the distribution for which the cells are equally likely.
    """

    bounds = True

    levels: Levels = 5
    moments: PerTrial = 1.0

    def check(self) -> None:
        super().check()
        at_least("quantizer.moments", self.moments, 0)

    def centre(self, latents: Tensor) -> Tensor:
        return torch.full_like(latents[0, 0], 0.5)

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        mapped: Tensor = torch.special.ndtr(latents)
        return mapped

    def restore(self, state: State, values: Tensor) -> Tensor:
        return math.sqrt(12) * (values - 0.5)

    def grid(self, latents: Tensor) -> Grid:
        counts = self._counts(latents)
        return Grid(0.5 / counts, 1 / counts, counts)

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        encoded = torch.special.ndtri(latents.clamp(SMALLEST_STEP, 1 - SMALLEST_STEP))
        mean = moment.mean(encoded)
        variance = moment.mean((encoded - mean.unsqueeze(1)).square())
        drawn = 0.1 * mean.square().mean(1) + 0.07 * (variance - 1).square().mean(1)
        loss: Tensor = super().loss(state, latents, code, moment) + self.moments * drawn
        return loss
