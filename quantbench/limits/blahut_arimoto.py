"""Rate-distortion functions of scalar densities, by the algorithm of Blahut and Arimoto with a certified error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quantbench.limits.densities import LAPLACE, Array, Density

TOLERANCE = 2e-5
"""Certified distance between upper and lower bound of ``I + slope D``, in nats: about 4e-5 of the distortion."""
LONGEST = 20_000
ON_GRID = 500
"""Steps with the reproductions on a grid."""
CHECK_EVERY = 100
NODES = 12
"""Gauss-Legendre nodes a panel."""


@dataclass(frozen=True)
class Point:
    """A point of a rate-distortion function.

    Attributes:
        bits: per sample.
        mse: the distortion that needs so many bits.
        slope: ``-d(nats) / d(mse)``.
        error: certified relative error of ``mse`` at these ``bits``.
    """

    bits: float
    mse: float
    slope: float
    error: float


def point(density: Density, slope: float, tolerance: float = TOLERANCE) -> Point:
    """The point of the rate-distortion function at which its slope is ``-slope`` (nats per unit of mean square).

    Blahut (1972), Arimoto (1972), IEEE Trans. Inf. Theory 18(4, 1), with reproductions on a grid of half the width of the
    test channel's noise, and the source on Gauss-Legendre panels. The lower bound is Csiszar's dual: for any positive ``z``
    with ``sum_x p(x) exp(-slope (x - y)**2) / z(x) <= 1`` for all y, ``I + slope D >= -sum_x p(x) log z(x)``.

    Raises:
        ArithmeticError: the bounds did not come as near as ``tolerance``.
    """
    width = 1 / math.sqrt(2 * slope)
    x, weight = _source(density, width)
    y = np.arange(0, density.reach + (0 if density.reach < 2 else width), width / 2)
    y = np.unique(np.concatenate([-y, y]))
    fine = np.linspace(y[0], y[-1], 4 * len(y))  # the bound must hold for every y
    fine_kernel = _kernel(slope, x, fine)
    share = _start(density, y, width)
    kernel = _kernel(slope, x, y)
    for step in range(LONGEST):
        mixture = np.maximum(kernel @ share, 1e-300)
        if step % CHECK_EVERY == 0:
            upper = -float(weight @ np.log(mixture))
            lower = _lower_bound(x, weight, mixture, fine, fine_kernel)
            if upper - lower < tolerance:
                break
        ratio = weight / mixture
        gain = kernel.T @ ratio
        if step >= ON_GRID:  # the best reproductions may lie between those of the grid: let them move to their centroids
            keep = share > 1e-14
            y, share, gain = (kernel.T @ (ratio * x) / gain)[keep], share[keep], gain[keep]
            kernel = _kernel(slope, x, y)
        share = share * gain
    else:
        raise ArithmeticError(f"{density.name}, slope {slope:g}: bounds {upper - lower:.2g} nats apart after {LONGEST} steps")
    channel = kernel * share / mixture[:, None]
    mse = float(weight @ (channel * np.square(x[:, None] - y)).sum(1))
    nats = upper - slope * mse
    return Point(nats / math.log(2), mse, slope, (upper - lower) / (slope * mse))


def _source(density: Density, width: float) -> tuple[Array, Array]:
    """Nodes and probabilities of the source; panels end where the density has a kink."""
    panels = max(4, math.ceil(density.reach / (2 * width)))
    edges = np.linspace(0, density.reach, panels + 1)
    node, node_weight = np.polynomial.legendre.leggauss(NODES)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half + half * node).ravel()
    x = np.concatenate([-x[::-1], x])
    weight = np.tile((half * node_weight).ravel(), 2) * density.pdf(x)
    return x, weight / weight.sum()


def _start(density: Density, y: Array, width: float) -> Array:
    """A first distribution of the reproductions."""
    share = density.pdf(y) + 1e-30
    share /= share.sum()
    if density is LAPLACE:
        # Laplace less a little Gaussian noise is, to first order, (1 - width**2) of itself and a mass at 0.
        mass = min(width**2, 0.9)
        share *= 1 - mass
        share[len(y) // 2] += mass
    return share


def _kernel(slope: float, x: Array, y: Array) -> Array:
    exponent = slope * np.square(x[:, None] - y)
    return np.where(exponent < 60, np.exp(-np.minimum(exponent, 60.0)), 0.0)


def _lower_bound(x: Array, weight: Array, mixture: Array, y: Array, kernel: Array) -> float:
    """The dual bound. ``z`` is the mixture, raised about those ``y`` that break the condition."""
    raised = np.maximum(kernel.T @ (weight / mixture), 1.0)
    reach = 32  # steps of the fine grid: four widths
    local = np.lib.stride_tricks.sliding_window_view(np.pad(raised, reach, mode="edge"), 2 * reach + 1).max(1)
    z = mixture * np.interp(x, y, local)
    worst = float((kernel.T @ (weight / z)).max())
    return -float(weight @ np.log(z)) - math.log(max(worst, 1.0))
