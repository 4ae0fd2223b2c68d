"""Quantizers of other packages, trained trial by trial."""

from __future__ import annotations

import importlib
import json
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from quantbench import imports, modules
from quantbench.components import PerTrial, State, at_least, component
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer
from quantbench.streams import Streams

DECODERS = ("get_output_from_indices", "indices_to_codes")
"""Names under which such modules decode indices."""
SIZES = ("codebook_size", "levels", "num_quantizers", "num_codebooks", "groups", "heads")
"""Keyword arguments of such modules that decide how many bits they spend."""


@component
class External(Quantizer):
    """Any torch module with the calling convention of the package vector-quantize-pytorch as a quantizer.

    The module takes ``(1, frames, dim)`` and returns a tuple: what the decoder receives, in the same shape; indices, ``(1,
    frames)`` or ``(1, frames, slots)``; and, where there is a third entry, a loss, which is added up. It passes the gradient by
    itself, so the only strategy that fits is ``own``. Its parameters are trained with the codec's; its buffers are kept for
    every trial; whatever it draws from torch's global generator is drawn from a generator of the trial.

    Formula: the module's
    Source: the package named by the setting module.
    Recommended: those of the package.
    Compared with: the module by itself.

    Attributes:
        module: its class, as in ``vector_quantize_pytorch.VectorQuantize``.
        arguments: keyword arguments of the class.
        slots: number of codes of each slot of the code.
        loss_weight: weight of its loss.
    """

    own_gradient = True

    sizes = ("slots", *(f"arguments.{name}" for name in SIZES))
    cost = 3.0

    module: str = "vector_quantize_pytorch.VectorQuantize"
    arguments: Any = None
    slots: tuple[int, ...] = (256,)
    loss_weight: PerTrial = 1.0

    def check(self) -> None:
        at_least("quantizer.slots", self.slots, 2)
        at_least("quantizer.loss_weight", self.loss_weight, 0)
        if self.arguments is not None and not isinstance(self.arguments, dict):
            raise ConfigError(f"quantizer.arguments={self.arguments}: must be a mapping of keyword arguments")

    def check_dim(self, dim: int) -> None:
        module = self._build()
        probe = torch.randn(1, max(self.slots), dim, generator=torch.Generator().manual_seed(0))
        try:
            with torch.no_grad(), modules.seeded(0):
                values, indices, _ = _parse(module.eval()(probe), probe[0])
        except Exception as error:
            raise ConfigError(
                f"quantizer.module={self.module}: fails on latents of shape {tuple(probe.shape)} with codec.latent_dim={dim} "
                f"({type(error).__name__}: {error})"
            ) from error
        if values.shape != probe[0].shape or indices.shape[1] != len(self.slots):
            raise ConfigError(
                f"quantizer.slots={list(self.slots)}: the module gave values {tuple(values.shape)} and indices "
                f"{tuple(indices.shape)} for latents {tuple(probe[0].shape)}; the number of slots must be that of the indices"
            )

    def alphabet(self, dim: int) -> list[int]:
        return list(self.slots)

    def init(self, streams: Streams, dim: int) -> State:
        return modules.stacked(self._build, streams.integers("codebook", 2**31).tolist(), streams.device)

    def fit_frames(self, batch: int) -> int:
        return max(batch, 4 * max(self.slots))

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        self._every(state, latents, streams, training=True)  # lets the module start its codebook from data

    def quantize(self, state: State, latents: Tensor) -> Code:
        with torch.no_grad():
            values, indices, _ = self._every(state, latents, None, training=False)
        return Code(values, indices)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        module = self._skeleton()
        name = next((name for name in DECODERS if hasattr(module, name)), None)
        if name is None:
            raise NotImplementedError(f"{self.module} has none of {', '.join(DECODERS)}")
        decoded = []
        with torch.no_grad():
            for trial, index in enumerate(indices if indices.shape[-1] > 1 else indices.squeeze(-1)):
                with modules.holding(module, state, trial):
                    decoded.append(getattr(module, name)(index.unsqueeze(0)).reshape(indices.shape[1], -1))
        return torch.stack(decoded)

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        if not moment.training:  # a look at what the module does in training must not change it
            state = {name: tensor.detach().clone() for name, tensor in state.items()}
        values, indices, losses = self._every(state, latents, moment.streams, training=True)
        code = Code(values.detach(), indices)
        return Passed(values, code, self.loss_weight * losses, [(latents, code)])

    def _every(self, state: State, latents: Tensor, streams: Streams | None, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Values, indices and loss of every trial."""
        module = self._skeleton().train(training)
        seeds = streams.integers("external", 2**31).tolist() if streams else [0] * len(latents)
        found = []
        for trial, (seed, frames) in enumerate(zip(seeds, latents, strict=True)):
            with modules.seeded(seed), modules.holding(module, state, trial):
                found.append(_parse(module(frames.unsqueeze(0)), frames))
        values, indices, losses = zip(*found, strict=True)
        return torch.stack(values), torch.stack(indices), torch.stack(losses)

    def _build(self) -> nn.Module:
        if reason := imports.refusal(self.module):
            raise ConfigError(f"quantizer.module={self.module}: {reason}")
        package, _, name = self.module.rpartition(".")
        try:
            cls = getattr(importlib.import_module(package), name)
        except (ImportError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"quantizer.module={self.module}: cannot be imported ({error}); the extra quantbench[peers] installs "
                f"vector-quantize-pytorch"
            ) from error
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # anything else would be called all the same
            raise ConfigError(f"quantizer.module={self.module}: must be a class that derives from torch.nn.Module")
        try:
            module: nn.Module = cls(**(self.arguments or {}))
        except Exception as error:
            raise ConfigError(f"quantizer.arguments={self.arguments}: {self.module} refuses them ({error})") from error
        return module

    def _skeleton(self) -> nn.Module:
        """A module whose tensors are exchanged for those of a trial at every call."""
        return _skeleton(self.module, json.dumps(self.arguments, sort_keys=True))


@lru_cache(maxsize=64)
def _skeleton(module: str, arguments: str) -> nn.Module:
    with modules.seeded(0):
        return External(module=module, arguments=json.loads(arguments))._build()


def _parse(result: Any, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values (frames, dim), indices (frames, slots) and loss of what a module returned."""
    values, indices, *rest = result
    loss = rest[0].sum() if rest and isinstance(rest[0], Tensor) else frames.new_zeros(())
    return values.reshape(frames.shape), indices.reshape(len(frames), -1).long(), loss
