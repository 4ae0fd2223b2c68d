"""Strategies against analytic identities of their Jacobians, or exact expectations."""

import math

import pytest
import torch

from quantbench import gradients as G
from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.gradients.rounding import soft_round, soft_round_inverse
from quantbench.gradients.sampled import reinmax
from quantbench.quantizers import FSQ, Code, Moment, Uniform, VectorQuantizer
from quantbench.streams import Streams
from tests.conformance import checks
from tests.conformance.helpers import jacobian, received, unit

EYE = torch.eye(3, dtype=torch.float64)
Y = torch.tensor([[[0.3, -0.8, 0.5]]], dtype=torch.float64)
CODEBOOK = torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
VQ = VectorQuantizer(codes=8)
GRID = Uniform(levels=5, range=1.0)  # step 0.5


def vq(codebook=CODEBOOK):
    state = {"codewords": codebook}
    return state, VQ.quantize(state, Y)


def through_vq(gradient, **settings):
    """Jacobians of what the decoder receives by the latent and by the chosen codeword."""
    state, code = vq()

    def by_latent(y):
        return received(gradient, VQ, state, y, code, **settings)

    def by_codeword(c):
        return received(gradient, VQ, state, Y, Code(c, code.indices), **settings)

    return jacobian(by_latent, Y), jacobian(by_codeword, code.values), code.values


def through_grid(gradient, y, **settings):
    code = GRID.quantize({}, y)
    return jacobian(lambda x: received(gradient, GRID, {}, x, code, **settings), y)


@checks("ste")
def test_ste():
    """The Jacobian is the identity."""
    by_latent, by_codeword, _ = through_vq(G.STE())
    assert torch.allclose(by_latent, EYE)
    assert torch.all(by_codeword == 0)


@checks("clipped_ste")
def test_clipped_ste():
    """The Jacobian is the identity within the levels and 0 outside."""
    found = through_grid(G.ClippedSTE(), torch.tensor([[[0.9, 1.1, -1.2]]], dtype=torch.float64))
    assert torch.allclose(found, torch.diag(torch.tensor([1.0, 0, 0], dtype=torch.float64)))


@checks("mste")
def test_mste():
    """Where the codebook follows the encoder, the derivative by the encoder's scale is the code itself."""
    y = torch.randn(1, 200, 3, dtype=torch.float64)
    y = y - y.mean(1, keepdim=True)
    code = Code((2 * y).round() / 2, None)

    def scaled(a):
        return received(G.MSTE(), VQ, {}, a * y, code)

    one = torch.ones((), dtype=torch.float64)
    derivative = torch.autograd.functional.jvp(scaled, one, one)[1]
    assert torch.allclose(derivative, code.values)


@checks("mste")
def test_mste_of_the_error():
    """With s of the error, too, where codewords are the centroids of their latents."""
    y = torch.randn(1, 4000, 1, dtype=torch.float64)
    index = (y > 0).long() + (y > 1).long() + (y > -1).long()
    centroids = torch.stack([y[index == i].mean() for i in range(4)])
    code = Code(centroids[index], None)

    def scaled(a):
        return received(G.MSTE(of="error"), VQ, {}, a * y, code)

    one = torch.ones((), dtype=torch.float64)
    assert torch.allclose(torch.autograd.functional.jvp(scaled, one, one)[1], code.values)
    code = Code(1.5 * code.values, None)  # no centroids: then it is not
    assert not torch.allclose(torch.autograd.functional.jvp(scaled, one, one)[1], code.values, rtol=0.1)


@checks("ewgs")
def test_ewgs():
    """The backward pass is g (1 + delta sign(g) (y - Q(y))), with the range of the levels as 1."""
    y = torch.tensor([[[0.6, -0.3, 1.4]]], dtype=torch.float64).requires_grad_()
    code = GRID.quantize({}, y)
    g = torch.tensor([[[2.0, -3.0, 1.0]]], dtype=torch.float64)
    (found,) = torch.autograd.grad((received(G.EWGS(delta=0.5), GRID, {}, y, code) * g).sum(), y)
    first, second = 2 * (1 + 0.5 * (0.6 - 0.5) / 2), -3 * (1 - 0.5 * (-0.3 + 0.5) / 2)
    assert found.flatten().tolist() == pytest.approx([first, second, 0.0])


