"""Compares the gradient that a strategy gives to the encoder with the gradient that the hard codec has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.components import Component, at_least, component, trial_mean
from quantbench.errors import ConfigError
from quantbench.gradients import Moment
from quantbench.quantizers.base import CODEBOOK, WHOLE
from quantbench.simulators import Frames
from quantbench.training.model import Model
from quantbench.training.run import begin
from quantbench.training.stack import Stack
from quantbench.training.trainer import Training

GROUPS = 8
"""Independent parts of the reference, from which its standard error comes."""
PAIRS_AT_ONCE = 256
FORWARD_TOLERANCE = 1e-4
"""Of the code's standard deviation."""

Row = dict[str, float | str | None]


@dataclass(frozen=True)
class Batch:
    """The frames that are compared, evenly spaced among others: some methods look at the whole batch, or at a part of it.

    Attributes:
        all: every frame.
        places: of those that are compared, (compared,).
    """

    all: Frames
    places: Tensor

    def compared(self, values: Tensor) -> Tensor:
        """Of values (trials, latents, dim) those of the frames that are compared."""
        each = values.reshape(len(values), self.all.input.shape[1], -1, values.shape[-1])
        return each.index_select(1, self.places).flatten(1, 2)


@component
class FidelitySettings(Component):
    """How gradients are compared.

    Attributes:
        frames: on which they are compared. A strategy meets them among others, in a batch as large as a training's where that
            is larger.
        draws: of a strategy that draws random numbers.
        sigmas: widths of the reference's Gaussian, in multiples of the root mean square of the quantization error.
        error: standard error of the reference, relative to its norm, at which it is precise enough.
        most_pairs: antithetic pairs a frame after which it stops all the same.
    """

    frames: int = 16
    draws: int = 64
    sigmas: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
    error: float = 0.05
    most_pairs: int = 2**16

    def check(self) -> None:
        at_least("frames", self.frames, 2)
        at_least("draws", self.draws, 2)
        at_least("most_pairs", self.most_pairs, GROUPS * PAIRS_AT_ONCE)
        for name, values in (("sigma", self.sigmas), ("error", (self.error,))):
            for value in values:
                if not (math.isfinite(value) and value > 0):
                    raise ConfigError(f"{name}={value:g}: must be finite and above 0")
        if not self.sigmas or len(set(self.sigmas)) < len(self.sigmas):
            raise ConfigError(f"sigma={','.join(f'{value:g}' for value in self.sigmas)}: must be different widths, one or more")


@dataclass(frozen=True)
class Reference:
    """The gradient of the smoothed hard distortion by the encoder's output.

    Attributes:
        gradient: (trials, frames times dim).
        error: its standard error relative to its norm, (trials,).
        pairs: antithetic pairs a frame that it took.
    """

    gradient: Tensor
    error: Tensor
    pairs: int


def fidelity(stack: Stack, settings: FidelitySettings, known: dict[float, Reference]) -> list[Row]:
    """Rows of all trials, one a width, at the start and at the end of the training.

    Args:
        known: references at the start, by width; filled and used, for they do not depend on the strategy.
    """
    training = begin(stack)
    begun = {name: tensor.detach().clone() for name, tensor in training.model.quantizer.items()}
    codebook = _codebook(training.model)
    frames = stack.simulator.draw(training.world, training.streams, settings.frames, "audit")
    if not known:
        known |= _references(training.model, frames, settings, "start")
    batch = _batch(training, frames)
    rows = _rows(training, batch, settings, known, "start")
    training.advance()
    rows += _rows(training, batch, settings, _references(training.model, frames, settings, "end"), "end")
    untrained = _untrained(training.model, begun, codebook)
    for row in rows:
        if row["moment"] == "end" and untrained:
            row["findings"] = "; ".join(filter(None, [str(row["findings"]), untrained]))
    return rows


def _references(model: Model, frames: Frames, settings: FidelitySettings, moment: str) -> dict[float, Reference]:
    """One a width, each from a stream of its own: how many numbers another took does not change it."""
    return {
        sigma: reference(model, frames, settings, sigma, f"audit reference, {moment}, {sigma:g}") for sigma in settings.sigmas
    }


