import math

import pytest
import torch

from quantbench.choices import choices
from quantbench.codecs import MLP
from quantbench.components import component, trial_mean
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Gradient, Moment
from quantbench.quantizers import Conditioned
from quantbench.quantizers.none import Identity
from quantbench.quantizers.scalar import FSQ, Uniform
from quantbench.quantizers.vector import VectorQuantizer
from quantbench.simulators import Gaussian
from quantbench.sweeps.catalogue import default_component
from quantbench.training import Stack, TrainSettings
from quantbench.training.fidelity import Batch, FidelitySettings, _batch, _strategy_gradients, fidelity, reference
from quantbench.training.run import begin

QUICK = FidelitySettings(frames=8, draws=8, sigmas=(0.5,), error=0.05, most_pairs=2**14)


def stack(quantizer, gradient, steps=20, lr=0.01, dim=2, seeds=(0, 1)):
    settings = TrainSettings(steps=steps, batch=64, lr=lr, log_every=steps)
    return Stack.of(
        simulator=Gaussian(frame_dim=2),
        codec=MLP(latent_dim=dim, hidden=8),
        quantizer=quantizer,
        gradient=gradient,
        train=settings,
        seeds=seeds,
        device="cpu",
    )


def rows(quantizer, gradient, moment="start", settings=QUICK, **kind):
    return [row for row in fidelity(stack(quantizer, gradient, **kind), settings, {}) if row["moment"] == moment]


def strategy(name):
    return default_component("gradient", name)


def test_without_quantization_the_gradient_is_the_true_one():
    """Up to the smoothing, which shows where it crosses the decoder's kinks: in one seed of four at the start already."""
    for row in fidelity(stack(Identity(), strategy("ste")), QUICK, {}):
        assert row["cosine"] > 0.97
        assert row["bias"] < 0.3
        assert row["norm_ratio"] == pytest.approx(1, abs=0.2)
        assert (row["variance"], row["findings"]) == (0, "")


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_the_reference_is_the_derivative_of_the_smoothed_distortion(sigma):
    # One latent dimension and two levels at -1 and 1: the smoothed distortion is known in closed form.
    training = begin(stack(Uniform(levels=2), strategy("ste"), dim=1, seeds=(0,)))
    model = training.model
    frames = training.stack.simulator.draw(training.world, training.streams, 8, "audit")
    settings = FidelitySettings(frames=8, error=0.01, most_pairs=2**18)
    found = reference(model, frames, settings, sigma)
    y = model.encode(frames).detach()
    loss = model.frame_loss(frames)
    high, low = (loss(torch.full_like(y, level)) for level in (1.0, -1.0))
    code = torch.where(y > 0, 1.0, -1.0)
    width = sigma * (y - code).square().mean().sqrt()
    # d/dy of low + (high - low) Phi(y / width), for the mean over 8 frames.
    density = torch.exp(-0.5 * (y / width).square()) / (math.sqrt(2 * math.pi) * width)
    expected = ((high - low).unsqueeze(-1) * density / 8).flatten(1)
    assert found.error[0] <= 0.01
    assert (found.gradient - expected).norm() / expected.norm() < 0.03


def test_the_stated_error_of_the_reference_is_true():
    training = begin(stack(FSQ(levels=5), strategy("ste"), seeds=(0,)))
    frames = training.stack.simulator.draw(training.world, training.streams, 8, "audit")
    settings = FidelitySettings(frames=8, error=0.05, most_pairs=2**12)
    found = torch.stack([reference(training.model, frames, settings, 0.5).gradient[0] for _ in range(12)])
    spread = (found - found.mean(0)).square().sum() / 11
    measured = float(spread.sqrt() / found.mean(0).norm())
    stated = float(reference(training.model, frames, settings, 0.5).error[0])
    assert 0.6 < measured / stated < 1.7


def test_smoothing_of_the_same_width_is_unbiased_and_its_variance_is_seen():
    quantizer = FSQ(levels=5)
    training = begin(stack(quantizer, strategy("ste")))
    frames = training.stack.simulator.draw(training.world, training.streams, 8, "audit")
    y = training.model.prepare(training.model.encode(frames)).detach()
    error = (y - quantizer.quantize(training.model.quantizer, y).values).square().mean().sqrt()
    spread = (y - y.mean(1, keepdim=True)).square().mean().sqrt()

    smoothed = default_component("gradient", "smoothed", None, {"pairs": 32})
    width = float(0.5 * error / spread)
    same = type(smoothed)(**(vars(smoothed) | {"sigma": type(smoothed.sigma)(start=width, end=width)}))
    settings = FidelitySettings(frames=8, draws=32, sigmas=(0.5,), error=0.03, most_pairs=2**18)
    for row in rows(quantizer, same, settings=settings):
        assert row["cosine"] > 0.9
        assert row["variance"] > 0
    assert rows(quantizer, strategy("ste"), settings=settings)[0]["variance"] == 0


@pytest.mark.parametrize("name", sorted(choices("gradient")))
def test_what_is_declared_to_be_the_hard_code_is(name):
    gradient = strategy(name)
    if not gradient.hard_forward:
        return
    quantizer = VectorQuantizer(codes=8) if "codebook" in gradient.needs else FSQ(levels=5)
    for row in fidelity(stack(quantizer, gradient), QUICK, {}):
        assert row["forward_error"] < 1e-5
        assert row["findings"] == ""


