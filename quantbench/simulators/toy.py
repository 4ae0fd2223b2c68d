"""Curved sources on which linear transforms fail: the toy sources of TensorFlow Compression."""

from __future__ import annotations

import math
from functools import partial

import torch

from quantbench.components import State, at_least, component
from quantbench.limits import Limit, finite, shannon
from quantbench.limits.bent import BANANA
from quantbench.simulators.base import Frames, Simulator
from quantbench.streams import Streams

LONG, SHORT, BEND = BANANA.long, BANANA.short, BANANA.bend
ANGLE = math.radians(240)
"""How the banana lies."""


@component
class Banana(Simulator):
    """A two-dimensional normal density bent along a parabola.

    Balle et al. (2021), arXiv 2007.03034, section II: ``(a, b - 0.1 a**2)`` of independent normal a, b with standard deviations
    3 and 0.5, turned by 240 degrees. Here it is centred and scaled to a mean variance of 1.
    """

    @property
    def input_dim(self) -> int:
        return 2

    @property
    def scale(self) -> float:
        """By what the banana is divided: the root of its mean variance."""
        return BANANA.scale

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        normal = streams.normal(purpose, frames, 2)
        along = LONG * normal[..., 0]
        across = SHORT * normal[..., 1] - BEND * (along.square() - LONG**2)
        cosine, sine = math.cos(ANGLE), math.sin(ANGLE)
        turned = torch.stack([cosine * along + sine * across, cosine * across - sine * along], dim=-1) / self.scale
        return Frames(turned, turned)

    def limit(self, world: State, trial: int) -> Limit:
        """Its rate-distortion function by Blahut and Arimoto in the plane; turning changes nothing."""
        return Limit("rate-distortion function of the banana", shannon.banana, shannon.BANANA_ERROR)


@component
class Sawbridge(Simulator):
    """Samples of ``t - 1(t >= u)`` for a uniformly distributed jump u: one number hidden in a frame of many dimensions.

    Wagner & Balle (2021), arXiv 2011.05065, sampled at ``t = 1/n .. (n - 1)/n``, so that a frame of ``n - 1`` features is one
    of n equally likely symbols, and scaled to unit mean variance.

    Attributes:
        frame_dim: features of a frame; one less than the number of symbols.
    """

    sizes = ("frame_dim",)

    frame_dim: int = 255

    def check(self) -> None:
        at_least("simulator.frame_dim", self.frame_dim, 1)

    @property
    def source_bits(self) -> float:
        return math.log2(self.frame_dim + 1)

    @property
    def input_dim(self) -> int:
        return self.frame_dim

    @property
    def exact(self) -> bool:
        return True

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        return self._frames(streams.integers(purpose, self.frame_dim + 1, frames))

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """Every symbol once: an exact expectation."""
        return self._frames(torch.arange(self.frame_dim + 1, device=streams.device).expand(streams.trials, -1))

    def limit(self, world: State, trial: int) -> Limit:
        symbols = self.frame_dim + 1
        return Limit(
            "optimum of the sawbridge, each frame coded alone",
            partial(finite.sawbridge, symbols),
            inverse=partial(finite.sawbridge_bits, symbols),
        )

    def _frames(self, jumps: torch.Tensor) -> Frames:
        """The frames (trials, frames, frame_dim) that jump after ``jumps`` samples."""
        symbols = self.frame_dim + 1
        sample = torch.arange(self.frame_dim, device=jumps.device)
        bridge = (sample + 1) / symbols - (sample >= jumps.unsqueeze(-1)).float()
        bridge = bridge * math.sqrt(6 * symbols / (symbols + 1))
        return Frames(bridge, bridge)
