"""Strategies that carry a gradient past the quantizer."""

from quantbench.gradients.annealing import IndexPropagation, SoftToHard
from quantbench.gradients.base import Gradient, Own, misfit
from quantbench.gradients.drift import NonStationary
from quantbench.gradients.geometric import DiVeQ, RotationTrick, SFDiVeQ
from quantbench.gradients.noise import Noise, NoiseSTEMix, Universal
from quantbench.gradients.perturbation import FSP, NSVQ
from quantbench.gradients.rounding import DSQ, SGA, SoftRound
from quantbench.gradients.sampled import GumbelSoftmax, GumbelST, ReinMax, ScoreFunction
from quantbench.gradients.schedule import Schedule
from quantbench.gradients.smoothing import Smoothed
from quantbench.gradients.staged import Curriculum, SoftThenHard, WarmUp
from quantbench.gradients.straight_through import EWGS, MSTE, STE, ClippedSTE, Synchronised
from quantbench.gradients.vector_perturbation import VP
from quantbench.quantizers.base import Moment

__all__ = [
    "DSQ",
    "EWGS",
    "FSP",
    "MSTE",
    "NSVQ",
    "SGA",
    "STE",
    "VP",
    "ClippedSTE",
    "Curriculum",
    "DiVeQ",
    "Gradient",
    "GumbelST",
    "GumbelSoftmax",
    "IndexPropagation",
    "Moment",
    "Noise",
    "NoiseSTEMix",
    "NonStationary",
    "Own",
    "ReinMax",
    "RotationTrick",
    "SFDiVeQ",
    "Schedule",
    "ScoreFunction",
    "Smoothed",
    "SoftRound",
    "SoftThenHard",
    "SoftToHard",
    "Synchronised",
    "Universal",
    "WarmUp",
    "misfit",
]
