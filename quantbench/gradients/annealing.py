"""Soft assignments that harden while training."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.components import Factor, PerTrial, State, above, at_least, between, component, largest
from quantbench.gradients.base import Gradient
from quantbench.gradients.sampled import one_hot
from quantbench.gradients.schedule import Schedule
from quantbench.quantizers.base import SOFT, Code, Moment, Quantizer
from quantbench.quantizers.search import weighed

LOWEST_LOG = -1e4
"""Of a share; levels that are none have a logarithm of minus infinity, and count for nothing."""
SMALLEST_SHARE = 1e-5
"""Added within the logarithm of the mean's entropy, as in the source's code."""


@component
class SoftToHard(Gradient):
    """Soft-to-hard annealing: the decoder receives ``sum_k softmax_k(-|y - c_k|**2 / T) c_k`` with falling T.

    T is 1/sigma of the source; its schedule is this project's choice: the source raises sigma by a rule of its own. In the
    final hard phase the decoder receives the hard code and the gradient stays that of the soft one (Mentzer et al. 2018, arXiv
    1801.04260).

    Formula: ``sum_k softmax_k(-|y - c_k|**2 / T) c_k``
    Source: Agustsson et al. (2017), arXiv 1704.00648.
    Recommended: T falls to a tenth or less; start of the order of the squared distance between codewords.
    Compared with: the paper's formula.

    Attributes:
        temperature: T, over the soft phase (progress 1 is where the hard phase begins).
        hard_fraction: share of the steps, at the end, that form the hard phase.
    """

    cost = 0.75

    temperature: Schedule = Schedule(start=1.0, end=0.1, shape="exponential")
    hard_fraction: float = 0.1

    def check(self) -> None:
        self.temperature.check_above("gradient.temperature", 0)
        between("gradient.hard_fraction", self.hard_fraction, 0, 1)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({SOFT})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        soft_share = 1 - self.hard_fraction
        progress = moment.progress / soft_share if soft_share else 1.0
        soft = quantizer.soft_code(state, latents, self.temperature.at(progress))
        if self.hard_fraction and moment.progress >= soft_share:
            return soft + (code.values - soft).detach()
        return soft


@component
class IndexPropagation(Gradient):
    """The hard codeword forward, the derivative of a softmax over all codes backward, so that every codeword learns.

    Index backpropagation quantization, whose code has the inner products as logits (``quantizer.search=dot``) and T = 1. Its
    losses of codebook and commitment are the quantizer's; in the source's code the weight 1 is on the commitment. Its third
    loss is the mean of ``(z - y)**2``, z what is passed on, through the softmax to y and to all codewords (``loss_weight``).
    Its entropy loss is LFQ's, ``mean H(q) - H(mean q)`` in nats, with ``q = softmax(a / entropy_temperature)``
    (``entropy_weight``); of a grid it is the sum over dimensions.

    The weights of both losses, 1 and 0.05, and ``entropy_temperature`` are the source's for inner products with commitment 1
    and codebook weight 0.25. With another search, or of a grid, this is not the source's method, and nothing says that they
    fit.

    Formula: ``z = (one_hot(argmax a) + w - sg(w)) C``, ``w = softmax(a / T)``, a the logits of all codes; loss
    ``l |z - y|**2 + e (mean H(q) - H(mean q))``
    Source: Shi et al. (2024), arXiv 2412.02692.
    Recommended: quantizer.search=dot, quantizer.commitment=1, quantizer.codebook_weight=0.25, T = 1.
    Compared with: the authors' code, read.

    Attributes:
        temperature: T.
        loss_weight: of the third loss.
        entropy_weight: of the entropy loss; 0.05 in all of the authors' configurations.
        entropy_temperature: of the softmax in it.
    """

    cost = 5.0
    hard_forward = True

    temperature: Schedule = Schedule()
    loss_weight: PerTrial = 1.0
    entropy_weight: PerTrial = 0.05
    entropy_temperature: Factor = 0.01

    def check(self) -> None:
        self.temperature.check_above("gradient.temperature", 0)
        at_least("gradient.loss_weight", self.loss_weight, 0)
        at_least("gradient.entropy_weight", self.entropy_weight, 0)
        above("gradient.entropy_temperature", self.entropy_temperature, 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({SOFT})

    def loss(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, received: Tensor, moment: Moment) -> Tensor:
        loss = self.loss_weight * moment.error(received, latents)
        if not largest(self.entropy_weight) > 0:
            return loss
        logs = torch.log_softmax(quantizer.logits(state, latents, self.entropy_temperature), dim=-1)
        shares = logs.exp()
        mean = moment.mean(shares)
        sure = moment.mean(-(shares * logs.clamp_min(LOWEST_LOG)).sum(-1))
        used = -(mean * (mean + SMALLEST_SHARE).log()).sum(-1)
        return loss + self.entropy_weight * (sure - used).view(len(latents), -1).sum(1)

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        logits_of = quantizer.logits_of(state, self.temperature.at(moment.progress))

        def chosen(some: Tensor) -> Tensor:
            logits = logits_of(some)
            soft = torch.softmax(logits, dim=-1)
            return quantizer.mixture(state, soft + (one_hot(logits) - soft).detach())

        passed = weighed(chosen, latents, max(quantizer.alphabet(latents.shape[-1])))
        return passed + (code.values - passed).detach()  # the codeword to the last digit
