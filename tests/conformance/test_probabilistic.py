"""SQ-VAE and Gaussian Quant against the formulas of their authors' code, written down here once more."""

import math
from statistics import NormalDist

import pytest
import torch
from torch.distributions import Normal

from quantbench.errors import ConfigError
from quantbench.gradients import STE, GumbelSoftmax, Moment, Own, Schedule, SoftThenHard, WarmUp
from quantbench.quantizers import SQVAE, GaussianQuant
from quantbench.streams import Streams
from quantbench.training.run import begin
from quantbench.training.trainer import Training
from tests.conformance import checks
from tests.training.test_every_choice import SEEDS, outcome, scaled, stack

FRAMES, DIM, CODES, FEATURES = 12, 3, 5, 7
TEMPERATURE = 0.6


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Strategy:
    """A strategy at one moment, as a model gives it to a quantizer."""

    def __init__(self, gradient, moment):
        self.gradient, self.moment, self.draws = gradient, moment, gradient.draws(moment.progress)

    def __call__(self, *arguments):
        return self.gradient.pass_through(*arguments, self.moment)


class Toy:
    """A linear decoder behind SQ-VAE, whose leaves get gradients."""

    def __init__(self, **settings):
        self.quantizer = SQVAE(codes=CODES, **settings)
        self.target, self.log_variance = normal(FRAMES, FEATURES, seed=1), torch.tensor(0.4, dtype=torch.float64)
        leaves = normal(FRAMES, DIM), normal(CODES, DIM, seed=2), normal(DIM, FEATURES, seed=3), self.log_variance
        self.z, self.codebook, self.decoder, self.log_variance = (leaf.requires_grad_() for leaf in leaves)
        self.leaves = [self.z, self.codebook, self.decoder, self.log_variance]

    def trained(self, gradient):
        """What passes, the whole loss of this project, and its distortion."""
        state = {"codewords": self.codebook.unsqueeze(0), "log_variance": self.log_variance.view(1, 1, 1)}

        def frame_loss(received):
            return (received @ self.decoder - self.target).square().mean(-1).detach()

        moment = Moment(0.5, Streams([0]), frame_loss=frame_loss, features=FEATURES)
        passed = self.quantizer.forward(state, self.z.unsqueeze(0), Strategy(gradient, moment), moment)
        mse = (passed.received @ self.decoder - self.target).square().mean()
        return passed.received, mse + passed.loss.sum(), mse.detach()

    def gradients(self, loss):
        return torch.autograd.grad(loss, self.leaves)


def squared(z, codebook):
    """Squared distances (frames, codes), one by one."""
    return torch.stack([torch.stack([(one - c).square().sum() for c in codebook]) for one in z])


@checks("sqvae", "gumbel_softmax")
@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_sqvae(floor):
    """Sample and all gradients are those of the authors' objective, D/2 log of the squared error and two divergences."""
    toy = Toy(floor=floor)
    received, loss, mse = toy.trained(GumbelSoftmax(temperature=Schedule(start=torch.full((1, 1, 1), TEMPERATURE))))

    variance = toy.log_variance.exp() + floor
    logit = -squared(toy.z, toy.codebook) / (2 * variance)
    uniform = Streams([0]).uniform("gradient noise", FRAMES, CODES)[0].double()
    weights = torch.softmax((logit - torch.log(-torch.log(uniform))) / TEMPERATURE, dim=-1)
    sample = sum(weights[:, k : k + 1] * toy.codebook[k] for k in range(CODES))
    share = torch.softmax(logit, dim=-1)
    discrete = (share * share.log()).sum() / FRAMES
    continuous = ((toy.z - sample).square() / (2 * variance)).sum(-1).mean()
    error = (sample @ toy.decoder - toy.target).square().sum() / FRAMES
    objective = FEATURES * error.log() / 2 + discrete + continuous

    assert torch.allclose(received[0], sample)
    assert float(mse) == pytest.approx(error.item() / FEATURES)
    for ours, theirs in zip(toy.gradients(loss), toy.gradients(objective), strict=True):
        assert torch.allclose(ours, 2 * mse / FEATURES * theirs, rtol=1e-5, atol=1e-8)


