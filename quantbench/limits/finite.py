"""Limits of sources with a finite alphabet, below their bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quantbench.limits.densities import Array

Array32 = NDArray[np.float32]

ERROR = 5e-3
"""Relative error of ``FiniteAlphabet.mse``: 0.02 dB."""
SOLVER_ERROR = 3e-3
LEAST_NATS = 1e-4
"""Nats that ``FiniteAlphabet.bits`` may lack anyway: near the alphabet's own bits the slope grows without an end."""
LONGEST = 2000
CHECKS = frozenset({int(10 * 1.5**i) for i in range(14)} | {LONGEST})
"""Steps after which the bounds are compared; that costs as much as several steps."""
RELAXATION = 1.9
"""Steps are made longer by this, after the first few."""
MOST_TANGENTS = 16
SHIFTS = 5
LARGEST = 1024
"""Points of an alphabet; the work grows with their square."""


@dataclass(frozen=True)
class Tangent:
    """A line under a rate-distortion function, and the point where it nearly touches.

    Attributes:
        slope: nats per unit of squared distance.
        height: the least of ``nats + slope * distance``, bounded from below.
        nats, distance: a point on the function or above it.
    """

    slope: float
    height: float
    nats: float
    distance: float


class FiniteAlphabet:
    """The rate-distortion function of equally likely points, or its mean over several alphabets known to both sides.

    Blahut (1972), IEEE Trans. Inf. Theory 18(4), with reproductions that move to their centroids, as in the nonparametric
    mixture that the problem is equal to (Rose 1994, IEEE Trans. Inf. Theory 40(6)). Bounded from below by Csiszar's dual; the
    maximum that the dual needs is looked for by mean shift from the highest of all points and reproductions, so that the bound
    is a certificate only as far as that finds it (within 6e-4 nats of a far longer search, wherever it was compared).

    Args:
        points: (alphabets, points, dim).

    Raises:
        ValueError: more points than 1024.
    """

    def __init__(self, points: Array) -> None:
        if points.shape[1] > LARGEST:
            raise ValueError(f"{points.shape[1]} points: at most {LARGEST}")
        self.points = np.asarray(points, dtype=np.float64)
        self.nats = math.log(points.shape[1])
        centred = self.points - self.points.mean(1, keepdims=True)
        self.spread = float(np.square(centred).sum(-1).mean())
        self.tangents: dict[float, Tangent] = {}

    def mse(self, bits: float) -> float:
        """Least mean square error per dimension at ``bits`` a frame, about 0.5 % too low at most.

        More only where ``MOST_TANGENTS`` do not suffice: within some 1e-8 bits of the alphabet's own.
        """
        nats = bits * math.log(2)
        dim = self.points.shape[2]
        if nats <= 0:
            return float(self.spread / dim)
        if nats >= self.nats - 1e-12 or not self.spread:
            return 0.0
        # Every tangent is laid parallel to the chord under which the rate lies. What is found for a rate depends on no other
        # rate that was asked for: a slope leads to the same tangent whenever it is met.
        passed: list[Tangent] = []
        while True:
            lower, upper, chord = self._bounds(nats, passed)
            if upper - lower <= ERROR * upper or len(passed) == MOST_TANGENTS:
                return float(lower / dim)
            if chord not in self.tangents:
                self.tangents[chord] = self._tangent(chord)
            passed.append(self.tangents[chord])

    def _bounds(self, nats: float, passed: list[Tangent]) -> tuple[float, float, float]:
        """The distance at ``nats``: under it the tangents, above it a chord between points; and that chord's slope."""
        lower = max([0.0, *((one.height - nats) / one.slope for one in passed)])
        corners = [(0.0, self.spread), *sorted((one.nats, one.distance) for one in passed), (self.nats, 0.0)]
        left = max((corner for corner in corners if corner[0] <= nats), key=lambda corner: corner[0])
        right = min((corner for corner in corners if corner[0] > nats), key=lambda corner: corner[0])
        upper = left[1] + (right[1] - left[1]) * (nats - left[0]) / (right[0] - left[0])
        return min(lower, upper), upper, (right[0] - left[0]) / (left[1] - right[1])

    def bits(self, mse: float) -> float:
        """Least bits a frame at which a mean square error of ``mse`` per dimension is possible.

        The inverse of ``mse``, from lines of the same kind and as near: too few by at most what an error of 0.5 % in ``mse``
        makes, or ``LEAST_NATS``.
        """
        distance = mse * self.points.shape[2]
        if distance >= self.spread:
            return 0.0
        if distance <= 0:
            return self.nats / math.log(2)
        passed: list[Tangent] = []
        while True:
            lower, upper, chord = self._rate_bounds(distance, passed)
            if upper - lower <= max(ERROR * chord * distance, LEAST_NATS) or len(passed) == MOST_TANGENTS:
                return lower / math.log(2)
            if chord not in self.tangents:
                self.tangents[chord] = self._tangent(chord)
            passed.append(self.tangents[chord])

    def _rate_bounds(self, distance: float, passed: list[Tangent]) -> tuple[float, float, float]:
        """As ``_bounds``, the nats at ``distance``."""
        lower = max([0.0, *(one.height - one.slope * distance for one in passed)])
        corners = [(self.spread, 0.0), *((one.distance, one.nats) for one in passed), (0.0, self.nats)]
        right = min(corner for corner in corners if corner[0] > distance)
        left = max(corner for corner in corners if corner[0] <= distance)
        slope = (left[1] - right[1]) / (right[0] - left[0])
        upper = left[1] - slope * (distance - left[0])
        return min(lower, upper), upper, slope

    def _tangent(self, slope: float) -> Tangent:
        """Steps in single precision; the bounds, which need no convergence, in double."""
        exact = self.points - self.points.mean(1, keepdims=True)
        scale = math.sqrt(self.spread)
        x, unit = (exact / scale).astype(np.float32), slope * self.spread
        y, share = x.copy(), np.full(x.shape[:2], 1 / x.shape[1], dtype=np.float32)
        for step in range(1, LONGEST + 1):
            kernel = _kernel(x, y, unit)
            ratio = 1 / (x.shape[1] * np.maximum((kernel @ share[..., None])[..., 0], 1e-37))
            transposed = np.swapaxes(kernel, -1, -2)
            gain = (transposed @ ratio[..., None])[..., 0]
            centroid = transposed @ (ratio[..., None] * x) / np.maximum(gain, 1e-30)[..., None]
            longer = RELAXATION if step > 5 else 1.0
            y = y + np.float32(longer) * (centroid - y)
            share = share * gain ** np.float32(longer)
            share /= share.sum(-1, keepdims=True)
            if step in CHECKS:
                found = _tangent_of(exact, scale * y.astype(np.float64), share.astype(np.float64), slope)
                if found.nats + slope * found.distance - found.height <= SOLVER_ERROR * slope * found.distance:
                    break
        return found


