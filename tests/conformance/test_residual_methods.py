"""Residual methods against the formulas of their authors' code, which was read, written once more without a trial axis."""

import math

import numpy as np
import pytest
import torch
import vector_quantize_pytorch as vqp

from quantbench.components import joined
from quantbench.gradients import STE, Moment
from quantbench.quantizers import FSQ, VRVQ, Conditioned, QINCo, Residual, VectorQuantizer
from quantbench.streams import Streams
from tests.conformance import checks
from tests.conformance.helpers import Passing

DIM, CODES, FRAMES = 4, 8, 40
Y = torch.randn(2, FRAMES, DIM, generator=torch.Generator().manual_seed(0))
WEIGHTS = torch.randn(2, FRAMES, DIM, generator=torch.Generator().manual_seed(1))
SEEDS = [0, 1]


def started(quantizer):
    """The component of a stack of two trials, its state after a fit, and latents that ask for a gradient."""
    quantizer = joined([quantizer] * 2)
    state = quantizer.init(Streams(SEEDS), DIM)
    quantizer.fit(state, torch.randn(2, 400, DIM, generator=torch.Generator().manual_seed(2)), Streams(SEEDS))
    return quantizer, state, Y.clone().requires_grad_()


def through(quantizer, state, y, **given):
    """What a training step lets through with STE, and its moment."""
    moment = Moment(0.5, Streams(SEEDS), **given)
    strategy = Passing(lambda *one: STE().pass_through(*one, moment))
    passed = quantizer.forward(state, quantizer.prepare(state, y), strategy, moment)
    return passed, moment


def gradients(value, tensors):
    return torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True, materialize_grads=True)


def qinco_by_hand(state, trial, y):
    """Codes and sums after every stage, as the authors' code computes them: frame by frame, all inputs in one matrix."""
    own = {name: tensor[trial] for name, tensor in state.items()}
    codes, sums = [], []
    for one in y:
        total, chosen, every = torch.zeros(DIM), [], []
        for stage in range(3):
            codewords = own[f"{stage}.codewords"]
            if stage:
                both = torch.cat([codewords, total.expand(CODES, DIM)], dim=1)
                matrix = torch.cat([own[f"{stage}.base"], own[f"{stage}.sum"]])
                codewords = codewords + both @ matrix + own[f"{stage}.bias"]
                for block in range(2):
                    hidden = torch.relu(codewords @ own[f"{stage}.inwards{block}"])
                    codewords = codewords + hidden @ own[f"{stage}.outwards{block}"]
            chosen.append(((one - total - codewords) ** 2).sum(1).argmin())
            total = total + codewords[chosen[-1]]
            every.append(total)
        codes.append(torch.stack(chosen))
        sums.append(torch.stack(every))
    return torch.stack(codes), torch.stack(sums)


@checks("qinco")
def test_qinco():
    """The authors' code (qinco_v1), read: codes, values, loss over all stages, and its gradient to every weight."""
    quantizer, state, y = started(QINCo(codes=CODES, stages=3, hidden=5, commitment=0.0))
    passed, _ = through(quantizer, state, y)
    assert torch.equal(quantizer.decode(state, passed.code.indices), passed.code.values)
    for trial in range(2):
        codes, sums = qinco_by_hand(state, trial, Y[trial])
        assert torch.equal(passed.code.indices[trial], codes)
        assert torch.allclose(passed.received[trial], sums[:, -1], atol=1e-5)
        expected = ((sums - Y[trial].unsqueeze(1)) ** 2).mean((0, 2)).sum()
        assert passed.loss[trial].item() == pytest.approx(expected.item(), rel=1e-5)
        pair = [gradients(loss, list(state.values())) for loss in (passed.loss[trial], expected)]
        for found, by_hand in zip(*pair, strict=True):
            assert torch.allclose(found, by_hand, atol=1e-5)
    assert torch.allclose(gradients((passed.received * WEIGHTS).sum(), y)[0], WEIGHTS)


