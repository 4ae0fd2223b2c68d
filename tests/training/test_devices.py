"""Trainings on a device that is not the CPU, where there is no GPU: nothing is made, or left, on the other one."""

import pytest
import torch

from quantbench.gradients import STE, Own
from quantbench.quantizers import VectorQuantizer
from quantbench.sweeps.catalogue import default_component
from quantbench.training import train
from quantbench.training.evaluate import evaluate
from quantbench.training.run import begin
from tests.fake_gpu import fake_gpu
from tests.training.test_every_choice import DIMS, GRADIENTS, QUANTIZERS, SMALL, quantizer_of
from tests.training.test_training import CASES, stack


@pytest.fixture
def gpu(monkeypatch):
    with fake_gpu(monkeypatch) as device:
        yield device


def test_the_device_refuses_what_a_gpu_refuses(gpu):
    there, here = torch.tensor([1.0, 2.0], device=gpu), torch.ones(2)
    assert there.device == torch.zeros_like(there).device == (there + 1).device == gpu
    assert (there * torch.tensor(2.0)).tolist() == [2.0, 4.0]  # a single number
    assert there[torch.tensor([1])].tolist() == [2.0]  # places
    for mixed in (lambda: there + here, lambda: torch.cat([there, here]), lambda: here[torch.tensor([0], device=gpu)]):
        with pytest.raises(RuntimeError, match="same device"):
            mixed()
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    assert there.cpu().numpy().tolist() == [1.0, 2.0]
    leaf = there.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((leaf * there).sum(), leaf)
    assert gradient.device == gpu
    assert bool((there > 0).all())


def tensors(one):
    """All tensors within an object's attributes, those of components among them."""
    if isinstance(one, torch.Tensor):
        yield one
    elif isinstance(one, dict | list | tuple):
        for part in one.values() if isinstance(one, dict) else one:
            yield from tensors(part)
    elif hasattr(one, "__dataclass_fields__"):
        for name in one.__dataclass_fields__:
            yield from tensors(getattr(one, name))


def test_all_settings_of_a_stack_lie_on_its_device(gpu):
    """Those of a temperature's course too, which is a component within a strategy."""
    for quantizer, gradient, simulator in CASES.values():
        whole = stack(5, quantizer, gradient, simulator, device="cuda")
        assert {tensor.device for tensor in tensors(whole)} == {gpu}


def steps(whole):
    """Takes the first steps of a training and measures it."""
    training = begin(whole)
    training.advance()
    evaluate(training.model, training.held_out.part(0, 8), training.streams, thorough=True)
    state = training.state_dict()
    kept = [state[name] for name in ("model", "adam", "norm", "encoder_std_start")]
    assert {tensor.device for tensor in tensors(kept)} == {whole.device}
    return training


@pytest.mark.parametrize("case", ["soft", "projected", "remembered"])
def test_a_stack_trains_on_its_device(gpu, case):
    quantizer, gradient, simulator = CASES[case]
    training = steps(stack(5, quantizer, gradient, simulator, device="cuda", steps=2, batch=8, log_every=2))
    assert [one.diverged for one in training.outcomes] == [None] * 5


def test_the_last_word_of_a_training_is_the_cpus(gpu, monkeypatch):
    """A whole training: limits, references and rows."""
    settings = {"steps": 2, "batch": 8, "log_every": 2}
    found = train(stack(2, VectorQuantizer(codes=16), STE(), device="cuda", **settings))
    assert all(isinstance(value, float | int | str | None) for one in found for value in one.metrics.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTIZERS)
def test_every_quantizer_trains_on_its_device(gpu, name):
    quantizer, dim = quantizer_of(name, DIMS.get(name, 8)), DIMS.get(name, 8)
    gradient = Own() if quantizer.own_gradient else STE()
    steps(stack(2, quantizer, gradient, latent_dim=dim, device="cuda", steps=2, batch=24, log_every=2))


@pytest.mark.slow
@pytest.mark.parametrize(("gradient", "kind"), GRADIENTS)
def test_every_strategy_trains_on_its_device(gpu, gradient, kind):
    found = default_component("gradient", gradient)
    steps(stack(2, SMALL[kind], found, device="cuda", steps=2, batch=24, log_every=2))
