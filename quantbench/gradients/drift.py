"""Codebooks that follow an encoder whose output moves while it learns."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.components import Factor, PerTrial, State, at_least, component
from quantbench.gradients.base import Gradient
from quantbench.gradients.schedule import Schedule
from quantbench.quantizers.base import CODEBOOK, Code, Moment, Quantizer
from quantbench.quantizers.search import distances


@component
class NonStationary(Gradient):
    """STE, and a loss that draws codewords which were not chosen to each latent too, the more the nearer they are.

    NS-VQ: a code that is not chosen does not fall behind when the encoder's output moves. The chosen codeword's part is the
    quantizer's codebook loss. The temperature halves with every epoch of the source's code for CelebA, of 300, down to 1e-8;
    here it does so in the same share of the steps, which is our reading. Its configuration for ImageNet has another: 10 for an
    epoch of 50,000 steps, then a tenth of what it was with every further one. The tiny gradient that the source lets pass to
    the codeword is left out.

    Not noise substitution (``nsvq``), and not a later method of the same authors by the name of NSVQ (arXiv 2606.11363), of
    which only the abstract was read: it has restarts, too, and freezes the encoder for a while.

    Formula: ``y + sg(Q(y) - y)``; loss ``weight mean sum_k w_k (sg(y) - c_k)**2`` over the codes not chosen,
    ``w = min(1, share codes sg(softmax(-|y - c|**2 / T)))``
    Source: Lu et al. (2026), arXiv 2602.18896.
    Recommended: share 0.01, T from 1; commitment 0.25.
    Compared with: the authors' code, read.

    Attributes:
        temperature: T.
        share: of the weight of a code that is chosen, for an even choice among all.
        weight: of the loss; that of the codebook loss in the source.
    """

    hard_forward = True
    cost = 1.5

    temperature: Schedule = Schedule(start=1.0, end=1e-8, shape="exponential", finish=0.09)
    share: Factor = 0.01
    weight: PerTrial = 1.0

    def check(self) -> None:
        self.temperature.check_above("gradient.temperature", 0)
        at_least("gradient.share", self.share, 0)
        at_least("gradient.weight", self.weight, 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({CODEBOOK})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return latents + (code.values - latents).detach()

    def loss(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, received: Tensor, moment: Moment) -> Tensor:
        assert code.indices is not None
        codebook, y = quantizer.codebook(state), latents.detach()
        own = (y - codebook.detach().mean(1, keepdim=True)).square().sum(-1, keepdim=True)
        squares = own + distances(codebook, y, torch.ones_like(own[:, :1]))
        with torch.no_grad():
            near = torch.softmax(-squares / self.temperature.at(moment.progress), dim=-1)
            weights = (self.share * codebook.shape[1] * near).clamp_max(1)
            weights = weights.scatter(-1, code.indices, 0.0)
        return self.weight * moment.mean((weights * squares).sum(-1)) / latents.shape[-1]
