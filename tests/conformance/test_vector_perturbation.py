"""Vector perturbation against the authors' code, written out in NumPy."""

import numpy as np
import pytest
import torch

from quantbench import gradients as G
from quantbench import kernels
from quantbench.codecs import MLP
from quantbench.components import joined
from quantbench.gradients.vector_perturbation import remember
from quantbench.quantizers import Code, Moment, Product, Residual, VectorQuantizer
from quantbench.simulators import Gaussian
from quantbench.streams import Streams
from quantbench.training import Stack, TrainSettings
from quantbench.training.model import Model
from tests.conformance import checks

CODES, DIM, FRAMES = 8, 3, 60
SETTINGS = {"cluster_size_rate": 4.0, "k": 5, "eta": 0.8, "update_probability": 0.3}  # n = 12, a queue of 96
QUANTIZER = VectorQuantizer(codes=CODES)


def start(trials=2):
    """A strategy of a stack, its memory, latents, and their code."""
    vp = joined([G.VP(**SETTINGS)] * trials)
    memory = vp.memory(QUANTIZER, DIM, Streams(range(trials)))
    latents = 1.3 * torch.randn(trials, FRAMES, DIM, generator=torch.Generator().manual_seed(3))
    return vp, memory, latents, Code(torch.zeros_like(latents), None)


def theirs(latents, queue, place, rank, radius, direction, luck, chosen):
    """Moves of one trial, which are accepted, and its queue afterwards, sample by sample."""
    near, far = SETTINGS["k"] - 1, rank - 1
    moves, accepted = np.zeros_like(latents), []
    for i, z in enumerate(latents):
        d_z = np.sort(np.linalg.norm(queue - z, axis=1))
        share = radius[i] ** (1 / DIM)
        move = SETTINGS["eta"] * d_z[far] * share * direction[i] / np.linalg.norm(direction[i])
        d_p = np.sort(np.linalg.norm(queue - (z + move), axis=1))
        ratio = (d_z[near] * d_z[far] / (d_p[near] * d_p[far])) ** DIM
        accepted.append(luck[i] < ratio and SETTINGS["eta"] * d_z[far] * share < SETTINGS["eta"] * d_p[far])
        moves[i] = move if accepted[-1] else 0
    queue = queue.copy()
    for z in latents[chosen]:
        queue[place] = z
        place = (place + 1) % len(queue)
    return moves, accepted, queue, place


@pytest.mark.parametrize("compiled", [True, False])
@checks("vp", "vp_small")
def test_moves_and_queue(compiled):
    """The authors' code in NumPy: radius, acceptance and queue of each latent; the Jacobian is the identity."""
    if compiled and kernels.ready():
        pytest.skip(str(kernels.ready()))
    vp, memory, latents, code = start()
    rank = round(DIM * SETTINGS["cluster_size_rate"])
    assert memory["queue"].shape == (2, CODES * rank, DIM)
    memory["next"].fill_(90)  # so that it goes on at its beginning
    draws = Streams([7, 8])
    radius, direction = draws.uniform("gradient noise", FRAMES, 1), draws.normal("gradient noise", FRAMES, DIM)
    luck, chosen = (draws.uniform("gradient noise", FRAMES, 1) for _ in range(2))
    expected = [
        theirs(*(one.double().numpy() for one in (y, q)), 90, rank, *(one.double().numpy() for one in (r, d, u)), c)
        for y, q, r, d, u, c in zip(
            latents, memory["queue"], radius[..., 0], direction, luck[..., 0], (chosen[..., 0] < 0.3).numpy(), strict=True
        )
    ]
    moment = Moment(0.5, Streams([7, 8]), memory=memory)
    latents.requires_grad_()
    if compiled:
        got = vp.pass_through(QUANTIZER, {}, latents, code, moment)
    else:
        with kernels.without():
            got = vp.pass_through(QUANTIZER, {}, latents, code, moment)
    for trial, (moves, accepted, queue, place) in enumerate(expected):
        assert 0.2 < np.mean(accepted) < 0.9
        assert np.allclose((got - latents)[trial].detach().numpy(), moves, atol=1e-5)
        assert np.allclose(memory["queue"][trial].numpy(), queue, atol=1e-6)
        assert memory["next"][trial] == place
    g = torch.randn_like(got)
    assert torch.equal(torch.autograd.grad((got * g).sum(), latents)[0], g)


