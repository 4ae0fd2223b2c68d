"""Stages and groups of any quantizer."""

import dataclasses

import pytest
import torch

from quantbench.choices import choices
from quantbench.components import component, joined, within
from quantbench.config import COMPONENTS
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Moment, Noise, RotationTrick, SoftToHard, Universal, misfit
from quantbench.quantizers import (
    BSQ,
    CDF,
    FSQ,
    FVQ,
    IFSQ,
    LFQ,
    LSQ,
    Q2D2,
    SQVAE,
    VRVQ,
    Conditioned,
    EntropyScalar,
    External,
    GaussianQuant,
    Identity,
    Lattice,
    OptVQ,
    Product,
    QINCo,
    Quantizer,
    Residual,
    SimVQ,
    TrellisCoded,
    Uniform,
    VectorQuantizer,
    WassersteinVQ,
)
from quantbench.schema import check_settings, construct, find_class
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from tests.conformance import checks
from tests.training.test_every_choice import outcome, stack

SEEDS = [0, 1]
STREAMS = Streams(SEEDS)
DIM = 8
LATENTS = STREAMS.normal("x", 500, DIM)
MOMENT = Moment(0.5, STREAMS)

ELEMENTARY = {
    "scalar": (Uniform(levels=3), 3**8),
    "scalar, tanh": (Uniform(levels=4, range=0.5, bound="tanh"), 4**8),
    "levels of each dimension": (Uniform(levels=(2, 3, 4, 5)), 120**2),
    "lsq": (LSQ(levels=3), 3**8),
    "fsq": (FSQ(levels=4), 4**8),
    "fsq, odd": (FSQ(levels=5), 5**8),
    "ifsq": (IFSQ(levels=3), 3**8),
    "cdf": (CDF(levels=4), 4**8),
    "lfq": (LFQ(), 2**8),
    "bsq": (BSQ(), 2**8),
    "lattice": (Lattice(lattice="D4", levels=3), 3**8),
    "q2d2": (Q2D2(levels=3), 13**4),
    "tcq": (TrellisCoded(levels=4), 4**8),
    "vq": (VectorQuantizer(codes=8), 8),
    "vq, cosine": (VectorQuantizer(codes=8, search="cosine"), 8),
    "vq, ema": (VectorQuantizer(codes=8, update_by="ema", restart=0.5, restart_every=2), 8),
    "vq, projected": (VectorQuantizer(codes=8, projection=3), 8),
    "simvq": (SimVQ(codes=8), 8),
    "optvq": (OptVQ(codes=8), 8),
    "fvq": (FVQ(codes=8, group=4, width=8), 8),
    "wasserstein_vq": (WassersteinVQ(codes=8), 8),
    "qinco": (QINCo(codes=4), 4**2),
    "conditioned": (Conditioned(FSQ(levels=4)), 4**8),
    "conditioned, scale": (Conditioned(FSQ(levels=3), by="scale"), 3**8),
    "conditioned vq": (Conditioned(VectorQuantizer(codes=8, update_by="ema")), 8),
    "product": (Product(VectorQuantizer(codes=4)), 4**2),
    "rvq": (Residual(VectorQuantizer(codes=4)), 4**2),
    "rfsq": (Residual(FSQ(levels=3)), 9**8),
    "robust rfsq": (Residual(Conditioned(FSQ(levels=3))), 9**8),
}
"""Quantizers that can be a stage or a part, and their number of codes in 8 dimensions."""


def test_no_quantizer_is_left_out():
    """Every choice is in the table above, or says why it can be no stage and no part."""
    tried = {type(part) for one, _ in ELEMENTARY.values() for _, part in within(one, "quantizer")}
    for name in choices("quantizer"):
        one = default_component("quantizer", name)
        assert one.alone or type(one) in tried, name


def for_dim(one, dim):
    """A quantizer with a list of levels for so many dimensions."""
    if isinstance(getattr(one, "levels", None), tuple):
        return dataclasses.replace(one, levels=(one.levels * 2)[:dim])
    return one


