"""Strategies that carry a gradient past the quantizer."""

from quantbench.gradients.annealing import SoftToHard
from quantbench.gradients.base import Gradient, Moment
from quantbench.gradients.noise import Noise
from quantbench.gradients.straight_through import MSTE, STE

__all__ = ["MSTE", "STE", "Gradient", "Moment", "Noise", "SoftToHard"]