def reference(
    model: Model, frames: Frames, settings: FidelitySettings, sigma: float, purpose: str = "audit reference"
) -> Reference:
    """``E[(L(Q(y + s e)) - L(Q(y - s e))) e] / (2 s)`` for every frame, taken on to the encoder's output.

    Antithetic Gaussian smoothing (Nesterov & Spokoiny 2017, Found. Comput. Math. 17) of each frame's distortion under the
    hard quantizer, by its prepared latent y; independent pairs until the standard error is small enough.
    """
    encoded, latents = _latents(model, frames)
    moment = _moment(model, 1.0, purpose)
    y = latents.detach()
    width = sigma * _quantization_error(model, y, moment)
    repeated = _repeat(frames, PAIRS_AT_ONCE)
    wide = y.repeat(1, PAIRS_AT_ONCE, 1)
    loss = model.frame_loss(repeated)
    sums = [torch.zeros_like(y) for _ in range(GROUPS)]
    pairs, wanted = 0, 2 * GROUPS * PAIRS_AT_ONCE
    while True:
        while pairs < wanted:
            for total in sums:
                noise = moment.normal(wide)
                with torch.no_grad():
                    up, down = (loss(model.hard(wide + sign * width * noise, moment).values) for sign in (1, -1))
                    part = (up - down).unsqueeze(-1) * noise / (2 * width)
                total += part.view(len(y), PAIRS_AT_ONCE, *y.shape[1:]).sum(1)
            pairs += GROUPS * PAIRS_AT_ONCE
        scale = GROUPS / (pairs * y.shape[1])
        gradients = torch.stack([_taken_on(encoded, latents, total * scale) for total in sums])
        mean = gradients.mean(0)
        spread = (gradients - mean).square().sum((0, 2)) / (GROUPS * (GROUPS - 1))
        error = spread.sqrt() / mean.norm(dim=1).clamp_min(1e-30)
        if bool((error <= settings.error).all()) or pairs >= settings.most_pairs:
            return Reference(mean, error, pairs)
        wanted = min(2 * pairs, settings.most_pairs)


def _rows(
    training: Training, batch: Batch, settings: FidelitySettings, known: dict[float, Reference], moment: str
) -> list[Row]:
    model, stack = training.model, training.stack
    drawn, forward = _strategy_gradients(model, batch, settings, 0.0 if moment == "start" else 1.0)
    rows = []
    for trial, seed in enumerate(stack.seeds):
        own, distance = drawn[:, trial], float(forward[trial])
        findings = "; ".join(_findings(training, float(own.mean(0).norm()), distance, trial))
        for sigma, true in known.items():
            row: Row = {
                "moment": moment,
                "sigma": sigma,
                "seed": float(seed),
                "reference_error": float(true.error[trial]),
                "reference_pairs": float(true.pairs),
                "forward_error": distance,
                "findings": findings,
            }
            rows.append(row | _compared(own, true.gradient[trial], float(true.error[trial])))
    return rows


def _compared(drawn: Tensor, true: Tensor, error: float) -> Row:
    """How a strategy's gradients, (draws, numbers), lie to the true one; nothing where either is 0."""
    mean = drawn.mean(0)
    size, target = float(mean.norm()), float(true.norm())
    if not (target > 0 and math.isfinite(size) and size > 0):
        return {}
    variance = float((drawn - mean).square().sum()) / max(1, len(drawn) - 1)
    # What the mean of so many draws, and the reference, still have of noise is taken off their norms.
    noise, blur = variance / len(drawn), (error * target) ** 2
    lengths = max(size**2 - noise, 0.01 * size**2) * max(target**2 - blur, 0.01 * target**2)
    difference = float((mean - true).square().sum())
    return {
        "cosine": max(-1.0, min(1.0, float(mean @ true) / math.sqrt(lengths))),
        "bias": math.sqrt(max(0.0, difference - noise - blur)) / target,
        "variance": variance / target**2,
        "norm_ratio": size / target,
    }


def _findings(training: Training, size: float, forward: float, trial: int) -> list[str]:
    """Silent mistakes that one moment shows."""
    found = []
    if not math.isfinite(size):
        found.append("the gradient to the encoder is not finite")
    elif size == 0 and not training.stack.gradient.freezes_encoder(1.0):
        found.append("the distortion gives the encoder no gradient")
    if training.stack.gradient.hard_forward and not forward <= FORWARD_TOLERANCE:
        found.append(f"what the decoder receives differs from the hard code ({forward:.2g} of its standard deviation)")
    if reason := training.outcomes[trial].diverged:
        found.append(f"diverged: {reason}")
    return found