@checks("synchronised")
def test_synchronised():
    """The Jacobian by the latent is the identity, by the codeword nu times it."""
    by_latent, by_codeword, _ = through_vq(G.Synchronised(nu=0.2))
    assert torch.allclose(by_latent, EYE)
    assert torch.allclose(by_codeword, 0.2 * EYE)


@checks("additive_noise")
def test_noise():
    """Noise of one step is uniform with variance step**2 / 12, and the Jacobian is the identity."""
    y = torch.zeros(1, 20000, 3)
    noise = received(G.Noise(match="step"), GRID, {}, y, GRID.quantize({}, y))
    assert noise.abs().max() <= 0.25
    assert noise.var().item() == pytest.approx(0.25 / 12, rel=0.02)
    assert torch.allclose(through_grid(G.Noise(match="step"), Y), EYE)


@checks("noise")
def test_noise_of_the_error():
    """Its definition: independent noise whose mean square is that of the quantization error, in each trial."""
    y = torch.rand(1, 20000, 3) - 0.5
    code = GRID.quantize({}, y)
    noise = received(G.Noise(), GRID, {}, y, code) - y
    assert noise.square().mean().item() == pytest.approx((code.values - y).square().mean().item(), rel=0.02)
    assert torch.corrcoef(torch.stack([noise.flatten(), (code.values - y).flatten()]))[0, 1].abs() < 0.02


@checks("noise_ste_mix")
def test_half_ste_and_half_noise():
    """Its definition: half of the frames carry codes, half noise of the power of the error."""
    y = 2 * torch.rand(1, 20000, 2) - 1
    code = GRID.quantize({}, y)
    got = received(G.NoiseSTEMix(), GRID, {}, y, code)
    hard = torch.isclose(got, code.values, atol=1e-6).all(-1)
    assert hard.float().mean().item() == pytest.approx(0.5, abs=0.015)
    power = (got - y)[~hard].square().mean().item()
    assert power == pytest.approx((code.values - y).square().mean().item(), rel=0.04)


@checks("universal")
def test_universal():
    """The error of a dithered code is uniform and independent of the latent, and the Jacobian is exactly the identity."""
    y = torch.rand(1, 40000, 1) - 0.5
    error = received(G.Universal(), GRID, {}, y, GRID.quantize({}, y)) - y
    assert error.var().item() == pytest.approx(0.25 / 12, rel=0.02)
    for moment in (1, 2):
        both = torch.stack([y.flatten(), error.flatten() ** moment])
        assert torch.corrcoef(both)[0, 1].abs() < 0.015
    plain = GRID.quantize({}, y).values - y
    assert torch.corrcoef(torch.stack([y.flatten() - 0.5 * (y.flatten() / 0.5).round(), plain.flatten()]))[0, 1] < -0.99
    assert torch.equal(through_grid(G.Universal(), Y), EYE)


@checks("nsvq")
def test_nsvq():
    """With unit noise e and u = (c - y) / |c - y|: the Jacobian is I - e u' by the latent, e u' by the codeword."""
    by_latent, by_codeword, c = through_vq(G.NSVQ())
    state, code = vq()
    distance = (c - Y).norm()
    e = (received(G.NSVQ(), VQ, state, Y, code) - Y).flatten() / distance
    u = unit((c - Y).flatten())
    assert e.norm().item() == pytest.approx(1)
    assert torch.allclose(by_latent, EYE - torch.outer(e, u))
    assert torch.allclose(by_codeword, torch.outer(e, u))


