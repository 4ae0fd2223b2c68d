"""The rate-distortion function of a plane normal density bent along a parabola, with certified bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import interpolate, ndimage

from quantbench.limits.blahut_arimoto import Point
from quantbench.limits.densities import Array

TOLERANCE = 4e-3
"""Certified relative error of the distortion: the distance between the bounds of ``I + slope D``, over ``slope D``."""
LONGEST = 20_000
CHECK_EVERY = 250
REACH = 5.5
"""Standard deviations beyond which the source is cut off; 4e-6 of its variance lie there."""
COARSEST = 0.05
"""Largest distance of the source's points: a quarter of the banana's width."""
RELAXATION = 1.9
SMOOTH = 8.0
"""Slope from which the best reproductions have a smooth density; below, they are points and lines."""

Axes = tuple[Array, Array]


@dataclass(frozen=True)
class Bent:
    """``(a, b - bend (a**2 - long**2)) / scale`` of independent normal a, b of standard deviations ``long`` and ``short``.

    Attributes:
        long, short: standard deviations along and across, before it is bent.
        bend: how much it is bent.
    """

    long: float
    short: float
    bend: float

    @property
    def scale(self) -> float:
        """The root of the mean variance, that of ``bend a**2`` being ``2 (bend long**2)**2``."""
        return math.sqrt((self.long**2 + self.short**2 + 2 * (self.bend * self.long**2) ** 2) / 2)

    @property
    def entropy(self) -> float:
        """Differential entropy in bits: bending keeps areas, so it is the normal density's."""
        return math.log2(2 * math.pi * math.e * self.long * self.short / self.scale**2)

    @property
    def edges(self) -> tuple[float, float, float]:
        """The first coordinate's largest value; the second one's least and largest."""
        lowest = -self.bend * self.long**2 * (REACH**2 - 1) - REACH * self.short
        highest = self.bend * self.long**2 + REACH * self.short
        return REACH * self.long / self.scale, lowest / self.scale, highest / self.scale

    def pdf(self, first: Array, second: Array) -> Array:
        """The density, (first, second), up to a factor."""
        a, c = first[:, None] * self.scale, second * self.scale
        b = c + self.bend * (a * a - self.long**2)
        return np.exp(-0.5 * (np.square(a / self.long) + np.square(b / self.short)))


BANANA = Bent(3.0, 0.5, 0.1)
"""That of Balle et al. (2021), arXiv 2007.03034, section II."""


def point(source: Bent, slope: float, tolerance: float = TOLERANCE) -> Point:
    """The point of the rate-distortion function at ``-slope`` nats a squared distance; its bits are for both components.

    Blahut and Arimoto on a grid; what is mirrored at the first coordinate's zero is kept once. Source points are equally
    spaced, which integrates so smooth a density to rounding; reproductions are an eighth of the test channel's noise apart, or
    a sixteenth where they are few. Both bounds are as in ``blahut_arimoto.point``, with Csiszar's condition checked at points
    half as far apart, and Shannon's lower bound where that is higher.

    Raises:
        ArithmeticError: the bounds did not come as near as ``tolerance``.
    """
    width = 1 / math.sqrt(2 * slope)
    far, low, high = source.edges
    step = min(width / 2, COARSEST)
    x = (np.arange(step / 2, far, step), np.arange(low, high, step))
    weight = source.pdf(*x)
    weight[weight < 1e-12 * weight.max()] = 0
    weight /= weight.sum()
    per_width = 8 if slope > SMOOTH else 16
    y, fine = ((np.arange(0, far, width / n), np.arange(low, high, width / n)) for n in (per_width, 2 * per_width))
    left, right = _kernels(slope, x, y)
    fine_kernels = _kernels(slope, x, fine)
    share = source.pdf(*y) + 1e-12
    share /= share.sum()
    for count in range(LONGEST):
        mixture = np.maximum(left @ share @ right.T, 1e-300)
        gain = left.T @ (weight / mixture) @ right
        if count % CHECK_EVERY == 0:
            upper = -float((weight * np.log(mixture)).sum())
            dual = _lower_bound(weight, mixture, np.maximum(gain, 1.0), (x, y), fine_kernels)
            gap = upper - max(dual, _shannon(source, slope))
            distance = _distance(slope, weight / mixture, share, x, y)
            if gap < tolerance * slope * distance:
                break
        # Longer steps lead sooner to where the reproductions are few points or lines, and about a smooth optimum to nowhere.
        share *= gain ** (RELAXATION if count > 5 and slope < SMOOTH else 1.0)
        share /= share.sum()
    else:
        raise ArithmeticError(f"slope {slope:g}: bounds {gap:.2g} nats apart after {LONGEST} steps")
    nats = upper - slope * distance
    return Point(nats / math.log(2), distance / 2, 2 * slope, gap / (slope * distance))


def _shannon(source: Bent, slope: float) -> float:
    """The least of ``nats + slope distance`` under Shannon's lower bound: it touches at a distance of ``1 / slope``."""
    return source.entropy * math.log(2) - math.log(math.pi * math.e / slope) + 1


def _lower_bound(weight: Array, mixture: Array, gain: Array, grids: tuple[Axes, Axes], kernels: Axes) -> float:
    """The dual bound. ``z`` is the mixture, raised about those reproductions that break the condition."""
    x, y = grids
    local = ndimage.maximum_filter(gain, 65, mode="nearest")  # four widths, or two, each way
    raised = interpolate.RegularGridInterpolator(y, local, bounds_error=False, fill_value=None)
    z = mixture * np.maximum(raised(np.stack(np.meshgrid(*x, indexing="ij"), axis=-1)), 1.0)
    worst = float((kernels[0].T @ (weight / z) @ kernels[1]).max())
    return -float((weight * np.log(z)).sum()) - math.log(max(worst, 1.0))


def _distance(slope: float, ratio: Array, share: Array, x: Axes, y: Axes) -> float:
    """Mean squared distance over the test channel; of each coordinate with the other one's kernel."""
    left, right = _kernels(slope, x, y)
    squares = [np.square(x[0][:, None] - sign * y[0]) for sign in (1, -1)]
    first = sum((0.5 * square * np.exp(-slope * square) for square in squares), np.zeros_like(left))
    second = np.square(x[1][:, None] - y[1]) * right
    return float((ratio * (first @ share @ right.T + left @ share @ second.T)).sum())


def _kernels(slope: float, x: Axes, y: Axes) -> Axes:
    """``exp(-slope (x - y)**2)`` of each coordinate; of the first, the mean of y and its mirror image."""
    both = [np.exp(-slope * np.square(x[0][:, None] - sign * y[0])) for sign in (1, -1)]
    return 0.5 * (both[0] + both[1]), np.exp(-slope * np.square(x[1][:, None] - y[1]))