@checks("sqvae")
def test_sqvae_with_a_strategy_that_draws_nothing():
    """The second divergence is its mean over all codes, and evaluation takes the nearest codeword."""
    toy = Toy()
    received, loss, mse = toy.trained(STE())
    every = squared(toy.z, toy.codebook)
    variance = toy.log_variance.exp()
    share = torch.softmax(-every / (2 * variance), dim=-1)
    expected = (share * (share.log() + every / (2 * variance))).sum(-1).mean()
    assert torch.allclose(received[0], toy.codebook[every.argmin(-1)])
    assert float((loss - mse).detach()) == pytest.approx(float(2 * mse / FEATURES * expected.detach()))
    for ours, theirs in zip(
        torch.autograd.grad(loss - mse, [toy.codebook, toy.log_variance]),
        torch.autograd.grad(2 * mse / FEATURES * expected, [toy.codebook, toy.log_variance]),
        strict=True,
    ):
        assert torch.allclose(ours, theirs)


def test_sqvae_starts_as_its_source():
    """Normal codewords; of 64 dimensions the variance of the speech configuration, 10."""
    state = SQVAE(codes=512).init(Streams([0, 1]), 64)
    assert torch.allclose(state["log_variance"].exp().flatten(), torch.full((2,), 10.0))
    assert state["codewords"].std().item() == pytest.approx(1, abs=0.02)


def test_sqvae_refuses_other_distances():
    with pytest.raises(ConfigError, match=r"quantizer\.search=cosine: must be euclidean"):
        SQVAE(search="cosine").check()


def posterior(groups, size, seed=0, spread=1.0):
    """Latents of one trial, with their means and logarithms of variances, (frames, groups, size)."""
    mean, log_variance = normal(40, groups, size, seed=seed), spread * normal(40, groups, size, seed=seed + 1) - 1.5
    return torch.cat([mean.flatten(1), log_variance.flatten(1)], dim=-1).unsqueeze(0), mean, log_variance


@checks("gaussian_quant")
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_gaussian_quant_chooses(beta):
    """The code has the largest log N(c; m, s) - beta log N(c; 0, 1), in each group by itself."""
    quantizer = GaussianQuant(codes=32, groups=2, beta=beta)
    state = quantizer.init(Streams([0]), 12)
    codewords = state["codewords"][0].double()
    state["codewords"] = codewords.unsqueeze(0)
    latents, mean, log_variance = posterior(2, 3)
    code = quantizer.quantize(state, latents)
    for group in range(2):
        own = Normal(mean[:, group, None], (log_variance[:, group, None] / 2).exp())
        ratio = (own.log_prob(codewords) - beta * Normal(0.0, 1.0).log_prob(codewords)).sum(-1)
        assert torch.equal(code.indices[0, :, group], ratio.argmax(-1))
        assert torch.equal(code.values[0, :, 3 * group : 3 * group + 3], codewords[ratio.argmax(-1)])
    assert torch.all(code.values[..., 6:] == 0)
    assert len(code.indices.unique()) > 16
    error = (mean.flatten(1) - code.values[0, :, :6]).square().mean()
    assert quantizer.difference(latents, code.values).square().mean().item() == pytest.approx(error.item())


def test_gaussian_quant_has_normal_codes_of_its_trial():
    """Scrambled Sobol points behind the inverse distribution function: each interval of one probability has as many codes."""
    codewords = GaussianQuant(codes=64).init(Streams([3, 4]), 8)["codewords"]
    edges = torch.tensor([NormalDist().inv_cdf(i / 16) for i in range(1, 16)])
    counts = torch.bucketize(codewords, edges).transpose(1, 2).reshape(8, -1)
    assert all(row.bincount(minlength=16).tolist() == [4] * 16 for row in counts)
    assert not torch.equal(codewords[0], codewords[1])
    assert torch.equal(codewords[1:], GaussianQuant(codes=64).init(Streams([4]), 8)["codewords"])


@checks("gaussian_quant")
@pytest.mark.parametrize("hard", [False, True])
def test_gaussian_quant_passes(hard):
    """While training m + sqrt(s) e passes, or the code with the gradient of that."""
    quantizer = GaussianQuant(codes=16, hard=hard)
    state = quantizer.init(Streams([0]), 6)
    latents, mean, log_variance = posterior(1, 3)
    latents, moment = latents.float().requires_grad_(), Moment(0.5, Streams([0]))
    passed = quantizer.forward(state, latents, None, moment)
    noise = Streams([0]).normal("gradient noise", 40, 3)[0]
    deviation = (log_variance[:, 0].float() / 2).exp()
    expected = passed.code.values[0, :, :3] if hard else mean[:, 0].float() + deviation * noise
    assert torch.allclose(passed.received[0, :, :3], expected, atol=1e-6)
    assert torch.all(passed.received[0, :, 3:] == 0)
    (gradient,) = torch.autograd.grad(passed.received.sum(), latents)
    assert torch.allclose(gradient[0], torch.cat([torch.ones(40, 3), deviation * noise / 2], dim=-1), atol=1e-6)


