"""Rate-distortion functions of continuous sources (Shannon 1959): the least mean square error at a rate."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from quantbench.limits.bent import BANANA
from quantbench.limits.densities import GAUSSIAN, Array, Density
from quantbench.limits.points import POINTS

TABLE_ERROR = 1.5e-4
"""Relative error of what is interpolated in the tables of Laplace and uniform densities; the largest found is 1.2e-4, of
the uniform one between reproductions that split in two."""
BANANA_ERROR = 5e-3
"""Relative error of what is interpolated in the banana's."""


def memoryless(density: Density, bits: float) -> float:
    """Least mean square error of independent samples of ``density`` at ``bits`` a sample.

    In closed form for the Gaussian. For Laplace and uniform densities interpolated in points that ``blahut_arimoto.point``
    found (cubically, in the logarithm of the mean square, with the known slopes). Beyond the last one (6.7 and 3.9 bits) the
    excess over Shannon's lower bound halves with every bit, as the uniform density's does.
    """
    if bits <= 0:
        return 1.0
    if density is GAUSSIAN:
        return density.shannon_lower_bound(bits)
    return interpolated(POINTS[density.name], density.shannon_lower_bound, bits)


def banana(bits: float) -> float:
    """Least mean square error per component of the banana at ``bits`` a frame, as ``memoryless``; the last point is at 3.7."""
    return interpolated(POINTS["banana"], lambda rate: shannon_lower_bound(BANANA.entropy, 2, rate), bits)


def interpolated(table: list[tuple[float, float, float]], lowest: Callable[[float], float], bits: float) -> float:
    """The mean square error at ``bits`` between points (bits, mse, slope) and beyond them, ``lowest`` being Shannon's bound."""
    if bits <= 0:
        return 1.0
    last_bits, last_mse, _ = table[-1]
    if bits >= last_bits:
        excess = last_mse / lowest(last_bits) - 1
        return lowest(bits) * (1 + excess * math.exp2(last_bits - bits))
    right = max(1, bisect_left(table, (bits,)))
    (bits0, mse0, slope0), (bits1, mse1, slope1) = table[right - 1], table[right]
    # Cubic Hermite; d ln(mse) / d bits = -ln 2 / (slope mse).
    width = bits1 - bits0
    t = (bits - bits0) / width
    tangent0, tangent1 = (-width * math.log(2) / (slope * mse) for slope, mse in ((slope0, mse0), (slope1, mse1)))
    log0, log1 = math.log(mse0), math.log(mse1)
    start, end = (1 + 2 * t) * (1 - t) ** 2, t * t * (3 - 2 * t)
    log = start * log0 + end * log1 + t * (1 - t) ** 2 * tangent0 - t * t * (1 - t) * tangent1
    return math.exp(log)


def water_filling(variances: Array, bits: float) -> float:
    """Least mean square error per component of independent Gaussian components at ``bits`` for all of them together.

    Reverse water-filling (Kolmogorov 1956; Berger 1971, section 4.5): every component gets an error of the water level, or
    its variance where that is less.
    """
    variances = np.sort(np.asarray(variances, dtype=float))[::-1]
    if bits <= 0:
        return float(variances.mean())
    logs = np.cumsum(np.log2(variances))
    count = np.arange(1, len(variances) + 1)
    levels = 2.0 ** ((logs - 2 * bits) / count)  # were the first 1, 2, ... components under water
    wet = int(np.sum(levels < variances))  # a component is under water if its variance exceeds the level it makes
    return float((wet * levels[wet - 1] + variances[wet:].sum()) / len(variances))


def gauss_markov_variances(dim: int, correlation: float) -> Array:
    """Variances of the principal components of ``dim`` neighbouring samples of an AR(1) process of unit variance."""
    lag = np.abs(np.subtract.outer(np.arange(dim), np.arange(dim)))
    variances: Array = np.maximum(np.linalg.eigvalsh(correlation**lag), 1e-300)
    return variances


def gauss_markov_process(correlation: float, bits: float) -> float:
    """Least mean square error of an endless AR(1) process of unit variance at ``bits`` a sample.

    Reverse water-filling over its spectrum ``(1 - r**2) / (1 + r**2 - 2 r cos(w))`` (Berger 1971, section 4.5). All of it is
    under water from ``log2(1 + |r|)`` bits on, and the error is then ``(1 - r**2) 2**(-2 bits)``. Below, the frequency up to
    which the spectrum is above the water is looked for; both integrals are closed, the rate's with a dilogarithm.
    """
    r = abs(correlation)  # the sign mirrors the spectrum
    if bits <= 0:
        return 1.0
    if bits >= math.log2(1 + r):
        return (1 - r * r) * math.exp2(-2 * bits)

    def excess(edge: float) -> float:
        log = edge * math.log(1 + r * r - 2 * r * math.cos(edge))
        dilogarithm = float(special.spence(1 - r * np.exp(1j * edge)).imag)
        return float((log + 2 * dilogarithm) / (2 * math.pi * math.log(2)) - bits)

    edge = float(optimize.brentq(excess, 0.0, math.pi, xtol=1e-14, rtol=1e-12))
    level = (1 - r * r) / (1 + r * r - 2 * r * math.cos(edge))
    dry = math.pi - 2 * math.atan((1 + r) / (1 - r) * math.tan(edge / 2))
    return float((level * edge + dry) / math.pi)


def shannon_lower_bound(entropy: float, dim: int, bits: float) -> float:
    """Mean square error per component below which no code of ``bits`` a vector comes.

    ``2**(2 (h - bits) / dim) / (2 pi e)`` (Shannon 1959), ``entropy`` h the vector's differential entropy in bits.
    """
    return float(2.0 ** (2 * (entropy - bits) / dim) / (2 * math.pi * math.e))
