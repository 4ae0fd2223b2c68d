"""Hard maps from latents to codes."""

from quantbench.quantizers.base import CODEBOOK, SOFT, STEP, Code, Passed, Quantizer
from quantbench.quantizers.none import Identity
from quantbench.quantizers.residual import ResidualVQ
from quantbench.quantizers.scalar import FSQ, Uniform
from quantbench.quantizers.vector import VectorQuantizer

__all__ = [
    "CODEBOOK",
    "FSQ",
    "SOFT",
    "STEP",
    "Code",
    "Identity",
    "Passed",
    "Quantizer",
    "ResidualVQ",
    "Uniform",
    "VectorQuantizer",
]
