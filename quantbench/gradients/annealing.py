"""Soft assignments that harden while training."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.components import State, between, component
from quantbench.gradients.base import Gradient
from quantbench.gradients.sampled import one_hot
from quantbench.gradients.schedule import Schedule
from quantbench.quantizers.base import SOFT, Code, Moment, Quantizer
from quantbench.quantizers.search import weighed


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

    Index backpropagation quantization, whose code has the inner products as logits (``quantizer.search=dot``), T = 1, and one
    loss more: the squared distance of y and the code, through the softmax; an entropy loss is an option of it. Here codebook
    and commitment losses are the quantizer's; in the source's code the weight 1 is on the commitment.

    Formula: ``(one_hot(argmax a) + w - sg(w)) C``, ``w = softmax(a / T)``, a the logits of all codes
    Source: Shi et al. (2024), arXiv 2412.02692.
    Recommended: quantizer.search=dot, quantizer.commitment=1, quantizer.codebook_weight=0.25, T = 1.
    Compared with: the authors' code, read; its third loss is not here.

    Attributes:
        temperature: T.
    """

    cost = 1.5
    hard_forward = True

    temperature: Schedule = Schedule()

    def check(self) -> None:
        self.temperature.check_above("gradient.temperature", 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({SOFT})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        logits_of = quantizer.logits_of(state, self.temperature.at(moment.progress))

        def chosen(some: Tensor) -> Tensor:
            logits = logits_of(some)
            soft = torch.softmax(logits, dim=-1)
            return quantizer.mixture(state, soft + (one_hot(logits) - soft).detach())

        passed = weighed(chosen, latents, max(quantizer.alphabet(latents.shape[-1])))
        return passed + (code.values - passed).detach()  # the codeword to the last digit
