"""Learned codebooks whose training does more than vector quantization, against their authors' formulas written out."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.linalg
import torch
import vector_quantize_pytorch as vqp

from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Moment
from quantbench.quantizers import FVQ, OptVQ, Residual, VectorQuantizer, WassersteinVQ
from quantbench.quantizers.transport import transport
from quantbench.quantizers.wasserstein import Gaussian, fitted, wasserstein
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from tests.conformance import checks

GENERATOR = torch.Generator().manual_seed(0)
Y = torch.randn(1, 60, 4, generator=GENERATOR, dtype=torch.float64) * torch.tensor([2.0, 1.0, 0.5, 1.0]) + 0.3
TRAINING, TESTING = (Moment(0.5, Streams([0]), training=training) for training in (True, False))


def in_double(state):
    return {name: tensor.detach().double().requires_grad_(tensor.requires_grad) for name, tensor in state.items()}


def ste(quantizer, state, latents, code):
    return joined([STE()]).pass_through(quantizer, state, latents, code, TRAINING)


def sinkhorn(latents, codewords, epsilon, iterations):
    """Zhang et al.'s assignment, one number after the other."""
    frames, codes = len(latents), len(codewords)
    costs = np.array([[math.dist(y, c) for c in codewords] for y in latents])
    costs = (costs - costs.mean()) / (costs.std(ddof=1) + 1e-6)
    plan = np.exp(-epsilon * (costs - costs.min()))
    plan /= plan.sum() + 1e-8
    for _ in range(iterations):
        for k in range(codes):
            plan[:, k] /= (plan[:, k].sum() + 1e-8) * codes
        for i in range(frames):
            plan[i] /= (plan[i].sum() + 1e-8) * frames
    return frames * plan


@checks("optvq")
@pytest.mark.parametrize(("epsilon", "iterations"), [(10.0, 5), (3.0, 1)])
def test_optvq_assigns_by_transport(epsilon, iterations):
    """The authors' steps one by one: assignments in training, the nearest codeword else, losses and gradient."""
    quantizer = OptVQ(codes=12, epsilon=epsilon, iterations=iterations)
    state = in_double(quantizer.init(Streams([0]), 4))
    codebook = (state["codewords"] @ state["map"] + state["bias"])[0].detach()
    plan = sinkhorn(Y[0].tolist(), codebook.tolist(), epsilon, iterations)
    nearest = torch.cdist(Y[0], codebook).argmin(1)
    y = Y.clone().requires_grad_()
    passed = quantizer.forward(state, y, ste, TRAINING)
    assert passed.code.indices.flatten().tolist() == plan.argmax(1).tolist()
    assert (torch.from_numpy(plan.argmax(1)) != nearest).float().mean() > 0.1  # that it matters
    assert torch.equal(quantizer.assign(state, Y, TESTING).indices.flatten(), nearest)
    assert torch.equal(quantizer.quantize(state, Y).indices.flatten(), nearest)
    code = codebook[plan.argmax(1)]
    assert torch.allclose(passed.received[0], code)
    assert passed.loss.item() == pytest.approx(1.25 * (Y[0] - code).square().mean().item())
    by_latent, by_codewords = torch.autograd.grad(passed.loss.sum(), [y, state["codewords"]])
    assert torch.allclose(by_latent[0], 2 * (Y[0] - code) / Y.numel())
    expected = torch.zeros_like(codebook).index_add(0, torch.from_numpy(plan.argmax(1)), 0.25 * 2 * (code - Y[0]) / Y.numel())
    assert torch.allclose(by_codewords[0], expected @ state["map"][0].detach().T)