@checks("taae")
def test_noise_ste_mix():
    """A quarter of the frames is clean, a quarter carries codes, half has uniform noise of one step (TAAE)."""
    y = 2 * torch.rand(1, 20000, 2) - 1
    code = GRID.quantize({}, y)
    got = received(G.NoiseSTEMix(noise=G.Noise(match="step"), clean=0.25, ste=0.25), GRID, {}, y, code)
    clean, hard = (got == y).all(-1), torch.isclose(got, code.values, atol=1e-6).all(-1)
    assert clean.float().mean().item() == pytest.approx(0.25, abs=0.015)
    assert hard.float().mean().item() == pytest.approx(0.25, abs=0.015)
    noise = (got - y)[~clean & ~hard]
    assert noise.abs().max() <= 0.25 + 1e-6
    assert noise.var().item() == pytest.approx(0.25 / 12, rel=0.05)


@checks("taae")
def test_taae_decides_item_by_item():
    """Stable Audio Tools, DitheredFSQ: one draw decides for all latents of an item."""
    y = 2 * torch.rand(1, 600, 2) - 1
    code = GRID.quantize({}, y)
    gradient = G.NoiseSTEMix(noise=G.Noise(match="step"), clean=0.25, ste=0.25)
    got = gradient.pass_through(GRID, {}, y, code, Moment(0.5, Streams([0]), item=6))
    clean = (got == y).all(-1).view(100, 6)
    assert torch.equal(clean.all(1), clean.any(1))
    assert 10 < clean.all(1).sum() < 45


@checks("fsp")
def test_fsp():
    """Noise stays within half a step; where it would leave the unit interval, the value stays; uniform values stay uniform."""
    from quantbench.quantizers import CDF

    quantizer = CDF(levels=4)
    a = torch.rand(1, 40000, 2)
    got = received(G.FSP(), quantizer, {}, a, quantizer.quantize({}, a))
    assert (got - a).abs().max() <= 1 / 8 + 1e-6
    assert got.min() > 0
    assert got.max() < 1
    middle = (a - 0.5).abs() < 0.375
    assert torch.all(got[middle] != a[middle])
    kept = (got == a).float().mean().item()
    assert kept == pytest.approx(1 / 16, abs=0.005)  # a share of 1/(4 L) at each end, expected over noise: 2 / (8 L)
    assert got.var().item() == pytest.approx(1 / 12, rel=0.02)


@checks("soft_to_hard")
def test_soft_to_hard():
    """The Jacobian is 2/T times the covariance of the codewords under the soft assignment."""
    gradient = G.SoftToHard(temperature=G.Schedule(0.7, 0.7), hard_fraction=0.0)
    by_latent, _, _ = through_vq(gradient)
    weights = torch.softmax(-(Y - CODEBOOK).square().sum(-1) / 0.7, dim=-1)[0]
    mean = weights @ CODEBOOK[0]
    covariance = (CODEBOOK[0] - mean).T @ (weights[:, None] * (CODEBOOK[0] - mean))
    assert torch.allclose(by_latent, 2 / 0.7 * covariance)


@checks("ibq")
def test_index_propagation():
    """Shi et al.'s (one_hot + w - sg(w)) C, written out: hard forward, and the softmax's gradient to y and all codewords."""
    quantizer = VectorQuantizer(codes=8, search="dot")
    codebook, y = CODEBOOK.clone().requires_grad_(), Y.clone().requires_grad_()
    logits = (y @ codebook.transpose(1, 2))[0, 0]
    soft = torch.softmax(logits, 0)
    one_hot = torch.nn.functional.one_hot(logits.argmax(), 8).double()
    g = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    theirs = (one_hot + soft - soft.detach()) @ codebook[0]
    expected = torch.autograd.grad(theirs @ g, [y, codebook])
    state = {"codewords": codebook}
    got = received(G.IndexPropagation(), quantizer, state, y, quantizer.quantize(state, y))
    assert torch.allclose(got[0, 0], theirs)
    found = torch.autograd.grad(got[0, 0] @ g, [y, codebook])
    assert torch.allclose(found[0], expected[0])
    assert torch.allclose(found[1], expected[1])


