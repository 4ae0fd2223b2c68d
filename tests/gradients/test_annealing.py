import math

import pytest
import torch

from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.gradients import Moment, SoftToHard
from quantbench.gradients.schedule import Schedule
from quantbench.quantizers import VectorQuantizer
from quantbench.streams import Streams

LATENTS = Streams([0, 1]).normal("x", 200, 3)


SHAPES = [("linear", 2.5), ("exponential", 2.0), ("cosine", 2.5), ("logarithmic", 4 - 3 * math.log2(1.5)), ("constant", 4.0)]


@pytest.mark.parametrize(("shape", "middle"), SHAPES)
def test_schedules_meet_their_ends_and_middle(shape, middle):
    schedule = joined([Schedule(4.0, 1.0, shape, begin=0.2, finish=0.6)] * 2)
    last = 4.0 if shape == "constant" else 1.0
    for progress, expected in [(0.0, 4.0), (0.2, 4.0), (0.4, middle), (0.6, last), (1.0, last)]:
        assert schedule.at(progress).shape == (2, 1, 1)
        assert schedule.at(progress).flatten().tolist() == pytest.approx([expected] * 2)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Schedule(begin=0.5, finish=0.4), r"begin=0\.5: must not be above finish=0\.4"),
        (Schedule(finish=1.5), r"finish=1\.5: must lie between 0 and 1"),
        (Schedule(start=0.0, shape="exponential"), r"must be above 0 for an exponential course"),
    ],
)
def test_schedules_are_checked(schedule, message):
    with pytest.raises(ConfigError, match=message):
        schedule.check()


def warmth(*temperatures):
    return torch.tensor(temperatures).view(-1, 1, 1)


def received(gradients, progress, latents=LATENTS):
    gradient, quantizer = joined(gradients), VectorQuantizer(codes=8)
    state = quantizer.init(Streams([0, 1]), 3)
    code = quantizer.quantize(state, latents)
    moment = Moment(progress, Streams([0, 1]))
    return gradient.pass_through(quantizer, state, latents, code, moment), code.values, quantizer, state


def test_temperature_follows_the_schedule_per_trial():
    gradients = [SoftToHard(temperature=Schedule(start, 1.0, "exponential")) for start in (4.0, 1.0)]
    got, _, quantizer, state = received(gradients, 0.45)  # half of the way to the hard phase
    assert torch.allclose(got, quantizer.soft_code(state, LATENTS, warmth(2.0, 1.0)), atol=1e-5)


def test_the_hard_phase_is_hard_in_value_and_soft_in_gradient():
    latents = LATENTS.clone().requires_grad_()
    gradients = [SoftToHard(hard_fraction=0.25)] * 2
    got, hard, quantizer, state = received(gradients, 0.8, latents)
    assert torch.allclose(got, hard, atol=1e-6)
    assert not torch.allclose(received(gradients, 0.7)[0], hard, atol=1e-2)
    (found,) = torch.autograd.grad(got.square().sum(), latents)
    soft = quantizer.soft_code(state, latents, warmth(0.1, 0.1))
    (expected,) = torch.autograd.grad((soft * 2 * hard.detach()).sum(), latents)
    assert torch.allclose(found, expected, atol=1e-4)


def test_without_a_hard_phase_it_stays_soft():
    got, hard, quantizer, state = received([SoftToHard(hard_fraction=0.0)] * 2, 1.0)
    assert torch.allclose(got, quantizer.soft_code(state, LATENTS, warmth(0.1, 0.1)), atol=1e-6)
    assert not torch.equal(got, hard)


def test_soft_assignment_is_the_published_mixture():
    quantizer = VectorQuantizer(codes=8)
    state = quantizer.init(Streams([0, 1]), 3)
    distance = torch.cdist(LATENTS.double(), state["codewords"].double()).square()
    expected = torch.softmax(-distance / 0.7, dim=-1) @ state["codewords"].double()
    assert torch.allclose(quantizer.soft_code(state, LATENTS, warmth(0.7, 0.7)).double(), expected, atol=1e-5)


def test_temperatures_must_be_positive():
    with pytest.raises(ConfigError, match=r"gradient.temperature.end=0\.0: must be above 0"):
        SoftToHard(temperature=Schedule(1.0, 0.0)).check()