@checks("gaussian_quant")
def test_gaussian_quant_keeps_its_constraint():
    """Loss and factors over many steps are those of the authors' rule."""
    quantizer = GaussianQuant(codes=16, groups=2, factor=torch.tensor([1.3]), tolerance=torch.full((1, 1, 1), 0.5))
    state = quantizer.init(Streams([0]), 8)
    lam = lam_max = lam_min = 1.0
    seen = set()
    for step in range(120):
        offset = torch.tensor([2.0, 0.0, -3.0])[step // 40]  # few bits, about the target, many
        latents, mean, log_variance = posterior(2, 2, seed=step, spread=0.3)
        latents[..., 4:] += offset
        log_variance = log_variance + offset
        bits = (1.4426950408889634 * 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)).sum(-1)
        total = 0.0
        for one in bits.flatten().tolist():
            total += one * (lam_max if one > 4.5 else lam_min if one < 3.5 else 1.0) * lam
        moment = Moment(0.5, Streams([0]), features=8)
        passed = quantizer.forward(state, latents.float(), None, moment)
        assert passed.loss.item() == pytest.approx(0.1 / 8 * total / len(bits), rel=1e-4)
        quantizer.update(state, passed.trace, Streams([0]), step)
        lam = lam * 1.3 if bits.mean() > 4 else lam / 1.3
        lam_max = min(max(lam_max * 1.3 if bits.max() > 4.5 else lam_max / 1.3, 1.0), 1e3)
        lam_min = max(min(lam_min / 1.3 if bits.min() < 3.5 else lam_min * 1.3, 1.0), 1e-3)
        found = [state[name].item() for name in ("weight", "weight_above", "weight_below")]
        assert found == pytest.approx([lam, lam_max, lam_min], rel=1e-4)
        seen |= {math.copysign(1, bits.mean() - 4), lam_max, lam_min}
    assert {1.0, -1.0, 1e3, 1e-3} <= seen
    assert quantizer.measure(state, None)["divergence_bits"].item() == pytest.approx(2 * bits.mean().item(), rel=1e-5)


@pytest.mark.parametrize(("dim", "groups"), [(7, 1), (6, 2)])
def test_gaussian_quant_needs_a_variance_for_each_mean(dim, groups):
    with pytest.raises(ConfigError, match=rf"codec\.latent_dim={dim}: must be a multiple of {2 * groups}"):
        GaussianQuant(groups=groups).check_dim(dim)


ONES = [(SQVAE(codes=16, floor=0.1), GumbelSoftmax()), (GaussianQuant(codes=16, groups=2), Own())]


@pytest.mark.parametrize(("quantizer", "gradient"), ONES)
def test_settings_per_trial_are_those_of_each_trial(quantizer, gradient):
    quantizers = [scaled(quantizer, factor) for factor in (1.0, 1.1, 1.2)]
    together = outcome(stack(quantizers, gradient))
    assert outcome(stack(quantizers[1], gradient, seeds=SEEDS[1:2])) == together[1:2]
    assert outcome(stack(quantizer, gradient, seeds=SEEDS[1:2])) != together[1:2]


@pytest.mark.parametrize(("quantizer", "gradient"), ONES)
def test_a_training_goes_on_from_its_state(quantizer, gradient):
    whole = stack(quantizer, gradient)
    first, second = begin(whole), Training(whole)
    first.advance(7)
    second.load_state_dict({**first.state_dict(), "model": {k: v.clone() for k, v in first.model.state_dict().items()}})
    for one in (first, second):
        one.advance()
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_a_strategy_within_another_draws_as_it_would_alone():
    first, later = GumbelSoftmax(), WarmUp(share=0.0, then=GumbelSoftmax())
    assert outcome(stack(SQVAE(codes=8), later)) == outcome(stack(SQVAE(codes=8), first))
    assert not WarmUp(share=0.5, then=first).draws(0.2)
    assert WarmUp(share=0.5, then=first).draws(0.5)
    assert SoftThenHard(tail=0.2, first=first).draws(0.7)
    assert not SoftThenHard(tail=0.2, first=first).draws(0.8)
