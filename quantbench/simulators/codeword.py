"""A finite alphabet of Gaussian codewords: the source whose bits are known exactly."""

from __future__ import annotations

import torch

from quantbench.components import State, at_least, component, product, take
from quantbench.limits import Limit, Unknown, finite
from quantbench.simulators.base import HELD_OUT_FRAMES, Frames, Simulator, check_alphabet
from quantbench.streams import Streams


@component
class Codeword(Simulator):
    """One of ``2**bits`` Gaussian codewords; the target is the codeword under a fixed random rotation.

    The codewords (standard normal) and the rotation are drawn once per trial. Perfect reconstruction needs exactly
    ``bits`` bits per frame, so whatever a codec with that many bits loses, training has lost. Our reading of the
    simulated data of Mack et al. (2025), arXiv 2502.04770.

    Attributes:
        bits: bits per frame; the alphabet has ``2**bits`` codewords.
        frame_dim: features of a frame.
        nuisance: standard deviation of Gaussian noise on the input that the target does not have.
    """

    sizes = ("bits", "frame_dim")

    bits: int = 8
    frame_dim: int = 16
    nuisance: float = 0.0

    def check(self) -> None:
        at_least("simulator.bits", self.bits, 1)
        at_least("simulator.frame_dim", self.frame_dim, 1)
        at_least("simulator.nuisance", self.nuisance, 0)
        check_alphabet("simulator.bits", self.bits, 2 * 4 * self.frame_dim)

    @property
    def source_bits(self) -> float:
        return float(self.bits)

    @property
    def input_dim(self) -> int:
        return self.frame_dim

    @property
    def exact(self) -> bool:
        return not self.nuisance

    def limit(self, world: State, trial: int) -> Limit | Unknown:
        """Shannon's bound for the drawn codewords, up to 1024 of them."""
        if self.nuisance:
            return Unknown("no limit is known for codewords in noise (simulator.nuisance above 0)")
        if 2**self.bits > finite.LARGEST:
            return Unknown(f"the limit of a drawn alphabet is computed up to {finite.LARGEST} codewords")
        found = finite.alphabet(world["targets"][trial : trial + 1].double().cpu().numpy())
        return Limit("rate-distortion function of the codewords", found.mse, finite.ERROR, inverse=found.bits, alphabet=found)

    @property
    def bytes_per_trial(self) -> int:
        return 2 * 4 * self.frame_dim * (1 << self.bits)  # codewords and targets, float32

    def world(self, streams: Streams) -> State:
        codewords = streams.normal("source", 2**self.bits, self.frame_dim)
        return {"codewords": codewords, "targets": product(codewords, streams.rotations("source", dim=self.frame_dim))}

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        return self._frames(world, streams, streams.integers(purpose, 2**self.bits, frames), purpose)

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """Every codeword once: an exact expectation. With nuisance, every codeword under several noises."""
        symbols = torch.arange(2**self.bits, device=streams.device)
        if self.nuisance:
            symbols = symbols.repeat(max(1, HELD_OUT_FRAMES // 2**self.bits))
        return self._frames(world, streams, symbols.expand(streams.trials, -1), "evaluation")

    def _frames(self, world: State, streams: Streams, symbols: torch.Tensor, purpose: str) -> Frames:
        """The frames of ``symbols``, (trials, frames), with nuisance drawn from the stream ``purpose``."""
        codeword = take(world["codewords"], symbols)
        if self.nuisance:
            codeword = codeword + self.nuisance * streams.normal(purpose, symbols.shape[1], self.frame_dim)
        return Frames(codeword, take(world["targets"], symbols))