@component
class Silent(Gradient):
    """Forgets the encoder."""

    def pass_through(self, quantizer, state, latents, code, moment):
        return code.values


@component
class Soft(Gradient):
    """Says that it passes the hard code, and passes half of it."""

    hard_forward = True

    def pass_through(self, quantizer, state, latents, code, moment):
        return latents + 0.5 * (code.values - latents).detach()


@component
class Poisoned(Gradient):
    """Divides by zero."""

    def pass_through(self, quantizer, state, latents, code, moment):
        return latents / (trial_mean(latents) * 0)[:, None, None]


@component
class Forgetful(VectorQuantizer):
    """Lets nothing reach its codebook."""

    def codebook(self, state):
        return super().codebook(state).detach()


@pytest.mark.parametrize(
    ("quantizer", "gradient", "finding"),
    [
        (FSQ(levels=5), Silent(), "the distortion gives the encoder no gradient"),
        (FSQ(levels=5), Soft(), "what the decoder receives differs from the hard code"),
        (FSQ(levels=5), Poisoned(), "the gradient to the encoder is not finite"),
        (Forgetful(codes=8), default_component("gradient", "ste"), "the codebook was never trained"),
    ],
    ids=["silent", "soft", "poisoned", "codebook"],
)
def test_silent_mistakes_are_found(quantizer, gradient, finding):
    assert any(finding in row["findings"] for row in fidelity(stack(quantizer, gradient), QUICK, {}))


@component
class Watched(STE):
    """Writes down how many frames it sees."""

    def pass_through(self, quantizer, state, latents, code, moment):
        SEEN.append((latents.shape[1], moment.frame_loss(code.values).shape[1]) if moment.training else None)
        return super().pass_through(quantizer, state, latents, code, moment)


SEEN = []


@pytest.mark.parametrize(("frames", "met"), [(8, 64), (64, 64), (80, 80)])
def test_a_strategy_meets_the_frames_in_a_whole_batch(frames, met):
    training = begin(stack(FSQ(levels=5), Watched()))
    compared = training.stack.simulator.draw(training.world, training.streams, frames, "audit")
    batch = _batch(training, compared)
    assert torch.equal(batch.compared(batch.all.input), compared.input)
    assert torch.equal(batch.compared(batch.all.target), compared.target)
    SEEN.clear()
    found, _ = _strategy_gradients(training.model, batch, QUICK, 0.0)
    assert set(SEEN) == {(met, met)}
    # Of a strategy that acts on each frame by itself, the gradient is what it is without the others.
    alone, _ = _strategy_gradients(training.model, Batch(compared, torch.arange(frames)), QUICK, 0.0)
    assert torch.allclose(found, alone, rtol=1e-4, atol=1e-7)


def test_statistics_of_a_step_are_those_of_a_whole_batch():
    """A layer norm over the batch: a frame's gradient is the derivative of the sum over all frames, by the frames compared."""
    training = begin(stack(Conditioned(FSQ(levels=5)), strategy("ste")))
    model, compared = training.model, training.stack.simulator.draw(training.world, training.streams, 8, "audit")
    batch = _batch(training, compared)
    (found, _), _ = _strategy_gradients(model, batch, QUICK, 0.0)
    encoded = model.encode(batch.all).detach().requires_grad_()
    passed = model.pass_through(model.prepare(encoded), Moment(0.0, training.streams))
    error = (model.decode(passed.received, batch.all) - batch.all.target).square().mean(-1)
    (gradient,) = torch.autograd.grad(error.sum() / 8, encoded)
    assert torch.allclose(found, gradient[:, ::8].flatten(1), rtol=1e-4, atol=1e-7)
    (alone, _), _ = _strategy_gradients(model, Batch(compared, torch.arange(8)), QUICK, 0.0)
    assert not torch.allclose(found, alone, rtol=0.1)


def test_the_reference_at_the_start_is_shared():
    known = {}
    fidelity(stack(FSQ(levels=5), strategy("ste"), steps=1), QUICK, known)
    first = known[0.5]
    fidelity(stack(FSQ(levels=5), strategy("noise"), steps=1), QUICK, known)
    assert known[0.5] is first


def test_a_width_is_compared_as_if_it_were_the_only_one():
    several = FidelitySettings(frames=8, draws=8, sigmas=(0.25, 0.5), error=0.05, most_pairs=2**13)
    one = FidelitySettings(frames=8, draws=8, sigmas=(0.5,), error=0.05, most_pairs=2**13)
    found = fidelity(stack(FSQ(levels=5), strategy("ste"), steps=2), several, {})
    assert [row for row in found if row["sigma"] == 0.5] == fidelity(stack(FSQ(levels=5), strategy("ste"), steps=2), one, {})


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="draws=1: must be at least 2"):
        FidelitySettings(draws=1).check()
    with pytest.raises(ConfigError, match="sigma=0"):
        FidelitySettings(sigmas=(0,)).check()
    with pytest.raises(ConfigError, match="sigma=1,1: must be different widths"):
        FidelitySettings(sigmas=(1.0, 1.0)).check()


@pytest.mark.parametrize(
    "wrong", [{"sigmas": (1.0, math.nan)}, {"sigmas": (math.inf,)}, {"sigmas": (0.0,)}, {"error": math.nan}]
)
def test_widths_and_errors_are_numbers_above_0(wrong):
    with pytest.raises(ConfigError, match="must be finite and above 0"):
        FidelitySettings(**wrong).check()
