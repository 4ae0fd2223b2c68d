"""Continuous sources with textbook rate-distortion functions."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import partial
from typing import ClassVar

import torch

from quantbench.components import State, at_least, between, component
from quantbench.limits import Limit, Unknown, densities, shannon
from quantbench.simulators.base import Frames, Simulator
from quantbench.streams import Streams


@component
class Memoryless(Simulator):
    """Independent, identically distributed features of zero mean and unit variance; the target is the input.

    Attributes:
        frame_dim: features of a frame.
        evaluation_frames: frames of the held-out set; 0: 4096, or as many as hold 2**17 features. A codebook needs at least
            four a code: codes that no frame came to look as if they were not in use.
    """

    sizes: ClassVar[tuple[str, ...]] = ("frame_dim",)

    frame_dim: int = 8
    evaluation_frames: int = 0

    def check(self) -> None:
        at_least("simulator.frame_dim", self.frame_dim, 1)
        at_least("simulator.evaluation_frames", self.evaluation_frames, 0)

    @property
    def held_out_frames(self) -> int:
        return self.evaluation_frames or super().held_out_frames

    @property
    def input_dim(self) -> int:
        return self.frame_dim

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        frame = self.samples(streams, frames, purpose)
        return Frames(frame, frame)

    def limit(self, world: State, trial: int) -> Limit | Unknown:
        density = self.density
        if density is None:
            return super().limit(world, trial)
        error = 0.0 if density is densities.GAUSSIAN else shannon.TABLE_ERROR
        return Limit(
            f"rate-distortion function of the {density.name} source",
            lambda bits: shannon.memoryless(density, bits / self.frame_dim),
            error,
            density,
        )

    @property
    def density(self) -> densities.Density | None:
        """The density of every feature, where they are independent."""
        return None

    @abstractmethod
    def samples(self, streams: Streams, frames: int, purpose: str) -> torch.Tensor:
        """Frames of the source, (trials, frames, frame_dim)."""


@component
class Gaussian(Memoryless):
    """Standard normal features."""

    @property
    def density(self) -> densities.Density:
        return densities.GAUSSIAN

    def samples(self, streams: Streams, frames: int, purpose: str) -> torch.Tensor:
        return streams.normal(purpose, frames, self.frame_dim)


@component
class Laplace(Memoryless):
    """Laplace features of unit variance (scale 1/sqrt(2))."""

    @property
    def density(self) -> densities.Density:
        return densities.LAPLACE

    def samples(self, streams: Streams, frames: int, purpose: str) -> torch.Tensor:
        # The inverse of the distribution function. uniform() can give exactly 0, whose logarithm is infinite.
        centred = streams.uniform(purpose, frames, self.frame_dim).clamp_min(2**-25) - 0.5
        return -torch.sign(centred) * torch.log1p(-2 * centred.abs()) / math.sqrt(2)


@component
class Uniform(Memoryless):
    """Uniform features on [-sqrt(3), sqrt(3))."""

    @property
    def density(self) -> densities.Density:
        return densities.UNIFORM

    def samples(self, streams: Streams, frames: int, purpose: str) -> torch.Tensor:
        return math.sqrt(3) * (2 * streams.uniform(purpose, frames, self.frame_dim) - 1)


@component
class GaussMarkov(Memoryless):
    """Blocks of a first-order Gauss-Markov (AR(1)) process of unit variance; a block is one frame.

    Attributes:
        correlation: between neighbouring samples, -1 < correlation < 1.
        in_a_row: blocks of the evaluation set that follow each other in one stretch of the process, so that their codes are
            a sequence; with more than 1 the standard error of ``mse`` is too small. Training draws single blocks.
    """

    correlation: float = 0.9
    in_a_row: int = 1

    def check(self) -> None:
        super().check()
        between("simulator.correlation", self.correlation, -0.9999, 0.9999)
        between("simulator.in_a_row", self.in_a_row, 1, self.held_out_frames)

    def limit(self, world: State, trial: int) -> Limit:
        """That of single blocks: a codec that codes each frame alone cannot use what neighbouring ones have in common.

        That of the endless process, which a codec with memory could reach, is its ``process``.
        """
        variances = shannon.gauss_markov_variances(self.frame_dim, self.correlation)
        return Limit(
            f"rate-distortion function of a Gauss-Markov block of {self.frame_dim}, coded alone",
            partial(shannon.water_filling, variances),
            process=lambda bits: shannon.gauss_markov_process(self.correlation, bits / self.frame_dim),
        )

    def samples(self, streams: Streams, frames: int, purpose: str) -> torch.Tensor:
        return self._process(streams.normal(purpose, frames, self.frame_dim))

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """A fixed held-out set, in whole stretches of the process."""
        if self.in_a_row == 1:
            return super().evaluation(world, streams)
        stretches = math.ceil(self.held_out_frames / self.in_a_row)
        samples = self._process(streams.normal("evaluation", stretches, self.in_a_row * self.frame_dim))
        frame = samples.view(streams.trials, -1, self.frame_dim)
        return Frames(frame, frame, runs=(self.in_a_row,) * stretches)

    def _process(self, white: torch.Tensor) -> torch.Tensor:
        """Stretches of the process from standard normal numbers (trials, stretches, samples)."""
        samples = [white[..., 0]]
        for i in range(1, white.shape[-1]):
            innovation = math.sqrt(1 - self.correlation**2) * white[..., i]
            samples.append(self.correlation * samples[-1] + innovation)
        return torch.stack(samples, dim=-1)
