"""How a setting moves while training."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

Shape = Literal["exponential", "linear", "cosine"]


def anneal(shape: Shape, start: float | Tensor, end: float | Tensor, progress: float) -> float | Tensor:
    """The value at ``progress`` (0 to 1) on the way from ``start`` to ``end``; both per trial if they are tensors."""
    progress = min(max(progress, 0.0), 1.0)
    if shape == "exponential":
        return start * (end / start) ** progress
    if shape == "cosine":
        progress = (1 - math.cos(math.pi * progress)) / 2
    return start + (end - start) * progress