def from_kmeans(one):
    """A quantizer whose codebook, where it has one that starts from data, starts from k-means."""
    parts = {
        field.name: from_kmeans(value)
        for field in dataclasses.fields(one)
        if dataclasses.is_dataclass(value := getattr(one, field.name))
    }
    return dataclasses.replace(one, **parts, **({"init_by": "kmeans"} if hasattr(one, "init_by") else {}))


def composed(name):
    one, codes = ELEMENTARY[name]
    residual = Residual(for_dim(one, 8), stages=2)
    product = Product(for_dim(one, 4), groups=2)
    bits = torch.tensor(float(codes)).log2().item()
    # A codebook does not grow with the dimensions; what has codes in every dimension is the same bits in two groups.
    return [(residual, 2 * bits), (product, bits if codes > 2**7 else 2 * bits)]


def fitted(quantizer, latents=LATENTS):
    state = quantizer.init(Streams(SEEDS), latents.shape[-1])
    quantizer.fit(state, latents, Streams(SEEDS))
    return state


def code_of(quantizer, state, latents=LATENTS):
    code = quantizer.quantize(state, quantizer.prepare(state, latents))
    return code, quantizer.restore(state, code.values)


@checks("residual", "product")
@pytest.mark.parametrize("name", list(ELEMENTARY))
@pytest.mark.parametrize("kind", [0, 1], ids=["residual", "product"])
def test_any_quantizer_in_stages_and_in_groups(name, kind):
    """Codes of every elementary quantizer, in stages and groups, decode from their indices at the nominal bits."""
    quantizer, bits = composed(name)[kind]
    quantizer.check()
    quantizer.check_dim(DIM)
    assert quantizer.nominal_bits(DIM) == pytest.approx(bits)
    with torch.no_grad():
        state = fitted(quantizer)
        code, _ = code_of(quantizer, state)
        alphabet = torch.tensor(quantizer.alphabet(DIM))
        assert code.indices.shape == (2, 500, len(alphabet))
        assert torch.all((code.indices >= 0) & (code.indices < alphabet))
        assert torch.equal(quantizer.decode(state, code.indices), code.values)
    assert misfit(quantizer, STE()) is None


@pytest.mark.parametrize("name", list(ELEMENTARY))
@pytest.mark.parametrize("kind", [0, 1], ids=["residual", "product"])
def test_a_stack_of_two_is_two_stacks_of_one(name, kind):
    quantizer, _ = composed(name)[kind]
    strategy = SoftToHard() if misfit(quantizer, SoftToHard()) is None else STE()
    together = outcome(stack(quantizer, strategy, DIM, seeds=(3, 4)))
    alone = [one for seed in (3, 4) for one in outcome(stack(quantizer, strategy, DIM, seeds=(seed,)))]
    assert [one[2] for one in together] == [None] * 2
    assert together == alone


AT_RANDOM = ("qinco", "simvq", "optvq", "fvq", "wasserstein_vq", "vq, projected")


@pytest.mark.parametrize(
    "one", [Residual(VectorQuantizer(codes=4), 5), VRVQ(VectorQuantizer(codes=8), 4), QINCo(codes=4, stages=5)]
)
def test_many_stages_are_added_up_alike_in_any_stack(one):
    """A library's sum over an axis takes another order from five on, by the number of all elements."""
    together = outcome(stack(one, STE(), 7))
    assert outcome(stack(one, STE(), 7, seeds=(4,))) == together[1:2]


