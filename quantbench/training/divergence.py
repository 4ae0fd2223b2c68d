"""Trials whose training goes wrong: noted, and frozen as they were."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from quantbench.training.model import Model
from quantbench.training.settings import TrainSettings

NOWHERE = -1
"""In the place of what was first not finite, where all is."""

Made = Callable[[], Sequence[tuple[str, Tensor]]]
"""What a step computed, in its order, by name; trial axis first. Asked for only where a trial diverges."""

DATA = "the data"
"""The name of what comes from the source, where no setting of the training helps."""


class Divergence:
    """Watches the trials of a stack, and keeps those that diverged as they were before the step that ruined them.

    Args:
        power: mean square of each trial's target, (trials,).
        settings: of the training; their ``explode`` is the distortion, in multiples of ``power``, from which a trial has
            diverged.
        later: whether nobody waits for what a step finds: ``mark`` takes the place of ``watch``, and ``learn`` tells of it
            when it is asked. All tensors then stay where they are.

    Attributes:
        frozen: mask of the trials that diverged, (trials,).
        kept: the model's tensors, right for those trials; empty where there are none, unless ``later``.
    """

    def __init__(self, model: Model, power: Tensor, settings: TrainSettings, later: bool = False) -> None:
        self.model, self.power, self.settings, self.later = model, power, settings, later
        self.largest = settings.explode * power
        self.frozen = torch.zeros_like(power, dtype=torch.bool)
        self.kept: list[Tensor] = []
        if later:
            self.kept = [tensor.detach().clone() for tensor in model.tensors()]
            self._found = torch.zeros(4, len(power), dtype=torch.float64, device=power.device)  # see ``mark``
            self._told = self.frozen.clone()
            self._names: list[str] = []

    def watch(self, step: int, distortion: Tensor, finite: Tensor, made: Made) -> dict[int, str]:
        """Trials that diverge at this step, with the reason; from now on ``restore`` gives them what they are now.

        Args:
            finite: whether a trial's loss and gradient are, (trials,).
            made: where to look for what was the first not to be.
        """
        fine = finite & (distortion <= self.largest) | self.frozen
        if bool(fine.all()):
            return {}
        new = ~fine
        current = [tensor.detach().clone() for tensor in self.model.tensors()]
        self.kept = [_choose(self.frozen, old, now) for old, now in zip(self.kept or current, current, strict=True)]
        self.frozen = self.frozen | new
        parts = made()
        when = f"at step {step}"
        return {
            trial: self._not_finite(trial, when, parts) or self.exploded(trial, float(distortion[trial]), when)
            for trial in new.nonzero().flatten().tolist()
        }

    @torch.no_grad()
    def mark(self, step: Tensor, distortion: Tensor, finite: Tensor, norm: Tensor, made: Made) -> None:
        """As ``watch``, of tensor operations alone; ``learn`` tells which trials, and why.

        Args:
            step: a number.
            norm: of the gradient, (trials,).
        """
        new = ~(finite & (distortion <= self.largest) | self.frozen)
        for kept, tensor in zip(self.kept, self.model.tensors(), strict=True):
            kept.copy_(_choose(self.frozen, kept, tensor))
        parts = made()
        self._names = [name for name, _ in parts]
        first = torch.full_like(distortion, NOWHERE)
        for place, (_, tensor) in reversed(list(enumerate(parts))):
            first = torch.where(_finite(tensor), first, place)
        found = torch.stack([step.expand_as(first).double(), first.double(), distortion.double(), norm.double()])
        self._found.copy_(torch.where(new, found, self._found))
        self.frozen.logical_or_(new)

    def learn(self) -> list[tuple[int, int, float, str]]:
        """What ``mark`` found since it was last asked: step, trial, norm of its gradient, and reason."""
        told, frozen = self._told.tolist(), self.frozen.tolist()
        new = [trial for trial, one in enumerate(frozen) if one and not told[trial]]
        if not new:
            return []
        self._told.copy_(self.frozen)
        found = []
        for trial in new:
            step, place, distortion, norm = self._found[:, trial].tolist()
            when = f"at step {step:.0f}"
            first = None if place == NOWHERE else self._first(trial, self._names[int(place)], when)
            reason = first or self.exploded(trial, distortion, when)
            found.append((int(step), trial, norm, reason))
        return found

    def exploded(self, trial: int, distortion: float, when: str) -> str:
        """The reason of a trial whose distortion is beyond all bounds."""
        if not math.isfinite(distortion):
            return f"the distortion is not finite {when}; {self._advice(trial)}"
        ratio = distortion / float(self.power[trial])
        limit = f"train.explode={self.settings.explode:g}"
        return f"distortion {ratio:.3g} times the target's power {when}, more than {limit}; {self._advice(trial)}"

    def _not_finite(self, trial: int, when: str, parts: Sequence[tuple[str, Tensor]]) -> str | None:
        """What was first not finite of a trial; None where all is."""
        for name, tensor in parts:
            if not bool(tensor[trial].isfinite().all()):
                return self._first(trial, name, when)
        return None

    def _first(self, trial: int, name: str, when: str) -> str:
        advice = "look at the source" if name == DATA else self._advice(trial)
        return f"{name} is the first that is not finite {when}; {advice}"

    def _advice(self, trial: int) -> str:
        lr, clip = float(self.settings.lr[trial]), float(self.settings.clip[trial])
        return f"try train.lr below {lr:g}, or train.clip {f'below {clip:g}' if clip else 'of 1'}"

    @torch.no_grad()
    def restore(self) -> None:
        """Undo what a step did to trials that are frozen."""
        for tensor, kept in zip(self.model.tensors(), self.kept, strict=False):
            tensor.copy_(_choose(self.frozen, kept, tensor))

    def state_dict(self) -> dict[str, Any]:
        """Which trials are frozen, and as what; not copied."""
        return {"frozen": self.frozen, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.frozen.copy_(state["frozen"])
        if not self.later:
            self.kept = [tensor.to(self.power.device, copy=True) for tensor in state["kept"]]
            return
        self._told.copy_(self.frozen)
        for kept, tensor in zip(self.kept, state["kept"], strict=bool(state["kept"])):
            kept.copy_(tensor)

    def tensors(self) -> list[Tensor]:
        """All that ``mark`` changes."""
        return [self.frozen, *self.kept, self._found] if self.later else []


def _finite(tensor: Tensor) -> Tensor:
    """Whether all of a trial's numbers are finite, (trials,); read once, and no table of marks is written."""
    least, most = tensor.detach().reshape(len(tensor), -1).aminmax(dim=1)
    return least.isfinite() & most.isfinite()


def _choose(trials: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``first`` for the trials in the mask, ``second`` for the others."""
    return torch.where(trials.view(-1, *[1] * (first.dim() - 1)), first, second)
