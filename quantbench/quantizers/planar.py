"""Quantization of pairs of latent dimensions on fixed grids in the plane."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from quantbench.components import State, at_least, component
from quantbench.errors import ConfigError
from quantbench.quantizers.base import WHOLE, Code, Committed
from quantbench.quantizers.search import nearest

MARGIN = 1e-3
"""Of the bound beyond the outermost points."""
LEVEL_LIMIT = 255

Shape = Literal["rhombic", "hexagon", "rectangle"]


@component
class Q2D2(Committed):
    """Every two neighbouring dimensions go to the nearest point of a grid in the plane.

    Q2D2, arXiv 2512.01537. ``prepare`` maps a latent z to ``h tanh(z)``, ``h = (levels - 1)(1 + 0.001)/2``; its gradient is
    that of ``tanh(z)``, as in the authors' code, where the straight-through estimator begins before the factor. ``restore``
    divides by ``levels // 2``. With a and b levels, one apart and about zero, in the two dimensions of a pair: ``rectangle``
    has their ``a b`` points; ``rhombic`` besides the ``(a-1)(b-1)`` points in the middle of four of these; ``hexagon`` has
    ``a a`` points, the rows moved by 1/4 to the right and to the left in turn (rows are one apart, as in the code, so that
    triangles are not quite equilateral).

    Formula: nearest of the points of a grid to ``h tanh(z)`` of two dimensions, ``/ (levels // 2)``
    Source: Q2D2, arXiv 2512.01537 (tashQ/Q2D2).
    Recommended: rhombic, 7 levels (85 points a pair); no commitment loss.
    Compared with: the formula of the authors' code, which was read.

    Attributes:
        points: the grid.
        levels: one number for all dimensions, or one a dimension; odd for ``rhombic``, alike in a pair for ``hexagon``.
    """

    offers = frozenset({WHOLE})
    bounds = True
    sizes: ClassVar[tuple[str, ...]] = ("levels",)

    points: Shape = "rhombic"
    levels: int | tuple[int, ...] = 7

    def check(self) -> None:
        super().check()
        at_least("quantizer.levels", self.levels, 2)
        for levels in self._each(2) if isinstance(self.levels, int) else self.levels:
            if levels > LEVEL_LIMIT:
                raise ConfigError(f"quantizer.levels={levels}: must be at most {LEVEL_LIMIT}")
            if self.points == "rhombic" and levels % 2 == 0:
                raise ConfigError(f"quantizer.levels={levels}: must be odd with quantizer.points=rhombic, so that 0 is a level")

    def check_dim(self, dim: int) -> None:
        if dim % 2:
            raise ConfigError(f"quantizer=q2d2: codec.latent_dim={dim} must be even, for dimensions are quantized in pairs")
        if not isinstance(self.levels, int) and len(self.levels) != dim:
            raise ConfigError(
                f"quantizer.levels={list(self.levels)}: {len(self.levels)} entries for codec.latent_dim={dim}; "
                f"give one number, or one a latent dimension"
            )
        for first, second in self._pairs(dim):
            if self.points == "hexagon" and first != second:
                raise ConfigError(f"quantizer.levels={first},{second} in a pair: must be alike with quantizer.points=hexagon")

    def alphabet(self, dim: int) -> list[int]:
        return [len(plane(self.points, *pair)) for pair in self._pairs(dim)]

    def finer(self, latents: Tensor) -> float | Tensor:
        return latents.new_tensor(self._each(latents.shape[-1]))

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        bounded = torch.tanh(latents)
        half = latents.new_tensor([(levels - 1) * (1 + MARGIN) / 2 for levels in self._each(latents.shape[-1])])
        return bounded + ((half - 1) * bounded).detach()

    def restore(self, state: State, values: Tensor) -> Tensor:
        return values / values.new_tensor([levels // 2 for levels in self._each(values.shape[-1])])

    def quantize(self, state: State, latents: Tensor) -> Code:
        found = [
            nearest(grid.to(latents).expand(len(latents), -1, -1), pair.contiguous())
            for grid, pair in zip(self._grids(latents.shape[-1]), torch.split(latents.detach(), 2, dim=-1), strict=True)
        ]
        indices = torch.stack(found, dim=-1)
        return Code(self.decode(state, indices).to(latents.dtype), indices)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        grids = self._grids(2 * indices.shape[-1])
        pairs = [grid.to(indices.device)[slot] for grid, slot in zip(grids, indices.unbind(-1), strict=True)]
        return torch.cat(pairs, dim=-1)

    def _each(self, dim: int) -> list[int]:
        return [self.levels] * dim if isinstance(self.levels, int) else list(self.levels)

    def _pairs(self, dim: int) -> list[tuple[int, int]]:
        each = self._each(dim)
        return list(zip(each[::2], each[1::2], strict=True))

    def _grids(self, dim: int) -> list[Tensor]:
        return [plane(self.points, *pair) for pair in self._pairs(dim)]


@lru_cache(maxsize=64)
def plane(points: Shape, first: int, second: int) -> Tensor:
    """The points of a grid, (points, 2), as ``Q2D2`` describes them."""
    x, y = (torch.arange(levels) - (levels - 1) / 2 for levels in (first, second))
    whole = torch.cartesian_prod(x, y)
    if points == "rhombic":
        return torch.cat([whole, torch.cartesian_prod(x[:-1] + 0.5, y[:-1] + 0.5)])
    if points == "hexagon":
        row = torch.arange(second).repeat(first)
        whole[:, 0] += torch.where(row % 2 == 0, 0.25, -0.25)
    return whole