@checks("qinco")
def test_qinco_of_a_package():
    """vector-quantize-pytorch, ResidualVQ(implicit_neural_codebook=True) without blocks: codes and values of equal weights."""
    settings = {"implicit_neural_codebook": True, "mlp_kwargs": {"depth": 0}, "rotation_trick": False}
    module = vqp.ResidualVQ(dim=DIM, codebook_size=CODES, num_quantizers=3, **settings).eval()
    quantizer, state, _ = started(QINCo(codes=CODES, stages=3, blocks=0))
    with torch.no_grad():
        for stage, layer in enumerate(module.layers):
            layer._codebook.embed.copy_(state[f"{stage}.codewords"][:1])
        for stage, net in enumerate(module.mlps, 1):
            # Its linear map takes the sum first, and has to hold the codeword itself, which ours adds.
            matrix = torch.cat([state[f"{stage}.sum"][0], state[f"{stage}.base"][0] + torch.eye(DIM)])
            net.proj_in.weight.copy_(matrix.T)
            net.proj_in.bias.copy_(state[f"{stage}.bias"][0, 0])
        out, indices, _ = module(Y[:1])
    code = quantizer.quantize(state, Y)
    assert torch.equal(indices[0], code.indices[0])
    assert torch.allclose(out[0], code.values[0], atol=1e-5)


def test_qinco_searches_in_parts(monkeypatch):
    """The parts of the frames in which codewords are made change no code."""
    quantizer, state, _ = started(QINCo(codes=CODES, stages=3))
    whole = quantizer.quantize(state, Y)
    monkeypatch.setattr("quantbench.quantizers.qinco.NUMBERS_PER_TRIAL", 7 * CODES * 32)
    assert torch.equal(quantizer.quantize(state, Y).indices, whole.indices)


def test_qinco_starts_as_residual_kmeans():
    """The base codebooks are those of a plain residual quantizer."""
    _, state, _ = started(QINCo(codes=CODES, stages=3))
    _, plain, _ = started(Residual(VectorQuantizer(codes=CODES, init_by="kmeans"), 3))
    for name, codewords in plain.items():
        assert torch.allclose(state[name], codewords, atol=1e-5)


def smooth_mask(x, a):
    """The authors' form of it, for x of either sign."""
    if x >= 0:
        return (math.log(math.exp(a) + math.exp(-2 * x * a)) - math.log(math.exp(a * (1 - 2 * x)) + 1)) / (2 * a) + 0.5
    return (math.log(math.exp(a * (2 * x + 1)) + 1) - math.log(math.exp(a) + math.exp(2 * a * x))) / (2 * a) + 0.5


@checks("vrvq")
def test_vrvq_mask():
    """The mask is hard, and its slope that of the authors' log-cosh step, by differences."""
    quantizer = joined([VRVQ(stages=3, alpha=2.0)])
    scaled = torch.linspace(0.01, 1.2, 30).view(1, -1, 1).requires_grad_()
    mask = quantizer._mask(scaled)
    for stage in range(3):
        left = 3 * scaled.detach().double().flatten() - stage
        assert torch.equal(mask[0, :, stage], (left >= 0).float())
        slope = gradients(mask[..., stage].sum(), scaled)[0].flatten()
        by_hand = [3 * (smooth_mask(x + 1e-5, 2.0) - smooth_mask(x - 1e-5, 2.0)) / 2e-5 for x in left.tolist()]
        assert np.allclose(slope.numpy(), by_hand, atol=1e-4)


