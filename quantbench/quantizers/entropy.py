"""Entropy-coded scalar quantization with a learned prior."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from quantbench.components import PerTrial, State, at_least, component
from quantbench.errors import ConfigError
from quantbench.quantizers.base import Code, Grid, Moment
from quantbench.quantizers.scalar import PerDimension
from quantbench.streams import Streams

FILTERS = (1, 3, 3, 3, 1)
INITIAL_SCALE = 10.0
LEAST_LIKELIHOOD = 1e-9


@component
class EntropyScalar(PerDimension):
    """Rounding to integers, with a learned factorised prior and the rate under it in the loss.

    Ballé et al. (2018), arXiv 1802.01436, appendix 6.1: the prior of each dimension is the derivative of a distribution
    function ``c = sigmoid(f4(f3(f2(f1(y)))))`` with ``fk(x) = g(softplus(H) x + b)``, ``g(x) = x + tanh(a) tanh(x)`` and 3
    hidden units; a code q has probability ``c(q + 1/2) - c(q - 1/2)``. While training, the rate is that of ``y + U(-1/2, 1/2)``
    whatever the gradient strategy gives to the decoder (noise for the rate, any strategy for the distortion: Minnen & Singh
    2020, arXiv 2007.08739).

    Metrics: ``estimated_bits`` per frame under the prior, and ``coded_bits`` per frame that a range coder takes for the codes
    of the evaluation set, fed with the same prior.

    Formula: ``m + round(y - m)``, m the prior's median; loss ``rate_weight mean(-log2(c(y+U+1/2) - c(y+U-1/2)))``
    Source: Ballé et al. (2018), arXiv 1802.01436.
    Recommended: rate_weight by the rate wanted; gradient additive_noise.
    Compared with: the paper's formula; public code (CompressAI), read.

    Attributes:
        median: whether values are rounded to integers about the prior's median m, ``m + round(y - m)``, as in the authors' and
            in other public code. It is learned by a loss of its own, the log odds ``|log c(m) / (1 - c(m))|``, which moves
            nothing else. Public code (CompressAI) has an optimizer of its own for it; here its gradient counts in the trial's
            norm, so in what ``train.clip`` clips, and its rate falls with ``train.lr_end``.
        rate_weight: weight of the rate, in bits per frame, in the loss.
        bound: codes are integers from ``-bound`` to ``bound``, about the median.
    """

    alone = "its codes have no fixed length"

    sizes = ("rate_weight",)  # what it spends follows from it
    cost = 3.3

    rate_weight: PerTrial = 0.01
    bound: int = 63
    median: bool = True

    def check(self) -> None:
        super().check()
        at_least("quantizer.rate_weight", self.rate_weight, 0)
        if not 1 <= self.bound <= 2**12:
            raise ConfigError(f"quantizer.bound={self.bound}: must lie between 1 and {2**12}")

    def alphabet(self, dim: int) -> list[int]:
        return [2 * self.bound + 1] * dim

    def nominal_bits(self, dim: int) -> float | None:
        return None  # codes of fixed length are not what this quantizer is for

    def grid(self, latents: Tensor) -> Grid:
        counts = self._counts(latents)
        return Grid(torch.full_like(counts, -self.bound), torch.ones_like(counts), counts)

    def init(self, streams: Streams, dim: int) -> State:
        state: State = {}
        growth = INITIAL_SCALE ** (1 / (len(FILTERS) - 1))
        for layer, (inputs, outputs) in enumerate(itertools.pairwise(FILTERS)):
            matrix = torch.full((streams.trials, dim, outputs, inputs), math.log(math.expm1(1 / growth / outputs)))
            state[f"matrix{layer}"] = nn.Parameter(matrix.to(streams.device))
            state[f"bias{layer}"] = nn.Parameter(streams.uniform("codebook", dim, outputs) - 0.5)
            if layer < len(FILTERS) - 2:
                state[f"gate{layer}"] = nn.Parameter(torch.zeros_like(state[f"bias{layer}"]))
        if self.median:
            state["median"] = nn.Parameter(torch.zeros(streams.trials, 1, dim, device=streams.device))
        return state

    def prepare(self, state: State, latents: Tensor) -> Tensor:
        return latents - state["median"].detach() if self.median else latents

    def restore(self, state: State, values: Tensor) -> Tensor:
        return values + state["median"].detach() if self.median else values

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        noisy = latents + (moment.streams.uniform(moment.stream("rate noise"), *latents.shape[1:]) - 0.5)
        bits = -self._likelihood(state, noisy).log2().sum(-1).mean(1)
        loss = super().loss(state, latents, code, moment) + self.rate_weight * bits
        if not self.median:
            return loss
        fixed = {name: tensor.detach() for name, tensor in state.items()}
        return loss + self._logit(fixed, state["median"]).abs().sum((1, 2))

    def measure(self, state: State, indices: Tensor, exact: bool = False) -> dict[str, Tensor]:
        with torch.no_grad():
            tables = self._tables(state, indices.shape[-1])
        share = tables.clamp_min(LEAST_LIKELIHOOD)
        codes = indices.transpose(1, 2)  # (trials, dim, frames)
        bits = [-own.gather(1, row).log2().sum() for own, row in zip(share, codes, strict=True)]
        coded = [_range_coded_bits(own, row) for own, row in zip(share, codes, strict=True)]
        return {
            "estimated_bits": torch.stack(bits) / indices.shape[1],
            "coded_bits": torch.tensor(coded, dtype=torch.float64) / indices.shape[1],
        }

    def _tables(self, state: State, dim: int) -> Tensor:
        """Probability of every code in every dimension, (trials, dim, codes); the outermost codes take the tails."""
        codes = torch.arange(-self.bound, self.bound, dtype=torch.float32, device=state["bias0"].device)
        edges = self.restore(state, (codes + 0.5).view(1, -1, 1).expand(len(state["bias0"]), -1, dim))
        upper = torch.sigmoid(self._logit(state, edges).double()).transpose(1, 2)
        zero = torch.zeros_like(upper[..., :1])
        return torch.diff(torch.cat([zero, upper, zero + 1], dim=-1))

    def _likelihood(self, state: State, values: Tensor) -> Tensor:
        """Probability of the unit interval about each prepared value, (trials, frames, dim)."""
        values = self.restore(state, values)
        low, high = self._logit(state, values - 0.5), self._logit(state, values + 0.5)
        sign = -torch.sign(low + high).detach()  # away from the sigmoid's flat end, where differences vanish
        likelihood = (torch.sigmoid(sign * high) - torch.sigmoid(sign * low)).abs()
        return likelihood.clamp_min(LEAST_LIKELIHOOD)

    def _logit(self, state: State, values: Tensor) -> Tensor:
        """Log odds of the distribution function, (trials, frames, dim)."""
        hidden = [values]
        for layer, outputs in enumerate(FILTERS[1:]):
            matrix = nn.functional.softplus(state[f"matrix{layer}"]).unsqueeze(1)  # (trials, 1, dim, outputs, inputs)
            bias = state[f"bias{layer}"].unsqueeze(1)
            gate = torch.tanh(state[f"gate{layer}"]).unsqueeze(1) if f"gate{layer}" in state else None
            new = []
            for unit in range(outputs):
                # Unit by unit: sums over so short an axis would round by the number of trials.
                total = bias[..., unit]
                for i, value in enumerate(hidden):
                    total = total + matrix[..., unit, i] * value
                new.append(total if gate is None else total + gate[..., unit] * torch.tanh(total))
            hidden = new
        return hidden[0]


def _range_coded_bits(tables: Tensor, codes: Tensor) -> float:
    """Bits a range coder takes for codes (dim, frames) under probabilities (dim, alphabet); decoded again as a check."""
    import constriction
    import numpy as np

    models = [constriction.stream.model.Categorical(row.cpu().numpy().astype(np.float64), perfect=False) for row in tables]
    encoder = constriction.stream.queue.RangeEncoder()
    for model, row in zip(models, codes.cpu().numpy().astype(np.int32), strict=True):
        encoder.encode(np.ascontiguousarray(row), model)
    decoder = constriction.stream.queue.RangeDecoder(encoder.get_compressed())
    for model, row in zip(models, codes.cpu().numpy(), strict=True):
        if not np.array_equal(decoder.decode(model, len(row)), row):
            raise RuntimeError("the range coder's output does not decode to the codes that went in")
    return float(encoder.num_bits())
