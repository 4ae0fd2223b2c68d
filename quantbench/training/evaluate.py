"""Measures the codecs of a stack with the hard quantizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from quantbench.components import Component
from quantbench.errors import ConfigError
from quantbench.losses import Loss
from quantbench.metrics import taken
from quantbench.quantizers import Quantizer
from quantbench.simulators import Frames, Simulator
from quantbench.streams import Streams
from quantbench.training.model import Model
from quantbench.training.rates import Rates, Watched
from quantbench.training.settings import CHUNK
from quantbench.training.stages import errors_of_prefixes, has_prefixes, mse_of_prefixes, usage_of_parts
from quantbench.training.tokens import Disturbed, bits_in_context, runs_of_codes

FEATURES = 2**18
"""Most features of all frames measured at a time; a waveform has thousands."""

Metrics = dict[str, Tensor]


@torch.no_grad()
def evaluate(model: Model, frames: Frames, streams: Streams, thorough: bool = False) -> Metrics:
    """Metrics over all ``frames``, (trials,) each, in double precision.

    ``thorough`` adds the quantizer's and the loss's own metrics, ``mse_error``, the standard error of ``mse`` where frames are
    a sample of the source, and the rates of ``quantbench.training.rates``.

    ``spent_bits`` are what an entropy coder without context spends, which knows each slot's distribution and nothing of the
    other slots: the sum of the slots' entropies, corrected for the sample's size (``entropy.entropy``), or what a real coder
    spent where the quantizer has one, or what a quantizer says that does not fill every slot of every frame.
    ``joint_entropy_bits`` are the entropy of whole codes, what the best coder of single frames would spend, within
    ``joint_entropy_error``; for one slot the two are the same. Where a strategy draws noise for the hard code (``universal``),
    encoder and decoder share that dither, and these rates are entropies given the dither; no other strategy and no quantizer
    of this project has a random part at evaluation. ``entropy_bits`` is the sum of the slots' entropies as counted, without
    correction and over all dithers. ``perplexity`` is the mean over slots of 2**entropy.
    ``quantbench.training.stages`` and ``tokens`` measure single stages, and codes as tokens; a dithered code is none.
    ``mismatch_db`` compares the distortion under the hard quantizer with that of what passes through while training (positive:
    hard is worse).

    Raises:
        ConfigError: a component gives a metric the name of another column.
    """
    stack = model.stack
    measured = thorough and type(stack.quantizer).measure is not Quantizer.measure
    judged = thorough and type(stack.loss).measures is not Loss.measures
    heard = type(stack.simulator).measures is not Simulator.measures
    count, latents = frames.target.shape[1], stack.codec.latents_per_frame(frames.input.shape[2])
    runs = runs_of_codes(frames, latents) if thorough else None
    seen = _look(model, frames, streams, thorough, codes=measured or runs is not None, outputs=heard or judged)
    sums = seen.sums
    metrics = {
        "mse": sums["error"] / (count * frames.target.shape[2]),
        "nmse_db": decibel(sums["error"] / sums["power"]),
        "mismatch_db": decibel(sums["error"] / sums["passed"]),
        "encoder_std": _std(sums["encoded"], sums["encoded_square"], latents * count),
    }
    if heard:
        _add(metrics, stack.simulator, stack.simulator.measures(seen.output, frames.target, thorough))
    if "error_square" in sums:
        metrics["mse_error"] = ((sums["error_square"] / count - metrics["mse"].square()).clamp_min(0) / count).sqrt()
    if "counts" in sums:
        alphabet = stack.quantizer.alphabet(seen.dim)
        metrics["quantization_error"] = sums["quantization"] / (latents * count * seen.dim)
        metrics |= code_usage(sums["counts"], alphabet)
        if seen.rates is not None:
            metrics |= seen.rates.metrics(stack.simulator.exact)
            metrics["frames_per_code"] = torch.full_like(metrics["mse"], latents * count / max(alphabet))
        if thorough:
            metrics |= _stages_and_tokens(stack.quantizer, seen, runs, metrics["mse"], count * frames.target.shape[2])
        if measured:
            found = stack.quantizer.measure(model.codebooks(), torch.cat(seen.codes, dim=1), stack.simulator.exact)
            spent = found.pop("spent_bits", metrics["spent_bits"])
            _add(metrics, stack.quantizer, found)
            metrics["spent_bits"] = metrics.get("coded_bits", spent)
    if judged:
        found = stack.loss.measures(seen.output, frames.target, stack.simulator.waveform_rate)
        _add(metrics, stack.loss, found)
    return metrics


def _stages_and_tokens(quantizer: Quantizer, seen: _Seen, runs: tuple[int, ...] | None, mse: Tensor, features: int) -> Metrics:
    """What single stages, and codes as tokens, are worth; ``features`` of the target, of all frames."""
    alphabet = quantizer.alphabet(seen.dim)
    metrics = usage_of_parts(seen.sums["counts"], alphabet, quantizer.parts(seen.dim))
    if has_prefixes(quantizer):
        metrics |= mse_of_prefixes(seen.sums, mse, features)
    if runs is not None and not seen.dithered:
        metrics |= bits_in_context(torch.cat(seen.codes, dim=1), alphabet, runs)
    if seen.disturbed is not None:
        metrics |= seen.disturbed.metrics(mse, features)
    return metrics


@dataclass
class _Seen:
    """What a codec did with all frames.

    Attributes:
        sums: over frames, by what was added up.
        dim: dimensions that are quantized.
        codes, outputs: indices and decoded frames, part by part; empty where nobody needs them.
        rates: what the codes cost; None where nothing is quantized or nobody asks.
        disturbed: what noise and wrong indices do; None where nobody asks.
    """

    sums: dict[str, Tensor]
    dim: int
    codes: list[Tensor]
    outputs: list[Tensor]
    rates: Rates | None = None
    disturbed: Disturbed | None = None

    @property
    def dithered(self) -> bool:
        """Whether the codes shared a dither with the decoder."""
        return self.rates is not None and bool(self.rates.given)

    @property
    def output(self) -> Tensor:
        """All decoded frames, (trials, frames, features)."""
        return torch.cat(self.outputs, dim=1)


def _look(model: Model, frames: Frames, streams: Streams, thorough: bool, codes: bool, outputs: bool) -> _Seen:
    """Encode, quantize and decode all frames, a part at a time; ``codes`` and ``outputs`` ask for these to be kept."""
    seen = _Seen({}, 0, [], [], disturbed=Disturbed(model, frames, streams) if thorough else None)
    last, item = model.stack.train.steps, model.stack.codec.latents_per_frame(frames.input.shape[2])
    moment = Watched(1.0, streams, purpose="evaluation noise", training=False, step=last, item=item)
    for part in _parts(frames):
        encoded = model.encode(part)
        latents = model.prepare(encoded)
        moment.drawn.clear()
        code = model.hard(latents, moment)
        if thorough and code.indices is not None:
            seen.rates = seen.rates or Rates(streams, model.stack.quantizer.alphabet(latents.shape[-1]))
            seen.rates.add(code.indices, latents.shape[-1], moment, partial(model.hard, latents))
            if seen.disturbed is not None and not seen.dithered:
                seen.disturbed.add(part, code, seen.rates.alphabet)
        received = model.pass_through(latents, moment).received
        output = model.decode(code.values, part)
        error = (output - part.target).square()
        if outputs:
            seen.outputs.append(output)
        new = {
            "error": _sum(error),
            "passed": _sum((model.decode(received, part) - part.target).square()),
            "power": _sum(part.target.square()),
            "quantization": _sum(model.stack.quantizer.difference(latents, code.values).square()),
            "encoded": encoded.double().sum(1),
            "encoded_square": encoded.double().square().sum(1),
        }
        if thorough and not model.stack.simulator.exact:
            new["error_square"] = _sum(error.double().mean(-1).square())
        if code.indices is not None:
            if thorough:
                new |= errors_of_prefixes(model, code, part)
            if codes:
                seen.codes.append(code.indices)
            new["counts"] = _counts(code.indices, model.stack.quantizer.alphabet(latents.shape[-1]))
        seen.sums = {name: seen.sums[name] + value if seen.sums else value for name, value in new.items()}
        seen.dim = latents.shape[-1]
    return seen


def _add(metrics: Metrics, one: Component, found: Metrics) -> None:
    """Take over what a component measured. Raises ConfigError for what can be no column of its own."""
    trials = metrics["mse"].shape
    for name, values in found.items():
        what = f"{type(one).__name__} measures {name!r}"
        if reason := taken(name):
            raise ConfigError(f"{what}: {reason}")
        if name in metrics:
            raise ConfigError(f"{what}: another part of the trial does so, too; choose another name")
        if values.shape != trials:
            raise ConfigError(f"{what} in the shape {tuple(values.shape)}: must be one number a trial, {tuple(trials)}")
        metrics[name] = values


def code_usage(counts: Tensor, alphabet: list[int]) -> Metrics:
    """Entropy, perplexity, usage and dead codes from counts (trials, sum of alphabet).

    Usage is what the evaluated latents show: N of them cannot show more than N codes, and of K codes in equal use they show a
    share of ``1 - exp(-N / K)``: 63 % with one a code, 98 % with four.
    """
    entropies = [_entropy(part) for part in torch.split(counts.cpu(), alphabet, dim=1)]
    used = (counts.cpu() > 0).sum(1).double()
    return {
        "entropy_bits": _total(entropies),
        "perplexity": _total([_each(lambda bits: 2.0**bits, entropy) for entropy in entropies]) / len(entropies),
        "usage": used / sum(alphabet),
        "dead_codes": sum(alphabet) - used,
    }


def decibel(ratio: Tensor) -> Tensor:
    """``10 log10(ratio)``; minus infinity for 0."""
    return _each(lambda one: 10 * math.log10(one) if one > 0 else -math.inf if one == 0 else math.nan, ratio)


def _total(values: list[Tensor]) -> Tensor:
    """Sum over slots, in their order."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _each(function: Callable[[float], float], values: Tensor) -> Tensor:
    """``function`` of every value (trials,), one by one: vector instructions may round otherwise than single ones."""
    return torch.tensor([function(value) for value in values.tolist()], dtype=torch.float64, device=values.device)


