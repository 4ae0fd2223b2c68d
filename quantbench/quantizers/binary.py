"""One bit a latent dimension: lookup-free and binary spherical quantization, with their entropy terms."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from quantbench.components import Factor, PerTrial, State, at_least, component
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Code, Grid, Moment
from quantbench.quantizers.scalar import PerDimension

SMALLEST_SHARE = 1e-12
LARGEST_JOINT = 12
"""Dimensions up to which the entropy of the joint code can be computed over all its 2**dim values."""


@component
class Binary(PerDimension):
    """The sign of every dimension, with entropy terms in the loss.

    With p(c|y), a softmax of ``-sharpness * |y - c|**2`` over the 2**dim codes, the loss has
    ``entropy_weight * (mean H(p(.|y)) - diversity * H(mean p(.|y)))``: sure decisions, all codes in use. Entropies are in nats.

    Attributes:
        entropy_weight: weight of the entropy terms, of sure decisions and of all codes in use.
        diversity: weight, within that, of the entropy of the mean (gamma), which is that of the codes in use.
        sharpness: inverse temperature of p.
    """

    commitment: PerTrial = 0.25
    entropy_weight: PerTrial = 0.1
    diversity: PerTrial = 1.0
    sharpness: Factor = 1.0

    def check(self) -> None:
        super().check()
        for name in ("entropy_weight", "diversity", "sharpness"):
            at_least(f"quantizer.{name}", getattr(self, name), 0)

    def alphabet(self, dim: int) -> list[int]:
        return [2] * dim

    def finer(self, latents: Tensor) -> float:
        return 2.0

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        grid = self.grid(latents)
        odds = 2 * grid.step * self.sharpness * latents  # -sharpness |y - c|^2 of the upper level less that of the lower one
        sure = moment.mean(_binary_entropy(odds).sum(-1))
        used = self._mean_entropy(torch.sigmoid(odds), moment)
        return super().loss(state, latents, code, moment) + self.entropy_weight * (sure - self.diversity * used)

    @abstractmethod
    def _mean_entropy(self, upper: Tensor, moment: Moment) -> Tensor:
        """Entropy of the mean over frames of the joint distribution, (trials,), from P(upper level), (trials, frames, dim)."""


@component
class LFQ(Binary):
    """Lookup-free quantization: the sign of every dimension.

    Yu et al. (2024), arXiv 2310.05737. p is a product of ``sigmoid(4 sharpness y_d)``; both entropies are exact.

    Formula: ``sign(y)``; loss ``w (mean H(p(.|y)) - g H(mean p(.|y)))``
    Source: Yu et al. (2024), arXiv 2310.05737.
    Recommended: entropy_weight 0.1, diversity 1; public code has sharpness 100, at which the terms see little but the signs.
    Compared with: vector-quantize-pytorch.
    """

    cost = 1.1

    def check_dim(self, dim: int) -> None:
        if dim > LARGEST_JOINT:
            raise ConfigError(
                f"codec.latent_dim={dim}: the entropy term goes over 2**{dim} codes; at most {LARGEST_JOINT} dimensions are "
                f"allowed here; quantizer=bsq, whose term goes over single dimensions, allows more"
            )

    def grid(self, latents: Tensor) -> Grid:
        ones = latents.new_ones(latents.shape[-1])
        return Grid(-ones, 2 * ones, 2 * ones)

    def _mean_entropy(self, upper: Tensor, moment: Moment) -> Tensor:
        joint = upper.new_ones(*upper.shape[:2], 1)
        for one in upper.unbind(-1):
            joint = torch.cat([joint * (1 - one).unsqueeze(-1), joint * one.unsqueeze(-1)], dim=-1)
        return _negative_log(moment.mean(joint)).sum(1)


@component
class BSQ(Binary):
    """Binary spherical quantization: latents on the unit sphere, codes ``+-1 / sqrt(dim)`` in every dimension.

    Zhao et al. (2024), arXiv 2406.07548. The entropy terms are LFQ's with p(c|u), a softmax of ``2 sharpness u.c``; the
    entropy of the mean is that of the single dimensions, added up, which is the paper's approximation. As in the authors' code,
    the commitment loss is a sum over dimensions, not a mean; their configurations have none, and 0.1 times the entropy terms.

    Formula: ``sign(u) / sqrt(dim)``, ``u = y/|y|``; entropy terms as for LFQ, the second one per dimension
    Source: Zhao et al. (2024), arXiv 2406.07548.
    Recommended: entropy_weight 0.1, diversity 1, sharpness 1, no commitment loss, as in the authors' configurations.
    Compared with: the authors' code, read; vector-quantize-pytorch (codes).

    Attributes:
        commitment: weight of the commitment loss, the mean over frames of ``|u - sg(code)|**2``.
    """

    bounds = True

    commitment: PerTrial = 0.0

    def check_dim(self, dim: int) -> None:
        if dim < 2:
            raise ConfigError(f"codec.latent_dim={dim}: a sphere needs at least 2 dimensions")

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return nn.functional.normalize(latents, dim=-1)

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        others = (latents.shape[-1] - 1) * self.commitment * moment.error(latents, code.values.detach())
        return super().loss(state, latents, code, moment) + others

    def grid(self, latents: Tensor) -> Grid:
        dim = latents.shape[-1]
        ones = latents.new_ones(dim)
        return Grid(-ones / math.sqrt(dim), 2 * ones / math.sqrt(dim), 2 * ones)

    def _mean_entropy(self, upper: Tensor, moment: Moment) -> Tensor:
        mean = moment.mean(upper)
        return (_negative_log(mean) + _negative_log(1 - mean)).sum(1)


def _negative_log(share: Tensor) -> Tensor:
    """``-share log(share)`` with a finite slope at 0."""
    return -share * share.clamp_min(SMALLEST_SHARE).log()


def _binary_entropy(odds: Tensor) -> Tensor:
    """Entropy in nats of a coin with log odds ``odds``."""
    return nn.functional.softplus(odds) - odds * torch.sigmoid(odds)