def vrvq_by_hand(quantizer, state, y, level):
    """What is received, the stages' losses and the importance of one trial, in the order of the authors' code."""
    books = [state[f"{stage}.codewords"][0] for stage in range(3)]
    hidden = torch.relu(y @ state["weight0"][0] + state["bias0"][0])
    p = torch.sigmoid(hidden @ state["weight1"][0] + state["bias1"][0])
    above = 3 * level * p - torch.arange(3.0)
    smooth = 0.5 + ((2.0 * (above + 0.5)).cosh() / (2.0 * (above - 0.5)).cosh()).log() / 4.0
    mask = smooth + ((above >= 0).float() - smooth).detach()
    mask = torch.cat([mask[:30], torch.ones(10, 3)])  # a quarter uses all stages
    # As in ``Residual``, every stage's commitment loss reaches y; in the authors' code ``left`` is ``rest``, and one does.
    rest, left, total, loss = y, y, torch.zeros_like(y), 0.0
    for stage, book in enumerate(books):
        code = book[torch.cdist(rest, book).argmin(1)]
        each = ((code - left.detach()) ** 2).mean(1) + 0.25 * ((left - code.detach()) ** 2).mean(1)
        loss = loss + (each * mask[:, stage].detach()).mean()
        passed = rest + (code - rest).detach()
        total = total + passed * mask[:, stage : stage + 1]
        rest, left = rest - passed, left - code.detach()
    return total, loss + 0.7 * p[:30].mean(), mask.detach()


@checks("vrvq")
def test_vrvq():
    """The authors' code, read: what is received, loss, and gradients to latents, codebooks and importance network."""
    quantizer, state, y = started(VRVQ(VectorQuantizer(codes=CODES), stages=3, level_max=2.0, rate_weight=0.7))
    passed, _ = through(quantizer, state, y)
    level = 0.125 + 1.875 * Streams(SEEDS).uniform("level", FRAMES, 1)
    total, loss, mask = vrvq_by_hand(quantizer, state, y[0], level[0])
    assert 0.1 < mask[:30].mean() < 0.9
    assert torch.allclose(passed.received[0], total, atol=1e-5)
    assert passed.loss[0].item() == pytest.approx(loss.item(), rel=1e-5)
    leaves = [y, *state.values()]
    ours = gradients((passed.received[0] * WEIGHTS[0]).sum() + passed.loss[0], leaves)
    theirs = gradients((total * WEIGHTS[0]).sum() + loss, leaves)
    for name, found, by_hand in zip(["y", *state], ours, theirs, strict=True):
        assert torch.allclose(found[0], by_hand[0], atol=1e-5), name
    assert all(one[0].abs().sum() > 0 for one in ours)


@checks("vrvq")
def test_vrvq_rate():
    """Bits are those of the number of stages and of the codes that there are, by hand where frames are the source."""
    quantizer, state, _ = started(VRVQ(VectorQuantizer(codes=CODES), stages=3, level=1.3))
    with torch.no_grad():
        state["weight1"].mul_(40)
    code = quantizer.quantize(state, Y)
    assert torch.equal(quantizer.decode(state, code.indices), code.values)
    assert torch.all(code.indices < torch.tensor(quantizer.alphabet(DIM)))
    found = quantizer.measure(state, code.indices, exact=True)

    def bits(symbols):
        share = np.unique(symbols, return_counts=True)[1] / max(1, len(symbols))
        return float(-(share * np.log2(share)).sum())

    for trial, rows in enumerate(code.indices.numpy()):
        used = (rows < CODES).sum(1)
        assert len(set(used)) > 1
        assert all((row[:count] < CODES).all() for row, count in zip(rows, used, strict=True))
        own = [rows[used > stage, stage] for stage in range(3)]
        spent = bits(used) + sum(len(one) / FRAMES * bits(one) for one in own)
        assert found["spent_bits"][trial].item() == pytest.approx(spent)
        assert found["fixed_bits"][trial].item() == pytest.approx(bits(used) + 3 * used.mean())
        assert found["stages_used"][trial].item() == pytest.approx(used.mean())
    more = joined([VRVQ(VectorQuantizer(codes=CODES), stages=3, level=6.0)] * 2)
    assert more.measure(state, more.quantize(state, Y).indices)["stages_used"].mean() > found["stages_used"].mean()


