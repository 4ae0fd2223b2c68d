"""What a module of another package returns: where the values, the codes and the loss are, and in which shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from quantbench.errors import ConfigError, brief

Place = int | str
"""An index of a tuple, a key of a mapping, or the name of an attribute; ``2.0`` is the first within the third."""
Layout = Literal["rows", "image"] | None
"""How a module takes latents that takes them neither as (1, frames, dim) nor as (1, dim, frames): (frames, dim), or
(1, dim, frames, 1)."""
Losses = Literal["third", "none"] | tuple[Place, ...]


@dataclass(frozen=True)
class Outputs:
    """Reads the outputs of a module for latents (frames, dim) and codes of so many slots.

    Attributes:
        values_at, codes_at, loss_at, channels_first: the settings of ``External``.
        slots: number of codes of each slot.
        layout: in the place of ``channels_first``.
    """

    values_at: Place
    codes_at: Place
    loss_at: Losses
    channels_first: bool
    slots: tuple[int, ...]
    layout: Layout = None

    def input(self, frames: Tensor) -> Tensor:
        """What the module takes: (1, frames, dim), or (1, dim, frames), or as the layout says."""
        if self.layout is not None:
            return frames if self.layout == "rows" else frames.t().unsqueeze(0).unsqueeze(-1)
        return (frames.t() if self.channels_first else frames).unsqueeze(0)

    def read(self, result: Any, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (frames, dim), indices (frames, slots) and the loss. Raises ConfigError where a shape is another one."""
        if isinstance(result, Tensor) or (not isinstance(result, Sequence | Mapping) and not hasattr(result, "__dict__")):
            raise ConfigError(f"quantizer.module: gives {_shape(result)}; must give a tuple, or a mapping of named outputs")
        values = self._tensor(result, "values_at", self.values_at)
        expected = self.input(frames).shape
        if values.shape != expected:
            raise ConfigError(
                f"quantizer.values_at={self.values_at}: is of the shape {tuple(values.shape)}; must be that of the latents, "
                f"{tuple(expected)} (channels {'first' if self.channels_first else 'last'}: quantizer.channels_first); the "
                f"module gives {_outline(result)}"
            )
        return self._rows(values), self._codes(result, len(frames)), self._loss(result, frames)

    def _rows(self, values: Tensor) -> Tensor:
        """Values as they are here, (frames, dim), from what has the shape of the module's input."""
        if self.layout is not None:
            return values if self.layout == "rows" else values[0, :, :, 0].t()
        return values[0].t() if self.channels_first else values[0]

    def check_range(self, indices: Tensor) -> None:
        """Raise ConfigError where a code (..., slots) is none of those that ``quantizer.slots`` speaks of."""
        most = torch.tensor(self.slots, device=indices.device)
        wrong = (indices < 0) | (indices >= most)
        if bool(wrong.any()):
            slot = int(wrong.flatten(0, -2).any(0).nonzero()[0])
            one = int(indices[..., slot][wrong[..., slot]][0])
            raise ConfigError(
                f"quantizer.slots={list(self.slots)}: the module gave the code {one} in slot {slot}; allowed are 0 .. "
                f"{self.slots[slot] - 1}: name the module's own number of codes"
            )

    def _codes(self, result: Any, frames: int) -> Tensor:
        """Indices (frames, slots), whichever axis of what the module gives is that of the frames."""
        codes = self._tensor(result, "codes_at", self.codes_at)
        if codes.numel() != frames * len(self.slots) or (
            codes.is_floating_point() and not bool((codes == codes.round()).all())
        ):
            raise ConfigError(
                f"quantizer.codes_at={self.codes_at}: is of the shape {tuple(codes.shape)}, {codes.dtype}; must be one integer "
                f"for each of {frames} frames and of the {len(self.slots)} of quantizer.slots={list(self.slots)}; the module "
                f"gives {_outline(result)}"
            )
        # (1, frames), (1, frames, slots) or (1, slots, frames), (groups, 1, frames, stages): where that fits, for there may be
        # as many frames as slots
        usual = {2: 1, 3: 2 if self.channels_first else 1, 4: 2}.get(codes.dim(), 0) if self.layout != "rows" else 0
        fitting = [axis for axis in (usual, *range(codes.dim())) if axis < codes.dim() and codes.shape[axis] == frames]
        return (codes.movedim(fitting[0], 0) if fitting else codes).reshape(frames, -1).long()

    def _loss(self, result: Any, frames: Tensor) -> Tensor:
        """The sum of the losses: each one number, or one number for each of the stages."""
        if self.loss_at == "none":
            return frames.new_zeros(())
        if self.loss_at == "third":
            third = result[2] if isinstance(result, Sequence) and len(result) > 2 else None
            losses = {"third (of the outputs)": third} if isinstance(third, Tensor) else {}
        else:
            losses = {str(place): self._tensor(result, "loss_at", place) for place in self.loss_at}
        for place, loss in losses.items():
            if loss.numel() not in (1, len(self.slots)) or not loss.is_floating_point():
                raise ConfigError(
                    f"quantizer.loss_at={place}: is of the shape {tuple(loss.shape)}, {loss.dtype}; must be one number, or one "
                    f"for each of the {len(self.slots)} slots; name the loss (quantizer.loss_at=[3,4] adds up two), or "
                    f"quantizer.loss_at=none; the module gives {_outline(result)}"
                )
        return sum((loss.sum() for loss in losses.values()), frames.new_zeros(()))

    def _tensor(self, result: Any, setting: str, place: Place) -> Tensor:
        """One of the outputs. Raises ConfigError."""
        try:
            found = at(result, place)
        except (LookupError, TypeError, AttributeError, ValueError):
            found = None
        if not isinstance(found, Tensor):
            raise ConfigError(f"quantizer.{setting}={place}: must name a tensor; the module gives {_outline(result)}")
        return found


def at(result: Any, place: Place) -> Any:
    """What is at a place of a module's outputs. Raises LookupError, TypeError, ValueError or AttributeError."""
    if isinstance(place, str) and "." in place and not (isinstance(result, Mapping) and place in result):
        first, _, rest = place.partition(".")
        return at(at(result, int(first) if first.isdecimal() else first), int(rest) if rest.isdecimal() else rest)
    named = isinstance(place, str) and not isinstance(result, Mapping)
    return getattr(result, str(place)) if named else result[place]


def _outline(result: Any) -> str:
    """The outputs of a module, by place and shape."""
    if isinstance(result, Mapping):
        pairs = list(result.items())
    elif isinstance(result, Sequence):
        pairs = list(enumerate(result))
    else:
        pairs = list(vars(result).items())
    return ", ".join(f"{place}: {_shape(value)}" for place, value in pairs) or "nothing"


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else brief(value)