@checks("ibq")
def test_losses_of_index_propagation():
    """Shi et al.'s code: mean((z - y)**2) through the softmax, and mean H(q) - H(mean q) with q = softmax(a / 0.01)."""
    quantizer = VectorQuantizer(codes=8, search="dot")
    latents = torch.randn(1, 30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    codebook, y = (0.05 * CODEBOOK).requires_grad_(), (0.2 * latents).requires_grad_()
    logits = y[0] @ codebook[0].T
    soft = torch.softmax(logits, 1)
    hard = torch.nn.functional.one_hot(logits.argmax(1), 8).double()
    z = (hard - soft.detach() + soft) @ codebook[0]
    q = torch.softmax(logits / 0.01, 1)
    sure = -(q * torch.log_softmax(logits / 0.01, 1)).sum(1).mean()
    used = -(q.mean(0) * torch.log(q.mean(0) + 1e-5)).sum()
    theirs = (z - y[0]).square().mean() + 0.05 * (sure - used)
    state = {"codewords": codebook}
    gradient = G.IndexPropagation()
    code = quantizer.quantize(state, y)
    got = received(gradient, quantizer, state, y, code)
    ours = joined([gradient]).loss(quantizer, state, y, code, got, Moment(0.5, Streams([0])))
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-7)  # a difference of larger terms; settings have single precision
    for found, expected in zip(*(torch.autograd.grad(one.sum(), [y, codebook]) for one in (ours, theirs)), strict=True):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-9)


@checks("ns_vq")
def test_non_stationary():
    """Lu et al.'s code, latent by latent: every codeword is drawn by min(1, 0.01 K softmax(-d/T)), beside the chosen one."""
    temperature, share = 0.7, 0.1
    latents = torch.randn(1, 20, 3, dtype=torch.float64)
    codebook = CODEBOOK.clone().requires_grad_()
    state = {"codewords": codebook}
    theirs = 0.0
    for y in latents[0]:
        d = (y - codebook[0]).square().sum(1)
        w = (share * 8 * torch.softmax(-d.detach() / temperature, 0)).clamp(0, 1)
        w[d.argmin()] = 0  # 1 there, which is the codebook loss of the quantizer
        theirs = theirs + (w * (y - codebook[0]).square().mean(1)).sum() / 20
    gradient = G.NonStationary(temperature=G.Schedule(temperature, temperature), share=share)
    code = VQ.quantize(state, latents)
    ours = joined([gradient]).loss(VQ, state, latents, code, latents, Moment(0.5, Streams([0])))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert torch.allclose(*(torch.autograd.grad(one.sum(), codebook)[0] for one in (ours, theirs)), atol=1e-7)
    by_latent, by_codeword, _ = through_vq(gradient)
    assert torch.allclose(by_latent, EYE)
    assert torch.all(by_codeword == 0)
    assert G.NonStationary().temperature.at(0.045) == pytest.approx(0.5**13.3, rel=0.05)  # half of 27 epochs


def test_non_stationary_leaves_out_what_was_chosen():
    """By whatever search: the chosen codeword has the quantizer's loss, and the nearest one is drawn as all others are."""
    codebook = torch.tensor([[[3.0, 0.1], [0.5, 1.0]]], requires_grad=True)  # by angle and by distance of the latent
    quantizer, latents = VectorQuantizer(codes=2, search="cosine"), torch.tensor([[[1.0, 0.0]]])
    state = {"codewords": codebook}
    code = quantizer.quantize(state, latents)
    assert code.indices.item() == 0
    loss = joined([G.NonStationary(share=0.5)]).loss(quantizer, state, latents, code, latents, Moment(0.0, Streams([0])))
    (gradient,) = torch.autograd.grad(loss.sum(), codebook)
    assert gradient[0, 0].tolist() == [0, 0]
    assert torch.all(gradient[0, 1] != 0)


