"""OptVQ: while training, codes are assigned by optimal transport between the latents of a step and the codewords."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantbench.components import Factor, PerTrial, State, above, at_least, component, product, take, trial_mean
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Code, Moment
from quantbench.quantizers.search import distances, first_minimum
from quantbench.quantizers.vector import CodebookQuantizer
from quantbench.streams import Streams

SMALLEST_SUM = 1e-8
"""Added to sums before they divide, as in the source: a codeword too far from all latents stays without any."""
SMALLEST_SPREAD = 1e-6


@component
class OptVQ(CodebookQuantizer):
    """A learned codebook behind a learned linear map; while training, all codewords get about equally many latents.

    Zhang et al. (2024), arXiv 2412.15195. Sinkhorn's algorithm finds how much of each latent goes to each codeword, with equal
    sums over latents and over codewords; the code of a latent is where most of it goes. Costs are Euclidean distances, brought
    to standard deviation 1 over all pairs of a trial, less their least. Of the two losses the codebook's is the small one.

    One thing differs from the authors' code: it runs the transport over the batch at test time too. Here evaluation takes the
    nearest codeword, so that a frame's code depends on that frame alone. Their k-means start is computed, but nothing public
    reads it: codewords start normal, behind a random map. Their heads share a codebook; here there is one head.

    Formula: ``k = argmax_k P``, P by Sinkhorn from ``exp(-epsilon D)``; loss ``|y - sg(c)|**2 + b |sg(y) - c|**2``
    Source: Zhang et al. (2024), arXiv 2412.15195; code zbr17/OptVQ.
    Recommended: epsilon 10, 5 iterations, commitment 1, codebook_weight 0.25, gradient ste: all configurations of the authors.
    Compared with: the authors' code, read; its steps written out.

    Attributes:
        epsilon: factor of the costs; the larger, the nearer to the nearest codeword of equal shares.
        iterations: of Sinkhorn's algorithm.
    """

    cost = 1.5

    commitment: PerTrial = 1.0
    codebook_weight: PerTrial = 0.25
    epsilon: Factor = 10.0
    iterations: int = 5

    def check(self) -> None:
        super().check()
        above("quantizer.epsilon", self.epsilon, 0)
        at_least("quantizer.iterations", self.iterations, 1)
        if self.search == "dot":
            raise ConfigError("quantizer.search=dot: must be euclidean or cosine; transport needs distances")

    def init(self, streams: Streams, dim: int) -> State:
        scale: float = dim**-0.5
        return {
            "codewords": nn.Parameter(streams.normal("codebook", self.codes, dim)),
            "map": nn.Parameter(scale * streams.normal("codebook", dim, dim)),
            "bias": nn.Parameter(scale * (2 * streams.uniform("codebook", 1, dim) - 1)),
        }

    def codebook(self, state: State) -> Tensor:
        return product(state["codewords"], state["map"], state["bias"])

    def assign(self, state: State, latents: Tensor, moment: Moment) -> Code:
        if not moment.training:
            return self.quantize(state, latents)
        codebook = self.codebook(state)
        with torch.no_grad():
            costs = normalised(lengths(self._direction(codebook), self._direction(latents)))
            index = first_minimum(-transport(costs, self.epsilon, self.iterations))
        return Code(take(codebook, index), index.unsqueeze(-1))


def lengths(codebook: Tensor, latents: Tensor) -> Tensor:
    """Distance of every latent to every codeword, (trials, frames, codes)."""
    own = (latents - codebook.mean(1, keepdim=True)).square().sum(-1, keepdim=True)
    return (distances(codebook, latents, codebook.new_ones(1, 1, 1)) + own).clamp_min(0).sqrt()


def normalised(costs: Tensor) -> Tensor:
    """Costs (trials, frames, codes) with standard deviation 1 over all pairs of a trial, from 0."""
    centred = costs - trial_mean(costs).view(-1, 1, 1)
    spread = (centred.square().flatten(1).sum(1) / (costs[0].numel() - 1)).sqrt().view(-1, 1, 1)
    scaled = centred / (spread + SMALLEST_SPREAD)
    return scaled - scaled.flatten(1).amin(1).view(-1, 1, 1)


def transport(costs: Tensor, epsilon: Tensor, iterations: int) -> Tensor:
    """How much of each latent goes to each codeword, (trials, frames, codes); a latent's shares sum to 1.

    Cuturi (2013), arXiv 1306.0895: sums over latents and over codewords are made equal in turn.
    """
    _, frames, codes = costs.shape
    plan = torch.exp(-costs * epsilon)
    plan = plan / (plan.flatten(1).sum(1).view(-1, 1, 1) + SMALLEST_SUM)
    for _ in range(iterations):
        plan = plan / (plan.sum(1, keepdim=True) + SMALLEST_SUM) / codes
        plan = plan / (plan.sum(2, keepdim=True) + SMALLEST_SUM) / frames
    return plan * frames
