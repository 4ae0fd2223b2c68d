"""Steps of a stack's training by one fused kernel on a GPU, in the place of PyTorch's operations.

``misfit`` says which stacks it can train. It computes what ``Training`` computes, up to rounding.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from quantbench.codecs import MLP
from quantbench.components import Component, largest
from quantbench.gradients import MSTE, STE, ClippedSTE, Moment, RotationTrick
from quantbench.losses import MSE
from quantbench.quantizers import FSQ, Uniform, VectorQuantizer
from quantbench.quantizers.scalar import Leveled
from quantbench.simulators import Frames
from quantbench.terminal import say
from quantbench.training.divergence import DATA
from quantbench.training.model import Model
from quantbench.training.optimizer import BETA1, BETA2, Adam
from quantbench.training.stack import Stack

STRATEGIES: dict[type[Component], str] = {
    STE: "ste",
    ClippedSTE: "clipped_ste",
    MSTE: "mste",
    RotationTrick: "rotation",
}
"""Those that draw no random numbers, by the name that the kernel knows them by."""
QUANTIZERS = (VectorQuantizer, FSQ, Uniform)
LARGEST = {"codec.hidden": 64, "codec.latent_dim": 32, "features of a frame": 64, "quantizer.codes": 1024}
"""Sizes beyond which a trial's sums of gradients would not fit into the registers of a program."""
SMALLEST = 16
"""That Triton's products ask for."""
TILE, CODES_TILE = 64, 64
"""Frames and codes at a time, at most."""
WARPS = 8
LIVE, FROZEN = -1, -2
"""States of trials for the kernel: that of one that diverged in a call is the number of the batch that it diverged at."""


@dataclass(frozen=True)
class FusedShape:
    """All that the kernel is compiled for. Names in capitals are sizes filled up to a power of two.

    Attributes:
        numbers: of a trial's row of parameters; the decoder's begin at ``decoder``, the codebook's at ``book``.
        ahead: batches drawn at a time.
        products: how a GPU multiplies matrices: ``ieee``, ``tf32x3`` or ``tf32``. A codeword's search is float32 always.
        vector, bounded, ema: whether there is a codebook, a bound, moving averages.
        of_error, each_dimension: settings of ``mste``.
    """

    features: int
    targets: int
    hidden: int
    latent: int
    codes: int
    batch: int
    numbers: int
    decoder: int
    book: int
    ahead: int
    FEATURES: int
    TARGETS: int
    HIDDEN: int
    LATENT: int
    TILE: int
    CODES: int
    products: str
    strategy: str
    vector: bool
    bounded: bool
    ema: bool
    smoothing: float
    of_error: bool
    each_dimension: bool


@dataclass(frozen=True)
class Taken:
    """What some steps gave, (trials, batches drawn ahead) each; the columns of other batches have no meaning.

    Attributes:
        states: (trials,).
    """

    loss: Tensor
    distortion: Tensor
    norm: Tensor
    states: Tensor

    def diverged(self, place: int, count: int) -> list[int]:
        """The batches, of those taken, at which trials diverged."""
        ended = set(self.states.tolist())
        return [batch for batch in range(place, place + count) if batch in ended]


