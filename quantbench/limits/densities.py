"""Scalar densities of zero mean and unit variance, with the integrals that optimal quantizers need."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROOT2 = math.sqrt(2)
ROOT3 = math.sqrt(3)


@dataclass(frozen=True)
class Density(ABC):
    """A symmetric density of zero mean and unit variance.

    Attributes:
        name: as the simulator is called.
        entropy: differential entropy in bits.
        reach: beyond ``-reach .. reach`` no more than 1e-10 of the variance lies.
    """

    name: str
    entropy: float
    reach: float

    @abstractmethod
    def pdf(self, x: Array) -> Array:
        """The density at ``x``."""

    def cells(self, edges: Array) -> tuple[Array, Array]:
        """Probability and first moment of the cells between ascending ``edges`` (the outermost may be infinite)."""
        probability, moment = self.tails(edges)
        return -np.diff(probability), -np.diff(moment)

    @abstractmethod
    def tails(self, x: Array) -> tuple[Array, Array]:
        """The integrals of the density and of ``u`` times it from ``x`` to infinity."""

    def shannon_lower_bound(self, bits: float) -> float:
        """``2**(2 (h - bits)) / (2 pi e)`` (Shannon 1959): no code of so many bits a sample has a smaller mean square."""
        return float(2.0 ** (2 * (self.entropy - bits)) / (2 * math.pi * math.e))


@dataclass(frozen=True)
class Gaussian(Density):
    """The standard normal density."""

    name: str = "gaussian"
    entropy: float = 0.5 * math.log2(2 * math.pi * math.e)
    reach: float = 8.0

    def pdf(self, x: Array) -> Array:
        return np.exp(-0.5 * np.square(x)) / math.sqrt(2 * math.pi)

    def tails(self, x: Array) -> tuple[Array, Array]:
        probability = np.array([0.5 * math.erfc(value / ROOT2) for value in x])
        return probability, self.pdf(x)


@dataclass(frozen=True)
class Laplace(Density):
    """The Laplace density of scale ``1 / sqrt(2)``."""

    name: str = "laplace"
    entropy: float = math.log2(math.e * ROOT2)
    reach: float = 24.0

    def pdf(self, x: Array) -> Array:
        return np.exp(-ROOT2 * np.abs(x)) / ROOT2

    def tails(self, x: Array) -> tuple[Array, Array]:
        far = np.minimum(np.abs(x), 1e3)  # 0 times infinity is what the moment would be at an infinite edge
        decay = 0.5 * np.exp(-ROOT2 * far)
        return np.where(x > 0, decay, 1 - decay), decay * (far + 1 / ROOT2)


@dataclass(frozen=True)
class Uniform(Density):
    """The uniform density on ``-sqrt(3) .. sqrt(3)``."""

    name: str = "uniform"
    entropy: float = math.log2(2 * ROOT3)
    reach: float = ROOT3

    def pdf(self, x: Array) -> Array:
        return np.where(np.abs(x) <= ROOT3, 1 / (2 * ROOT3), 0.0)

    def tails(self, x: Array) -> tuple[Array, Array]:
        inside = np.clip(x, -ROOT3, ROOT3)
        return (ROOT3 - inside) / (2 * ROOT3), (3 - np.square(inside)) / (4 * ROOT3)


GAUSSIAN, LAPLACE, UNIFORM = Gaussian(), Laplace(), Uniform()
