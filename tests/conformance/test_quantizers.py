"""Quantizers against published numbers and identities."""

import math

import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.gradients import STE, Moment
from quantbench.quantizers import (
    BSQ,
    CDF,
    FSQ,
    IFSQ,
    LFQ,
    LSQ,
    Q2D2,
    EntropyScalar,
    Identity,
    Product,
    SimVQ,
    Uniform,
    VectorQuantizer,
)
from quantbench.streams import Streams
from tests.conformance import checks
from tests.conformance.helpers import received

GAUSSIAN = torch.randn(1, 200000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def moment():
    return Moment(0.5, Streams([0]))


@checks("scalar")
@pytest.mark.parametrize(("levels", "step", "mse"), [(2, 1.596, 0.3634), (4, 0.9957, 0.1188), (8, 0.5860, 0.03744)])
def test_uniform(levels, step, mse):
    """Max's (1960) table of optimum uniform quantizers for the unit Gaussian."""
    quantizer = Uniform(levels=levels, range=step * (levels - 1) / 2)
    found = (quantizer.quantize({}, GAUSSIAN).values - GAUSSIAN).square().mean().item()
    assert found == pytest.approx(mse, rel=0.02)


@checks("none")
def test_none():
    """The code is the latent."""
    assert torch.equal(Identity().quantize({}, GAUSSIAN).values, GAUSSIAN)


@checks("lsq")
def test_lsq():
    """Gradients of step and latent as published (Esser et al. 2020, equations 3 and 5), step 2 mean|y| / sqrt(p) at first."""
    quantizer = LSQ(levels=8)
    y = torch.tensor([[[0.31, -0.9, 5.0, -7.0]]])
    state = quantizer.init(Streams([0]), 4)
    quantizer.fit(state, y, Streams([0]))
    assert state["step"].item() == pytest.approx(2 * y.abs().mean().item() / math.sqrt(3))
    with torch.no_grad():
        state["step"].fill_(0.5)
    y.requires_grad_()
    v = quantizer.prepare(state, y)
    out = quantizer.restore(state, received(STE(), quantizer, state, v, quantizer.quantize(state, v)))
    assert out.flatten().tolist() == pytest.approx([0.5, -1.0, 1.5, -2.0])
    by_step, by_latent = torch.autograd.grad(out.sum(), [state["step"], y])
    assert by_latent.flatten().tolist() == pytest.approx([1, 1, 0, 0])
    inside = (1 - 0.31 / 0.5) + (-2 + 0.9 / 0.5)
    assert by_step.item() == pytest.approx((inside + 3 - 4) / math.sqrt(4 * 3), rel=1e-5)


@checks("fsq")
@pytest.mark.parametrize("levels", [2, 4, 5, 8])
def test_fsq(levels):
    """The published bound: h tanh(z + tan(o/h)) - o, h = (levels - 1)(1 - eps)/2, o = 1/2 for even numbers of levels."""
    half, offset = (levels - 1) * 0.999 / 2, 0.5 if levels % 2 == 0 else 0.0
    z = GAUSSIAN[:, :1000]
    bounded = half * torch.tanh(z + math.tan(offset / half)) - offset
    quantizer = FSQ(levels=levels)
    prepared = quantizer.prepare({}, z)
    assert torch.allclose(prepared, bounded, atol=1e-6)
    codes = quantizer.restore({}, quantizer.quantize({}, prepared).values)
    assert torch.equal(codes, bounded.round() / (levels // 2) + 0.0)
    assert len(codes.unique()) == levels


def test_fsq_of_two_levels_has_a_gradient():
    """With the published shift 24 times that of the other one, whose tanh starts saturated."""
    slopes = []
    for shift in ("tan", "artanh"):
        z = GAUSSIAN[:, :20000].clone().requires_grad_()
        slopes.append(torch.autograd.grad(FSQ(levels=2, shift=shift).prepare({}, z).sum(), z)[0].mean().item())
    assert slopes[0] / slopes[1] == pytest.approx(24, rel=0.1)


@checks("ifsq")
def test_ifsq():
    """The bound is tanh(0.8 z), with which 5 levels of a unit Gaussian are within 2 % of equally wide cells' shares."""
    quantizer = IFSQ(levels=5)
    bounded = quantizer.prepare({}, GAUSSIAN)
    assert torch.allclose(bounded, 2 * torch.tanh(0.8 * GAUSSIAN))
    shares = quantizer.quantize({}, bounded).indices.flatten().bincount() / GAUSSIAN.numel()
    # Of values uniform on (-2, 2), rounding gives the outer levels half of the inner ones' share.
    assert torch.allclose(shares, torch.tensor([1.0, 2, 2, 2, 1]) / 8, atol=0.02)
    assert quantizer.restore({}, quantizer.quantize({}, bounded).values).unique().tolist() == [-1, -0.5, 0, 0.5, 1]


@checks("cdf")
def test_cdf():
    """Every cell has the same share of a unit Gaussian, and restored codes have unit variance in the limit."""
    quantizer = CDF(levels=6)
    code = quantizer.quantize({}, quantizer.prepare({}, GAUSSIAN))
    shares = code.indices.flatten().bincount() / GAUSSIAN.numel()
    assert torch.allclose(shares, torch.full((6,), 1 / 6), atol=0.005)
    assert quantizer.restore({}, code.values).var().item() == pytest.approx(1 - 1 / 36, rel=0.01)


def joint_probabilities(y, levels, sharpness):
    codes = levels * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * y.shape[-1])
    return torch.softmax(-sharpness * (y.unsqueeze(-2) - codes).square().sum(-1), dim=-1)


@checks("lfq")
def test_lfq_entropies():
    """Both entropies equal those of the softmax over all 2**dim codes, written out."""
    y = torch.randn(1, 50, 4)
    p = joint_probabilities(y, 1.0, 0.6)[0]
    sure = -(p * p.log()).sum(-1).mean()
    used = -(p.mean(0) * p.mean(0).log()).sum()
    quantizer = LFQ(commitment=0.0, entropy_weight=0.1, diversity=0.7, sharpness=0.6)
    loss = quantizer.loss({}, y, quantizer.quantize({}, y), moment())
    assert loss.item() == pytest.approx(0.1 * (sure - 0.7 * used).item(), rel=1e-4)


@checks("bsq")
def test_bsq():
    """Codes of length 1; the entropy of single codes is exact, that of their mean is bounded from above, as published."""
    y = torch.randn(1, 400, 4)
    quantizer = BSQ(commitment=0.0, entropy_weight=1.0, diversity=0.0, sharpness=2.0)
    u = quantizer.prepare({}, y)
    code = quantizer.quantize({}, u)
    assert torch.allclose(code.values.norm(dim=-1), torch.ones(1, 400))
    p = joint_probabilities(u, 0.5, 2.0)[0]
    sure = -(p * p.log()).sum(-1).mean().item()
    assert quantizer.loss({}, u, code, moment()).item() == pytest.approx(sure, rel=1e-4)
    both = BSQ(commitment=0.0, entropy_weight=1.0, diversity=1.0, sharpness=2.0)
    used = sure - both.loss({}, u, code, moment()).item()
    joint = -(p.mean(0) * p.mean(0).log()).sum().item()
    assert joint <= used + 1e-6
    assert used == pytest.approx(joint, rel=0.05)


@checks("bsq")
def test_bsq_commitment():
    """Zhao et al.'s code: the mean over frames of the squared distance, summed over dimensions; their weights by default."""
    u = BSQ().prepare({}, torch.randn(1, 50, 6))
    code = BSQ().quantize({}, u)
    quantizer = BSQ(commitment=0.3, entropy_weight=0.0)
    expected = 0.3 * (code.values - u).square().sum(-1).mean()
    assert quantizer.loss({}, u, code, moment()).item() == pytest.approx(expected.item(), rel=1e-5)
    assert (BSQ().commitment, BSQ().entropy_weight, BSQ().diversity, BSQ().sharpness) == (0.0, 0.1, 1.0, 1.0)


@checks("simvq")
def test_simvq_starts_as_a_linear_layer():
    """The authors' layer has a bias: codewords are those of torch's Linear, and start within its bounds."""
    quantizer = SimVQ(codes=400)
    state = quantizer.init(Streams([0]), 16)
    layer = torch.nn.Linear(16, 16)
    layer.load_state_dict({"weight": state["map"][0].T, "bias": state["bias"][0, 0]})
    assert torch.allclose(quantizer.codebook(state)[0], layer(state["codewords"][0]), atol=1e-6)
    for name in ("map", "bias"):
        assert 0.2 < state[name].abs().max().item() <= 0.25
    assert "bias" not in SimVQ(bias=False).init(Streams([0]), 16)


@checks("product")
def test_product():
    """Groups are vector quantizers of their own, on their own dimensions."""
    y = torch.randn(2, 100, 6)
    quantizer = Product(VectorQuantizer(codes=8), groups=3)
    state = quantizer.init(Streams([0, 1]), 6)
    quantizer.fit(state, y, Streams([0, 1]))
    code = quantizer.quantize(state, y)
    for group in range(3):
        alone = VectorQuantizer(codes=8).quantize({"codewords": state[f"{group}.codewords"]}, y[..., 2 * group : 2 * group + 2])
        assert torch.equal(code.indices[..., group : group + 1], alone.indices)
        assert torch.equal(code.values[..., 2 * group : 2 * group + 2], alone.values)


def trained_prior(y, steps, prepared=True):
    quantizer = EntropyScalar(rate_weight=1.0, bound=20)
    state = quantizer.init(Streams([0]), y.shape[-1])
    adam = torch.optim.Adam(state.values(), lr=0.02)
    streams = Streams([0])
    for _ in range(steps):
        adam.zero_grad()
        latents = y if prepared else quantizer.prepare(state, y)
        quantizer.loss(state, latents, quantizer.quantize(state, latents), Moment(0.5, streams)).sum().backward()
        adam.step()
    return quantizer, state


@checks("entropy_scalar")
def test_entropy_coded_scalar():
    """A unit Gaussian at steps of 0.25 std takes h - log2(step) = 4.05 bits (Gish & Pierce 1968), in the range coder too."""
    y = 4 * GAUSSIAN[:, :2000].float()
    quantizer, state = trained_prior(y, steps=300)
    indices = quantizer.quantize(state, 4 * GAUSSIAN[:, 4000:24000].float()).indices
    metrics = quantizer.measure(state, indices)
    expected = 0.5 * math.log2(2 * math.pi * math.e) + 2
    assert metrics["estimated_bits"].item() == pytest.approx(expected, abs=0.03)
    assert metrics["coded_bits"].item() == pytest.approx(metrics["estimated_bits"].item(), rel=0.003)
    share = indices.flatten().bincount() / indices.numel()
    entropy = -(share[share > 0] * share[share > 0].log2()).sum().item()
    assert metrics["estimated_bits"].item() > entropy - 1e-4
    tables = quantizer._tables(state, 1)
    assert torch.allclose(tables.sum(-1), torch.ones(1, 1, dtype=torch.float64))


@checks("entropy_scalar")
def test_values_are_rounded_about_the_median():
    """CompressAI, EntropyBottleneck: m + round(y - m), m moved by |log odds of c(m)| alone, which moves nothing else."""
    quantizer = EntropyScalar(rate_weight=0.0)
    state = quantizer.init(Streams([0]), 2)
    median = torch.tensor([[[0.3, -1.4]]])
    with torch.no_grad():
        state["median"].copy_(median)
    y = 3 * torch.randn(1, 50, 2)
    prepared = quantizer.prepare(state, y)
    code = quantizer.quantize(state, prepared)
    assert torch.allclose(quantizer.restore(state, code.values), median + (y - median).round(), atol=1e-5)
    loss = quantizer.loss(state, prepared, code, moment()).sum()
    assert loss.item() == pytest.approx(quantizer._logit(state, median).abs().sum().item(), rel=1e-5)
    slopes = dict(zip(state, torch.autograd.grad(loss, list(state.values()), allow_unused=True), strict=True))
    assert [name for name, slope in slopes.items() if slope is not None and slope.abs().max() > 0] == ["median"]
    probability = quantizer._tables(state, 2)[0]
    edges = torch.sigmoid(quantizer._logit(state, median + torch.tensor([0.5, 1.5]).view(1, 2, 1)).double())
    assert torch.allclose(probability[:, quantizer.bound + 1], edges.diff(dim=1)[0, 0], atol=1e-6)  # of the code 1
    assert "median" not in EntropyScalar(median=False).init(Streams([0]), 2)


@pytest.mark.slow
def test_the_median_is_found():
    y = torch.randn(1, 500, 1).exp()  # of median 1
    state = trained_prior(y, steps=800, prepared=False)[1]
    assert state["median"].item() == pytest.approx(y.median().item(), abs=0.1)


def test_rate_reaches_the_encoder():
    y = torch.full((1, 64, 2), 3.0, requires_grad=True)
    quantizer, state = trained_prior(torch.randn(1, 500, 2), steps=60)
    loss = quantizer.loss(state, y, quantizer.quantize(state, y), moment())
    assert torch.autograd.grad(loss.sum(), y)[0].mean() > 0  # values nearer to 0 are cheaper


def planar_points(points, a, b):
    """The authors' grids, point by point: unit steps about zero."""
    corners = [(i - (a - 1) / 2, j - (b - 1) / 2) for i in range(a) for j in range(b)]
    if points == "rhombic":
        return corners + [(x + 0.5, y + 0.5) for x, y in corners if x < (a - 1) / 2 and y < (b - 1) / 2]
    if points == "hexagon":
        return [(x + (0.25 if (y + (b - 1) / 2) % 2 == 0 else -0.25), y) for x, y in corners]
    return corners


@checks("q2d2")
@pytest.mark.parametrize(
    ("points", "levels", "codes"),
    [("rhombic", (7, 7, 7, 5), [85, 59]), ("hexagon", (7, 7, 4, 4), [49, 16]), ("rectangle", (7, 7, 4, 3), [49, 12])],
)
def test_q2d2(points, levels, codes):
    """The authors' formula: the nearest point to (L - 1)(1 + eps)/2 tanh(z), over L // 2; the gradient starts at tanh(z)."""
    quantizer = Q2D2(points=points, levels=levels)
    assert quantizer.alphabet(4) == codes
    z = GAUSSIAN[:, :400].reshape(1, 100, 4).float().requires_grad_()
    prepared = quantizer.prepare({}, z)
    out = quantizer.restore({}, received(STE(), quantizer, {}, prepared, quantizer.quantize({}, prepared)))
    widths = [level // 2 for level in levels]
    for frame in range(100):
        for pair in (0, 2):
            y = [math.tanh(z[0, frame, pair + i].item()) * (levels[pair + i] - 1) * 1.001 / 2 for i in (0, 1)]
            best = min(planar_points(points, *levels[pair : pair + 2]), key=lambda point: math.dist(point, y))
            expected = [best[i] / widths[pair + i] for i in (0, 1)]
            assert out[0, frame, pair : pair + 2].tolist() == pytest.approx(expected, abs=1e-6)
    (gradient,) = torch.autograd.grad(out.sum(), z)
    assert torch.allclose(gradient, (1 - torch.tanh(z).square()) / torch.tensor(widths), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"levels": 4}, "must be odd with quantizer.points=rhombic"),
        ({"levels": (7, 5, 7, 7), "points": "hexagon"}, "must be alike with quantizer.points=hexagon"),
        ({"levels": (7, 7)}, "2 entries for codec.latent_dim=4"),
    ],
)
def test_grids_that_q2d2_cannot_have(settings, said):
    quantizer = Q2D2(**settings)
    with pytest.raises(ConfigError, match=said):
        all_checks(quantizer)
    with pytest.raises(ConfigError, match="must be even"):
        Q2D2().check_dim(3)


def all_checks(quantizer):
    quantizer.check()
    quantizer.check_dim(4)
