"""What a source says of the best that any codec can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quantbench.limits.densities import Density


@dataclass(frozen=True)
class Limit:
    """No codec that spends ``bits`` a frame has a smaller mean square error than ``mse(bits)``.

    Attributes:
        name: which bound it is.
        mse: of bits a frame; per feature of the target.
        error: relative numerical error of ``mse``: a codec may lie so far below what is said.
        density: of a single feature, where all features are independent and have one; the best scalar quantizers for it are
            then known too.
    """

    name: str
    mse: Callable[[float], float]
    error: float = 0.0
    density: Density | None = None


@dataclass(frozen=True)
class Unknown:
    """No limit is known for a source.

    Attributes:
        reason: why.
    """

    reason: str
