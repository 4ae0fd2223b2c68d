"""Quantizers of other packages, trained trial by trial."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from quantbench import modules
from quantbench.components import PerTrial, State, at_least, component
from quantbench.errors import ConfigError
from quantbench.named import built, module_class
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer
from quantbench.quantizers.outputs import Layout, Losses, Outputs
from quantbench.streams import Streams

DECODERS = ("get_output_from_indices", "indices_to_codes")
"""Names under which such modules decode indices."""
SIZES = ("codebook_size", "levels", "num_quantizers", "num_codebooks", "groups", "heads")
"""Keyword arguments of such modules that decide how many bits they spend."""


MOST_CODES = 2**20
"""Of a slot: such modules keep tables of their codes, and what counts them does, too."""
TABLE = 2**26
"""Most distances between the first latents and the codes of a slot, a quarter of a GiB."""
PROBE = 29
"""Latents with which a module is tried; no length of another axis, so that axes can be told apart."""


@component
class External(Quantizer):
    """Any torch module with the calling convention of the package vector-quantize-pytorch as a quantizer.

    The module takes ``(1, frames, dim)``, or ``(1, dim, frames)`` with ``channels_first``, and returns a tuple, a mapping, or
    an object with named outputs. Of these, the values are what the decoder receives, in the shape of the latents; the codes
    are one integer a frame and slot, as ``(1, frames)``, ``(1, frames, slots)``, ``(1, slots, frames)`` or ``(groups, 1,
    frames, stages)``; the loss is one number, or one for each slot, which are added up. It passes the gradient by itself, so
    the only strategy that fits is ``own``. Its parameters are trained with the codec's; its buffers are kept for every trial;
    whatever it draws from torch's global generator is drawn from a generator of the trial.

    A quantizer of DAC gives five outputs and has its channels first: ``quantizer.channels_first=true quantizer.loss_at=[3,4]``.

    Formula: the module's
    Source: the package named by the setting module.
    Recommended: those of the package.
    Compared with: the module by itself.

    Attributes:
        module: its class, as in ``vector_quantize_pytorch.VectorQuantize``.
        arguments: keyword arguments of the class.
        slots: number of codes of each slot of the code.
        loss_weight: weight of its loss.
        values_at, codes_at: which output is which: an index of a tuple, or a name.
        loss_at: a list of those outputs whose sum is the loss; ``third``: the third of a tuple, where there is one that is a
            tensor; ``none``: it has no loss.
        channels_first: whether the module takes and gives ``(1, dim, frames)``.
        layout: ``rows``: it takes and gives ``(frames, dim)``; ``image``: ``(1, dim, frames, 1)``; null: as above.
    """

    own_gradient = True

    sizes = ("slots", *(f"arguments.{name}" for name in SIZES))
    cost = 3.0

    module: str = "vector_quantize_pytorch.VectorQuantize"
    arguments: Any = None
    slots: tuple[int, ...] = (256,)
    loss_weight: PerTrial = 1.0
    values_at: int | str = 0
    codes_at: int | str = 1
    loss_at: Losses = "third"
    channels_first: bool = False
    layout: Layout = None

    def check(self) -> None:
        at_least("quantizer.slots", self.slots, 2)
        at_least("quantizer.loss_weight", self.loss_weight, 0)
        if self.arguments is not None and not isinstance(self.arguments, dict):
            raise ConfigError(f"quantizer.arguments={self.arguments}: must be a mapping of keyword arguments")
        given = self.arguments or {}
        levels = given.get("levels")
        plain = isinstance(levels, list | tuple) and all(isinstance(one, int) for one in levels)
        for name, value, codes in (
            ("slots", list(self.slots), max(self.slots)),
            ("arguments.codebook_size", given.get("codebook_size"), given.get("codebook_size")),
            ("arguments.levels", levels, math.prod(levels) if plain else None),  # type: ignore[arg-type]
        ):
            if isinstance(codes, int) and codes > MOST_CODES:
                raise ConfigError(
                    f"quantizer.{name}={value}: makes {codes} codes a slot; must be at most {MOST_CODES}, for modules of other "
                    f"packages keep tables of their codes; use fewer, several stages, or quantizer=fsq"
                )

    def check_dim(self, dim: int) -> None:
        module = self._build()
        size = getattr(module, "codebook_size", None)
        if type(size) is int and set(self.slots) != {size}:
            raise ConfigError(
                f"quantizer.slots={list(self.slots)}: {self.module} says codebook_size={size}; set each slot to {size}"
            )
        probe = torch.randn(PROBE + (dim == PROBE), dim, generator=torch.Generator().manual_seed(0))
        for training in (False, True):  # a loss may be there in training only
            try:
                with torch.no_grad(), modules.seeded(0):
                    result = module.train(training)(self.outputs.input(probe))
            except Exception as error:
                raise ConfigError(
                    f"quantizer.module={self.module}: fails on latents of shape {tuple(self.outputs.input(probe).shape)} with "
                    f"codec.latent_dim={dim} and quantizer.channels_first={str(self.channels_first).lower()} "
                    f"({type(error).__name__}: {error})"
                ) from error
            _, indices, _ = self.outputs.read(result, probe)
            if not training:
                self.outputs.check_range(indices)

    def check_latents(self, dim: int, latents: int) -> None:
        if latents >= PROBE:
            return
        probe = torch.randn(latents, dim, generator=torch.Generator().manual_seed(0)).requires_grad_()
        try:
            with torch.enable_grad(), modules.seeded(0):
                values, _, loss = self.outputs.read(self._build().train()(self.outputs.input(probe)), probe)
            total = values.sum() + loss
            found = torch.autograd.grad(total, probe, allow_unused=True)[0] if total.requires_grad else None
            sound = bool(total.isfinite()) and (found is None or bool(found.isfinite().all()))
            reason = "" if sound else "its values, its loss or its gradient are not finite"
        except (RuntimeError, ValueError, LookupError, AssertionError) as error:
            reason = f"{type(error).__name__}: {error}"
        if reason:
            raise ConfigError(f"{self.module} cannot be trained with {latents} latents a step: {reason}")

    @property
    def outputs(self) -> Outputs:
        """How to read what the module returns."""
        return Outputs(self.values_at, self.codes_at, self.loss_at, self.channels_first, self.slots, self.layout)

    def alphabet(self, dim: int) -> list[int]:
        return list(self.slots)

    def init(self, streams: Streams, dim: int) -> State:
        return modules.stacked(self._build, streams.integers("codebook", 2**31).tolist(), streams.device)

    def fit_frames(self, batch: int) -> int:
        return max(batch, min(4 * max(self.slots), TABLE // max(self.slots)))

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        self._every(state, latents, streams, training=True)  # lets the module start its codebook from data

    def quantize(self, state: State, latents: Tensor) -> Code:
        with torch.no_grad():
            values, indices, _ = self._every(state, latents, None, training=False)
        self.outputs.check_range(indices)
        return Code(values, indices)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        module = self._skeleton()
        name = next((name for name in DECODERS if hasattr(module, name)), None)
        if name is None or self.channels_first:
            raise NotImplementedError(f"{self.module} has none of {', '.join(DECODERS)}, or its channels are first")
        decoded = []
        with torch.no_grad():
            for trial, index in enumerate(indices if indices.shape[-1] > 1 else indices.squeeze(-1)):
                with modules.holding(module, state, trial):
                    decoded.append(getattr(module, name)(index.unsqueeze(0)).reshape(indices.shape[1], -1))
        return torch.stack(decoded)

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        if not moment.training:  # a look at what the module does in training must not change it
            state = {name: tensor.detach().clone() for name, tensor in state.items()}
        purpose = moment.stream("external")
        values, indices, losses = self._every(state, latents, moment.streams, training=True, purpose=purpose)
        code = Code(values.detach(), indices)
        return Passed(values, code, self.loss_weight * losses, [(latents, code)])

    def _every(
        self, state: State, latents: Tensor, streams: Streams | None, training: bool, purpose: str = "external"
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values, indices and loss of every trial."""
        module = self._skeleton().train(training)
        seeds = streams.integers(purpose, 2**31).tolist() if streams else [0] * len(latents)
        found = []
        for trial, (seed, frames) in enumerate(zip(seeds, latents, strict=True)):
            with modules.seeded(seed), modules.holding(module, state, trial):
                found.append(self.outputs.read(module(self.outputs.input(frames)), frames))
        values, indices, losses = zip(*found, strict=True)
        return torch.stack(values), torch.stack(indices), torch.stack(losses)

    def _build(self) -> nn.Module:
        module: nn.Module = built(
            module_class("quantizer.module", self.module), self.arguments, "quantizer.arguments", self.module
        )
        return module

    def _skeleton(self) -> nn.Module:
        """A module whose tensors are exchanged for those of a trial at every call."""
        return _skeleton(self.module, json.dumps(self.arguments, sort_keys=True))


@lru_cache(maxsize=64)
def _skeleton(module: str, arguments: str) -> nn.Module:
    with modules.seeded(0):
        return External(module=module, arguments=json.loads(arguments))._build()