def _kernel(x: Array32, y: Array32, slope: float) -> Array32:
    """``exp(-slope |x - y|**2)``; one product gives the whole exponent, for passes over the table cost most."""
    ones = np.ones_like(x[..., :1])
    left = np.concatenate([x, ones, np.square(x).sum(-1, keepdims=True)], axis=-1)
    right = np.concatenate([2 * y, -np.square(y).sum(-1, keepdims=True), -np.ones_like(y[..., :1])], axis=-1)
    exponent: Array32 = left @ np.swapaxes(np.float32(slope) * right, -1, -2)
    np.minimum(exponent, 0, out=exponent)  # rounding must not make it overflow
    np.exp(exponent, out=exponent)
    return exponent


def _tangent_of(x: Array, y: Array, share: Array, slope: float) -> Tangent:
    """What reproductions ``y`` with probabilities ``share`` prove: a point above the function and a line under it."""
    share = share / share.sum(-1, keepdims=True)
    squares = _squares(x, y)
    kernel = np.exp(-slope * squares)
    mixture = np.maximum((kernel @ share[..., None])[..., 0], 1e-300)
    ratio = 1 / (x.shape[1] * mixture)
    distance = float((((squares * kernel) @ share[..., None])[..., 0] * ratio).sum() / len(x))
    upper = -float(np.log(mixture).mean())
    height = upper - float(np.log(_highest(x, y, ratio, slope)).mean())
    return Tangent(slope, height, upper - slope * distance, distance)


def alphabet(points: Array) -> FiniteAlphabet:
    """The same object for the same points (alphabets, points, dim): what it found for one codec serves the next."""
    return _kept(np.asarray(points, dtype=np.float64).tobytes(), points.shape)


@lru_cache(maxsize=32)
def _kept(content: bytes, shape: tuple[int, ...]) -> FiniteAlphabet:
    return FiniteAlphabet(np.frombuffer(content, dtype=np.float64).reshape(shape))


def _squares(x: Array, y: Array) -> Array:
    """Squared distances, (alphabets, points of x, points of y)."""
    squares: Array = np.square(x).sum(-1)[..., :, None] + np.square(y).sum(-1)[..., None, :] - 2 * x @ np.swapaxes(y, -1, -2)
    return np.maximum(squares, 0.0)


def _highest(x: Array, y: Array, ratio: Array, slope: float) -> Array:
    """By alphabet: the largest of ``sum_x ratio exp(-slope |x - v|**2)`` over v, at least 1.

    Looked for by mean shift from the highest quarter of all points and reproductions.
    """
    v = np.concatenate([x, y], axis=1)
    first = (np.exp(-slope * _squares(v, x)) * ratio[:, None, :]).sum(-1)
    best = np.argsort(-first, axis=1)[:, : max(1, v.shape[1] // 4)]
    v = np.take_along_axis(v, best[..., None], axis=1)
    for _ in range(SHIFTS):
        pull = np.exp(-slope * _squares(v, x)) * ratio[:, None, :]
        v = pull @ x / np.maximum(pull.sum(-1, keepdims=True), 1e-300)
    heights = (np.exp(-slope * _squares(v, x)) * ratio[:, None, :]).sum(-1)
    highest: Array = np.maximum(np.maximum(heights.max(1), first.max(1)), 1.0)
    return highest


def sawbridge(symbols: int, bits: float) -> float:
    """Least mean square error per feature of a code of ``bits`` entropy for a sawbridge of so many equally likely symbols.

    Our derivation of the optimum of Wagner & Balle (2021), arXiv 2011.05065, for finitely many sampling points: a cell of n
    neighbouring symbols has a mean square of ``(n - 1/n) / (6 features)``, which is convex in ``log n``, whose mean the entropy
    fixes (Jensen). Exact wherever cells of equal size divide the symbols; with ever more symbols it becomes ``2**-bits / 6``.
    In units of the source's variance.
    """
    spare = math.log2(symbols) - min(max(bits, 0.0), math.log2(symbols))
    return (math.exp2(spare) - math.exp2(-spare)) * symbols / (symbols * symbols - 1)


def sawbridge_bits(symbols: int, mse: float) -> float:
    """The inverse of ``sawbridge``: with ``2**spare = x``, ``x - 1/x`` is known, and so is x."""
    least = mse * (symbols * symbols - 1) / symbols
    return math.log2(symbols) - math.asinh(least / 2) / math.log(2)