@checks("soft_round")
def test_soft_round():
    """s' = alpha sech^2(alpha r) / (2 tanh(alpha/2)) with mean 1; r_alpha is the expectation of y given s(y) + noise."""
    alpha = torch.tensor(3.0, dtype=torch.float64)
    y = torch.linspace(0, 1, 20001, dtype=torch.float64)[:-1].add(1 / 40000).requires_grad_()
    (slope,) = torch.autograd.grad(soft_round(y, alpha).sum(), y)
    expected = alpha / torch.cosh(alpha * (y - 0.5)).square() / (2 * math.tanh(1.5))
    assert torch.allclose(slope, expected)
    assert slope.mean().item() == pytest.approx(1, rel=1e-6)
    assert torch.allclose(soft_round_inverse(soft_round(y, alpha), alpha), y)
    assert torch.allclose(soft_round(y, torch.tensor(1e-3)), y, atol=1e-6)
    # z = s(y) + u: given z, y is uniform where s(y) lies in z +- 1/2.
    for z in (0.2, 0.5, 0.9):
        wide = torch.linspace(-2, 3, 500001, dtype=torch.float64)
        inside = wide[(soft_round(wide, alpha) - z).abs() < 0.5]
        found = soft_round_inverse(torch.tensor(z - 0.5, dtype=torch.float64), alpha) + 0.5
        assert found.item() == pytest.approx(inside.mean().item(), abs=1e-4)


@checks("dsq")
def test_dsq():
    """Hard levels forward; the slope is k sech^2(k r) / (2 (1 - alpha)), and the staircase's pieces meet at the levels."""
    alpha = 0.2
    k = math.log(2 / alpha - 1)
    y = torch.tensor([[[0.05, -0.2, 0.4]]], dtype=torch.float64)
    gradient = G.DSQ(alpha=G.Schedule(alpha, alpha))
    code = GRID.quantize({}, y)
    assert torch.allclose(received(gradient, GRID, {}, y, code), code.values)
    level = (y.flatten() + 1) / 0.5
    r = level - level.floor() - 0.5
    assert torch.allclose(through_grid(gradient, y).diagonal(), k / torch.cosh(k * r).square() / (2 * (1 - alpha)))
    assert math.tanh(k / 2) / (2 * (1 - alpha)) == pytest.approx(0.5)


@checks("sga")
def test_sga():
    """The upper level wins with probability sigmoid((atanh(d) - atanh(1 - d)) / T), d the distance from the lower one."""
    d, temperature = 0.3, 0.5
    y = torch.full((1, 40000, 1), -1 + 0.5 * d)
    gradient = G.SGA(anneal="share", temperature=G.Schedule(temperature, temperature))
    got = received(gradient, GRID, {}, y, GRID.quantize({}, y))
    up = ((got + 1) / 0.5 > 0.5).float().mean().item()
    expected = 1 / (1 + math.exp(-(math.atanh(d) - math.atanh(1 - d)) / temperature))
    assert up == pytest.approx(expected, abs=0.01)
    cold = received(G.SGA(anneal="share", temperature=G.Schedule(1e-3, 1e-3)), GRID, {}, y, GRID.quantize({}, y))
    assert torch.allclose(cold, torch.full_like(cold, -1.0), atol=1e-3)


@checks("sga")
@pytest.mark.parametrize(("step", "temperature"), [(1, 0.5), (700, 0.5), (2000, 0.1363), (4000, 0.0184)])
def test_sga_anneals_by_steps(step, temperature):
    """The authors' course over absolute steps: T = min(0.5, 0.5 exp(-0.001 (t - 700)))."""
    y = torch.linspace(-0.99, 0.99, 50).view(1, 50, 1)
    code = GRID.quantize({}, y)
    by_steps = G.SGA().pass_through(GRID, {}, y, code, Moment(0.3, Streams([0]), step=step))
    fixed = G.SGA(anneal="share", temperature=G.Schedule(temperature, temperature))
    assert torch.allclose(by_steps, received(fixed, GRID, {}, y, code), atol=5e-3)


