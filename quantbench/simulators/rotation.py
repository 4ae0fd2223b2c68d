"""A rotation to be told: side information makes all but a few bits unnecessary."""

from __future__ import annotations

import torch

from quantbench.components import State, at_least, component
from quantbench.limits import Limit, Unknown, finite
from quantbench.simulators.base import Frames, Simulator, check_alphabet
from quantbench.streams import Streams

LIMIT_FRAMES = 512
"""Frames over which the limit is averaged: points of a Sobol sequence, which fill the space more evenly than drawn ones."""
LIMIT_ERROR, LIMIT_ERROR_BITS = 0.05, 0.01
"""Relative error of the limit, and the error in bits that matters within 5 % of the source's bits; measured against frames
eight times as many. There, few frames count: those on which two rotations nearly agree."""


@component
class Rotation(Simulator):
    """A Gaussian frame and its rotated copy; the decoder knows the frame and needs to be told the rotation.

    The rotation is one of ``2**bits``, drawn once per trial. The encoder sees the frame and its copy side by side, the
    decoder gets the frame as side information, the target is the copy. Only ``bits`` bits per frame need to pass. Our
    reading of the simulated data of Mack et al. (2025), arXiv 2502.04770.

    Attributes:
        bits: bits per frame; there are ``2**bits`` rotations.
        frame_dim: features of the Gaussian frame; the encoder sees twice as many.
    """

    sizes = ("bits", "frame_dim")

    bits: int = 4
    frame_dim: int = 4

    def check(self) -> None:
        at_least("simulator.bits", self.bits, 1)
        at_least("simulator.frame_dim", self.frame_dim, 2)
        check_alphabet("simulator.bits", self.bits, 4 * self.frame_dim * self.frame_dim)

    @property
    def source_bits(self) -> float:
        return float(self.bits)

    @property
    def input_dim(self) -> int:
        return 2 * self.frame_dim

    @property
    def target_dim(self) -> int:
        return self.frame_dim

    @property
    def side_dim(self) -> int:
        return self.frame_dim

    def limit(self, world: State, trial: int) -> Limit | Unknown:
        """The mean, over frames, of Shannon's bound for the copies that a frame can have, up to 1024 rotations."""
        if 2**self.bits > finite.LARGEST:
            return Unknown(f"the limit of drawn rotations is computed up to {finite.LARGEST} of them")
        sobol = torch.quasirandom.SobolEngine(self.frame_dim, scramble=True, seed=0)  # type: ignore[no-untyped-call]
        points = sobol.draw(LIMIT_FRAMES, dtype=torch.float64)
        frames = torch.special.ndtri(points.clamp(1e-9, 1 - 1e-9))
        frames *= (self.frame_dim * LIMIT_FRAMES) ** 0.5 / frames.norm()
        copies = torch.einsum("kij,fj->fki", world["rotations"][trial].double().cpu(), frames)
        found = finite.alphabet(copies.numpy())
        return Limit(
            "rate-distortion function of the rotated copies",
            found.mse,
            LIMIT_ERROR,
            inverse=found.bits,
            error_bits=LIMIT_ERROR_BITS,
            alphabet=found,
        )

    @property
    def bytes_per_trial(self) -> int:
        return 4 * self.frame_dim * self.frame_dim * (1 << self.bits)

    def world(self, streams: Streams) -> State:
        return {"rotations": streams.rotations("source", 2**self.bits, dim=self.frame_dim)}

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        frame = streams.normal(purpose, frames, self.frame_dim)
        chosen = streams.integers(purpose, 2**self.bits, frames)
        trial = torch.arange(streams.trials, device=streams.device)[:, None]
        copy = (world["rotations"][trial, chosen] * frame.unsqueeze(-2)).sum(-1)
        return Frames(torch.cat([frame, copy], dim=-1), copy, side=frame)
