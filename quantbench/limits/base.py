"""What a source says of the best that any codec can do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize

from quantbench.limits.densities import Density
from quantbench.limits.finite import FiniteAlphabet

MOST_BITS = 2.0**20
"""A rate at which a mean square error below any float's square is possible."""


@dataclass(frozen=True)
class Limit:
    """No codec that spends ``bits`` a frame has a smaller mean square error than ``mse(bits)``.

    Attributes:
        name: which bound it is.
        mse: of bits a frame; per feature of the target.
        error: relative numerical error of ``mse``: a codec may lie so far below what is said.
        density: of a single feature, where all features are independent and have one; the best scalar quantizers for it are
            then known too.
        inverse: of ``mse``, for mean square errors between 0 and ``mse(0)``; without it the inverse is searched for, which
            takes some 20 calls of ``mse`` and needs it to fall without an end.
        error_bits: error of the bits, where a relative error of ``mse`` says little because it falls to 0: no codec's mean
            square error is below ``(1 - error) mse(bits + error_bits)``.
        process: as ``mse``, for a codec that codes all frames of an endless process together, where frames are parts of one.
        alphabet: what ``mse`` and ``inverse`` are of, where they take long: what it found can be kept, and be given back to it.
    """

    name: str
    mse: Callable[[float], float]
    error: float = 0.0
    density: Density | None = None
    inverse: Callable[[float], float] | None = None
    error_bits: float = 0.0
    process: Callable[[float], float] | None = None
    alphabet: FiniteAlphabet | None = None

    def bits(self, mse: float) -> float:
        """R(D): the least bits a frame at which a mean square error of ``mse`` a feature is possible.

        0 from the source's variance on. At 0 the bits of a finite alphabet; infinite for a continuous source.
        """
        if mse >= self.mse(0.0):
            return 0.0
        if self.inverse is not None:
            return self.inverse(mse)
        if mse <= 0:
            return math.inf
        high = 1.0
        while self.mse(high) > mse:
            high *= 2
            if high > MOST_BITS:
                return math.inf
        return float(optimize.brentq(lambda bits: math.log(self.mse(bits) / mse), 0.0, high, xtol=1e-9))


@dataclass(frozen=True)
class Unknown:
    """No limit is known for a source.

    Attributes:
        reason: why.
    """

    reason: str