@checks("soft_then_hard")
def test_soft_then_hard():
    """In the tail the decoder receives hard codes and the encoder's weights do not change."""
    from tests.training.test_training import stack, train

    gradient = G.SoftThenHard(tail=0.5)
    (one,) = train(stack(1, gradient=gradient, steps=100, log_every=10))
    scale = {step: value for step, metric, value in one.curves if metric == "encoder_std"}
    mse = {step: value for step, metric, value in one.curves if metric == "mse"}
    assert scale[60] == scale[100] != scale[40]
    assert mse[100] < mse[60]  # the decoder still learns


@checks("warm_up")
def test_warm_up():
    """Before its end the latent passes as it is; afterwards the other strategy acts, its schedule counted from there."""
    inner = G.SoftToHard(temperature=G.Schedule(1.0, 0.1, "exponential"))
    gradient = G.WarmUp(share=0.2, then=inner)
    state, code = vq()
    assert torch.equal(received(gradient, VQ, state, Y, code, progress=0.19), Y)
    for progress, later in [(0.2, 0.0), (0.6, 0.5), (1.0, 1.0)]:
        got = received(gradient, VQ, state, Y, code, progress=progress)
        assert torch.allclose(got, received(inner, VQ, state, Y, code, progress=later))


@checks("curriculum")
def test_curriculum():
    """The share of quantized frames follows log2(1 + t); blending moves every frame by that share."""
    y = torch.rand(1, 20000, 2)
    code = GRID.quantize({}, y)
    for progress in (0.0, 0.4, 0.8):
        share = math.log2(1 + progress / 0.8)
        got = received(G.Curriculum(), GRID, {}, y, code, progress=progress)
        assert (got != y).any(-1).float().mean().item() == pytest.approx(share, abs=0.015)
        blended = received(G.Curriculum(by="blend"), GRID, {}, y, code, progress=progress)
        assert torch.allclose(blended, y + share * (code.values - y), atol=1e-6)


@checks("rotation")
def test_rotation():
    """The codeword forward; the Jacobian is |q|/|y| R with R orthogonal and R y/|y| = q/|q|."""
    by_latent, by_codeword, q = through_vq(G.RotationTrick())
    state, code = vq()
    assert torch.allclose(received(G.RotationTrick(), VQ, state, Y, code), q)
    rotation = by_latent * Y.norm() / q.norm()
    assert torch.allclose(rotation @ rotation.T, EYE)
    assert torch.linalg.det(rotation).item() == pytest.approx(1)
    assert torch.allclose(rotation @ unit(Y.flatten()), unit(q.flatten()))
    assert torch.all(by_codeword == 0)


@checks("rotation")
@pytest.mark.parametrize("apart", [0.0, 1e-8, 1e-5, 1e-3])
def test_rotation_of_opposite_vectors(apart):
    """Opposite vectors: the codeword to the last digit, and a Jacobian that is orthogonal and turns y to q."""
    y = torch.tensor([[[0.6, -0.8, 0.1]]])
    q = -2 * y + apart * torch.tensor([[[0.8, 0.6, 0.0]]])
    code = Code(q, None)
    assert torch.equal(received(G.RotationTrick(), VQ, {}, y, code), q)
    rotation = jacobian(lambda x: received(G.RotationTrick(), VQ, {}, x, code), y) * y.norm() / q.norm()
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-3)
    assert torch.allclose(rotation @ unit(y.flatten()), unit(q.flatten()), atol=1e-3)


@checks("rotation")
def test_rotation_of_a_latent_without_direction():
    """At y = 0, where no rotation is defined, the gradient is that of STE."""
    y = torch.zeros(1, 1, 3)
    code = Code(torch.tensor([[[3.0, 0.0, 0.0]]]), None)
    assert torch.equal(received(G.RotationTrick(), VQ, {}, y, code), code.values)
    assert torch.equal(jacobian(lambda x: received(G.RotationTrick(), VQ, {}, x, code), y), torch.eye(3))


