import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.quantizers import FSQ, Uniform
from quantbench.streams import Streams

LATENTS = 2 * Streams([0, 1]).normal("x", 500, 3)


def levels_used(code):
    return [code.values[..., d].unique().tolist() for d in range(code.values.shape[-1])]


def test_uniform_takes_the_nearest_level():
    quantizer = Uniform(levels=(2, 3, 5), range=1.5)
    code = quantizer.quantize({}, LATENTS)
    for dimension, count in enumerate((2, 3, 5)):
        levels = torch.linspace(-1.5, 1.5, count)
        nearest = (LATENTS[..., dimension, None] - levels).abs().argmin(-1)
        assert torch.equal(code.indices[..., dimension], nearest)
        assert torch.allclose(code.values[..., dimension], levels[nearest])
    assert quantizer.alphabet(3) == [2, 3, 5]


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8])
def test_fsq_uses_all_its_levels_and_no_other(levels):
    quantizer = FSQ(levels=levels)
    prepared = quantizer.prepare({}, 5 * LATENTS)
    code = quantizer.quantize({}, prepared)
    assert code.indices.min() == 0
    assert code.indices.max() == levels - 1
    assert torch.equal(code.values, prepared.round())  # the bounded latent rounds to a level without clipping
    restored = quantizer.restore({}, code.values)
    assert restored.abs().max() <= 1
    assert all(len(used) == levels for used in levels_used(code))


def test_fsq_follows_the_published_formula():
    """Mentzer et al. 2024, listing 1, for 8 and 5 levels at one point, by hand."""
    z = torch.tensor([[[0.3, 0.3]]], dtype=torch.float64)
    bounded = FSQ(levels=(8, 5)).prepare({}, z)[0, 0]
    half8, half5 = 7 * 0.999 / 2, 4 * 0.999 / 2
    shift = torch.tan(torch.tensor(0.5 / half8, dtype=torch.float64))
    assert bounded[0].item() == pytest.approx((torch.tanh(0.3 + shift) * half8 - 0.5).item(), abs=1e-9)
    assert bounded[1].item() == pytest.approx((torch.tanh(torch.tensor(0.3).double()) * half5).item(), abs=1e-7)


@pytest.mark.parametrize("quantizer", [Uniform(levels=(2, 3, 5)), FSQ(levels=(2, 3, 5))])
def test_soft_assignment_becomes_the_hard_code(quantizer):
    prepared = quantizer.prepare({}, LATENTS)
    hard = quantizer.quantize({}, prepared).values
    cold = quantizer.soft_code({}, prepared, torch.full((2, 1, 1), 1e-4))
    assert (cold - hard).abs().quantile(0.99) < 1e-2
    hot = quantizer.soft_code({}, prepared, torch.full((2, 1, 1), 1e6))
    grid = quantizer.grid(prepared)
    middle = grid.lowest + grid.step * (torch.tensor([2.0, 3.0, 5.0]) - 1) / 2
    assert torch.allclose(hot, middle.expand_as(hot), atol=1e-3)


def test_levels_must_fit_the_latent():
    with pytest.raises(ConfigError, match=r"quantizer.levels=\[8, 5\]: 2 entries for codec.latent_dim=3"):
        FSQ(levels=(8, 5)).check_dim(3)
    with pytest.raises(ConfigError, match=r"quantizer\.levels=1: must be at least 2"):
        FSQ(levels=1).check()
    with pytest.raises(ConfigError, match=r"quantizer\.range=0"):
        Uniform(range=0.0).check()


def test_levels_inside_the_bound():
    """TAAE's: tanh(z), levels from -1 to 1 at steps of 2 / (levels - 1), the outer ones with half a cell."""
    quantizer = Uniform(levels=4, bound="inside")
    z = torch.linspace(-4, 4, 81, dtype=torch.float64).view(1, -1, 1)
    prepared = quantizer.prepare({}, z)
    assert torch.allclose(prepared, torch.tanh(z))
    expected = ((torch.tanh(z) + 1) / (2 / 3)).round() * (2 / 3) - 1
    assert torch.allclose(quantizer.quantize({}, prepared).values, expected)