def _batch(training: Training, frames: Frames) -> Batch:
    """The frames in a batch as large as a training's; alone where they are no fewer. Others come from a stream of their own."""
    stack = training.stack
    count, size = frames.input.shape[1], stack.train.batch
    if size <= count:
        return Batch(frames, torch.arange(count, device=frames.input.device))
    places = torch.arange(count, device=frames.input.device) * size // count
    others = stack.simulator.draw(training.world, training.streams, size, "audit batch")
    side = None if others.side is None or frames.side is None else others.side.index_copy(1, places, frames.side)
    seen, wanted = (getattr(others, name).index_copy(1, places, getattr(frames, name)) for name in ("input", "target"))
    return Batch(Frames(seen, wanted, side), places)


def _strategy_gradients(model: Model, batch: Batch, settings: FidelitySettings, progress: float) -> tuple[Tensor, Tensor]:
    """Gradients of the compared frames' mean distortion, (draws, trials, frames times dim), and how far what is received of
    them is from the hard code.

    They are those of the whole batch's distortion, as in training: where a frame reaches others, that counts too.
    """
    frames = batch.all
    share = frames.input.shape[1] / len(batch.places)
    moment = _moment(model, progress, "audit noise", frames)
    drawn: list[Tensor] = []
    while len(drawn) < settings.draws:
        encoded, latents = _latents(model, frames)
        passed = model.pass_through(latents, moment)
        distortion = trial_mean((model.decode(passed.received, frames) - frames.target).square())
        (gradient,) = torch.autograd.grad(distortion.sum(), encoded, allow_unused=True, materialize_grads=True)
        drawn.append(batch.compared(share * gradient).flatten(1))
        if len(drawn) == 1:
            code, received = (batch.compared(one.detach()) for one in (passed.code.values, passed.received))
            distance = (received - code).abs().amax((1, 2))
            scale = code.flatten(1).std(1).clamp_min(1e-12)
        elif len(drawn) == 2 and torch.equal(drawn[0], drawn[1]):
            break  # nothing is random
    return torch.stack(drawn), distance / scale


def _moment(model: Model, progress: float, purpose: str, frames: Frames | None = None) -> Moment:
    loss = None if frames is None else model.frame_loss(frames)
    step = max(1, round(progress * model.stack.train.steps))
    streams, item, features = model.streams, model.item, model.features
    return Moment(progress, streams, purpose=purpose, frame_loss=loss, step=step, item=item, features=features)


def _quantization_error(model: Model, y: Tensor, moment: Moment) -> Tensor:
    """Root mean square per trial, (trials, 1, 1); a tenth of the latents' where nothing is quantized."""
    with torch.no_grad():
        error = model.stack.quantizer.difference(y, model.hard(y, moment).values).square().mean((1, 2), keepdim=True).sqrt()
    spread = (y - y.mean(1, keepdim=True)).square().mean((1, 2), keepdim=True).sqrt()
    return torch.where(error > 1e-6 * spread, error, 0.1 * spread).clamp_min(1e-12)


def _latents(model: Model, frames: Frames) -> tuple[Tensor, Tensor]:
    """The encoder's output, as a leaf that gets the gradient, and its prepared form."""
    encoded = model.encode(frames).detach().requires_grad_()
    return encoded, model.prepare(encoded)


def _taken_on(encoded: Tensor, latents: Tensor, gradient: Tensor) -> Tensor:
    """A gradient by the prepared latents taken on to the encoder's output, (trials, frames times dim)."""
    if latents is encoded:
        return gradient.flatten(1)
    return torch.autograd.grad(latents, encoded, gradient, retain_graph=True)[0].flatten(1)


def _repeat(frames: Frames, times: int) -> Frames:
    side = None if frames.side is None else frames.side.repeat(1, times, 1)
    return Frames(frames.input, frames.target.repeat(1, times, 1), side)


def _codebook(model: Model) -> Tensor | None:
    quantizer = model.stack.quantizer
    return quantizer.codebook(model.quantizer).detach().clone() if quantizer.offers >= {CODEBOOK, WHOLE} else None


def _untrained(model: Model, begun: dict[str, Tensor], codebook: Tensor | None) -> str:
    """What a training left as it was although it should learn; empty if nothing."""
    learned = [name for name, tensor in model.quantizer.items() if tensor.requires_grad]
    still = [name for name in learned if torch.equal(model.quantizer[name].detach(), begun[name])]
    now = _codebook(model)
    if codebook is not None and now is not None and torch.equal(codebook, now):
        return "the codebook was never trained"
    return f"never trained: {', '.join(still)} of the quantizer" if still else ""
