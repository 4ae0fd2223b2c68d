import math

import numpy as np
import pytest
import torch

from quantbench.gradients.noise import Universal
from quantbench.gradients.staged import WarmUp
from quantbench.gradients.straight_through import STE
from quantbench.quantizers.base import Moment
from quantbench.quantizers.lattice import Lattice
from quantbench.quantizers.scalar import Uniform
from quantbench.streams import Streams
from quantbench.training.rates import Rates, Watched, common_moments

FRAMES = 4096


def measured(gradient, quantizer, latents):
    """The rates of latents (trials, frames, dim) under a strategy, as evaluation finds them."""
    streams = Streams(list(range(len(latents))))
    state = quantizer.init(streams, latents.shape[-1])
    rates = Rates(streams, quantizer.alphabet(latents.shape[-1]))
    for part in latents.split(1024, dim=1):
        moment = Watched(1.0, streams, "evaluation noise", training=False)

        def hard(one: Moment, part: torch.Tensor = part):
            return gradient.hard(quantizer, state, part, one)

        rates.add(hard(moment).indices, latents.shape[-1], moment, hard)
    return {name: values.tolist() for name, values in rates.metrics(exact=False).items()}


def given_the_dither(step: float) -> float:
    """``h(Y + N) - log2(step)`` for standard normal Y and N uniform over a cell (Zamir & Feder 1992)."""
    x = np.linspace(-12, 12, 48_001)
    cdf = torch.special.ndtr
    density = (cdf(torch.tensor(x + step / 2)) - cdf(torch.tensor(x - step / 2))).numpy() / step
    return -float((density * np.log2(np.maximum(density, 1e-300))).sum() * (x[1] - x[0])) - math.log2(step)


@pytest.mark.parametrize("step", [0.5, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("gradient", [Universal(), WarmUp(then=Universal())], ids=["universal", "warm up"])
def test_a_dithered_code_costs_its_entropy_given_the_dither(step, gradient):
    latents = torch.randn(2, FRAMES, 2, generator=torch.Generator().manual_seed(0))
    found = measured(gradient, Uniform(levels=41, range=20 * step), latents)
    truth = 2 * given_the_dither(step)
    assert found["spent_bits"] == pytest.approx([truth] * 2, abs=0.05)
    for bits, error in zip(found["joint_entropy_bits"], found["joint_entropy_error"], strict=True):
        assert abs(bits - truth) <= error
    if step == 6.0:  # without the dither, half a bit more
        indices = Universal().hard(Uniform(levels=41, range=20 * step), {}, latents, Moment(1.0, Streams([0, 1]))).indices
        share = np.bincount(indices[0, :, 0].numpy()) / FRAMES
        assert -sum(p * math.log2(p) for p in share if p) > truth / 2 + 0.1


def test_without_a_dither_codes_are_counted_as_they_are():
    latents = torch.randn(1, FRAMES, 1, generator=torch.Generator().manual_seed(0))
    found = measured(STE(), Uniform(levels=3, range=1.0), latents)
    middle = math.erf(0.5 / math.sqrt(2))
    truth = -middle * math.log2(middle) - (1 - middle) * math.log2((1 - middle) / 2)
    assert found["spent_bits"] == found["joint_entropy_bits"] == pytest.approx([truth], abs=0.02)
    assert abs(found["spent_bits"][0] - truth) < found["joint_entropy_error"][0] < 0.1


def test_dimensions_that_say_the_same_cost_once():
    latents = torch.randn(1, FRAMES, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 3)
    found = measured(STE(), Uniform(levels=3, range=1.0), latents)
    assert found["spent_bits"][0] == pytest.approx(3 * found["joint_entropy_bits"][0], rel=1e-6)


def test_a_lattice_is_dithered_over_its_cell():
    latents = torch.randn(1, 1024, 8, generator=torch.Generator().manual_seed(0))
    found = measured(Universal(), Lattice(levels=4), latents)
    assert 0 < found["joint_entropy_bits"][0] <= found["spent_bits"][0] + 1e-9 <= 16 + 1e-9


def test_common_noise_is_evenly_spread_and_a_trials_own():
    streams = Streams([3, 4, 3])
    points = torch.stack([one.uniform(torch.zeros(3, 5, 2)) for one in common_moments(streams, 2, 8)])
    assert points.shape == (8, 3, 5, 2)
    assert torch.equal(points[..., 0, :], points[..., 4, :])
    assert torch.equal(points[:, 0], points[:, 2])
    assert not torch.equal(points[:, 0], points[:, 1])
    for values in points[:, :, 0].flatten(1).T:
        assert sorted((values * 8).long().tolist()) == list(range(8))
