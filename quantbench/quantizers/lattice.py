"""Lattice quantization with codes of fixed length."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from quantbench.components import PerTrial, State, at_least, component
from quantbench.errors import ConfigError
from quantbench.quantizers.base import DITHER, WHOLE, Code, Committed, Moment
from quantbench.quantizers.lattice_points import DIMENSIONS, generator, nearest_point
from quantbench.quantizers.search import nearest
from quantbench.streams import Streams

CPU = torch.device("cpu")
LARGEST_TABLE = 4096
"""Codes up to which they are enumerated, and the nearest one is searched among all."""
SHRINKINGS = 24
LEVEL_LIMIT = 256


def unit_step(levels: int) -> float:
    """Step for unit variance, so that ``levels`` steps cover about what Max (1960) found best for the Gaussian."""
    return (2.47 + 0.725 * math.log2(levels)) / levels


@component
class Lattice(Committed):
    """Blocks of the latent go to the nearest point of a lattice; those in ``levels`` times its Voronoi cell are codes.

    Voronoi codes, Conway & Sloane (1983), IEEE Trans. Inf. Theory 29(6): ``levels**n`` codes a block of n dimensions, so that
    all lattices have one rate; indices are the coordinates of a point in a basis, modulo ``levels``. A latent outside that
    region goes to the nearest code where the codes are few enough to search (4096), and otherwise is shrunk towards the centre
    until it falls into the region. Lattices in neural codecs: Lei et al. (2024), arXiv 2403.07320. Lattices have unit volume
    times a step that is set from the first latents and then stays.

    Formula: nearest point of ``step Lambda`` in ``levels V``
    Source: Conway & Sloane (1982, 1983), IEEE Trans. Inf. Theory 28(2), 29(6); Lei et al. (2024), arXiv 2403.07320.
    Recommended: E8 for 8 dimensions, Leech for 24.
    Compared with: published second moments and kissing numbers.

    Attributes:
        lattice: Z, A2, D4, E8 or Leech, of 1, 2, 4, 8, 24 dimensions; must divide the latent's.
        levels: codes per dimension.
    """

    offers = frozenset({DITHER, WHOLE})

    sizes = ("levels",)

    lattice: Literal["Z", "A2", "D4", "E8", "Leech"] = "E8"
    levels: int = 2
    commitment: PerTrial = 0.25

    def check(self) -> None:
        super().check()
        at_least("quantizer.levels", self.levels, 2)
        if self.levels > LEVEL_LIMIT:
            raise ConfigError(f"quantizer.levels={self.levels}: must be at most {LEVEL_LIMIT}")

    def check_dim(self, dim: int) -> None:
        if dim % DIMENSIONS[self.lattice]:
            raise ConfigError(
                f"quantizer.lattice={self.lattice}: codec.latent_dim={dim} must be a multiple of {DIMENSIONS[self.lattice]}"
            )

    def alphabet(self, dim: int) -> list[int]:
        return [self.levels] * dim

    def finer(self, latents: Tensor) -> float:
        return float(self.levels)

    def init(self, streams: Streams, dim: int) -> State:
        return {"step": torch.full((streams.trials, 1, 1), unit_step(self.levels), device=streams.device)}

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        centred = latents - latents.mean(1, keepdim=True)
        state["step"].copy_(unit_step(self.levels) * centred.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-6))

    def quantize(self, state: State, latents: Tensor) -> Code:
        code = voronoi_code(self.lattice, self.levels, latents.device)
        natural = code.unit / state["step"] * latents.detach()
        blocks = natural.nan_to_num(0.0, 0.0, 0.0).reshape(len(latents), -1, code.dim) + code.centroid
        indices = code.encode(blocks).reshape(latents.shape)
        return Code(self.decode(state, indices), indices)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        code = voronoi_code(self.lattice, self.levels, indices.device)
        points = code.decode(indices.reshape(len(indices), -1, code.dim)) - code.centroid
        return points.reshape(indices.shape) * (state["step"] / code.unit)

    def dither(self, state: State, latents: Tensor, moment: Moment) -> Tensor:
        code = voronoi_code(self.lattice, self.levels, latents.device)
        drawn = moment.uniform(latents).reshape(-1, code.dim).double() @ code.basis
        inside = (drawn - nearest_point(self.lattice, drawn)).to(latents.dtype)
        return inside.reshape(latents.shape) * (state["step"] / code.unit)


class VoronoiCode:
    """The points of a lattice in ``levels`` times its Voronoi cell, moved a little so that none lies on the cell's surface.

    Attributes:
        dim: of the lattice.
        basis: rows, (dim, dim), double precision.
        unit: the natural lattice's volume to the power 1/dim.
        centroid: mean of the codes, (dim,).
    """

    def __init__(self, lattice: str, levels: int, device: torch.device = CPU) -> None:
        self.lattice, self.levels, self.dim = lattice, levels, DIMENSIONS[lattice]
        self.basis = generator(lattice)
        self.inverse = torch.linalg.inv(self.basis)
        self.unit = float(torch.linalg.det(self.basis).abs() ** (1 / self.dim))
        # Any small vector in general position settles to which of two cells a point between them belongs.
        self.offset = 0.01 * torch.tensor([math.sqrt(2 + 3 * i) % 1 + 0.1 for i in range(self.dim)], dtype=torch.float64)
        self.table: Tensor | None = None
        count = levels**self.dim
        if count <= LARGEST_TABLE:
            self.numbers = torch.tensor(list(itertools.product(range(levels), repeat=self.dim)))
            self.table = self._points(self.numbers)
            self.centroid = self.table.mean(0)
        else:
            drawn = torch.randint(levels, (LARGEST_TABLE, self.dim), generator=torch.Generator().manual_seed(0))
            self.centroid = self._points(drawn).mean(0)
        for name, value in list(vars(self).items()):
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def encode(self, x: Tensor) -> Tensor:
        """Indices, (trials, blocks, dim), of points (trials, blocks, dim) in natural coordinates."""
        if self.table is not None:
            table = self.table.expand(len(x), -1, -1)
            return self.numbers[nearest(table, x)]
        flat = x.reshape(-1, self.dim).double()
        indices, inside = self._indices(flat)
        left = (~inside).nonzero().flatten()
        centre = self.offset
        shrunk = flat[left] - centre
        for _ in range(SHRINKINGS):
            if not len(left):
                break
            # Onto the wall towards the nearest centre of another region, and a little further in at every turn.
            wall = self.levels * nearest_point(self.lattice, shrunk / self.levels)
            along = (shrunk * wall).sum(-1, keepdim=True)
            reach = 0.5 * wall.square().sum(-1, keepdim=True) / along.clamp_min(1e-9)
            shrunk = shrunk * torch.where(along > 0, reach.clamp_max(1.0), 1.0) * 0.96
            new, inside = self._indices(shrunk + centre)
            indices[left] = new
            left, shrunk = left[~inside], shrunk[~inside]
        indices[left] = self._indices(torch.zeros_like(shrunk))[0]
        return indices.view(x.shape)

    def decode(self, indices: Tensor) -> Tensor:
        """Points in natural coordinates of indices (..., dim)."""
        if self.table is not None:
            weights = self.levels ** torch.arange(self.dim - 1, -1, -1, device=indices.device)
            return self.table[(indices * weights).sum(-1)]
        return self._points(indices)

    def _points(self, indices: Tensor) -> Tensor:
        x = indices.double() @ self.basis
        region = nearest_point(self.lattice, (x - self.offset) / self.levels)
        return (x - self.levels * region).float()

    def _indices(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the nearest lattice points, and whether these are codes."""
        point = nearest_point(self.lattice, x)
        indices = torch.round(point @ self.inverse).long().remainder(self.levels)
        return indices, ((self._points(indices) - point).abs() < 1e-3).all(-1)


@lru_cache(maxsize=16)
def voronoi_code(lattice: str, levels: int, device: torch.device = CPU) -> VoronoiCode:
    """The code, made once."""
    return VoronoiCode(lattice, levels, device)