@checks("optvq")
def test_transport_in_the_limit():
    """After many iterations every codeword has the same share of the latents, and every latent a sum of 1."""
    costs = torch.rand(2, 60, 12, generator=GENERATOR, dtype=torch.float64)
    plan = transport(costs, torch.full((2, 1, 1), 5.0), 200)
    assert torch.allclose(plan.sum(2), torch.ones(2, 60, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(plan.sum(1), torch.full((2, 12), 5.0, dtype=torch.float64), atol=1e-4)


def test_stages_train_with_transport_too():
    quantizer = Residual(OptVQ(codes=12), stages=2)
    state = in_double(quantizer.init(Streams([0]), 4))
    passed = quantizer.forward(state, Y, ste, TRAINING)
    rest = Y
    for stage in range(2):
        own = {name.removeprefix(f"{stage}."): tensor for name, tensor in state.items() if name.startswith(f"{stage}.")}
        code = quantizer.stage.assign(own, rest, TRAINING)
        assert torch.equal(passed.code.indices[..., stage : stage + 1], code.indices)
        rest = rest - code.values
    assert not torch.equal(passed.code.indices, quantizer.quantize(state, Y).indices)
    with pytest.raises(ConfigError, match=r"quantizer.search=dot: must be euclidean or cosine"):
        OptVQ(search="dot").check()


class Bridge(torch.nn.Module):
    """The authors' bridge made of torch's layers: the codebook as a square picture, cut in patches."""

    def __init__(self, dim, side, patch, width, depth, heads):
        super().__init__()
        self.side, self.patch = side, patch
        self.compress = torch.nn.Conv2d(dim, width, patch, stride=patch)
        self.blocks = torch.nn.ModuleList(torch.nn.Module() for _ in range(depth))
        for block in self.blocks:
            block.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)
            block.layers = torch.nn.Sequential(
                torch.nn.LayerNorm(width, 1e-6, elementwise_affine=False),
                torch.nn.Linear(width, 2 * width),
                torch.nn.GELU("tanh"),
                torch.nn.Linear(2 * width, width),
            )
        self.norm = torch.nn.LayerNorm(width, 1e-6, elementwise_affine=False)
        self.recover = torch.nn.Linear(width, patch**2 * dim)

    def load(self, state, dim):
        """Weights of ours, whose tokens are ``patch**2`` codewords in a row."""
        patch = self.patch
        with torch.no_grad():
            self.compress.weight.copy_(state["compress"][0].T.view(-1, patch, patch, dim).permute(0, 3, 1, 2))
            self.compress.bias.copy_(state["compress_bias"][0, 0])
            for number, block in enumerate(self.blocks):
                names = {"attend": None, "mix": block.attention.out_proj, "wide": block.layers[1], "narrow": block.layers[3]}
                for name, layer in names.items():
                    weight = layer.weight if layer else block.attention.in_proj_weight
                    bias = layer.bias if layer else block.attention.in_proj_bias
                    weight.copy_(state[f"{name}{number}"][0].T)
                    bias.copy_(state[f"{name}{number}_bias"][0, 0])
            self.recover.weight.copy_(state["recover"][0].T)
            self.recover.bias.copy_(state["recover_bias"][0, 0])

    def picture(self):
        """Which codeword of ours lies at each place of the picture."""
        tiles = self.side // self.patch
        order = torch.arange(self.side**2).view(tiles, tiles, self.patch, self.patch)
        return order.transpose(1, 2).flatten()

    def forward(self, codebook):
        dim, side, patch = codebook.shape[-1], self.side, self.patch
        tokens = self.compress(codebook.reshape(1, side, side, dim).permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            normed = self.norm(tokens)
            tokens = tokens + block.attention(normed, normed, normed, need_weights=False)[0]
            tokens = tokens + block.layers(tokens)
        tiles = side // patch
        patches = self.recover(self.norm(tokens)).view(tiles, tiles, patch, patch, dim)
        return patches.transpose(1, 2).reshape(1, side**2, dim)


@checks("fvq")
def test_fvq_is_the_bridge_of_its_authors():
    """The authors' bridge in torch's own layers, as vq_bridge of vector-quantize-pytorch: codes and gradients."""
    quantizer = FVQ(codes=64, group=4, width=16, heads=4)
    state = quantizer.init(Streams([0]), 4)
    assert torch.all(quantizer.codebook(state) == 0)  # their last layer starts at zero
    assert 0.9 / 64 < state["codewords"].abs().max().item() <= 1 / 64
    bound = math.sqrt(6 / (4 * 4 + 16))
    assert 0.95 * bound < state["compress"].abs().max().item() <= bound
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.normal_(generator=GENERATOR).mul_(1.0 if name == "codewords" else 0.4)
    bridge = Bridge(4, 8, 2, 16, 2, 4)
    bridge.load(state, 4)
    module = vqp.VectorQuantize(dim=4, codebook_size=64, vq_bridge=bridge, rotation_trick=False, commitment_weight=0.25)
    place = bridge.picture()
    module._codebook.embed.data.copy_(state["codewords"][:, place])
    y = 0.7 * Y.float()
    theirs, index, _ = module.train()(y)
    code = quantizer.quantize(state, y)
    assert torch.allclose(quantizer.codebook(state)[:, place], bridge(module._codebook.embed), atol=1e-4)
    assert torch.equal(code.indices.squeeze(-1), place[index])
    assert torch.allclose(code.values, theirs, atol=1e-4)
    pull = torch.autograd.grad(quantizer.loss(state, y, code, TRAINING).sum(), [state["codewords"], state["attend0"]])
    expected = (bridge(module._codebook.embed)[0, index[0]] - y[0]).square().mean()
    found = torch.autograd.grad(expected, [module._codebook.embed, bridge.blocks[0].attention.in_proj_weight])
    assert torch.allclose(pull[0][:, place], found[0], rtol=1e-3, atol=1e-5)
    assert torch.allclose(pull[1][0].T, found[1], rtol=1e-3, atol=1e-5)


def test_fvq_moves_codewords_that_no_latent_took():
    quantizer = FVQ(codes=64, group=4, width=16)
    state = quantizer.init(Streams([0]), 4)
    with torch.no_grad():
        for name in ("recover", "recover_bias"):
            state[name].normal_(std=0.1, generator=GENERATOR)
    one = Y[:, :1].float()
    before = quantizer.codebook(state).detach()
    loss = quantizer.loss(state, one, quantizer.quantize(state, one), TRAINING)
    slopes = torch.autograd.grad(loss.sum(), list(state.values()))
    with torch.no_grad():
        for tensor, slope in zip(state.values(), slopes, strict=True):
            tensor -= 0.1 * slope
    assert torch.all((quantizer.codebook(state) - before).norm(dim=-1) > 0)
    for settings, said in (({"group": 5}, "must divide quantizer.codes=64"), ({"heads": 5}, "must divide quantizer.width=64")):
        with pytest.raises(ConfigError, match=said):
            FVQ(codes=64, **settings).check()


def squared_distance(one, other):
    """Of two Gaussians, by scipy's matrix roots."""
    root = scipy.linalg.sqrtm(one.covariance.numpy()[0])
    shared = scipy.linalg.sqrtm(root @ other.covariance.numpy()[0] @ root)
    apart = np.sum((one.mean - other.mean).numpy() ** 2)
    return apart + np.trace(one.covariance.numpy()[0] + other.covariance.numpy()[0] - 2 * np.real(shared))


@checks("wasserstein_vq")
def test_the_wasserstein_distance_of_gaussians():
    """The formula with scipy's matrix roots, and its gradient by differences."""
    codebook = torch.randn(1, 40, 4, generator=GENERATOR, dtype=torch.float64)
    one = fitted(Y)
    assert torch.allclose(one.covariance[0], torch.cov(Y[0].T))
    assert wasserstein(one, fitted(codebook)).item() ** 2 == pytest.approx(squared_distance(one, fitted(codebook)), rel=1e-6)
    assert wasserstein(one, one).item() < 1e-3
    moving = codebook.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(wasserstein(one, fitted(moving)).sum(), moving)
    direction = torch.randn(codebook.shape, generator=GENERATOR, dtype=torch.float64)
    up, down = (math.sqrt(squared_distance(one, fitted(codebook + sign * 1e-5 * direction))) for sign in (1, -1))
    assert (gradient * direction).sum().item() == pytest.approx((up - down) / 2e-5, rel=1e-4)


@checks("wasserstein_vq")
def test_wasserstein_vq_matches_the_latents_of_the_last_steps():
    """The authors' loss over a queue of latents, in units of their largest standard deviation; it moves codewords alone."""
    quantizer = WassersteinVQ(codes=20, memory=3)
    state = in_double(quantizer.init(Streams([0]), 4))
    assert state["start"].std().item() == pytest.approx(0.01, rel=0.3)
    with torch.no_grad():
        state["moved"].normal_(std=0.1, generator=GENERATOR)
    steps = [Y[:, :10] + 5, 2 * Y[:, 10:30], Y[:, 30:35] - 1, Y[:, 35:].clone().requires_grad_()]
    for number, latents in enumerate(steps[:3]):
        quantizer.update(state, [(latents, quantizer.quantize(state, latents))], Streams([0]), number + 1)
    latents, code = steps[3], quantizer.quantize(state, steps[3])
    queue = torch.cat([one.detach() for one in steps[1:]], dim=1)
    unit = queue.std(1).max()
    codebook = (state["start"] + 20 * state["moved"]).detach()
    expected = math.sqrt(squared_distance(fitted(queue / unit), fitted(codebook / unit)))
    local = (latents - code.values).square().mean().item()
    loss = quantizer.loss(state, latents, code, TRAINING)
    assert loss.item() == pytest.approx(1.1 * local + 0.5 * expected, rel=1e-5)
    by_latents, by_codewords = torch.autograd.grad(loss.sum(), [latents, state["moved"]])
    assert torch.allclose(by_latents, 0.2 * (latents - code.values).detach() / latents.numel())
    assert torch.all(by_codewords.abs().sum(-1) > 0)  # those that no latent took, too


@pytest.mark.parametrize("frames", [1, 3, 40])
@pytest.mark.parametrize("dim", [3, 8])
def test_degenerate_gaussians_have_finite_gradients_that_are_alike_in_a_stack(frames, dim):
    """Fewer latents than dimensions, equal eigenvalues; and a trial that is not finite harms none."""
    seeds = [0, 1, 2, 3, 4]

    def pulled(seeds, spoil=False):
        streams = Streams(seeds)
        quantizer = joined([WassersteinVQ(codes=16)] * len(seeds))
        state = quantizer.init(streams, dim)
        latents = streams.normal("x", frames, dim)
        state["start"][:, :dim] = torch.eye(dim)  # equal eigenvalues
        state["start"][:, dim:] = 0
        if spoil:
            latents[-1] = math.nan
        code = quantizer.quantize(state, latents)
        loss = quantizer.loss(state, latents, code, Moment(0.5, streams))
        return loss.detach(), torch.autograd.grad(loss.sum(), state["moved"])[0]

    loss, gradient = pulled(seeds)
    assert gradient.isfinite().all()
    assert gradient.abs().amax() < 1e4
    alone = [pulled([seed]) for seed in seeds]
    assert torch.equal(loss, torch.cat([one[0] for one in alone]))
    assert torch.equal(gradient, torch.cat([one[1] for one in alone]))
    spoilt = pulled(seeds, spoil=True)
    assert torch.equal(spoilt[0][:-1], loss[:-1])
    assert torch.equal(spoilt[1][:-1], gradient[:-1])
    assert spoilt[0][-1].isnan()


def test_equal_gaussians_pull_hardly():
    """Below the roots stand floors, so that the slope at the optimum is finite."""
    same = Gaussian(torch.zeros(1, 3), torch.eye(3).unsqueeze(0).requires_grad_())
    (slope,) = torch.autograd.grad(wasserstein(Gaussian(same.mean, torch.eye(3).unsqueeze(0)), same).sum(), same.covariance)
    assert slope.abs().max() < 10


@checks("cvq")
def test_cvq_moves_codes_to_their_latents_by_cosine():
    """The authors' update with cosine distance and the anchor closest: c + exp(-10 K p / 0.01 - 0.001) (anchor - c)."""
    quantizer = default_component("quantizer", "cvq")
    assert isinstance(quantizer, VectorQuantizer)
    quantizer = joined([dataclasses.replace(quantizer, codes=16)])
    state = quantizer.init(Streams([0]), 4)
    quantizer.fit(state, Y.float(), Streams([0]))
    before = state["codewords"].detach().clone()[0]
    similar = torch.nn.functional.normalize(Y[0].float(), dim=1) @ torch.nn.functional.normalize(before, dim=1).T
    code = quantizer.quantize(state, Y.float())
    assert torch.equal(code.indices.flatten(), similar.argmax(1))
    quantizer.update(state, [(Y.float(), code)], Streams([0]), 1)
    share = 0.01 * torch.bincount(similar.argmax(1), minlength=len(before)) / len(Y[0])
    weight = torch.exp(-10 * len(before) * share / 0.01 - 1e-3).unsqueeze(1)
    expected = (1 - weight) * before + weight * Y[0].float()[similar.argmax(0)]
    assert torch.allclose(state["codewords"][0], expected, atol=1e-5)
    assert quantizer.commitment.item() == 0.25