@checks("vrvq")
def test_vrvq_rate_of_a_sample():
    """Bits of frames drawn at random are near those of what they were drawn from; as counted they are fewer."""
    quantizer = VRVQ(VectorQuantizer(codes=64), stages=3)
    random, frames = torch.Generator().manual_seed(0), 300
    codes = torch.randint(64, (2, frames, 3), generator=random)
    used = torch.randint(1, 4, (2, frames, 1), generator=random) > torch.arange(3)
    indices = torch.where(used, codes, 64)
    state = {"weight0": torch.zeros(2, DIM, 4)}
    sampled, counted = (quantizer.measure(state, indices, exact) for exact in (False, True))
    truth = math.log2(3) + 6 * used.double().mean(1).sum(-1)
    assert torch.all((sampled["spent_bits"] - truth).abs() < 0.1)
    assert torch.all(counted["spent_bits"] < truth - 0.35)
    assert torch.all(sampled["count_bits"] >= counted["count_bits"])


def conditioned_by_hand(state, y, by):
    """The authors' stages: FSQ with its own bound, of the conditioned leftovers; the inverse map on its output."""
    total, rest = torch.zeros_like(y), y
    for stage in range(3):
        own = {name.removeprefix(f"{stage}."): one[0] for name, one in state.items() if name.startswith(f"{stage}.")}
        if by == "scale":
            inner = rest * torch.log(1 + own["scale"].exp())
        else:
            mean, std = rest.mean(0), (rest.var(0, unbiased=False) + 1e-5).sqrt()
            inner = own["weight"] * (rest - mean) / std + own["bias"]
        half = 3 * 0.999 / 2
        bounded = half * torch.tanh(inner + math.tan(0.5 / half)) - 0.5
        code = (bounded + (bounded.round() - bounded).detach()) / 2
        code = code / torch.log(1 + own["scale"].exp()) if by == "scale" else (code - own["bias"]) / own["weight"] * std + mean
        total, rest = total + code, rest - code
    return total


@checks("robust_rfsq", "conditioned")
@pytest.mark.parametrize("by", ["scale", "norm"])
def test_robust_rfsq(by):
    """The authors' code, read: what is received in training, and gradients to latents, scales, and the norm's w and b."""
    quantizer, state, y = started(Residual(Conditioned(FSQ(levels=4), by=by), 3))
    with torch.no_grad():
        for name, one in state.items():
            if name.endswith(("scale", "weight", "bias")):
                one += 0.3 * torch.randn(one.shape, generator=torch.Generator().manual_seed(len(name)))
    passed, _ = through(quantizer, state, y)
    expected = conditioned_by_hand(state, y[0], by)
    assert torch.allclose(passed.received[0], expected, atol=1e-4)
    leaves = [y, *(one for one in state.values() if one.requires_grad)]
    assert len(leaves) == (4 if by == "scale" else 7)
    pair = [gradients((one * WEIGHTS[0]).sum(), leaves) for one in (passed.received[0], expected)]
    for found, by_hand in zip(*pair, strict=True):
        assert torch.allclose(found[0], by_hand[0], rtol=1e-3, atol=1e-3)


@checks("conditioned")
def test_statistics_are_fixed_after_training():
    """What evaluation codes decodes from its indices, with moving averages of the statistics of the training's steps."""
    quantizer, state, y = started(Residual(Conditioned(decay=0.9), 2))
    before = {name: one.clone() for name, one in state.items()}
    passed, _ = through(quantizer, state, 3 + y)
    quantizer.update(state, [(latents.detach(), code) for latents, code in passed.trace], Streams(SEEDS), 1)
    left = 3 + Y
    for stage in range(2):
        for name, statistic in (("mean", left.mean(1)), ("variance", left.var(1, unbiased=False))):
            place = f"{stage}.{name}"
            assert torch.allclose(state[place][:, 0], 0.9 * before[place][:, 0] + 0.1 * statistic, atol=1e-5)
        left = left - passed.trace[2 * stage][1].values.detach()
    code = quantizer.quantize(state, Y)
    assert torch.equal(quantizer.decode(state, code.indices), code.values)
    assert torch.equal(quantizer.quantize(state, Y[:, :5]).indices, code.indices[:, :5])  # whatever stands beside them
    evaluated, _ = through(quantizer, state, y, training=False)
    assert torch.allclose(evaluated.received, code.values, atol=1e-5)
