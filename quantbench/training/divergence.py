"""Trials whose training goes wrong: noted, and frozen as they were."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from quantbench.training.model import Model
from quantbench.training.settings import TrainSettings

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

    Attributes:
        frozen: mask of the trials that diverged, (trials,).
        kept: the model's tensors, right for those trials; empty where there are none.
    """

    def __init__(self, model: Model, power: Tensor, settings: TrainSettings) -> None:
        self.model, self.power, self.settings = model, power, settings
        self.largest = settings.explode * power
        self.frozen = torch.zeros_like(power, dtype=torch.bool)
        self.kept: list[Tensor] = []

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
                advice = "look at the source" if name == DATA else self._advice(trial)
                return f"{name} is the first that is not finite {when}; {advice}"
        return None

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
        self.frozen = state["frozen"].to(self.power.device, copy=True)
        self.kept = [tensor.to(self.power.device, copy=True) for tensor in state["kept"]]


def _choose(trials: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``first`` for the trials in the mask, ``second`` for the others."""
    return torch.where(trials.view(-1, *[1] * (first.dim() - 1)), first, second)