@checks("vp", "vp_small")
def test_moment_loss():
    """The authors' loss: 0.1 mean(m**2) + 0.07 mean((v - 1)**2), and 0.06, 0.05 for skewness and kurtosis where asked for."""
    latents = torch.randn(2, 50, DIM).exp().requires_grad_()
    variance, mean = torch.var_mean(latents, dim=1)
    score = (latents - mean.unsqueeze(1)) / variance.sqrt().unsqueeze(1)
    expected = 0.1 * mean.square().mean(1) + 0.07 * (variance - 1).square().mean(1)
    more = 0.06 * score.pow(3).mean(1).square().mean(1) + 0.05 * (score.pow(4).mean(1) - 3).square().mean(1)
    moment = Moment(0.5, Streams([0, 1]))
    for settings, wanted in (({}, expected), ({"skewness_weight": 0.06, "kurtosis_weight": 0.05}, expected + more)):
        found = joined([G.VP(**settings)] * 2).loss(QUANTIZER, {}, latents, Code(latents, None), latents, moment)
        assert torch.allclose(found, wanted, rtol=1e-5)
        both = [torch.autograd.grad(one.sum(), latents, retain_graph=True)[0] for one in (found, wanted)]
        assert torch.allclose(*both, rtol=1e-4, atol=1e-6)


def test_a_codebook_is_made_of_enough_latents_of_the_dimensions_that_are_quantized():
    """However short the queue, 128 a code; more where the queue is longer."""
    small, large = G.VP(cluster_size_rate=2), G.VP(cluster_size_rate=100)
    for quantizer, vp, queue, refits in (
        (VectorQuantizer(codes=8), small, (64, 4), 8 * 128),
        (VectorQuantizer(codes=8), large, (3200, 4), 3200),
        (VectorQuantizer(codes=8, projection=2), large, (1600, 2), 1600),
        (Product(VectorQuantizer(codes=4), 4), large, (400, 1), 4 * 128),
        (Residual(VectorQuantizer(codes=8, projection=2), 3), G.SoftThenHard(first=large), (1600, 2), 1600),
    ):
        stack = Stack.of(
            simulator=Gaussian(frame_dim=6),
            codec=MLP(hidden=4, latent_dim=4),
            quantizer=quantizer,
            gradient=vp,
            train=TrainSettings(steps=2, batch=8),
            seeds=[0],
            device="cpu",
        )
        model = Model(stack, Streams([0]))
        assert {memory["queue"].shape[1:] for memory in model.memories} == {queue}
        assert model.refits == refits


def test_moves_leave_the_distribution_as_it_is():
    vp = joined([G.VP(cluster_size_rate=15, eta=1.0)])
    generator = torch.Generator().manual_seed(0)
    queue, y = (torch.randn(1, 2000, 2, generator=generator).exp() for _ in range(2))  # skewed
    moved = y
    for seed in range(4):
        moment = Moment(0.5, Streams([seed]), training=False, memory={"queue": queue})
        new = vp.pass_through(QUANTIZER, {}, moved, Code(y, None), moment)
        assert (new != moved).any(-1).float().mean() > 0.4
        moved = new
    for quantile in (0.1, 0.5, 0.9):
        assert moved.quantile(quantile).item() == pytest.approx(y.quantile(quantile).item(), rel=0.12)


def test_a_queue_keeps_the_last_of_more_than_it_holds():
    memory = {"queue": torch.zeros(2, 4, 1), "next": torch.tensor([3, 0])}
    latents = torch.arange(1.0, 8).view(1, 7, 1).expand(2, 7, 1)
    chosen = torch.stack([torch.ones(7), torch.tensor([0, 1, 0, 0, 1, 0, 0])]).bool()
    remember(memory, latents, chosen)
    assert memory["queue"][..., 0].tolist() == [[5, 6, 7, 4], [2, 5, 0, 0]]
    assert memory["next"].tolist() == [3, 2]


def test_frames_that_a_stage_does_not_code_are_not_remembered():
    _, memory, latents, code = start()
    before = memory["queue"].clone()
    counted = torch.zeros(2, FRAMES, 1)
    counted[0, 5:7] = 1
    vp = joined([G.VP(**SETTINGS | {"update_probability": 1.0})] * 2)
    vp.pass_through(QUANTIZER, {}, latents, code, Moment(0.5, Streams([7, 8]), memory=memory, counted=counted))
    assert torch.equal(memory["queue"][0, :2], latents[0, 5:7])
    assert torch.equal(memory["queue"][0, 2:], before[0, 2:])
    assert torch.equal(memory["queue"][1], before[1])


def test_nothing_is_remembered_while_evaluating():
    vp, memory, latents, code = start()
    before = {name: tensor.clone() for name, tensor in memory.items()}
    vp.pass_through(QUANTIZER, {}, latents, code, Moment(0.5, Streams([7, 8]), training=False, memory=memory))
    assert all(torch.equal(memory[name], before[name]) for name in before)
