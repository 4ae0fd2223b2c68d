import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.gradients import Moment, SoftToHard
from quantbench.gradients.schedule import anneal
from quantbench.quantizers import VectorQuantizer
from quantbench.streams import Streams

LATENTS = Streams([0, 1]).normal("x", 200, 3)


@pytest.mark.parametrize(("shape", "middle"), [("exponential", 2.0), ("linear", 2.5), ("cosine", 2.5)])
def test_schedules_meet_their_ends_and_middle(shape, middle):
    assert anneal(shape, 4.0, 1.0, 0.0) == pytest.approx(4)
    assert anneal(shape, 4.0, 1.0, 0.5) == pytest.approx(middle)
    assert anneal(shape, 4.0, 1.0, 1.0) == pytest.approx(1)
    assert anneal(shape, 4.0, 1.0, 1.7) == pytest.approx(1)


def received(gradient, progress, latents=LATENTS):
    quantizer = VectorQuantizer(codes=8)
    state = quantizer.init(Streams([0, 1]), 3)
    code = quantizer.quantize(state, latents)
    moment = Moment(progress, Streams([0, 1]))
    return gradient.pass_through(quantizer, state, latents, code, moment), code.values, quantizer, state


def test_temperature_follows_the_schedule_per_trial():
    gradient = SoftToHard(temperature_start=torch.tensor([4.0, 1.0]), temperature_end=torch.tensor([1.0, 1.0]))
    got, _, quantizer, state = received(gradient, 0.45)  # half of the way to the hard phase
    assert torch.allclose(got, quantizer.soft(state, LATENTS, torch.tensor([2.0, 1.0])), atol=1e-5)


def test_the_hard_phase_is_hard_in_value_and_soft_in_gradient():
    latents = LATENTS.clone().requires_grad_()
    gradient = SoftToHard(hard_fraction=0.25)
    got, hard, quantizer, state = received(gradient, 0.8, latents)
    assert torch.allclose(got, hard, atol=1e-6)
    assert not torch.allclose(received(gradient, 0.7)[0], hard, atol=1e-2)
    (found,) = torch.autograd.grad(got.square().sum(), latents)
    soft = quantizer.soft(state, latents, gradient.temperature_end)
    (expected,) = torch.autograd.grad((soft * 2 * hard.detach()).sum(), latents)
    assert torch.allclose(found, expected, atol=1e-4)


def test_without_a_hard_phase_it_stays_soft():
    got, hard, quantizer, state = received(SoftToHard(hard_fraction=0.0), 1.0)
    assert torch.allclose(got, quantizer.soft(state, LATENTS, 0.1), atol=1e-6)
    assert not torch.equal(got, hard)


def test_soft_assignment_is_the_published_mixture():
    quantizer = VectorQuantizer(codes=8)
    state = quantizer.init(Streams([0, 1]), 3)
    distance = torch.cdist(LATENTS.double(), state["codebook"].double()).square()
    expected = torch.softmax(-distance / 0.7, dim=-1) @ state["codebook"].double()
    assert torch.allclose(quantizer.soft(state, LATENTS, 0.7).double(), expected, atol=1e-5)


def test_temperatures_must_be_positive():
    with pytest.raises(ConfigError, match=r"gradient.temperature_end=0\.0: must be above 0"):
        SoftToHard(temperature_end=0.0).check()
