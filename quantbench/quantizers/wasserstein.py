"""Wasserstein VQ: a loss draws mean and covariance of the codewords to those of the latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quantbench.components import Factor, PerTrial, State, at_least, component, product
from quantbench.quantizers.base import Code, Moment, Trace
from quantbench.quantizers.vector import CodebookQuantizer
from quantbench.streams import Streams

EIGENVALUE_FLOOR = 1e-8
DISTANCE_FLOOR = 1e-10
"""Both below a root, as in the source: its slope stays finite."""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of each trial.

    Attributes:
        mean: (trials, dim).
        covariance: (trials, dim, dim).
    """

    mean: Tensor
    covariance: Tensor


@component
class WassersteinVQ(CodebookQuantizer):
    """A learned codebook; while training, the Gaussian fitted to it is drawn to the Gaussian fitted to the latents.

    Fang et al. (2025), arXiv 2506.15078. The loss is the quadratic Wasserstein distance of the two, in units of the largest
    standard deviation of a latent dimension. It moves codewords alone: latents count as given. They are those of this step and
    of the ``memory - 1`` before it, through their means and covariances, which gives what a queue of them all does. Two things
    differ from the authors' queue: it starts empty, not with noise, and it counts steps, not latents. Codewords start as noise
    of 0.01; the authors train them with a learning rate of 0.02, which is where the default of ``codebook_lr`` comes from
    (others have 0.001 here). It comes by a factor, so that the gradient of what is learned is that of the codewords times
    ``codebook_lr``, in the trial's norm too, which ``train.clip`` clips, and the rate falls with ``train.lr_end``; the authors
    clip the codewords by themselves, and their rate is constant. That matters with ``train.clip`` above 0 or ``train.lr_end``
    below 1 alone. The public simulations have another formula, with the eigenvalues of a product that is not symmetric; the
    training code has this one. Work grows with dim**3.

    Formula: ``g W``, ``W**2 = |m1 - m2|**2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2)``; beside the losses of ``vq``
    Source: Fang et al. (2025), arXiv 2506.15078; code VQ-Research/Wasserstein-VQ, VQVAE.
    Recommended: wasserstein_weight 0.5, commitment 0.1, codebook_weight 1, gradient ste, as in all scripts of the authors.
    Compared with: the authors' code, read; the formula with scipy's matrix roots.

    Attributes:
        wasserstein_weight: weight of the distance.
        memory: steps whose latents count; the authors' queue of 65536 holds 8 of theirs.
        codebook_lr: learning rate of the codewords, in multiples of the others'.
    """

    cost = 0.7

    commitment: PerTrial = 0.1
    wasserstein_weight: PerTrial = 0.5
    memory: int = 8
    codebook_lr: Factor = 20.0

    def check(self) -> None:
        super().check()
        at_least("quantizer.wasserstein_weight", self.wasserstein_weight, 0)
        at_least("quantizer.memory", self.memory, 1)
        at_least("quantizer.codebook_lr", self.codebook_lr, 0)

    def init(self, streams: Streams, dim: int) -> State:
        start = 0.01 * streams.normal("codebook", self.codes, dim)
        empty = start.new_zeros(streams.trials, self.memory - 1, dim, dim)
        return {
            "start": start,
            "moved": nn.Parameter(torch.zeros_like(start)),
            "counts": empty[..., 0, 0].clone(),
            "means": empty[..., 0].clone(),
            "scatters": empty,
        }

    def codebook(self, state: State) -> Tensor:
        return state["start"] + self.codebook_lr * state["moved"]

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        local = super().loss(state, latents, code, moment)
        seen = self._seen(state, latents.detach(), moment)
        spread = seen.covariance.diagonal(dim1=1, dim2=2).amax(1).sqrt()
        unit = torch.where(spread > 0, spread, 1.0).view(-1, 1, 1)
        latent = Gaussian(seen.mean / unit.squeeze(-1), seen.covariance / unit.square())
        return local + self.wasserstein_weight * wasserstein(latent, fitted(self.codebook(state) / unit))

    def _seen(self, state: State, latents: Tensor, moment: Moment) -> Gaussian:
        """The Gaussian of the latents of this step and of those remembered."""
        count, mean, scatter = moments(latents, moment.counted)
        counts = torch.cat([state["counts"], count.unsqueeze(1)], dim=1).unsqueeze(-1)
        means = torch.cat([state["means"], mean.unsqueeze(1)], dim=1)
        total = counts.sum(1).clamp_min(1)
        whole = (counts * means).sum(1) / total
        apart = (counts.sqrt() * (means - whole.unsqueeze(1))).transpose(1, 2)
        scatters = state["scatters"].sum(1) + scatter + product(apart, apart.transpose(1, 2))
        return Gaussian(whole, scatters / (total - 1).clamp_min(1).unsqueeze(-1))

    @torch.no_grad()
    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        if self.memory == 1:
            return
        ((latents, _),) = trace
        place = step % (self.memory - 1)
        for name, value in zip(("counts", "means", "scatters"), moments(latents, None), strict=True):
            state[name][:, place] = value