@checks("diveq")
def test_diveq():
    """With u = (c - y) / |c - y| and no noise: the codeword forward, I - u u' by the latent, u u' by the codeword."""
    by_latent, by_codeword, c = through_vq(G.DiVeQ(noise=0.0))
    state, code = vq()
    assert torch.allclose(received(G.DiVeQ(noise=0.0), VQ, state, Y, code), c)
    u = unit((c - Y).flatten())
    assert torch.allclose(by_latent, EYE - torch.outer(u, u))
    assert torch.allclose(by_codeword, torch.outer(u, u))


@checks("sf_diveq")
def test_sf_diveq():
    """Without noise a point on the curve's nearest piece forward; I - (1-w) u1 u1' - w u2 u2' by the latent."""
    gradient = G.SFDiVeQ(noise=0.0)
    by_latent, _, _ = through_vq(gradient)
    state, code = vq()
    point = received(gradient, VQ, state, Y, code).flatten()
    weights = Streams([0]).uniform("gradient noise", 7, 1).double()[0]
    curve = (1 - weights) * CODEBOOK[0, :-1] + weights * CODEBOOK[0, 1:]
    piece = (curve - Y[0]).norm(dim=1).argmin()
    assert torch.allclose(point, curve[piece], atol=1e-6)
    w, y = weights[piece].item(), Y.flatten()
    u1, u2 = unit(CODEBOOK[0, piece] - y), unit(CODEBOOK[0, piece + 1] - y)
    assert torch.allclose(by_latent, EYE - (1 - w) * torch.outer(u1, u1) - w * torch.outer(u2, u2), atol=1e-6)


@checks("gumbel_st")
def test_gumbel_st():
    """Codewords are drawn with probabilities softmax(-distance^2); the Jacobian is 2/T Cov(c) under the relaxed weights."""
    state, _ = vq()
    y = Y.expand(1, 20000, 3)
    gradient = G.GumbelST(temperature=G.Schedule(0.5, 0.5))
    got = received(gradient, VQ, state, y, VQ.quantize(state, y))
    index = torch.cdist(got, CODEBOOK).argmin(-1).flatten()
    shares = index.bincount(minlength=8) / 20000
    assert torch.cdist(got, CODEBOOK).amin(-1).max() < 1e-5
    expected = torch.softmax(-(Y - CODEBOOK).square().sum(-1), dim=-1)[0]
    assert torch.allclose(shares.double(), expected, atol=0.015)
    by_latent, _, _ = through_vq(gradient)
    u = Streams([0]).uniform("gradient noise", 1, 8).double()[0]
    relaxed = torch.softmax((-(Y - CODEBOOK).square().sum(-1) - torch.log(-torch.log(u))) / 0.5, dim=-1)[0]
    mean = relaxed @ CODEBOOK[0]
    covariance = (CODEBOOK[0] - mean).T @ (relaxed[:, None] * (CODEBOOK[0] - mean))
    assert torch.allclose(by_latent, 2 / 0.5 * covariance, atol=1e-5)