class Fused:
    """The fused kernel for one stack, and the memory that it computes in.

    It changes the model's weights and buffers and the optimizer's moments in place. What it keeps besides is no state: another
    one goes on where this one stopped.

    Args:
        largest: distortion from which a trial has diverged, (trials,).
        ahead: batches that are drawn at a time.
        products: how a GPU multiplies matrices.
    """

    def __init__(self, stack: Stack, model: Model, adam: Adam, largest: Tensor, ahead: int, products: str = "ieee") -> None:
        self.stack, self.model, self.adam = stack, model, adam
        trials, numbers = model.parameters.matrix.shape
        self.shape = shape_of(stack, ahead, products)
        places = (numbers, model.codec["decoder.weight0"].storage_offset())
        assert places == (self.shape.numbers, self.shape.decoder), "the kernel takes a trial's numbers to lie in another order"
        self.grid = grid_of(stack.quantizer, self.shape, stack.device)
        self.settings = torch.zeros(trials, 8, device=stack.device)
        loss: Any = stack.loss
        quantizer: Any = stack.quantizer
        columns = [loss.weight, quantizer.commitment, *[torch.zeros_like(largest)] * 2, stack.train.clip, largest]
        if self.shape.vector:
            columns[2:4] = [quantizer.codebook_weight, 1 - quantizer.decay.flatten()]
        self.settings[:, : len(columns)] = torch.stack(columns, dim=1)
        latents = 2 * self.shape.LATENT * self.shape.batch
        self.scratch = torch.zeros(trials, numbers + latents, device=stack.device)
        self.codes = torch.zeros(trials, self.shape.batch, dtype=torch.int32, device=stack.device)

    def steps(self, frames: Frames, place: int, count: int, shares: Sequence[Tensor | None], frozen: Tensor) -> Taken:
        """Take ``count`` steps, from batch number ``place`` of the frames drawn ahead.

        Args:
            shares: of the learning rate at each step, (trials,); None for all of it.
            frozen: trials that stay as they are, (trials,).
        """
        from quantbench.kernels import fused as kernel  # Triton is an extra

        trials, ahead = len(frozen), self.shape.ahead
        reports = torch.full((3, trials, ahead), math.nan, device=frozen.device)
        states = torch.where(frozen, FROZEN, LIVE).to(torch.int32)
        averages = [self.model.quantizer[name] for name in ("codewords", "counts", "sums")] if self.shape.ema else [reports] * 3
        kernel.train[(trials,)](
            *(self.model.parameters.matrix, self.adam.mean, self.adam.square, *averages),
            *(frames.input.contiguous(), frames.target.contiguous()),
            *(self.settings, *self._rates(place, shares), self.grid, self.scratch, self.codes, reports, states),
            *(place, count, 0, self.shape),
            num_warps=WARPS,
            num_stages=1,
        )
        self.adam.steps += count
        loss, distortion, norm = reports
        return Taken(loss, distortion, norm, states)

    def made(self, frames: Frames, batch: int, step: int) -> list[tuple[str, Tensor]]:
        """What a step computes, in its order, by name; right for trials that stopped before it.

        By PyTorch's operations, from the weights as they are: ``Divergence`` looks for what was the first that is not finite.
        """
        model, frames = self.model, frames.part(batch * self.shape.batch, self.shape.batch)
        latents = model.prepare(model.encode(frames))
        passed = model.pass_through(latents, Moment(0.0, model.streams, step=step))
        output = model.decode(passed.received, frames)
        reconstruction = model.loss(output, frames)
        loss = reconstruction + passed.loss
        norm = torch.linalg.vector_norm(model.gradient(loss), dim=1)
        return [
            *((DATA, data) for data in (frames.input, frames.target)),
            ("the encoder's output", latents),
            ("what the decoder receives", passed.received),
            ("the decoder's output", output),
            ("the reconstruction loss", reconstruction),
            ("the quantizer's loss", passed.loss),
            ("the loss", loss),
            ("the gradient", norm),
        ]

    def _rates(self, place: int, shares: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Of each batch: what Adam multiplies by, (trials, batches), and its correction of the squares, (batches,)."""
        lr, ahead = self.adam.lr, self.shape.ahead
        rates, corrections = lr.new_zeros(len(lr), ahead), [1.0] * ahead
        for number, share in enumerate(shares):
            steps = self.adam.steps + 1 + number
            rates[:, place + number] = (lr if share is None else lr * share) / (BETA1**steps - 1)
            corrections[place + number] = (1 - BETA2**steps) ** 0.5
        return rates, lr.new_tensor(corrections)


def wanted(stack: Stack) -> bool:
    """Whether the fused kernel takes a stack's steps. Where it is asked for and cannot, one line says why."""
    if stack.train.fused == "off":
        return False
    lack, reason = missing(stack.device), misfit(stack)
    if lack:
        _tell("steps", lack)
    elif reason:
        classes = ", ".join(type(one).__name__ for one in (stack.codec, stack.quantizer, stack.gradient, stack.loss))
        _tell(f"steps of {classes}", reason)
    return not (lack or reason)


@cache
def _tell(steps: str, reason: str) -> None:
    """Say it once."""
    say(f"train.fused=auto: {steps} are not taken by the fused kernel: {reason}", error=True)


def missing(device: torch.device) -> str | None:
    """Why no stack can be trained by the fused kernel on this device, or None."""
    if device.type != "cuda":
        return f"it needs a CUDA device; the device is {device.type}"
    return None if importlib.util.find_spec("triton") else "Triton is not installed (extra gpu)"


def misfit(stack: Stack) -> str | None:
    """Why the fused kernel cannot train a stack, or None."""
    simulator, codec, train = stack.simulator, stack.codec, stack.train
    quantizer: Any = stack.quantizer
    if type(codec) is not MLP or simulator.waveform_rate is not None or simulator.side_dim:
        return "the codec must be mlp, without side information"
    if type(stack.loss) is not MSE:
        return "the loss must be mse"
    if train.precision != "float32":
        return f"it computes in float32, not in {train.precision}"
    if type(quantizer) not in QUANTIZERS:
        return "the quantizer must be vq, fsq or scalar"
    if type(stack.gradient) not in STRATEGIES:
        return "the strategy must be ste, clipped_ste, mste or rotation"
    sizes = {
        "codec.hidden": codec.hidden,
        "codec.latent_dim": codec.latent_dim,
        "features of a frame": max(simulator.input_dim, simulator.target_dim),
    }
    if isinstance(quantizer, VectorQuantizer):
        if quantizer.search != "euclidean" or quantizer.projection or quantizer.affine or largest(quantizer.restart) > 0:
            return "vq must search by euclidean distance, without projection, affine map and restarts"
        sizes["quantizer.codes"] = quantizer.codes
    large = next((name for name, size in sizes.items() if size > LARGEST[name]), None)
    return f"{large}={sizes[large]} is more than {LARGEST[large]}" if large else None


def shape_of(stack: Stack, ahead: int, products: str) -> FusedShape:
    """What the kernel is compiled for, to train a stack that fits it."""
    simulator, codec, gradient = stack.simulator, stack.codec, stack.gradient
    quantizer: Any = stack.quantizer
    assert isinstance(codec, MLP)
    vector = isinstance(quantizer, VectorQuantizer)
    features, targets, hidden, latent = simulator.input_dim, simulator.target_dim, codec.hidden, codec.latent_dim
    decoder = _network_numbers(features, hidden, latent)
    book = decoder + _network_numbers(latent, hidden, targets)
    ema = vector and quantizer.update_by == "ema"
    numbers = book + (quantizer.codes * latent if vector and not ema else 0)
    return FusedShape(
        features=features,
        targets=targets,
        hidden=hidden,
        latent=latent,
        codes=quantizer.codes if vector else 0,
        batch=stack.train.batch,
        numbers=numbers + -numbers % 16,  # as ``Parameters`` fills a row
        decoder=decoder,
        book=book,
        ahead=ahead,
        FEATURES=_filled(features),
        TARGETS=_filled(targets),
        HIDDEN=_filled(hidden),
        LATENT=_filled(latent),
        TILE=min(TILE, _filled(stack.train.batch)),
        CODES=min(CODES_TILE, _filled(quantizer.codes)) if vector else SMALLEST,
        products=products,
        strategy=STRATEGIES[type(gradient)],
        vector=vector,
        bounded=not vector and getattr(quantizer, "bound", "tanh") != "none",
        ema=ema,
        smoothing=quantizer.smoothing if vector else 0.0,
        of_error=getattr(gradient, "of", "latent") == "error",
        each_dimension=getattr(gradient, "scope", "all") == "dimension",
    )


def grid_of(quantizer: Any, shape: FusedShape, device: torch.device) -> Tensor:
    """The kernel's table of a quantizer, (8, filled dimensions), as ``GRID_ROWS`` of the kernel; of no meaning without levels.

    Dimensions that are filling have one level, 0.
    """
    rows = torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0], device=device).unsqueeze(1).repeat(1, shape.LATENT)
    if not isinstance(quantizer, Leveled):
        return rows
    one = torch.ones(1, 1, shape.latent, device=device)
    grid = quantizer.grid(one)
    counts = grid.counts
    rows[5:, : shape.latent] = torch.stack([grid.lowest, grid.step, counts - 1])
    if isinstance(quantizer, FSQ):
        # Of p = scale tanh(z + shift) - offset: what prepare does at 0, and far from it.
        offset = 0.5 * (counts % 2 == 0)
        scale = quantizer.prepare({}, 1e3 * one)[0, 0] + offset
        shift = torch.tan(offset / scale) if quantizer.shift == "tan" else torch.atanh(offset / scale)
        rows[1:5, : shape.latent] = torch.stack([shift, scale, offset, counts // 2])
    elif isinstance(quantizer, Uniform) and shape.bounded:
        edge = quantizer.range * counts / (counts - 1)
        inside = quantizer.bound == "inside"
        rows[0, : shape.latent] = one[0, 0] if inside else edge
        rows[2, : shape.latent] = one[0, 0] * quantizer.range if inside else edge
    return rows


def _filled(size: int) -> int:
    return max(SMALLEST, 1 << (size - 1).bit_length())


def _network_numbers(inputs: int, hidden: int, outputs: int) -> int:
    return (inputs + 1) * hidden + 1 + (hidden + 1) * hidden + 1 + (hidden + 1) * outputs