def _parts(frames: Frames) -> Iterator[Frames]:
    chunk = min(CHUNK, max(1, FEATURES // frames.input.shape[2]))
    for start in range(0, frames.input.shape[1], chunk):
        yield frames.part(start, chunk)


def _sum(values: Tensor) -> Tensor:
    return values.double().flatten(1).sum(1)


def _std(total: Tensor, square: Tensor, count: int) -> Tensor:
    """Standard deviation about each dimension's mean, from sums over frames (trials, dim)."""
    variance = (square / count - (total / count).square()).clamp_min(0)
    return variance.mean(1).sqrt()


def _counts(indices: Tensor, alphabet: list[int]) -> Tensor:
    """How often every code of every slot occurs, (trials, sum of alphabet)."""
    first = torch.tensor([0, *alphabet[:-1]], device=indices.device).cumsum(0)
    flat = (indices + first).flatten(1)
    zeros = torch.zeros(indices.shape[0], sum(alphabet), dtype=torch.float64, device=indices.device)
    return zeros.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float64))


def _entropy(counts: Tensor) -> Tensor:
    """Entropy in bits of counts (trials, codes); trial by trial, for sums over a batch of short rows round otherwise."""
    return torch.stack([_entropy_of_one(trial) for trial in counts])


def _entropy_of_one(counts: Tensor) -> Tensor:
    share = counts / counts.sum()
    return -torch.where(share > 0, share * torch.log2(share.clamp_min(1e-300)), 0.0).sum()