@checks("reinmax")
def test_reinmax():
    """For a quadratic loss the mean over draws is the exact gradient of the expected loss."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, generator=generator, dtype=torch.float64)
    quadratic = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    linear = torch.randn(5, generator=generator, dtype=torch.float64)

    def loss(choice):
        return choice @ quadratic @ choice + linear @ choice

    total = torch.zeros(5, dtype=torch.float64)
    for k, share in enumerate(torch.softmax(logits, 0)):
        own = logits.clone().requires_grad_()
        one_hot = torch.nn.functional.one_hot(torch.tensor(k), 5).double()
        total += share * torch.autograd.grad(loss(reinmax(own, one_hot)), own)[0]
    own = logits.clone().requires_grad_()
    expected = sum(share * loss(torch.eye(5, dtype=torch.float64)[k]) for k, share in enumerate(torch.softmax(own, 0)))
    assert torch.allclose(total, torch.autograd.grad(expected, own)[0])


@checks("reinmax")
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_reinmax_with_a_temperature(temperature):
    """2 J_p g - J_softmax g / 2 with p = (softmax(a / tau) + drawn) / 2, written out; the temperature is nowhere else."""
    a = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64)
    drawn, g = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def jacobian_of_softmax(p):
        return torch.diag(p) - torch.outer(p, p)

    p, soft = (torch.softmax(a / temperature, 0) + drawn) / 2, torch.softmax(a, 0)
    expected = 2 * jacobian_of_softmax(p) @ g - jacobian_of_softmax(soft) @ g / 2
    own = a.clone().requires_grad_()
    got = reinmax(own, drawn, temperature)
    assert torch.allclose(got, drawn)
    assert torch.allclose(torch.autograd.grad((got * g).sum(), own)[0], expected)


def test_reinmax_refuses_a_temperature_below_one():
    with pytest.raises(ConfigError, match=r"gradient\.temperature\.end=0\.5: must be at least 1"):
        G.ReinMax(temperature=G.Schedule(1.0, 0.5, "linear")).check()


def frame_loss(values):
    return (values - torch.tensor([1.0, 0.0, -1.0], dtype=values.dtype)).square().sum(-1)


@checks("score_function")
def test_score_function():
    """The mean over many frames is the exact gradient of the expected loss."""
    state, _ = vq()
    frames = 40000
    y = Y.expand(1, frames, 3).clone().requires_grad_()
    gradient = G.ScoreFunction(temperature=G.Schedule(1.0, 1.0))
    got = received(gradient, VQ, state, y, VQ.quantize(state, y), frame_loss=frame_loss)
    (found,) = torch.autograd.grad((got * 17.0).sum(), y)  # the decoder's own gradient does not matter
    own = Y.clone().requires_grad_()
    share = torch.softmax(-(own - CODEBOOK).square().sum(-1), dim=-1)[0]
    (expected,) = torch.autograd.grad((share * frame_loss(CODEBOOK[0])).sum(), own)
    assert torch.allclose(found.sum(1), expected[0], atol=0.05 * expected.norm().item())


def test_score_function_has_a_baseline():
    """What is added to the loss of every frame of a batch changes no gradient."""
    state, _ = vq()
    y = Y.expand(1, 50, 3).clone().requires_grad_()
    gradient = G.ScoreFunction(temperature=G.Schedule(1.0, 1.0))
    found = []
    for more in (0.0, 10.0):
        got = received(
            gradient, VQ, state, y, VQ.quantize(state, y), frame_loss=lambda values, more=more: frame_loss(values) + more
        )
        found.append(torch.autograd.grad(got.sum(), y)[0])
    assert found[0].abs().max() > 1e-3
    assert torch.allclose(*found, atol=1e-12)


@checks("smoothed")
def test_smoothed():
    """For a linear loss of rounding: the derivative of Gaussian-smoothed rounding, step sum_k phi((t_k - y)/sigma) / sigma."""
    frames, sigma = 100000, 0.3
    y = (torch.arange(frames) % 2 * 2.0 - 1).view(1, -1, 1).mul(0.6).requires_grad_()  # of standard deviation 0.6
    gradient = G.Smoothed(sigma=G.Schedule(sigma / 0.6, sigma / 0.6))
    code = GRID.quantize({}, y)
    got = received(gradient, GRID, {}, y, code, frame_loss=lambda values: values.sum(-1))
    assert torch.equal(got, code.values)
    (found,) = torch.autograd.grad(got.sum(), y)
    thresholds = torch.tensor([-0.75, -0.25, 0.25, 0.75])
    density = torch.exp(-((thresholds - 0.6) / sigma).square() / 2).sum() / (sigma * math.sqrt(2 * math.pi))
    assert found.sum().item() == pytest.approx(0.5 * density.item(), rel=0.02)


def test_a_residual_quantizer_shows_a_strategy_one_stage_at_a_time():
    """FSQ offers the whole bottleneck; strategies that need the loss of what they pass on ask for it."""
    assert G.Smoothed().needs <= FSQ().offers
    assert not G.Smoothed().needs <= VectorQuantizer.offers - {"single stage"}
    assert Moment(0.0, Streams([0])).frame_loss is None
