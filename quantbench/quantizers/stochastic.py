"""SQ-VAE: a codebook whose choice is random while training, with a learned variance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantbench.components import Factor, PerTrial, State, above, at_least, component, product
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Moment, Passed, PassThrough, Quantizer
from quantbench.quantizers.search import distances
from quantbench.quantizers.vector import CodebookQuantizer
from quantbench.streams import Streams

SMALLEST_VARIANCE = 1e-10


@component
class SQVAE(CodebookQuantizer):
    """A codebook with a learned variance s: codeword k is drawn with ``p = softmax(-|y - c|**2 / (2 s))`` while training.

    The Gaussian SQ-VAE with one variance for all latents (type I; those that the encoder gives are not here), trained as the
    authors do with ``gradient=gumbel_softmax``. Its loss has two divergences: ``sum p log p`` over codes, and ``|y - q|**2 /
    (2 s)``, q being what the strategy passes. Where a strategy draws no codeword, the second is its exact mean, ``sum p |y -
    c|**2 / (2 s)``. At evaluation the nearest codeword is the code.

    The source keeps ``D/2 log |x - x'|**2`` plus both divergences small, of a target x of D features. Its gradient times
    ``2 mse / D`` is that of the loss here, ``mse + sg(2 mse / D) (divergences)``: terms have the source's ratio at every step.
    The mse is that of what passes; another ``loss`` takes its place. Of a waveform, D is the number of samples for each latent.

    The authors' start of s belongs to 64 dimensions, 10 for speech, 1 + 20 for CIFAR-10 and CelebA, 1 + 10 for MNIST and
    Fashion-MNIST; it is in proportion to the dimensions here. Their code for images adds 1 to the learned variance, that for
    speech does not.

    Formula: ``c[k]``, ``k = argmin |y - c|``; loss ``(2 sg(mse) / D) mean(sum p log p + |y - q|**2 / (2 s))``
    Source: Takida et al. (2022), arXiv 2205.07547.
    Recommended: gradient gumbel_softmax with T falling from 1; nothing else to set.
    Compared with: the formulas of the authors' code, which was read.

    Attributes:
        commitment, codebook_weight: the losses of ``vq``, 0 in the source.
        divergence: weight of both divergences, 1 in the source.
        variance: s at the start, for each dimension.
        floor: added to the learned variance.
    """

    alone = "its loss weighs the distortion of the whole codec"
    cost = 2.0

    commitment: PerTrial = 0.0
    codebook_weight: PerTrial = 0.0
    divergence: PerTrial = 1.0
    variance: Factor = 10 / 64
    floor: Factor = 0.0

    def check(self) -> None:
        super().check()
        at_least("quantizer.divergence", self.divergence, 0)
        above("quantizer.variance", self.variance, 0)
        at_least("quantizer.floor", self.floor, 0)
        if self.search != "euclidean":
            raise ConfigError(f"quantizer.search={self.search}: must be euclidean; the source's other metric is not here")

    def init(self, streams: Streams, dim: int) -> State:
        start = self.variance * dim * torch.ones(streams.trials, 1, 1, device=streams.device)
        codewords = streams.normal("codebook", self.codes, dim)
        return {"codewords": nn.Parameter(codewords), "log_variance": nn.Parameter(start.log())}

    def codebook(self, state: State) -> Tensor:
        return state["codewords"]

    def logits(self, state: State, latents: Tensor, temperature: Tensor) -> Tensor:
        return distances(state["codewords"], latents, -1 / (self._width(state) * temperature))

    def soft_code(self, state: State, latents: Tensor, temperature: Tensor) -> Tensor:
        return Quantizer.soft_code(self, state, latents, temperature)  # whose logits have the variance

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        code = self.quantize(state, latents)
        received = pass_through(self, state, latents, code)
        loss = self.loss(state, latents, code, moment)
        if moment.frame_loss is not None:
            share = 2 * moment.mean(moment.frame_loss(received)) / moment.features
            each = self._divergences(state, latents, received if pass_through.draws else None)
            loss = loss + self.divergence * share * moment.mean(each)
        return Passed(received, code, loss, [(latents, code)])

    def _divergences(self, state: State, latents: Tensor, drawn: Tensor | None) -> Tensor:
        """Sum of the divergences of code and latent, (trials, frames), at what was drawn, or in the mean over all codes."""
        width = self._width(state)
        logits = self.logits(state, latents, torch.ones_like(width))
        log_share = torch.log_softmax(logits, dim=-1)
        share = log_share.exp()
        if drawn is None:
            mean = self.mixture(state, share)
            squares = state["codewords"].square().sum(-1, keepdim=True)
            spread = product(share, squares).squeeze(-1) - mean.square().sum(-1)
            error = (latents - mean).square().sum(-1) + spread
        else:
            error = (latents - drawn).square().sum(-1)
        return (share * log_share).sum(-1) + error / width.squeeze(-1)

    def _width(self, state: State) -> Tensor:
        """Twice the variance, (trials, 1, 1)."""
        return 2 * (self.floor + state["log_variance"].exp()).clamp_min(SMALLEST_VARIANCE)
