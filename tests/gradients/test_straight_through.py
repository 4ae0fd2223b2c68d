import pytest
import torch

from quantbench.gradients import MSTE, STE, Moment
from quantbench.quantizers import FSQ, Code, Identity, Uniform, VectorQuantizer
from quantbench.streams import Streams

STREAMS = Streams([0, 1])
MOMENT = Moment(0.5, STREAMS)


def vq(latents):
    quantizer = VectorQuantizer(codes=16)
    state = quantizer.init(Streams([0, 1]), latents.shape[-1])
    quantizer.fit(state, latents.detach(), Streams([0, 1]))
    return quantizer, state


@pytest.mark.parametrize("gradient", [STE(), MSTE(), MSTE(scope="dimension")])
def test_the_decoder_receives_the_hard_code(gradient):
    latents = STREAMS.normal("x", 300, 4)
    quantizer, state = vq(latents)
    code = quantizer.quantize(state, latents)
    received = gradient.pass_through(quantizer, state, latents, code, MOMENT)
    assert torch.allclose(received, code.values, atol=1e-6)


@pytest.mark.parametrize("quantizer", [Uniform(levels=3), FSQ(levels=4), Identity()])
def test_ste_has_the_identity_as_jacobian(quantizer):
    latents = STREAMS.normal("x", 50, 3).requires_grad_()
    weights = torch.randn(2, 50, 3)
    received = STE().pass_through(quantizer, {}, latents, quantizer.quantize({}, latents), MOMENT)
    (gradient,) = torch.autograd.grad((received * weights).sum(), latents)
    assert torch.equal(gradient, weights)


def scale_derivative(gradient, latents, code):
    """d/da, at a = 1, of what the decoder receives for latents ``a y``."""

    def received(scale):
        return gradient.pass_through(Identity(), {}, scale * latents, code, MOMENT)

    return torch.autograd.functional.jvp(received, torch.tensor(1.0), torch.tensor(1.0))[1]


def test_mste_knows_how_scale_acts_and_ste_does_not():
    """If the codebook follows the encoder, Q(a y) = a Q(y): the true derivative is Q(y). STE gives y instead."""
    latents = STREAMS.normal("x", 300, 4)
    latents = latents - latents.mean(1, keepdim=True)
    quantizer, state = vq(latents)
    code = Code(quantizer.quantize(state, latents).values.detach(), None)
    assert torch.allclose(scale_derivative(MSTE(), latents, code), code.values, atol=1e-5)
    assert torch.allclose(scale_derivative(MSTE(scope="dimension"), latents, code), code.values, atol=1e-5)
    assert torch.allclose(scale_derivative(STE(), latents, code), latents, atol=1e-5)


@pytest.mark.parametrize("scope", ["all", "dimension"])
def test_mste_measures_the_spread_and_not_the_distance_from_zero(scope):
    """All latents moved alike keep their standard deviation, so the decoder sees them move and nothing else."""
    latents = STREAMS.normal("x", 300, 4) + torch.tensor([3.0, -2.0, 1.0, 0.0])
    code = Code(latents.round(), None)

    def received(shift):
        return MSTE(scope=scope).pass_through(Identity(), {}, latents + shift, code, MOMENT)

    moved = torch.autograd.functional.jvp(received, torch.tensor(0.0), torch.tensor(1.0))[1]
    assert torch.allclose(moved, torch.ones_like(moved), atol=1e-5)


def test_mste_scopes_differ_in_gradient():
    latents = STREAMS.normal("x", 300, 4).requires_grad_()
    code = Code(latents.detach().round(), None)
    gradients = []
    for scope in ("all", "dimension"):
        received = MSTE(scope=scope).pass_through(Identity(), {}, latents, code, MOMENT)
        gradients.append(torch.autograd.grad(received[..., 0].square().sum(), latents)[0])
    assert torch.all(gradients[1][..., 1:] == 0)  # one dimension's noise depends on that dimension alone
    assert not torch.all(gradients[0][..., 1:] == 0)


def test_mste_survives_an_encoder_without_variance():
    latents = torch.ones(2, 10, 3, requires_grad=True)
    received = MSTE().pass_through(Identity(), {}, latents, Code(torch.zeros(2, 10, 3), None), MOMENT)
    (gradient,) = torch.autograd.grad(received.sum(), latents)
    assert torch.all(torch.isfinite(gradient))