def moments(vectors: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Number (trials,), mean (trials, dim) and scatter about it (trials, dim, dim) of vectors (trials, number, dim).

    Args:
        counted: 1 for those that count, 0 for others, (trials, number, 1); None where all do.
    """
    weights = torch.ones_like(vectors[..., :1]) if counted is None else counted
    count = weights.sum((1, 2))
    mean = (weights * vectors).sum(1) / count.clamp_min(1).unsqueeze(-1)
    centred = (weights * (vectors - mean.unsqueeze(1))).transpose(1, 2)
    return count, mean, product(centred, centred.transpose(1, 2))


def fitted(vectors: Tensor) -> Gaussian:
    """The Gaussian with mean and covariance (by ``number - 1``) of vectors (trials, number, dim)."""
    count, mean, scatter = moments(vectors, None)
    return Gaussian(mean, scatter / (count - 1).view(-1, 1, 1))


def wasserstein(one: Gaussian, other: Gaussian) -> Tensor:
    """Quadratic Wasserstein distance of two Gaussians, (trials,), with a gradient by ``other`` alone."""
    root = _root(one.covariance.detach())
    inner = product(product(root, other.covariance), root)
    shared = (_eigenvalues((inner + inner.transpose(1, 2)) / 2).relu() + EIGENVALUE_FLOOR).sqrt().sum(1)
    traces = (one.covariance.detach() + other.covariance).diagonal(dim1=1, dim2=2).sum(1)
    apart = (one.mean.detach() - other.mean).square().sum(1)
    return (apart + (traces - 2 * shared).relu() + DISTANCE_FLOOR).sqrt()


def _root(matrices: Tensor) -> Tensor:
    """The symmetric root of positive semidefinite matrices (trials, dim, dim)."""
    vectors = _eigenvectors(matrices)
    values = _stretched(matrices, vectors).relu() + EIGENVALUE_FLOOR
    return product(vectors * values.sqrt().unsqueeze(1), vectors.transpose(1, 2))


def _eigenvalues(matrices: Tensor) -> Tensor:
    """Eigenvalues (trials, dim) of symmetric matrices; their gradient is finite where some are equal.

    With the eigenvectors v held still, ``v' A v`` has the eigenvalues' value and their gradient.
    """
    return _stretched(matrices, _eigenvectors(matrices.detach()))


def _stretched(matrices: Tensor, vectors: Tensor) -> Tensor:
    """``v' A v`` for every column v, (trials, dim)."""
    return (vectors * product(matrices, vectors)).sum(1)


def _eigenvectors(matrices: Tensor) -> Tensor:
    """Orthonormal eigenvectors, as columns; of a trial that is not finite those of the identity, for the others' sake."""
    finite = matrices.isfinite().all(2).all(1).view(-1, 1, 1)
    unit = torch.eye(matrices.shape[1], device=matrices.device, dtype=matrices.dtype)
    vectors: Tensor = torch.linalg.eigh(torch.where(finite, matrices, unit)).eigenvectors
    return vectors
