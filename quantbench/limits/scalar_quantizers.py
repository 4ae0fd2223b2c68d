"""The best scalar quantizers: of fixed rate (Lloyd-Max) and with an entropy coder behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from quantbench.limits.densities import UNIFORM, Array, Density

MOST_LEVELS = 4096
NEWTON_STEPS = 100
LLOYD_STEPS = 20_000
RELAXATION = 1.8
"""Lloyd's steps towards the best edges are made longer by this."""
LEAST_BITS, MOST_BITS = 0.1, 6.0
SECANT_STEPS = 60


@dataclass(frozen=True)
class ScalarQuantizer:
    """A symmetric quantizer of one sample and what it does.

    Attributes:
        values: what is decoded, ascending.
        edges: between them, one fewer.
        mse: mean square error.
        entropy: of the codes, in bits.
    """

    values: Array
    edges: Array
    mse: float
    entropy: float


def _symmetric(density: Density, values: Array, edges: Array) -> ScalarQuantizer:
    """The quantizer with ``values`` above 0, in cells that begin at ``edges``; a first edge above 0 leaves a cell about 0."""
    probability, moment = density.cells(np.append(edges, np.inf))
    zero = 1 - 2 * float(probability.sum()) if edges[0] > 0 else 0.0
    # 1 is the variance; each side takes off what its values explain.
    mse = 1 - 2 * float(values @ (2 * moment - values * probability))
    share = np.append(np.repeat(probability[probability > 0], 2), [zero] if zero > 0 else [])
    middle = [0.0] if edges[0] > 0 else []
    inner = [-edges[0], edges[0]] if edges[0] > 0 else [0.0]
    return ScalarQuantizer(
        np.concatenate([-values[::-1], middle, values]),
        np.concatenate([-edges[:0:-1], inner, edges[1:]]),
        mse,
        -float(share @ np.log2(share)),
    )


@lru_cache(maxsize=64)
def lloyd_max(density: Density, levels: int) -> ScalarQuantizer:
    """The scalar quantizer of least mean square error with so many levels.

    Max (1960), IRE Trans. Inf. Theory 6(1); Lloyd (1982), IEEE Trans. Inf. Theory 28(2): every value is the centroid of its
    cell, every edge half-way between values. The densities here are log-concave, so there is one such quantizer (Fleischer
    1964), and it is symmetric; Newton's method finds it from the values that Panter and Dite's high-rate theory gives.

    Raises:
        ValueError: ``levels`` is not between 1 and 4096.
        ArithmeticError: Newton's method did not converge.
    """
    if not 1 <= levels <= MOST_LEVELS:
        raise ValueError(f"levels={levels}: must lie between 1 and {MOST_LEVELS}")
    if levels == 1:
        return ScalarQuantizer(np.zeros(1), np.zeros(0), 1.0, 0.0)
    values, odd = _compander(density, levels), levels % 2 == 1
    for _ in range(NEWTON_STEPS):
        error, slopes = _centroid_error(density, values, odd)
        change = np.linalg.solve(slopes, error)
        step = 1.0
        while np.any(np.diff(values - step * change, prepend=0.0) <= 0) or (values - step * change)[-1] > density.reach:
            step /= 2
        values = values - step * change
        if np.abs(change).max() < 1e-9:
            return _symmetric(density, values, _edges(values, odd))
    raise ArithmeticError(f"Lloyd-Max for {density.name} with {levels} levels did not converge")


def _compander(density: Density, levels: int) -> Array:
    """Positive values at equal steps of the integral of the density's cube root (Panter & Dite 1951)."""
    x = np.linspace(0, density.reach, 20_001)
    integral = np.cumsum(np.cbrt(density.pdf(x)))
    places = (np.arange(levels) + 0.5) / levels * 2 - 1
    return np.interp(places[places > 1e-9], integral / integral[-1], x)


def _edges(values: Array, odd: bool) -> Array:
    """Where the cells of positive values begin."""
    return np.append(values[0] / 2 if odd else 0.0, (values[1:] + values[:-1]) / 2)


