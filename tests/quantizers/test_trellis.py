import itertools
import math

import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.quantizers import TrellisCoded
from quantbench.streams import Streams
from tests.conformance import checks


def unfitted(trials, dim, **settings):
    quantizer = TrellisCoded(**settings)
    return quantizer, quantizer.init(Streams(range(trials)), dim)


@checks("tcq")
@pytest.mark.parametrize(("levels", "states"), [(2, 4), (4, 4), (2, 8), (4, 8)])
def test_viterbi_finds_the_best_of_all_paths(levels, states):
    """Every path, enumerated: the Viterbi algorithm finds the best."""
    dim = 5
    quantizer, state = unfitted(2, dim, levels=levels, states=states)
    latents = Streams([0, 1]).normal("x", 40, dim)
    every = torch.tensor(list(itertools.product(range(levels), repeat=dim)))
    values = quantizer.decode(state, every.expand(2, -1, -1))
    best = torch.cdist(latents, values).square().min(-1).values
    code = quantizer.quantize(state, latents)
    assert torch.allclose((code.values - latents).square().sum(-1), best, atol=1e-5)
    assert torch.equal(quantizer.decode(state, code.indices), code.values)
    assert len(values[0].mul(1000).round().unique(dim=0)) == len(every)


@checks("tcq")
@pytest.mark.parametrize(("states", "gain"), [(4, 0.99), (8, 1.09)])
def test_granular_gain_is_the_published_one(states, gain):
    """Published granular gains of 0.99 and 1.09 dB with 4 and 8 states (Marcellin & Fischer 1990)."""
    levels, dim = 256, 512
    quantizer, state = unfitted(1, dim, levels=levels, states=states)
    state["step"].fill_(1 / (2 * levels))  # 2 levels cells over the unit interval
    latents = Streams([0]).uniform("x", 100, dim) - 0.5
    error = (quantizer.quantize(state, latents).values - latents).square().mean().item()
    assert 10 * math.log10((1 / levels) ** 2 / 12 / error) == pytest.approx(gain, abs=0.1)


def test_codes_of_one_trial_do_not_depend_on_the_others():
    latents = Streams([0, 1, 2]).normal("x", 100, 8)
    quantizer, state = unfitted(3, 8)
    quantizer.fit(state, latents, Streams([0]))
    together = quantizer.quantize(state, latents)
    alone = quantizer.quantize({"step": state["step"][1:2]}, latents[1:2])
    assert torch.equal(together.values[1:2], alone.values)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"quantizer\.levels=6: must be a power of two"):
        TrellisCoded(levels=6).check()
    with pytest.raises(ConfigError, match=r"quantizer\.states=5: must be one of 4, 8"):
        TrellisCoded(states=5).check()
