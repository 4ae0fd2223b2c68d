"""An encoder and a decoder of the user's own: plain torch modules, trained trial by trial."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from quantbench import modules
from quantbench.codecs.base import Codec
from quantbench.components import State, component
from quantbench.errors import ConfigError
from quantbench.named import built, check_arguments, module_class, said
from quantbench.streams import Streams

SCALE, DRAWS, AXES = ":scale", ":draws", ":axes"
"""Names of what is kept beside a module's own tensors, which no tensor of a module can have."""
PROBE = 3
"""Frames with which modules are tried."""


@component
class Module(Codec):
    """Any two torch modules, named by their import paths.

    The encoder takes frames (frames, features), or whatever ``shape`` says, and gives
    (frames, latent_dim), or (frames, latent_dim, ...) with one latent at every place, channels first. The decoder takes what
    has the shape of the encoder's output, and gives as many numbers a frame as the target has, in any shape. Parameters are
    trained; buffers are kept for every trial; in evaluation both modules are in ``eval()``. What they draw from torch's global
    generator, as dropout does, comes from the trial's seed and the number of the call.

    A warm start brings latents to unit variance by a factor on the encoder's output, by which the decoder's input is divided.

    Attributes:
        encoder, decoder: classes, as in ``my.Encoder``.
        encoder_arguments, decoder_arguments: their keyword arguments.
        latent_dim: features of the encoder's output.
        shape: of a frame as the encoder takes it, as [1,28,28] for an image, or [1,-1] for a waveform of any length; by
            default a frame is a row of features.
    """

    stackable = False

    encoder: str = ""
    decoder: str = ""
    encoder_arguments: Any = None
    decoder_arguments: Any = None
    shape: tuple[int, ...] | None = None

    def check(self) -> None:
        super().check()
        for part in ("encoder", "decoder"):
            check_arguments(f"codec.{part}_arguments", getattr(self, f"{part}_arguments"))
        given = self.shape or (1,)
        if min(given) < -1 or 0 in given or given.count(-1) > 1:
            raise ConfigError(
                f"codec.shape={list(given)}: must be a list of positive integers; one of them may be -1, any length"
            )

    def check_input(self, sample_rate: int | None, lengths: Mapping[str, int]) -> None:
        if sample_rate is not None and self.shape is None:
            raise ConfigError(
                "codec.shape=null: the simulator draws waveforms; set codec.shape=[1,-1] for an encoder that takes (frames, 1, "
                "samples), or [-1] for one that takes (frames, samples)"
            )
        for setting, samples in lengths.items():
            try:
                self._tried(samples, samples)
            except ConfigError as error:
                raise ConfigError(f"{setting}={samples}: {error}") from error

    def check_frames(self, input_dim: int, side_dim: int, target_dim: int) -> None:
        if side_dim:
            raise ConfigError(
                "codec: modules of your own take no side information, which this simulator gives; choose codec=mlp"
            )
        self._tried(input_dim, target_dim)

    def latents_per_frame(self, input_dim: int) -> int:
        return math.prod(_places(*self._named("encoder"), self._shape(input_dim)))

    def init(self, streams: Streams, input_dim: int, side_dim: int, target_dim: int) -> State:
        seeds = streams.integers("initialisation", 2**31).tolist()
        found: State = {}
        for number, part in enumerate(("encoder", "decoder")):
            own = modules.stacked(lambda part=part: self._build(part), [one + number for one in seeds], streams.device)  # type: ignore[misc]
            found |= {f"{part}.{name}": tensor for name, tensor in own.items()}
            found[f"{part}.{DRAWS}"] = torch.tensor(seeds, device=streams.device)
        axes = len(_places(*self._named("encoder"), self._shape(input_dim)))
        found[f"decoder.{AXES}"] = torch.zeros(len(seeds), axes, device=streams.device)  # their number is what it says
        found[f"encoder.{SCALE}"] = torch.ones(len(seeds), device=streams.device)
        return found

    @torch.no_grad()
    def rescale(self, weights: State, factor: Tensor) -> None:
        weights[f"encoder.{SCALE}"].mul_(factor)

    def encode(self, weights: State, frames: Tensor) -> Tensor:
        shaped = frames.reshape(*frames.shape[:2], *self._shape(frames.shape[2]))
        encoded = [
            one.reshape(*one.shape[:2], -1).transpose(1, 2).flatten(0, 1) for one in self._every("encoder", weights, shaped)
        ]
        return torch.stack(encoded) * weights[f"encoder.{SCALE}"].view(-1, 1, 1)

    def decode(self, weights: State, latents: Tensor, side: Tensor | None, frames: int) -> Tensor:
        scaled = latents / weights[f"encoder.{SCALE}"].view(-1, 1, 1)
        each = scaled.view(len(latents), frames, -1, self.latent_dim).transpose(2, 3)
        shaped = each.reshape(len(latents), frames, self.latent_dim, *self._layout(weights, each.shape[3]))
        return torch.stack([one.flatten(1) for one in self._every("decoder", weights, shaped)])

    def _every(self, part: str, weights: State, inputs: Tensor) -> list[Tensor]:
        """What one module gives for every trial's frames."""
        module = _skeleton(*self._named(part)).to(inputs.device)
        own = {name.removeprefix(f"{part}."): tensor for name, tensor in weights.items() if name.startswith(f"{part}.")}
        draws = own.pop(DRAWS)
        own = {name: tensor for name, tensor in own.items() if name not in (SCALE, AXES)}
        training = torch.is_grad_enabled()  # what is evaluated, or only looked at, has none
        module.train(training)
        found = []
        for trial, (seed, frames) in enumerate(zip(draws.tolist(), inputs, strict=True)):
            with modules.seeded(seed), modules.holding(module, own, trial):
                found.append(module(frames))
        if training:
            draws.add_(1)
        return found

    def _shape(self, features: int) -> tuple[int, ...]:
        """Of a frame of so many features, as the encoder takes it."""
        if self.shape is None:
            return (features,)
        known = -math.prod(self.shape) if -1 in self.shape else 0
        return tuple(features // known if size == -1 else size for size in self.shape)

    def _layout(self, weights: State, latents: int) -> tuple[int, ...]:
        """Of a frame's latents, as the encoder gives them."""
        axes = weights[f"decoder.{AXES}"].shape[1]
        return (latents,) * axes if axes < 2 else _places(*self._named("encoder"), self.shape or ())

    def _named(self, part: str) -> tuple[str, str, str]:
        return part, getattr(self, part), json.dumps(getattr(self, f"{part}_arguments"), sort_keys=True)

    def _build(self, part: str) -> nn.Module:
        return _build(*self._named(part))

    def _tried(self, input_dim: int, target_dim: int) -> None:
        """Run both modules once. Raises ConfigError where one fails, or gives another shape than it must."""
        shape = self._shape(input_dim)
        if math.prod(shape) != input_dim:
            raise ConfigError(
                f"codec.shape={list(self.shape or ())}: a frame has {input_dim} numbers, which do not fit into it"
            )
        probe = torch.randn(PROBE, *shape, generator=torch.Generator().manual_seed(0))
        for training in (False, True):
            with modules.seeded(0):
                encoder, decoder = (self._build(part).train(training) for part in ("encoder", "decoder"))
            latents = _run("encoder", encoder, probe, self.encoder)
            if latents.dim() < 2 or latents.shape[:2] != (PROBE, self.latent_dim):
                known = latents.dim() > 1 and len(latents) == PROBE
                raise ConfigError(
                    f"codec.encoder={self.encoder}: gives {tuple(latents.shape)} for {(PROBE, *shape)}; must give ({PROBE}, "
                    f"codec.latent_dim={self.latent_dim}), or further axes behind these, of places"
                    f"{f'; set codec.latent_dim={latents.shape[1]}' if known else ''}"
                )
            if latents.dim() > 3 and (self.shape is None or -1 in self.shape):
                raise ConfigError(
                    f"codec.encoder={self.encoder}: gives {tuple(latents.shape)}; for places of several axes, as an image's, "
                    f"codec.shape must name every size"
                )
            output = _run("decoder", decoder, latents, self.decoder)
            if len(output) != PROBE or output[0].numel() != target_dim:
                raise ConfigError(
                    f"codec.decoder={self.decoder}: gives {tuple(output.shape)} for {tuple(latents.shape)}; must give {PROBE} "
                    f"frames of {target_dim} numbers, as the target has"
                )


def _run(part: str, module: nn.Module, given: Tensor, path: str) -> Tensor:
    try:
        with torch.no_grad(), modules.seeded(0):
            found = module(given)
    except Exception as error:
        raise ConfigError(f"codec.{part}={path}: fails on {tuple(given.shape)} ({said(error)})") from error
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise ConfigError(f"codec.{part}={path}: gives {type(found).__name__}; must give one tensor of floating-point numbers")
    return found


def _build(part: str, path: str, arguments: str) -> nn.Module:
    module: nn.Module = built(module_class(f"codec.{part}", path), json.loads(arguments), f"codec.{part}_arguments", path)
    return module


@lru_cache(maxsize=16)
def _skeleton(part: str, path: str, arguments: str) -> nn.Module:
    """A module whose tensors are exchanged for those of a trial at every call."""
    with modules.seeded(0):
        return _build(part, path, arguments)


@lru_cache(maxsize=64)
def _places(part: str, path: str, arguments: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    with modules.seeded(0):
        module = _build(part, path, arguments).eval()
    return tuple(_run(part, module, torch.zeros(1, *shape), path).shape[2:])
