"""No quantization at all: what the codec could reach with an unlimited rate."""

from __future__ import annotations

from torch import Tensor

from quantbench.components import State, component
from quantbench.quantizers.base import WHOLE, Code, Quantizer


@component
class Identity(Quantizer):
    """Passes latents on as they are; a strategy that needs nothing of the quantizer becomes the identity too.

    Formula: ``y``
    Source: none.
    Recommended: nothing to set.
    Compared with: nothing.
    """

    offers = frozenset({WHOLE})
    alone = "it quantizes nothing"

    def alphabet(self, dim: int) -> list[int]:
        return []

    def quantize(self, state: State, latents: Tensor) -> Code:
        return Code(latents.detach(), None)
