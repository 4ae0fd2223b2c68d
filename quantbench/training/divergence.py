"""Trials whose training goes wrong: noted, and frozen as they were."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from quantbench.training.model import Model


class Divergence:
    """Watches the trials of a stack, and keeps those that diverged as they were before the step that ruined them.

    Args:
        power: mean square of each trial's target, (trials,).
        explode: distortion, in multiples of it, from which a trial has diverged.

    Attributes:
        frozen: mask of the trials that diverged, (trials,).
        kept: the model's tensors, right for those trials; empty where there are none.
    """

    def __init__(self, model: Model, power: Tensor, explode: float) -> None:
        self.model, self.power, self.largest = model, power, explode * power
        self.frozen = torch.zeros_like(power, dtype=torch.bool)
        self.kept: list[Tensor] = []

    def watch(self, step: int, distortion: Tensor, finite: Tensor) -> dict[int, str]:
        """Trials that diverge at this step, with the reason; from now on ``restore`` gives them what they are now.

        Args:
            finite: whether a trial's loss and gradient are, (trials,).
        """
        fine = finite & (distortion <= self.largest) | self.frozen
        if bool(fine.all()):
            return {}
        new = ~fine
        current = [tensor.detach().clone() for tensor in self.model.tensors()]
        self.kept = [_choose(self.frozen, old, now) for old, now in zip(self.kept or current, current, strict=True)]
        self.frozen = self.frozen | new
        return {
            trial: f"distortion {float(distortion[trial] / self.power[trial]):.3g} times the target's power at step {step} "
            "(train.explode)"
            if bool(finite[trial])
            else f"loss or gradient not finite at step {step}"
            for trial in new.nonzero().flatten().tolist()
        }

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
