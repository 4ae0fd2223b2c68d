"""The rate-distortion function of a sample, by Blahut and Arimoto on particles, bounded from below.

What a sample proves of its source: the least of ``nats + slope * distance`` over all channels from the sample's frames is, in
the mean over samples, no more than that of the source; for the source's best channel is one of those, and costs the same in
the mean. So a lower bound of the sample's optimum is, but for the chance of the draw, one of the source's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantbench.limits.densities import Array

Array32 = NDArray[np.float32]

MOVED = 256
"""Particles that move to their centroids, before some are put on frames."""
MOVES = 20
ROUNDS = 10
"""Most rounds of steps with the particles where they are; after each the bound is looked at."""
STEPS = 12
RELAXATION = 1.9
"""Steps are made longer by this, as in ``finite``."""
TOLERANCE = 0.01
"""Nats between what the particles reach and the lower bound."""
FRESH, LEAST = 0.1, 1e-6
"""Shares, of a frame's: what a particle gets where the bound is broken; below which one is left out of a round."""
SHIFTED, SHIFTS = 64, 10


@dataclass(frozen=True)
class Optimum:
    """The optimum of a sample at a slope.

    Attributes:
        height: lower bound of ``nats + distance / (2 noise)``, a mean over the frames.
        error: standard error of that mean.
        place, share: particles (particles, dim) and their probabilities, which nearly reach it.
    """

    height: float
    error: float
    place: Array
    share: Array


def optimum(frames: Array, noise: float, random: np.random.Generator, blocks: int | None = None) -> Optimum:
    """The least of ``nats + distance / (2 noise)`` over all channels from the frames (frames, dim), equally likely.

    Blahut (1972) and Arimoto (1972) with particles: some move as in ``finite.FiniteAlphabet``; then frames where the bound is
    broken have one, too, and only probabilities change. Bounded by Csiszar's dual: no channel is below ``-mean log z`` for
    positive z, a number a frame, with ``mean exp(-|x - y|**2 / (2 noise)) / z <= 1`` for all y; z is divided by the largest
    such mean. That is looked for by mean shift from the highest of all particles: a certificate only as far as it is found.
    ``blocks`` as in ``standard_error``.
    """
    count = len(frames)
    place, share = _moved(frames, frames[random.permutation(count)[:MOVED]], noise)
    place = np.concatenate([place, frames])
    share = np.concatenate([share, np.zeros(count)])
    kernel = _kernel(frames, place, noise)
    for _ in range(ROUNDS):
        active = share > LEAST / count
        share = np.where(active, share, 0.0)
        share[active] = _steps(kernel[:, active], share[active])
        mixture = _positive(kernel @ share.astype(np.float32))
        gain = kernel.T @ (1 / (count * mixture))
        if math.log(gain.max()) < TOLERANCE:
            break
        share += np.where(gain > 1, FRESH / count, 0.0)
        share /= share.sum()
    highest = _highest(frames, place, mixture, gain, noise)
    log = np.log(mixture.astype(np.float64))
    kept = share > 0
    return Optimum(-float(log.mean()) - math.log(highest), standard_error(log, blocks), place[kept], share[kept])


def standard_error(values: Array, blocks: int | None) -> float:
    """Of the mean of independent values; with ``blocks``, of values in order of time, from the means of so many blocks.

    What neighbours have in common does not make the second too small, as long as it is over within a block.
    """
    if blocks is None:
        return float(values.std()) / math.sqrt(len(values))
    means = [block.mean() for block in np.array_split(values, blocks)]
    return float(np.std(means, ddof=1)) / math.sqrt(blocks)


def _moved(frames: Array, place: Array, noise: float) -> tuple[Array, Array]:
    """Particles that moved to their centroids again and again, and their probabilities."""
    share = np.full(len(place), 1 / len(place))
    for step in range(MOVES):
        kernel = _kernel(frames, place, noise)
        ratio = 1 / (len(frames) * _positive(kernel @ share.astype(np.float32)))
        gain = np.maximum(kernel.T @ ratio, 1e-30)
        longer = RELAXATION if step > 5 else 1.0
        place = place + longer * (kernel.T @ (ratio[:, None] * frames.astype(np.float32)) / gain[:, None] - place)
        share = share * gain.astype(np.float64) ** longer
        share /= share.sum()
    return place, share


def _steps(kernel: Array32, share: Array) -> Array:
    """Probabilities after steps of the algorithm, by ``kernel`` (frames, particles); their sum stays what it was."""
    total, transposed = share.sum(), np.ascontiguousarray(kernel.T)
    for step in range(STEPS):
        mixture = _positive(kernel @ share.astype(np.float32))
        share = share * (transposed @ (1 / (len(kernel) * mixture))).astype(np.float64) ** (RELAXATION if step > 1 else 1.0)
        share *= total / share.sum()
    return share


def _highest(frames: Array, place: Array, mixture: Array32, gain: NDArray[np.floating], noise: float) -> float:
    """The largest of ``mean exp(-|x - y|**2 / (2 noise)) / mixture`` over y, at least 1."""
    y, weight = place[np.argsort(-gain)[:SHIFTED]], 1 / (len(frames) * mixture.astype(np.float64))
    for _ in range(SHIFTS):
        pull = _kernel(y, frames, noise) * weight
        y = pull @ frames / np.maximum(pull.sum(1, keepdims=True), 1e-300)
    return max(1.0, float(gain.max()), float((_kernel(y, frames, noise) @ weight).max()))


def costs(frames: Array, found: Optimum, noise: float) -> tuple[Array, Array]:
    """``nats + distance / (2 noise)`` and squared distance of frames outside the sample, for its particles' channel."""
    height, distance = [], []
    for part in np.array_split(frames, max(1, len(frames) // 1024)):
        exponent = -_squares(part, found.place) / (2 * noise)
        nearest = exponent.max(1, keepdims=True)
        weight = np.exp(exponent - nearest) * found.share
        mixture = weight.sum(1)
        height.append(-np.log(mixture) - nearest[:, 0])
        distance.append(-2 * noise * (weight * exponent).sum(1) / mixture)
    return np.concatenate(height), np.concatenate(distance)


def _squares(x: Array, y: Array) -> Array:
    squares: Array = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.maximum(squares, 0.0)


def _kernel(x: Array, y: Array, noise: float) -> Array32:
    """``exp(-|x - y|**2 / (2 noise))``: exponents in double precision, for small noise makes much of their rounding."""
    ones = np.ones((len(x), 1))
    left = np.concatenate([x, ones, np.square(x).sum(1, keepdims=True)], axis=1) / noise
    right = np.concatenate([y, -0.5 * np.square(y).sum(1, keepdims=True), np.full((len(y), 1), -0.5)], axis=1)
    exponent = (left @ right.T).astype(np.float32)
    kernel: Array32 = np.exp(np.minimum(exponent, 0, out=exponent), out=exponent)
    return kernel


def _positive(mixture: Array32) -> Array32:
    positive: Array32 = np.maximum(mixture, np.float32(1e-37))
    return positive
