import math

import pytest
import torch

from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.gradients import Moment, Noise
from quantbench.quantizers import GRID, Code, Identity, Uniform
from quantbench.streams import Streams

LATENTS = Streams([0, 1]).normal("x", 20000, 3)


def pass_noise(gradient, quantizer, latents, code):
    return joined([gradient] * 2).pass_through(quantizer, {}, latents, code, Moment(0.5, Streams([0, 1])))


@pytest.mark.parametrize(("distribution", "kurtosis"), [("uniform", 1.8), ("gaussian", 3.0)])
@pytest.mark.parametrize("match", ["step", "error"])
def test_power_and_distribution_of_the_noise(distribution, kurtosis, match):
    quantizer = Uniform(levels=5)
    code = quantizer.quantize({}, LATENTS)
    noise = pass_noise(Noise(distribution=distribution, match=match), quantizer, LATENTS, code) - LATENTS
    expected = 0.5 / math.sqrt(12) if match == "step" else (code.values - LATENTS).square().mean().sqrt().item()
    assert noise.std().item() == pytest.approx(expected, rel=0.02)
    assert (noise.double() / noise.double().std()).pow(4).mean().item() == pytest.approx(kurtosis, rel=0.05)
    if distribution == "uniform" and match == "step":
        assert noise.abs().max() <= 0.25 + 1e-6


def test_scale_gradient_is_the_derivative_of_the_error():
    """With ``scale_gradient`` the scale s = rms(Q - y) has ds/dy = -(Q - y) / (n s); without it, none."""
    latents = LATENTS.clone().requires_grad_()
    code = Code(latents.detach().round(), None)
    for through in (True, False):
        received = pass_noise(Noise(scale_gradient=through), Identity(), latents, code)
        weights = torch.randn_like(received)
        (gradient,) = torch.autograd.grad((received * weights).sum(), latents)
        error = code.values - latents.detach()
        scale = error.square().mean((1, 2), keepdim=True).sqrt()
        unit = (received.detach() - latents.detach()) / scale
        through_scale = -(weights * unit).sum((1, 2), keepdim=True) * error / (error[0].numel() * scale)
        expected = weights + through_scale if through else weights
        assert torch.allclose(gradient, expected, atol=1e-4)


def test_without_quantization_there_is_no_noise():
    received = pass_noise(Noise(), Identity(), LATENTS, Code(LATENTS, None))
    assert torch.allclose(received, LATENTS, atol=1e-5)


def test_needs_a_step_size_only_to_match_it():
    assert Noise(match="step").needs == {GRID}
    assert not Noise(match="error").needs
    with pytest.raises(ConfigError, match=r"gradient\.scale_gradient"):
        Noise(match="step", scale_gradient=False).check()