def _centroid_error(density: Density, values: Array, odd: bool) -> tuple[Array, Array]:
    """Positive values less the centroids of their cells, and the derivatives of that by the values."""
    edges = _edges(values, odd)
    probability, moment = density.cells(np.append(edges, np.inf))
    centroid = moment / probability
    height = density.pdf(edges)
    # The derivative of a cell's centroid by its lower edge, and by its upper one.
    lower = height * (centroid - edges) / probability
    upper = np.append(height[1:] * (edges[1:] - centroid[:-1]) / probability[:-1], 0)
    own = (lower + upper) / 2
    if not odd:
        own[0] -= lower[0] / 2  # the edge at 0 does not move
    slopes = np.diag(1 - own) - np.diag(upper[:-1] / 2, 1) - np.diag(lower[1:] / 2, -1)
    return values - centroid, slopes


@lru_cache(maxsize=256)
def entropy_coded(density: Density, bits: float) -> ScalarQuantizer:
    """The scalar quantizer of least mean square error whose codes have an entropy of ``bits``, with a cell about 0.

    Chou, Lookabaugh & Gray (1989), IEEE Trans. Acoust. Speech Signal Process. 37(1), on the density itself: values are
    centroids; edges are where ``(x - value)**2 + weight * length`` is equal for neighbours, the length of a code being
    ``-log2`` of its probability. For the uniform density: Gyorgy & Linder (2000), IEEE Trans. Inf. Theory 46(7).

    Raises:
        ValueError: ``bits`` is not between 0.1 and 6.
        ArithmeticError: no weight was found that gives these bits.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ValueError(f"bits={bits}: must lie between {LEAST_BITS:g} and {MOST_BITS:g}")
    if density is UNIFORM:
        return _entropy_coded_uniform(bits)
    last: tuple[float, float] | None = None
    step = math.sqrt(12 * density.shannon_lower_bound(max(bits, 1.0)))
    edges = np.asarray(step * (np.arange(math.ceil(14 / step)) + 0.5), dtype=np.float64)
    # At high rates the mse falls by 2 ln 2 of itself a bit, and that is the weight; entropy is about linear in its logarithm.
    weight = math.log(2 * math.log(2) * density.shannon_lower_bound(bits))
    for _ in range(SECANT_STEPS):
        found = _entropy_constrained(density, math.exp(weight), edges)
        error = found.entropy - bits
        if abs(error) < 1e-6:
            return found
        slope = (error - last[1]) / (weight - last[0]) if last else -1 / (2 * math.log(2))
        last = (weight, error)
        weight -= max(-0.3, min(0.3, error / slope))
    raise ArithmeticError(f"entropy-coded quantizer for {density.name} at {bits} bits did not converge")


def _entropy_constrained(density: Density, weight: float, edges: Array) -> ScalarQuantizer:
    """The quantizer of least ``mse + weight * entropy``, from a start with positive ``edges``."""
    for _ in range(LLOYD_STEPS):
        probability, moment = density.cells(np.append(edges, np.inf))
        keep = probability > 1e-15
        if not keep.any():
            return ScalarQuantizer(np.zeros(1), np.zeros(0), 1.0, 0.0)
        values = np.append(0.0, moment[keep] / probability[keep])
        zero = 1 - 2 * float(probability.sum())
        lengths = -np.log2(np.append(zero, probability[keep]))
        edges = edges[keep]
        change = (values[1:] + values[:-1]) / 2 + weight * np.diff(lengths) / (2 * np.diff(values)) - edges
        relaxed = edges + RELAXATION * change
        steady = np.all(np.diff(relaxed, prepend=0.0) > 0)
        edges = relaxed if steady else np.maximum.accumulate(edges + change)
        if np.abs(change * np.exp(-edges)).max() < 1e-9:
            break
    probability, moment = density.cells(np.append(edges, np.inf))
    return _symmetric(density, moment / probability, edges)


def _entropy_coded_uniform(bits: float) -> ScalarQuantizer:
    """All cells of one width but one, which is narrower."""
    count = math.floor(2**bits) + 1

    def shares(wide: float) -> Array:
        return np.append(np.full(count - 1, wide), max(0.0, 1 - (count - 1) * wide))

    def entropy(share: Array) -> float:
        share = share[share > 0]
        return -float(share @ np.log2(share))

    low, high = 1 / count, 1 / (count - 1)  # entropy falls from log2(count) to log2(count - 1)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(shares(middle)) > bits else (low, middle)
    share = shares(low)
    edges = UNIFORM.reach * (2 * np.cumsum(share) - 1)
    values = edges - UNIFORM.reach * share
    return ScalarQuantizer(values, edges[:-1], float(np.sum(share**3)), entropy(share))
