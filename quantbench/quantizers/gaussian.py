"""Gaussian Quant: a Gaussian autoencoder held to the bits of a fixed codebook."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from quantbench.components import (
    Factor,
    PerTrial,
    State,
    above,
    at_least,
    at_most,
    component,
    over_chunks,
    product,
    take,
    trial_mean,
)
from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.quantizers.base import Code, Moment, Passed, PassThrough, Quantizer, Trace
from quantbench.quantizers.search import DISTANCES_PER_TRIAL, first_minimum
from quantbench.quantizers.vector import LARGEST_CODEBOOK
from quantbench.streams import Streams

LOG_VARIANCES = (-30.0, 20.0)
"""What the encoder's logarithm of a variance is clamped to, as in the authors' code."""
OUTWARD = 1e3
"""Largest extra weight of a group above the constraint, and its reciprocal the smallest of one below it."""
LARGEST_WEIGHT = 1e30
SMALLEST_UNIFORM = 1e-7


@component
class GaussianQuant(Quantizer):
    """Latents of a Gaussian autoencoder, whose divergence training holds at the bits of a code; fixed normal codes at the end.

    Of the encoder's output the first half is a mean m, the second the logarithm of a variance s: a code has half of
    codec.latent_dim as dimensions, and the decoder receives zeros in the place of the other half. While training it receives
    ``m + sqrt(s) e`` with normal e. The target divergence constraint keeps each group's ``KL(N(m, s) || N(0, 1))`` near
    ``log2(codes)`` bits by three factors of its weight, each moved by ``factor`` a step: one follows the mean divergence; one,
    1 to 1000, is for groups above ``log2(codes) + tolerance``; one, 0.001 to 1, for groups below ``log2(codes) - tolerance``.

    The codes are scrambled Sobol points behind the inverse normal distribution function, drawn for each trial, and the same for
    all groups. Code c is that with the largest ``log N(c; m, s) - beta log N(c; 0, 1)``: importance weights for beta 1, the
    likeliest code for beta 0.

    The source's distortion has a learned scale, and its divergence a weight of 0.1; here the weight is ``divergence / D`` for a
    target of D features a latent. The factors make up for what differs: they stop where the constraint holds. Groups have
    neighbouring dimensions, the source's have every n-th. The first factor lies between 1e-30 and 1e30, the source's anywhere.

    Metrics: ``divergence_bits``, the mean divergence of a frame's groups together in the last step.

    Formula: ``c = argmax log N(c; m, s) - beta log N(c; 0, 1)``; trained on ``m + sqrt(s) e`` with ``KL = log2(codes)``
    Source: Xu et al. (2025), arXiv 2512.06609.
    Recommended: 1 to 4 bits a dimension, so that codec.latent_dim = 16 for 8 bits; codes 2**16 in the source.
    Compared with: the formulas of the authors' code, which was read.

    Attributes:
        codes: of each group.
        groups: parts of the mean with a code each.
        divergence: weight of the divergence at the start.
        tolerance: in bits, within which a group has no factor of its own.
        factor: of the weights, a step.
        beta: weight of the codes' own density in the choice.
        hard: whether the decoder receives the code while training, with the gradient of the sample (an option of the source's).
    """

    own_gradient = True
    sizes = ("codes", "groups")
    cost = 0.6
    metrics = (
        Metric(
            "divergence_bits",
            "divergence of a Gaussian quantizer's latents, which training holds at the code's bits",
            unit="bits",
        ),
    )

    codes: int = 256
    groups: int = 1
    divergence: PerTrial = 0.1
    tolerance: Factor = 0.5
    factor: PerTrial = 1.01
    beta: Factor = 1.0
    hard: bool = False

    def check(self) -> None:
        at_least("quantizer.codes", self.codes, 2)
        at_most("quantizer.codes", self.codes, LARGEST_CODEBOOK)
        at_least("quantizer.groups", self.groups, 1)
        above("quantizer.divergence", self.divergence, 0)
        at_least("quantizer.tolerance", self.tolerance, 0)
        at_least("quantizer.factor", self.factor, 1)
        at_least("quantizer.beta", self.beta, 0)

    def check_dim(self, dim: int) -> None:
        if dim % (2 * self.groups):
            raise ConfigError(
                f"codec.latent_dim={dim}: must be a multiple of {2 * self.groups}: a mean and a variance for each dimension of "
                f"quantizer.groups={self.groups}"
            )
        if (size := dim // (2 * self.groups)) > SobolEngine.MAXDIM:
            most = f"Sobol points have at most {SobolEngine.MAXDIM}"
            raise ConfigError(f"codec.latent_dim={dim}: makes codes of {size} dimensions; {most}; use more quantizer.groups")

    def alphabet(self, dim: int) -> list[int]:
        return [self.codes] * self.groups

    def init(self, streams: Streams, dim: int) -> State:
        size = dim // (2 * self.groups)
        seeds = streams.integers("codebook", 2**31).tolist()
        engines = [SobolEngine(size, scramble=True, seed=seed) for seed in seeds]  # type: ignore[no-untyped-call]
        points = torch.stack([engine.draw(self.codes) for engine in engines])
        codewords = torch.special.ndtri(points.clamp(SMALLEST_UNIFORM, 1 - SMALLEST_UNIFORM))
        ones = torch.ones(streams.trials, device=streams.device)
        weights = {name: ones.clone() for name in ("weight", "weight_above", "weight_below")}
        return {"codewords": codewords.to(streams.device), "bits": torch.zeros_like(ones)} | weights

    def quantize(self, state: State, latents: Tensor) -> Code:
        mean, log_variance = self._posterior(latents.detach())
        index = self._chosen(state["codewords"], self._grouped(mean), self._grouped(log_variance))
        indices = index.view(*latents.shape[:2], self.groups)
        return Code(self.decode(state, indices), indices)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        return _padded(take(state["codewords"], indices.flatten(1)).reshape(*indices.shape[:2], -1))

    def difference(self, latents: Tensor, values: Tensor) -> Tensor:
        """The mean less the code, once for each half of the latent."""
        error = self._posterior(latents)[0] - values.chunk(2, dim=-1)[0]
        return torch.cat([error, error], dim=-1)

    def forward(self, state: State, latents: Tensor, pass_through: PassThrough, moment: Moment) -> Passed:
        code = self.quantize(state, latents)
        mean, log_variance = self._posterior(latents)
        sample = _padded(mean + (log_variance / 2).exp() * moment.normal(mean))
        if self.hard:
            sample = sample - sample.detach() + code.values
        return Passed(sample, code, self._constraint(state, latents, moment), [(latents, code)])

    @torch.no_grad()
    def update(self, state: State, trace: Trace, streams: Streams, step: int) -> None:
        ((latents, _),) = trace
        bits, target = self._bits(latents), math.log2(self.codes)
        mean = trial_mean(bits)
        state["bits"].copy_(mean * self.groups)
        too_many = (bits > target + self.tolerance).flatten(1).any(1)
        too_few = (bits < target - self.tolerance).flatten(1).any(1)
        for name, grows, least, most in (
            ("weight", mean > target, 1 / LARGEST_WEIGHT, LARGEST_WEIGHT),
            ("weight_above", too_many, 1.0, OUTWARD),
            ("weight_below", ~too_few, 1 / OUTWARD, 1.0),
        ):
            moved = torch.where(grows, state[name] * self.factor, state[name] / self.factor)
            state[name].copy_(moved.clamp(least, most))

    def measure(self, state: State, indices: Tensor, exact: bool = False) -> dict[str, Tensor]:
        return {"divergence_bits": state["bits"].double()}

    def _constraint(self, state: State, latents: Tensor, moment: Moment) -> Tensor:
        """The weighted divergence, (trials,)."""
        bits, target = self._bits(latents), math.log2(self.codes)
        high, low = (state[name][:, None, None] for name in ("weight_above", "weight_below"))
        outside = torch.where(bits < target - self.tolerance, low, 1.0)
        weight = torch.where(bits > target + self.tolerance, high, outside)
        weighted = moment.mean((weight.detach() * bits).sum(-1))
        return self.divergence / moment.features * state["weight"] * weighted

    def _bits(self, latents: Tensor) -> Tensor:
        """Divergence of each group from the standard normal distribution, in bits, (trials, frames, groups)."""
        mean, log_variance = self._posterior(latents)
        nats = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        return nats.view(*nats.shape[:2], self.groups, -1).sum(-1) / math.log(2)

    def _posterior(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance, (trials, frames, half of dim) each."""
        mean, log_variance = latents.chunk(2, dim=-1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def _grouped(self, values: Tensor) -> Tensor:
        """(trials, frames, half of dim) to (trials, frames times groups, dim of a code)."""
        return values.reshape(len(values), values.shape[1] * self.groups, -1)

    def _chosen(self, codewords: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Index of the code with the largest ratio of densities, (trials, frames times groups)."""
        # Twice the negative logarithm, up to what all codes share: precision * (c**2 - 2 m c) - beta * c**2.
        squares = codewords.square()
        basis = torch.cat([squares, -2 * codewords], dim=-1).transpose(1, 2)
        own = (-self.beta * squares.sum(-1, keepdim=True)).transpose(1, 2)
        precision = (-log_variance).exp()
        chunk = max(1, DISTANCES_PER_TRIAL // self.codes)
        facts = torch.cat([precision, precision * mean], dim=-1)
        return over_chunks(lambda part: first_minimum(product(part, basis, own)), facts, chunk)


def _padded(values: Tensor) -> Tensor:
    """Zeros in the place of variances: (trials, frames, half of dim) to (trials, frames, dim)."""
    return torch.cat([values, torch.zeros_like(values)], dim=-1)
