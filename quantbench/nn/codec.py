"""Codecs that a run has exported, as modules of PyTorch."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quantbench import codecs
from quantbench.components import Component, State, hints, joined
from quantbench.errors import ConfigError
from quantbench.files import odd
from quantbench.gradients import Gradient
from quantbench.nn.bottleneck import Bottleneck
from quantbench.nn.tensors import Tensors
from quantbench.quantizers import Quantizer
from quantbench.schema import checked
from quantbench.simulators import Simulator
from quantbench.training.export import FOLDER

PACKAGES = ("quantizers", "gradients", "codecs", "simulators")
FILE = "weights.safetensors"


class Half(nn.Module):
    """The encoder or the decoder of a codec.

    Args:
        component: the codec, as of a stack of one trial.
        half: ``encoder`` or ``decoder``.
        weights: all of the codec's, without a trial axis.
        latents: of one frame.
    """

    def __init__(self, component: codecs.Codec, half: str, weights: State, latents: int) -> None:
        super().__init__()
        self.component, self.side, self.latents = joined([component]), half, latents
        own = {name: tensor for name, tensor in weights.items() if name.startswith(f"{half}.")}
        trained = {name: tensor.unsqueeze(0).clone() for name, tensor in own.items()}
        self.tensors = Tensors(
            {name: nn.Parameter(tensor) if tensor.is_floating_point() else tensor for name, tensor in trained.items()}
        )

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        """Frames (..., features) to latents, or back; a waveform's frame has an axis of latents: (..., latents, latent_dim).

        Args:
            side: for the decoder, side information (..., side_dim).
        """
        weights, inner = self.tensors.state(), 2 if self.side == "decoder" and self.latents > 1 else 1
        outer = x.shape[:-inner]
        rows = x.reshape(1, -1, x.shape[-1])
        if self.side == "encoder":
            found = self.component.encode(weights, rows)
            shape = (*outer, self.latents) if self.latents > 1 else outer
            return found.reshape(*shape, found.shape[-1])
        beside = None if side is None else side.reshape(1, -1, side.shape[-1])
        found = self.component.decode(weights, rows, beside, outer.numel())
        return found.reshape(*outer, found.shape[-1])


class Codec(nn.Module):
    """Encoder, bottleneck and decoder: ``output, indices, loss = codec(frames)``."""

    def __init__(self, encoder: Half, bottleneck: Bottleneck, decoder: Half) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = encoder, bottleneck, decoder

    def forward(self, x: Tensor, side: Tensor | None = None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Frames (..., features) as they are decoded, their codes, and the bottleneck's loss."""
        quantized, indices, loss = self.bottleneck(self.encoder(x))
        return self.decoder(quantized, side), indices, loss

    def encode(self, x: Tensor) -> Tensor:
        """The codes of frames."""
        return self.bottleneck.encode(self.encoder(x))

    def decode(self, indices: Tensor, side: Tensor | None = None) -> Tensor:
        """The frames of codes."""
        found: Tensor = self.decoder(self.bottleneck.decode(indices), side)
        return found


def load_codec(folder: str | Path, trial: str) -> Codec:
    """The codec that a trial of a run with ``--export`` ended with, ready to evaluate.

    It computes in float32, whatever precision it was trained in, and what a strategy keeps from step to step (``vp``) begins
    anew.

    Args:
        folder: of the run.
        trial: as the table names it.

    Raises:
        ConfigError: there is no such trial, its file cannot be read, or it has classes that are none of QuantBench's.
    """
    from safetensors import SafetensorError, safe_open

    place = Path(folder) / FOLDER
    path = place / trial / FILE
    if not path.is_file() or odd(path):
        there = sorted(one.parent.name for one in place.glob(f"*/{FILE}"))
        shown = ", ".join(there[:5]) + (f" and {len(there) - 5} more" if len(there) > 5 else "")
        raise ConfigError(f"trial={trial}: no {path}; {f'there are {shown}' if there else 'run with --export'}")
    try:
        with safe_open(path, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (it is no mapping)
            about = json.loads((stored.metadata() or {})["configuration"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    return _codec(about, tensors)


def _codec(about: Mapping[str, Any], tensors: State) -> Codec:
    codec, simulator = _component(about, "codec", codecs.Codec), _component(about, "simulator", Simulator)
    quantizer, gradient = _component(about, "quantizer", Quantizer), _component(about, "gradient", Gradient)
    per = codec.latents_per_frame(simulator.input_dim)
    weights = {name.removeprefix("codec."): tensor for name, tensor in tensors.items() if name.startswith("codec.")}
    bottleneck = Bottleneck(quantizer, gradient, dim=codec.latent_dim, features=simulator.target_dim / per)
    with torch.no_grad():
        for name, tensor in bottleneck.tensors.state().items():
            tensor.copy_(tensors[f"quantizer.{name}"].unsqueeze(0))
    bottleneck.begun()
    return Codec(Half(codec, "encoder", weights, per), bottleneck, Half(codec, "decoder", weights, per)).eval()


def _component(about: Mapping[str, Any], where: str, base: type[Any]) -> Any:
    """A component of what ``training.configuration`` says of it: ``where`` names the class. Raises ConfigError."""
    name = about.get(where)
    found = (getattr(importlib.import_module(f"quantbench.{package}"), str(name), None) for package in PACKAGES)
    cls = next((one for one in found if isinstance(one, type) and issubclass(one, base)), None)
    if cls is None:
        raise ConfigError(f"{where}={name}: is no class of QuantBench's, and is not loaded; load its weights by yourself")
    values = {}
    for field in dataclasses.fields(cls):
        hint, place = hints(cls)[field.name], f"{where}.{field.name}"
        if isinstance(hint, type) and issubclass(hint, Component):
            values[field.name] = _component(about, place, hint)
        elif place in about:
            values[field.name] = about[place]
    return checked(cls(**values), where)
