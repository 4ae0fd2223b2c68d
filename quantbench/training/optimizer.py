"""Adam over all trials of a stack at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quantbench import kernels
from quantbench.components import State

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Parameters:
    """All trained tensors of a stack in one matrix, (trials, numbers of a trial).

    One matrix makes an optimizer step, a gradient norm per trial and a snapshot of a trial one operation each.

    Args:
        states: tensors by name; each ``nn.Parameter`` is replaced, in the dictionary, by a view of the matrix.
        empty: (trials, 0), on the device; only where there may be nothing to train.
    """

    def __init__(self, states: Sequence[State], empty: Tensor | None = None) -> None:
        places = [(state, name) for state in states for name, value in state.items() if isinstance(value, nn.Parameter)]
        initial = [state[name].detach() for state, name in places]
        sizes = [value[0].numel() for value in initial]
        # Rows of whole cache lines: weights then lie alike for every trial, and products of them round alike.
        like = empty if empty is not None else initial[0]
        self.filling = like.new_zeros(len(like), -sum(sizes) % 16 if sizes else 16)
        self.matrix = torch.cat([*(value.flatten(1) for value in initial), self.filling], dim=1)
        parts = torch.split(self.matrix, [*sizes, self.filling.shape[1]], dim=1)[:-1]
        self.leaves = [part.view(value.shape).requires_grad_() for part, value in zip(parts, initial, strict=True)]
        for (state, name), leaf in zip(places, self.leaves, strict=True):
            state[name] = leaf

    def columns(self, state: State, prefix: str) -> Tensor:
        """Mask, (numbers of a trial,), of the trained tensors of ``state`` whose names begin with ``prefix``."""
        wanted = [value for name, value in state.items() if name.startswith(prefix)]
        marks = [
            torch.full((leaf[0].numel(),), any(leaf is value for value in wanted), device=leaf.device) for leaf in self.leaves
        ]
        return torch.cat([*marks, self.filling[0] > 0])

    def gradient(self, loss: Tensor) -> Tensor:
        """Gradient of ``loss``, a scalar, in the shape of ``matrix``; zero where the loss does not depend on it."""
        if not self.leaves or not loss.requires_grad:  # a bottleneck alone, that has nothing to train or is never asked
            return torch.zeros_like(self.matrix)
        parts = torch.autograd.grad(loss, self.leaves, allow_unused=True, materialize_grads=True)
        return torch.cat([*(part.flatten(1) for part in parts), self.filling], dim=1)


class Adam:
    """Kingma & Ba (2015), arXiv 1412.6980, with a learning rate and a largest gradient norm per trial.

    Args:
        most: steps that some trials may skip: so many corrections are worked out beforehand; 0 where none skips any.
    """

    def __init__(self, parameters: Parameters, lr: Tensor, clip: Tensor, most: int = 0) -> None:
        self.matrix = parameters.matrix
        self.lr, self.clip = lr.contiguous(), clip if bool((clip > 0).any()) else None
        self.whole = torch.ones_like(self.lr)
        self.mean, self.square = torch.zeros_like(self.matrix), torch.zeros_like(self.matrix)
        self.steps = 0
        self.taken = torch.zeros(len(lr), dtype=torch.long, device=lr.device)
        self._divisors = torch.ones(2, dtype=lr.dtype, device=lr.device)
        # One by one: vector instructions may round otherwise than single ones.
        corrections = [(1 - BETA1**steps, (1 - BETA2**steps) ** 0.5) for steps in range(1, most + 1)]
        self._corrections = torch.tensor(corrections, dtype=lr.dtype, device=lr.device).view(-1, 2)

    def state_dict(self) -> dict[str, Any]:
        """Both moments, not copied, and the number of steps, of all trials and of each where some skip steps."""
        return {"mean": self.mean, "square": self.square, "steps": self.steps, "taken": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = state["steps"] - 1
        self.count()
        self.taken.copy_(state["taken"])

    def tensors(self) -> list[Tensor]:
        """All that ``move`` changes, but for the weights."""
        return [self.mean, self.square, self.taken]

    def count(self) -> None:
        """One step more: what depends on their number alone, apart from ``move``, which is of tensor operations alone."""
        self.steps += 1
        for divisor, value in zip(self._divisors, (BETA1**self.steps - 1, (1 - BETA2**self.steps) ** 0.5), strict=True):
            divisor.fill_(value)

    def step(self, gradient: Tensor, norm: Tensor, **how: Tensor | None) -> None:
        """Count a step, and take it; arguments as for ``move``."""
        self.count()
        self.move(gradient, norm, **how)

    @torch.no_grad()
    def move(
        self,
        gradient: Tensor,
        norm: Tensor,
        frozen: Tensor | None = None,
        rate: Tensor | None = None,
        taken: Tensor | None = None,
    ) -> None:
        """Update the matrix in place; ``count`` comes before.

        Args:
            norm: the gradient's norm per trial, (trials,).
            frozen: mask of columns that stay as they are.
            rate: share of the learning rate per trial, (trials,); all of it where not given.
            taken: trials that take the step, (trials,), at each step or at none; the others stay as they are. All, where
                not given.
        """
        scale = None
        if self.clip is not None:
            scale = torch.where((self.clip > 0) & (norm > self.clip), self.clip / norm, 1.0)
        lr = self.lr if rate is None else self.lr * rate
        if taken is not None:
            self._step_of_some(gradient if scale is None else gradient * scale.unsqueeze(1), lr, frozen, taken)
            return
        if kernels.usable(gradient):
            corrections = (1 - BETA1**self.steps, 1 - BETA2**self.steps)
            factors = self.whole if scale is None else scale
            moving = None if frozen is None else 1 - frozen.float()
            moments = (self.mean, self.square)
            kernels.adam(gradient, moments, self.matrix, lr, factors, moving, (BETA1, BETA2), corrections, EPSILON)
            return
        if scale is not None:
            gradient = gradient * scale.unsqueeze(1)
        first, second = self._divisors.unbind()
        self.mean.lerp_(gradient, 1 - BETA1)
        self.square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        denominator = self.square.sqrt().div_(second).add_(EPSILON)
        change = torch.div(self.mean, denominator, out=denominator)
        if frozen is not None:
            change.masked_fill_(frozen, 0)
        self.matrix.addcmul_(change, lr.unsqueeze(1) / first)

    def _step_of_some(self, gradient: Tensor, lr: Tensor, frozen: Tensor | None, taken: Tensor) -> None:
        """A step of some trials, each with as many steps behind it as it has taken."""
        self.taken += taken
        rows = taken.unsqueeze(1)
        self.mean.copy_(torch.where(rows, torch.lerp(self.mean, gradient, 1 - BETA1), self.mean))
        self.square.copy_(torch.where(rows, BETA2 * self.square + (1 - BETA2) * gradient.square(), self.square))
        first, second = self._corrections.index_select(0, self.taken.clamp_min(1) - 1).unsqueeze(2).unbind(1)
        change = self.mean / (self.square.sqrt() / second + EPSILON)
        moves = rows if frozen is None else rows & ~frozen
        self.matrix.sub_(torch.where(moves, change * (lr.unsqueeze(1) / first), 0.0))
