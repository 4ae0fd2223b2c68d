"""Lattices in their natural coordinates, and the point of each that is nearest to a given one."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from quantbench.components import constant
from quantbench.quantizers.search import first_minimum

DIMENSIONS = {"Z": 1, "A2": 2, "D4": 4, "E8": 8, "Leech": 24}
"""Dimensions of each lattice."""

GOLAY_POLYNOMIAL = (1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1)
"""1 + x + x**5 + x**6 + x**7 + x**9 + x**11 generates the Golay code of length 23; a parity bit makes it 24."""
CANDIDATES = 8
"""Golay codewords whose cost is computed in full, of those whose lower bound is least."""
CERTAIN = 1e-4
"""By how much a bound in single precision must exceed a cost, to be sure."""
CHUNK = 1024
"""Points held at a time against all codewords by bound ..."""
FULL_CHUNK = 32
"""... and by every coordinate."""


def generator(name: str) -> Tensor:
    """Rows that generate the lattice, (dim, dim), double precision.

    Conway & Sloane, Sphere Packings, Lattices and Groups, chapter 4: A2 with shortest vectors of length 1, D4 the integers of
    even sum, E8 and Leech of volume 1 with shortest vectors of length sqrt(2) and 2.
    """
    dim = DIMENSIONS[name]
    basis = torch.eye(dim, dtype=torch.float64)
    if name == "A2":
        basis[1] = torch.tensor([0.5, 0.75**0.5])
    if name == "D4":
        basis[:, -1] = torch.tensor([-1.0, -1, -1, 2])
    if name == "E8":
        basis[:, -1] = -1
        basis[0] = 0.5
        basis[-1, -1] = 2
    if name == "Leech":
        # A triangle of points with the diagonal 1, 2 (11 times), 4 (11 times), 8: its determinant is that of the lattice.
        basis *= 4
        basis[12:, -1] = -4
        basis[-1, -1] = 8
        basis[:12] = 2 * _golay_generator()
        basis[0] = 1
        basis[0, -1] = -3
        basis /= 8**0.5
    return basis


def nearest_point(name: str, points: Tensor) -> Tensor:
    """The lattice point nearest to each of ``points`` (..., dim), in natural coordinates.

    The same point has the same answer in any batch: costs that decide are summed in a fixed order.
    """
    if name == "Z":
        return points.round()
    if name == "D4":
        return _nearest_d(points)
    if name == "Leech":
        flat = points.reshape(-1, 24) * 8**0.5
        return (torch.cat([_nearest_leech(part) for part in torch.split(flat, CHUNK)]) / 8**0.5).view(points.shape)
    # A2 and E8 are two rectangular lattices, resp. two of type D8: one at the origin, one at the middle of its cells.
    if name == "A2":
        cell = constant((1.0, 3.0**0.5), points.dtype, points.device)
        found = [((points - shift) / cell).round() * cell + shift for shift in (0 * cell, cell / 2)]
    else:
        found = [_nearest_d(points - shift) + shift for shift in (0.0, 0.5)]
    costs = [_sum((points - one).square()) for one in found]
    return torch.where((costs[1] < costs[0]).unsqueeze(-1), found[1], found[0])


def _sum(values: Tensor) -> Tensor:
    """Sum over the last axis, one after the other: rounding does not depend on the batch."""
    first, *others = values.unbind(-1)
    return sum(others, first)


def _nearest_d(points: Tensor) -> Tensor:
    """Nearest integers of even sum; Conway & Sloane (1982), IEEE Trans. Inf. Theory 28(2), 227-232."""
    rounded = points.round()
    error = points - rounded
    worst = first_minimum(-error.abs()).unsqueeze(-1)
    other_way = torch.where(error.gather(-1, worst) < 0, -1.0, 1.0).to(points)
    return rounded.scatter_add(-1, worst, other_way * rounded.sum(-1, keepdim=True).remainder(2))


def _golay_generator() -> Tensor:
    """Rows that generate the Golay code of length 24, (12, 24); upper triangular."""
    rows = torch.zeros(12, 24, dtype=torch.long)
    for i in range(12):
        rows[i, i : i + 12] = torch.tensor(GOLAY_POLYNOMIAL)
    rows[:, 23] = rows.sum(1) % 2
    return rows


@lru_cache(maxsize=1)
def golay_codewords() -> Tensor:
    """All words of the binary Golay code of length 24, (4096, 24) integers."""
    return torch.tensor(list(product((0, 1), repeat=12))) @ _golay_generator() % 2


def _nearest_leech(points: Tensor) -> Tensor:
    """Nearest points, all in coordinates times sqrt(8), of ``points`` (number, 24).

    In these coordinates a point is ``m + 2 g + 4 z`` with m = 0 or 1, g a Golay codeword and z integers whose sum is even or
    odd as m is.
    """
    (even, cost), (odd, odd_cost) = _leech_class(points, 0), _leech_class(points, 1)
    return torch.where((odd_cost < cost).unsqueeze(-1), odd, even)


def _leech_class(points: Tensor, m: int, candidates: int = CANDIDATES) -> tuple[Tensor, Tensor]:
    """The nearest points of one m, and their squared distances over 16, (number,).

    With one codeword every coordinate is rounded by itself; where the sum of z then has the wrong parity, the coordinate that
    is farthest off goes the other way. A lower bound of that cost for all codewords takes two matrix products. The best of
    those with the least bounds is the best of all, unless the next bound is lower than its cost: then all are computed.
    """
    words = golay_codewords().to(points.device)
    place = torch.stack([(points - m) / 4, (points - m - 2) / 4])  # by the codeword's bit
    z = place.round()
    error = place - z
    square = error.square().float()
    parity = z.remainder(2).float()
    table = words.t().float()
    bound = torch.addmm(square[0].sum(-1, keepdim=True), square[1] - square[0], table)
    sums = torch.addmm(parity[0].sum(-1, keepdim=True) + m, parity[1] - parity[0], table)  # small integers: exact
    least_change = 1 - 2 * error.abs().amax((0, 2)).float()
    bound += sums.remainder_(2).mul_(least_change.unsqueeze(-1))
    count = min(candidates + 1, len(words))
    least, chosen = bound.topk(count, dim=-1, largest=False)
    unsure = least.new_full((len(points),), torch.inf)
    if count < len(words):
        unsure, chosen = least[:, -1], chosen[:, :-1]
    word, cost = _best_word(error, z, words, chosen.sort(-1).values, m)
    again = (unsure <= cost + CERTAIN).nonzero().flatten()
    for part in torch.split(again, FULL_CHUNK):
        every = torch.arange(len(words), device=points.device).expand(len(part), -1)
        word[part], cost[part] = _best_word(error[:, part], z[:, part], words, every, m)
    bits = words[word].bool()
    error, z = (torch.where(bits, values[1], values[0]) for values in (error, z))
    worst = first_minimum(-error.abs()).unsqueeze(-1)
    other_way = torch.where(error.gather(-1, worst) < 0, -1.0, 1.0).to(points)
    z = z.scatter_add(-1, worst, other_way * (z.sum(-1, keepdim=True) + m).remainder(2))
    return m + 2 * bits + 4 * z, cost


def _best_word(error: Tensor, z: Tensor, words: Tensor, chosen: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """The codeword of least cost among those ``chosen`` (number, candidates) for each point, and its cost, (number,) each."""
    bits = words[chosen].bool()
    off = torch.where(bits, error[1].unsqueeze(1), error[0].unsqueeze(1))
    wrong = (torch.where(bits, z[1].unsqueeze(1), z[0].unsqueeze(1)).sum(-1) + m).remainder(2)
    cost = _sum(off.square()) + wrong * (1 - 2 * off.abs().amax(-1))
    best = first_minimum(cost).unsqueeze(-1)
    return chosen.gather(-1, best).squeeze(-1), cost.gather(-1, best).squeeze(-1)
