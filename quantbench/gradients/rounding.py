"""Strategies for grids of levels that soften the rounding itself."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from quantbench.components import State, component
from quantbench.gradients.base import Gradient
from quantbench.gradients.schedule import Schedule
from quantbench.quantizers.base import GRID, Code, Moment, Quantizer
from quantbench.traced import moving

NEARLY_ONE = 1 - 1e-5
SMALLEST_ALPHA = 1e-3
HOTTEST, COOLING, HOT_STEPS = 0.5, 1e-3, 700
"""Of SGA's temperature, as its authors recommend."""


@component
class OnGrid(Gradient):
    """A strategy that works in units of the step, with levels at the integers 0 .. counts - 1."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({GRID})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        grid = quantizer.grid(latents)
        level = (latents - grid.lowest) / grid.step
        hard = (code.values - grid.lowest) / grid.step
        return grid.lowest + grid.step * self.rounded(level, grid.clamp(level), hard, moment)

    @abstractmethod
    def rounded(self, level: Tensor, clamped: Tensor, hard: Tensor, moment: Moment) -> Tensor:
        """What the decoder receives for ``level``, also given clamped to the levels and quantized, in units of the step."""


@component
class SoftRound(OnGrid):
    """Soft rounding, uniform noise, and the expectation of the latent given the sum: ``r_a(s_a(y) + U(-1/2, 1/2))``.

    With ``m = floor(y) + 1/2``: ``s_a(y) = m + tanh(a (y - m)) / (2 tanh(a/2))``, from the identity (a to 0) to rounding, and
    ``r_a(z) = s_a^-1(z - 1/2) + 1/2``.

    Formula: ``r_a(s_a(y) + U)``, ``s_a(y) = m + tanh(a (y-m)) / (2 tanh(a/2))``
    Source: Agustsson & Theis (2020), arXiv 2006.09952.
    Recommended: alpha rises to 3 in the first quarter of the training (the source's toy example then learns it).
    Compared with: the paper's formulas, and public code read.

    Attributes:
        alpha: sharpness.
        offset: whether the decoder receives r_a(z), the expectation of the latent, rather than z.
    """

    alpha: Schedule = Schedule(start=0.1, end=3.0, shape="linear", finish=0.25)
    offset: bool = True

    def rounded(self, level: Tensor, clamped: Tensor, hard: Tensor, moment: Moment) -> Tensor:
        alpha = self.alpha.at(moment.progress).clamp_min(SMALLEST_ALPHA)
        noisy = soft_round(level, alpha) + (moment.uniform(level) - 0.5)
        return soft_round_inverse(noisy - 0.5, alpha) + 0.5 if self.offset else noisy


@component
class DSQ(OnGrid):
    """Differentiable soft quantization: the hard level forward, the derivative of a tanh staircase backward.

    Between two levels, r from their middle in units of the step: ``tanh(k r) / (2 (1 - alpha))`` with ``k = ln(2/alpha - 1)``,
    so that the pieces meet. The source learns alpha; here it has a schedule.

    Formula: hard forward; slope of ``m + tanh(k r) / (2 (1 - alpha))``, ``k = ln(2/alpha - 1)``
    Source: Gong et al. (2019), arXiv 1908.05033.
    Recommended: alpha 0.2.
    Compared with: the paper's formula, and a port's code read.

    Attributes:
        alpha: how far the staircase is from the hard one, between 0 (hard) and 1.
    """

    hard_forward = True

    alpha: Schedule = Schedule(start=0.2, end=0.2)

    def check(self) -> None:
        self.alpha.check_between("gradient.alpha", 1e-6, NEARLY_ONE)

    def rounded(self, level: Tensor, clamped: Tensor, hard: Tensor, moment: Moment) -> Tensor:
        alpha = self.alpha.at(moment.progress)
        k = (2 / alpha - 1).log()
        middle = torch.floor(clamped.detach()) + 0.5
        soft = middle + torch.tanh(k * (clamped - middle)) / (2 * (1 - alpha))
        return soft + (hard - soft).detach()


@component
class SGA(OnGrid):
    """Stochastic Gumbel annealing: a relaxed random choice between the levels below and above.

    Logits ``-atanh(distance) / T`` for the two, distances in units of the step; weights are a Gumbel-softmax sample at
    temperature T. The source anneals codes of a trained codec at test time; here it trains the codec.

    Formula: ``floor(y) + sigmoid(((atanh(d) - atanh(1-d)) / T + logistic) / T)``
    Source: Yang et al. (2020), arXiv 2006.04240.
    Recommended: T = min(0.5, 0.5 exp(-0.001 (t - 700))) at step t.
    Compared with: the authors' code, read.

    Attributes:
        anneal: how T falls: with the ``steps``, as recommended, however many there are; or with the ``share`` of them, by
            ``temperature``.
        temperature: T, with ``anneal=share``; the default is the recommended course, as if there were 4000 steps.
    """

    anneal: Literal["steps", "share"] = "steps"
    temperature: Schedule = Schedule(start=0.5, end=0.0184, shape="exponential", begin=0.175)

    def check(self) -> None:
        self.temperature.check_above("gradient.temperature", 0)

    def _temperature(self, moment: Moment, level: Tensor) -> Tensor | float:
        if self.anneal == "share":
            return self.temperature.at(moment.progress)
        found: Tensor | float = moving(moment.step, _hot, level)
        return found

    def rounded(self, level: Tensor, clamped: Tensor, hard: Tensor, moment: Moment) -> Tensor:
        temperature = self._temperature(moment, level)
        below = torch.floor(clamped.detach())
        share = clamped - below
        down, up = torch.atanh(share.clamp_max(NEARLY_ONE)), torch.atanh((1 - share).clamp_max(NEARLY_ONE))
        drawn = moment.uniform(level).clamp(1e-7, NEARLY_ONE)
        # The difference of two Gumbel variables is logistic; a softmax over two is a sigmoid of the difference.
        logistic = drawn.log() - torch.log1p(-drawn)
        return below + torch.sigmoid(((down - up) / temperature + logistic) / temperature)


def _hot(step: int) -> float:
    """SGA's temperature at a step."""
    return min(HOTTEST, HOTTEST * math.exp(-COOLING * (step - HOT_STEPS)))


def soft_round(values: Tensor, alpha: Tensor) -> Tensor:
    """``s_alpha``: the identity for small alpha, rounding for large."""
    middle = torch.floor(values.detach()) + 0.5
    return middle + torch.tanh(alpha * (values - middle)) / (2 * torch.tanh(alpha / 2))


def soft_round_inverse(values: Tensor, alpha: Tensor) -> Tensor:
    """``s_alpha^-1``."""
    middle = torch.floor(values.detach()) + 0.5
    inner = (2 * torch.tanh(alpha / 2) * (values - middle)).clamp(-NEARLY_ONE, NEARLY_ONE)
    return middle + torch.atanh(inner) / alpha
