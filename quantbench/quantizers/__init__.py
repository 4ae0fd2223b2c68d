"""Hard maps from latents to codes."""

from quantbench.quantizers.base import CODEBOOK, DITHER, GRID, SOFT, WHOLE, Code, Committed, Grid, Moment, Passed, Quantizer
from quantbench.quantizers.binary import BSQ, LFQ
from quantbench.quantizers.bridge import FVQ
from quantbench.quantizers.conditioned import Conditioned
from quantbench.quantizers.entropy import EntropyScalar
from quantbench.quantizers.external import External
from quantbench.quantizers.gaussian import GaussianQuant
from quantbench.quantizers.lattice import Lattice
from quantbench.quantizers.module import Module
from quantbench.quantizers.none import Identity
from quantbench.quantizers.planar import Q2D2
from quantbench.quantizers.product import Product
from quantbench.quantizers.qinco import QINCo
from quantbench.quantizers.residual import Residual
from quantbench.quantizers.scalar import CDF, FSQ, IFSQ, LSQ, Uniform
from quantbench.quantizers.simvq import SimVQ
from quantbench.quantizers.stochastic import SQVAE
from quantbench.quantizers.transport import OptVQ
from quantbench.quantizers.trellis import TrellisCoded
from quantbench.quantizers.variable import VRVQ
from quantbench.quantizers.vector import VectorQuantizer, by_means
from quantbench.quantizers.wasserstein import WassersteinVQ

__all__ = [
    "BSQ",
    "CDF",
    "CODEBOOK",
    "DITHER",
    "FSQ",
    "FVQ",
    "GRID",
    "IFSQ",
    "LFQ",
    "LSQ",
    "Q2D2",
    "SOFT",
    "SQVAE",
    "VRVQ",
    "WHOLE",
    "Code",
    "Committed",
    "Conditioned",
    "EntropyScalar",
    "External",
    "GaussianQuant",
    "Grid",
    "Identity",
    "Lattice",
    "Module",
    "Moment",
    "OptVQ",
    "Passed",
    "Product",
    "QINCo",
    "Quantizer",
    "Residual",
    "SimVQ",
    "TrellisCoded",
    "Uniform",
    "VectorQuantizer",
    "WassersteinVQ",
    "by_means",
]