@pytest.mark.parametrize("name", [name for name in ELEMENTARY if name not in AT_RANDOM])
def test_every_stage_lowers_the_error(name):
    """In the space where codes are: what bounds latents loses something before. (Some codebooks do not start from data.)

    With codebooks of k-means: a few latents of eight dimensions, as codewords, lower the error by luck alone.
    """
    one = from_kmeans(for_dim(ELEMENTARY[name][0], 8))
    errors = []
    with torch.no_grad():
        for stages in (1, 2, 3):
            quantizer = Residual(one, stages)
            state = fitted(quantizer)
            prepared = quantizer.prepare(state, LATENTS)
            errors.append((quantizer.quantize(state, prepared).values - prepared).square().mean().item())
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("one", [FSQ(levels=4), FSQ(levels=3), IFSQ(levels=4), CDF(levels=3), Uniform(levels=4, bound="tanh")])
def test_stages_of_a_bounded_grid_are_one_finer_grid(one):
    """L levels in S stages are L**S equal cells: the error falls by the factor L at most, and nothing lies outside."""
    quantizer = Residual(one, 3)
    prepared = quantizer.prepare({}, LATENTS)
    step = one.grid(prepared).step / one.levels**2
    error = (quantizer.quantize({}, prepared).values - prepared).abs()
    assert torch.all(error <= step / 2 + 1e-5)
    assert error.max() > 0.45 * step.max()


@pytest.mark.parametrize("reach", [0.1, 1.0, 30.0])
def test_stages_of_uniform_levels_suit_any_range(reach):
    one = Uniform(levels=4, range=reach, bound="tanh")
    _, values = code_of(Residual(one, 2), {}, reach * LATENTS)
    _, unit = code_of(Residual(dataclasses.replace(one, range=1.0), 2), {}, LATENTS)
    assert torch.allclose(values, reach * unit, atol=1e-4 * reach)
    assert values.unique().numel() == 16


def test_stages_of_stages_are_more_stages():
    for one in (FSQ(levels=4), Uniform(levels=3, bound="tanh"), LFQ(), CDF(levels=3)):
        nested, plain = Residual(Residual(one, 2), 2), Residual(one, 4)
        assert torch.allclose(code_of(nested, {})[1], code_of(plain, {})[1], atol=1e-5)
        assert torch.equal(code_of(nested, {})[0].indices, code_of(plain, {})[0].indices)


def test_groups_of_what_treats_dimensions_alone_change_nothing():
    for one in (FSQ(levels=4), CDF(levels=3), LFQ(), Uniform(levels=3)):
        for whole, parts in (
            (one, Product(one)),
            (Residual(one), Residual(Product(one))),
            (Residual(one), Product(Residual(one))),
        ):
            assert torch.allclose(code_of(whole, {})[1], code_of(parts, {})[1], atol=1e-6)


@pytest.mark.parametrize("one", [Residual(Product(VectorQuantizer(codes=4, update_by="ema", decay=0.0)), shared=True)])
def test_averages_of_every_part_of_every_stage(one):
    """With decay 0 every codeword is the mean of the latents that it stood for, in all stages that share it."""
    one, state = joined([one] * len(SEEDS)), fitted(one)
    with torch.no_grad():
        passed = one.forward(state, LATENTS, lambda q, s, latents, code: code.values, MOMENT)
        one.update(state, passed.trace, STREAMS, 1)
    assert len(passed.trace) == 4
    for group in (0, 1):
        latents = torch.cat([passed.trace[i][0][0] for i in (group, 2 + group)])
        index = torch.cat([passed.trace[i][1].indices[0, :, 0] for i in (group, 2 + group)])
        for code in index.unique():
            assert torch.allclose(state[f"0.{group}.codewords"][0, code], latents[index == code].mean(0), atol=1e-5)


def test_one_ste_through_stages_of_groups_and_groups_of_stages():
    for quantizer in (Residual(Product(VectorQuantizer(codes=4))), Product(Residual(VectorQuantizer(codes=4)))):
        state = fitted(quantizer)
        latents = LATENTS.clone().requires_grad_()
        passed = quantizer.forward(state, latents, lambda *given: STE().pass_through(*given, MOMENT), MOMENT)
        assert torch.allclose(passed.received, code_of(quantizer, state)[1], atol=1e-5)
        weights = torch.randn_like(latents)
        (gradient,) = torch.autograd.grad((passed.received * weights).sum(), latents)
        assert torch.allclose(gradient, weights, atol=1e-6)


