"""Any torch module as a quantizer, understood by running it once."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from quantbench.components import PerTrial, State, at_least, component
from quantbench.errors import ConfigError
from quantbench.named import check_arguments
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer
from quantbench.quantizers.external import SIZES, External
from quantbench.quantizers.outputs import Place
from quantbench.quantizers.understood import Asked, Understood, arguments_of, understood
from quantbench.streams import Streams
from quantbench.terminal import say


@component
class Module(Quantizer):
    """Any torch module as a quantizer: how it takes latents, and which of its outputs is which, is found by running it once.

    What was found is printed. Latents are tried as ``(1, frames, dim)``, ``(1, dim, frames)``, ``(1, dim, height, width)`` and
    ``(frames, dim)``. Of the outputs (a tuple, a mapping, or an object; within each other as well) the values have the shape
    of the latents, the codes are integers, as many for every latent, and losses are numbers that bring a gradient. Trained as
    ``External`` does; only the strategy ``own`` fits.

    Formula: the module's
    Source: the user's
    Recommended: nothing to set.
    Compared with: the module by itself.

    Attributes:
        module: its class, as in ``my.VQ``; ``--config-dir FOLDER`` tells where ``my.py`` is.
        arguments: keyword arguments of the class; ``dim`` is added where the class must have it and it is not given.
        loss_weight: weight of its loss.
        slots: number of codes of each slot of the code, where the module does not tell.
        values_at, codes_at: which output is which, where that is not clear: an index, a name, or ``2.0`` for the first within
            the third.
        loss_at: a list of outputs whose sum is the loss; ``none``: it has no loss.
        channels_first: whether the module takes channels before places.
    """

    own_gradient = True

    sizes = ("slots", *(f"arguments.{name}" for name in (*SIZES, "codes", "num_embeddings", "n_e")))
    cost = 3.0

    module: str = ""
    arguments: Any = None
    loss_weight: PerTrial = 1.0
    slots: tuple[int, ...] | None = None
    values_at: int | str | None = None
    codes_at: int | str | None = None
    loss_at: tuple[Place, ...] | str | None = None
    channels_first: bool | None = None

    def check(self) -> None:
        at_least("quantizer.loss_weight", self.loss_weight, 0)
        check_arguments("quantizer.arguments", self.arguments)
        if isinstance(self.loss_at, str) and self.loss_at != "none":
            raise ConfigError(f"quantizer.loss_at={self.loss_at}: must be a list of outputs, as [2], or none")

    def check_dim(self, dim: int) -> None:
        self._external(dim).check()
        self._external(dim).check_dim(dim)
        say(f"quantizer.module={self.module}: {self._understood(dim)}", error=True)

    def check_latents(self, dim: int, latents: int) -> None:
        self._external(dim).check_latents(dim, latents)

    def alphabet(self, dim: int) -> list[int]:
        return self._external(dim).alphabet(dim)

    def init(self, streams: Streams, dim: int) -> State:
        return self._external(dim).init(streams, dim)

    def fit_frames(self, batch: int) -> int:
        return External(slots=self.slots or (1024,)).fit_frames(batch)

    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        self._external(latents.shape[-1]).fit(state, latents, streams)

    def quantize(self, state: State, latents: Tensor) -> Code:
        return self._external(latents.shape[-1]).quantize(state, latents)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        raise NotImplementedError(f"{self.module}: nobody says how it decodes")

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        return self._external(latents.shape[-1]).forward(state, latents, pass_through, moment)

    def _understood(self, dim: int) -> Understood:
        asked = Asked(self.values_at, self.codes_at, self.loss_at, self.channels_first, self.slots)
        return understood(self.module, json.dumps(arguments_of(self.module, self.arguments, dim)), dim, asked)

    def _external(self, dim: int) -> External:
        """The module with all that was found out about it."""
        known = self._understood(dim)
        return External(
            module=self.module,
            arguments=arguments_of(self.module, self.arguments, dim),
            slots=known.slots,
            loss_weight=self.loss_weight,
            values_at=known.values_at,
            codes_at=known.codes_at,
            loss_at=known.loss_at or "none",
            channels_first=known.channels_first,
            layout=known.layout,
        )
