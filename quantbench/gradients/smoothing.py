"""Gradients of a smoothed loss, from values of the loss alone."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.components import State, at_least, component
from quantbench.gradients.base import Gradient
from quantbench.gradients.inject import inject
from quantbench.gradients.schedule import Schedule
from quantbench.quantizers.base import WHOLE, Code, Moment, Quantizer


@component
class Smoothed(Gradient):
    """The gradient of the loss smoothed by a Gaussian: ``E[(L(Q(y + s e)) - L(Q(y - s e))) e] / (2 s)``.

    The decoder receives Q(y). Unbiased for the smoothed loss, whatever the quantizer; the price is variance, and two more
    passes through quantizer and decoder a pair.

    Formula: ``E[(L(Q(y + s e)) - L(Q(y - s e))) e] / (2 s)``
    Source: antithetic Gaussian smoothing, Nesterov & Spokoiny (2017), Found. Comput. Math. 17; for discrete layers: Petersen
    et al. (2024), arXiv 2410.08125.
    Recommended: more pairs for less variance, sigma below the distance of codewords.
    Compared with: the derivative of a smoothed staircase, in closed form.

    Attributes:
        sigma: s, in multiples of the standard deviation of the latents in the batch.
        pairs: antithetic pairs a frame.
    """

    cost = 0.9
    hard_forward = True

    sigma: Schedule = Schedule(start=0.3, end=0.3)
    pairs: int = 1

    def check(self) -> None:
        self.sigma.check_above("gradient.sigma", 0)
        at_least("gradient.pairs", self.pairs, 1)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({WHOLE})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        if moment.frame_loss is None:
            return code.values
        y = latents.detach()
        std = (y - y.mean(1, keepdim=True)).square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-12)
        width = self.sigma.at(moment.progress) * std
        total = torch.zeros_like(y)
        with torch.no_grad():
            for _ in range(self.pairs):
                noise = moment.normal(y)
                up, down = (moment.frame_loss(quantizer.quantize(state, y + sign * width * noise).values) for sign in (1, -1))
                total += (up - down).unsqueeze(-1) * noise / (2 * width)
        return inject(code.values, latents, total / (self.pairs * y.shape[1]))