def test_a_strategy_fits_stages_when_it_fits_one_of_them():
    assert misfit(Residual(VectorQuantizer()), RotationTrick()) is None
    assert misfit(Residual(FSQ()), Noise(match="step")) is None
    assert "codebook" in misfit(Residual(Product(FSQ())), RotationTrick())
    assert "dither" in misfit(Residual(Lattice()), Universal())  # it asks the whole bottleneck


@component
class OwnGradient(Quantizer):
    own_gradient = True

    def alphabet(self, dim):
        return [2]

    def quantize(self, state, latents):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (External(), "passes the gradient by itself"),
        (OwnGradient(), "passes the gradient by itself"),
        (Identity(), "quantizes nothing"),
        (EntropyScalar(), "no fixed length"),
        (SQVAE(), "weighs the distortion of the whole"),
        (GaussianQuant(), "passes the gradient by itself"),
        (VRVQ(), "no fixed length"),
    ],
)
def test_what_cannot_be_a_stage_is_refused(one, reason):
    name = type(one).__name__
    with pytest.raises(ConfigError, match=rf"quantizer\.stage: {name} cannot be a stage.*{reason}"):
        Residual(one).check()
    with pytest.raises(ConfigError, match=rf"quantizer\.part: {name} cannot be a stage.*{reason}"):
        Product(one).check()


def test_dimensions_that_do_not_suit_a_part_are_told():
    with pytest.raises(ConfigError, match=r"quantizer\.part, of 4 dimensions: quantizer\.lattice=E8"):
        Product(Lattice(lattice="E8")).check_dim(8)
    with pytest.raises(ConfigError, match=r"quantizer\.stage, of 8 dimensions: quantizer\.levels=\[2, 3\]: 2 entries"):
        Residual(Uniform(levels=(2, 3))).check_dim(8)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"commitment": 1.0},
            r"quantizer\.commitment=1\.0: unknown setting; Residual takes stage, stages, shared, beam, dropout",
        ),
        ({"stage": {"range": 0.5}}, r"quantizer\.stage\.range=0\.5: unknown setting; VectorQuantizer takes"),
        ({"stage": {"codes": 1}}, r"quantizer\.stage\.codes=1: must be at least 2"),
        ({"stage": {"_target_": "quantbench.quantizers.Quantizer"}}, r"quantizer\.stage\._target_=.*: is abstract"),
        ({"stage": {"_target_": "quantbench.quantizers.Identity"}}, r"quantizer\.stage: Identity cannot be a stage"),
        ({"stage": {"_target_": "quantbench.gradients.STE"}}, r"must be a dataclass that derives from Quantizer"),
        ({"stages": 0}, r"quantizer\.stages=0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        check_settings(Residual, settings, "quantizer")


def test_a_setting_of_a_stage_leaves_the_others_as_they_are():
    cls = find_class("quantbench.quantizers.Residual", COMPONENTS["quantizer"], "quantizer")
    found = construct(cls, check_settings(cls, {"stage": {"search": "cosine"}}, "quantizer"))
    assert (found.stage.codes, found.stage.search, found.nominal_bits(8)) == (16, "cosine", 8)


@component
class Counting(VectorQuantizer):
    """Measures a metric of its own: the share of even codes."""

    def measure(self, state, indices, exact=False):
        return {"even": (indices % 2 == 0).float().mean((1, 2))}


def test_a_metric_of_parts_is_the_mean_over_them():
    indices = torch.tensor([[[0, 1], [2, 3]], [[1, 1], [1, 2]]])  # two trials, two frames, two slots
    for whole in (Residual(Counting(codes=4), 2), Product(Counting(codes=4), 2)):
        assert whole.measure({}, indices)["even"].tolist() == [0.5, 0.25]
