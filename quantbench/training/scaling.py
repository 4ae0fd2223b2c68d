"""Loss scales, which keep gradients within the range of float16: one a trial."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.components import State

FIRST, FACTOR, PATIENCE = 2.0**16, 2.0, 2000
"""PyTorch's GradScaler: where a scale begins, by what it changes, and after how many good steps in a row it grows."""
LEAST = 2.0**-24
"""A trial whose scale falls below has gradients that no scale brings into range."""


class LossScales:
    """The loss is multiplied by a scale before the backward pass, and the gradient divided by it.

    A trial whose gradient is not finite skips its step and halves its scale; one with ``PATIENCE`` good steps in a row doubles
    it. Micikevicius et al. (2018), arXiv 1710.03740, as in PyTorch's GradScaler.
    """

    def __init__(self, trials: int, device: torch.device) -> None:
        self.scale = torch.full((trials,), FIRST, device=device)
        self.good = torch.zeros(trials, dtype=torch.long, device=device)

    @property
    def alive(self) -> Tensor:
        """Whether a trial's scale is still one, (trials,)."""
        return self.scale >= LEAST

    def verdict(self) -> tuple[str, Tensor]:
        """What there is to say of trials that are not alive, and where it is not finite, (trials,)."""
        return f"the gradient, with every loss scale down to {LEAST:.2g},", torch.where(self.alive, self.scale, torch.nan)

    def unscale(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient (trials, numbers) without its scale, 0 where it is not finite; and whether it is, (trials,)."""
        gradient = gradient / self.scale.unsqueeze(1)
        finite = gradient.isfinite().all(1)
        return torch.where(finite.unsqueeze(1), gradient, 0.0), finite

    def update(self, finite: Tensor) -> None:
        """Change the scales after a step, whose gradients were ``finite`` or not, (trials,)."""
        self.good.copy_(torch.where(finite, self.good + 1, 0))
        grows = self.good >= PATIENCE
        self.good.masked_fill_(grows, 0)
        self.scale.mul_(torch.where(grows, FACTOR, torch.where(finite, 1.0, 1 / FACTOR)))

    def state_dict(self) -> State:
        """Scales and counts, not copied."""
        return {"scale": self.scale, "good": self.good}

    def load_state_dict(self, state: State) -> None:
        """Take over what ``state_dict`` gave."""
        self.scale.copy_(state["scale"])
        self.good.copy_(state["good"])
