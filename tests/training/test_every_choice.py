"""Every quantizer and every strategy, as its YAML file has it, in a training of a few steps."""

import dataclasses
import re

import pytest
import torch

from quantbench.choices import choices
from quantbench.codecs import MLP
from quantbench.components import Component, component, hints, over_trials
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Gradient, Moment, Own, misfit
from quantbench.quantizers import FSQ, External, Lattice, Module, VectorQuantizer
from quantbench.schema import check_settings, without_target
from quantbench.simulators import Codeword
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from quantbench.training import Stack, TrainSettings, train
from quantbench.training.model import Model
from quantbench.training.run import begin

torch.set_num_threads(1)
SEEDS = (3, 4, 5)
SMALL = {VectorQuantizer: VectorQuantizer(codes=16), FSQ: FSQ(levels=4)}
AT_THE_ORIGIN = ("fvq", "wasserstein_vq")
"""Whose codewords start there, wherever the latents are."""
DIMS = {"scalar": 4, "lsq": 4, "fsq": 4, "ifsq": 4, "cdf": 4, "rfsq": 4, "rlfq": 4, "conditioned": 4, "robust_rfsq": 4}


def quantizer_of(name, dim):
    """The choice with fewer codes, and a module's arguments for the latents' dimensions."""
    found = default_component("quantizer", name)
    if isinstance(found, Module):
        return dataclasses.replace(found, module="vector_quantize_pytorch.VectorQuantize", arguments={"codebook_size": 16})
    if isinstance(found, External):
        from omegaconf import OmegaConf

        node = OmegaConf.create({"codec": {"latent_dim": dim}, "q": OmegaConf.load(choices("quantizer")[name])})
        settings = without_target(OmegaConf.to_container(node, resolve=True)["q"])
        return External(**check_settings(External, settings, "quantizer"))
    return dataclasses.replace(found, codes=16) if hasattr(found, "codes") else found


def stack(quantizer, gradient, dim=8, seeds=SEEDS, device="cpu", **settings):
    given = {"steps": 12, "batch": 24, "log_every": 12, "lr": 3e-3} | settings
    return Stack.of(
        simulator=Codeword(bits=4, frame_dim=6),
        codec=MLP(hidden=16, latent_dim=dim),
        quantizer=quantizer,
        gradient=gradient,
        train=TrainSettings(**given),
        seeds=seeds,
        device=device,
    )


def outcome(whole):
    return [
        ({k: v for k, v in one.metrics.items() if k not in ("seconds", "step_seconds")}, one.curves, one.diverged)
        for one in train(whole)
    ]


QUANTIZERS = list(choices("quantizer"))
GRADIENTS = [
    (gradient, kind)
    for gradient in choices("gradient")
    for kind, quantizer in SMALL.items()
    if misfit(quantizer, default_component("gradient", gradient)) is None
]


def test_a_batch_of_one_trains_or_is_refused_before():
    refused, diverged = {}, []
    pairs = [(name, quantizer_of(name, DIMS.get(name, 8)), None, DIMS.get(name, 8)) for name in QUANTIZERS]
    pairs += [(name, SMALL[kind], default_component("gradient", name), 4) for name, kind in dict(GRADIENTS).items()]
    for name, quantizer, gradient, dim in pairs:
        gradient = gradient or (Own() if quantizer.own_gradient else STE())
        try:
            training = begin(stack(quantizer, gradient, dim, seeds=SEEDS[:1], steps=2, batch=1, log_every=2))
        except ConfigError as error:
            refused[name] = str(error)
        else:
            training.advance()
            diverged += [name for one in training.outcomes if one.diverged]
    assert sorted(refused) == ["conditioned", "robust_rfsq", "vp", "vp_small", "vqp_fsp"]
    assert all(re.fullmatch(r"train.batch=1: .* 1.*; use a larger train.batch", error) for error in refused.values())
    assert diverged == []


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_quantizer_trains_alike_alone_and_in_a_stack(name):
    dim = DIMS.get(name, 8)
    quantizer = quantizer_of(name, dim)
    quantizer.check_dim(dim)
    gradient = Own() if quantizer.own_gradient else STE()
    together = outcome(stack(quantizer, gradient, dim))
    assert [one[2] for one in together] == [None] * 3
    assert outcome(stack(quantizer, gradient, dim, seeds=SEEDS[1:2])) == together[1:2]
    assert outcome(stack(quantizer, gradient, dim)) == together  # and again, in the same process


@pytest.mark.parametrize(("gradient", "kind"), GRADIENTS)
def test_a_strategy_trains_alike_alone_and_in_a_stack(gradient, kind):
    dim = 4
    found = default_component("gradient", gradient)
    together = outcome(stack(SMALL[kind], found, dim))
    assert [one[2] for one in together] == [None] * 3
    assert outcome(stack(SMALL[kind], found, dim, seeds=SEEDS[1:2])) == together[1:2]


def scaled(one, factor):
    """A component whose per-trial settings, those of components within it among them, are multiplied by a factor."""
    values = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    for name, value in values.items():
        if isinstance(value, Component):
            values[name] = scaled(value, factor)
        elif over_trials(hints(type(one))[name]):
            values[name] = value * factor
    return type(one)(**values)


@pytest.mark.parametrize(("gradient", "kind"), GRADIENTS)
def test_settings_per_trial_are_those_of_each_trial(gradient, kind):
    """In a stack whose trials differ in every setting that may differ, each trains as it does alone."""
    factors = (1.0, 0.9, 0.8)
    quantizers = [scaled(SMALL[kind], factor) for factor in factors]
    # The temperature of reinmax is at least 1.
    gradients = [scaled(default_component("gradient", gradient), 2 - f if gradient == "reinmax" else f) for f in factors]
    together = outcome(stack(quantizers, gradients, 4))
    assert together[1] != outcome(stack(SMALL[kind], gradients[0], 4))[1] or kind is FSQ  # which has no such setting in use
    assert outcome(stack(quantizers[1], gradients[1], 4, seeds=SEEDS[1:2])) == together[1:2]


@pytest.mark.parametrize("name", [name for name in QUANTIZERS if name not in ("none", "module")])
def test_codes_decode_from_their_indices(name):
    """Every quantizer's code can be packed: indices within the alphabet, and the values come back from them."""
    dim = DIMS.get(name, 8)
    quantizer = quantizer_of(name, dim)
    whole = stack(quantizer, Own() if quantizer.own_gradient else STE(), dim)
    streams = Streams(SEEDS)
    model = Model(whole, streams)
    world = whole.simulator.world(streams)
    frames = whole.simulator.draw(world, streams, 1024, "first frames")
    with torch.no_grad():
        model.fit(frames)
        latents = 1.5 * model.prepare(model.encode(frames))
        code = model.hard(latents, Moment(1.0, streams, training=False))
        alphabet = torch.tensor(quantizer.alphabet(dim))
        assert code.indices.shape == (3, 1024, len(alphabet))
        assert torch.all((code.indices >= 0) & (code.indices < alphabet))
        decoded = quantizer.decode(model.quantizer, code.indices)
    assert torch.allclose(decoded, code.values, atol=1e-5)
    assert len(code.indices[0].unique(dim=0)) >= 4 or name in AT_THE_ORIGIN


@component
class Dead(Gradient):
    """Brings no gradient to the encoder."""

    def pass_through(self, quantizer, state, latents, code, moment):
        return code.values + 0 * latents


def learned(gradient, kind):
    """Whether the distortion fell, and whether the encoder has moved, of each trial. The first a decoder can do alone."""
    quantizer = VectorQuantizer(codes=16, commitment=0.0) if kind is VectorQuantizer else SMALL[kind]  # nothing else moves it
    whole = stack(quantizer, gradient, 4, steps=80, batch=64, log_every=80, lr=1e-2)
    found = []
    for one in train(whole):
        assert one.diverged is None
        curve = {step: value for step, metric, value in one.curves if metric == "mse"}
        metrics = one.metrics
        found.append((metrics["mse"] < 0.8 * curve[0], metrics["encoder_std"] != metrics["encoder_std_start"]))
    return found


@pytest.mark.parametrize(("gradient", "kind"), GRADIENTS)
def test_the_encoder_learns(gradient, kind):
    """Every strategy brings a gradient to the encoder, and the distortion falls."""
    assert learned(default_component("gradient", gradient), kind) == [(True, True)] * 3


@pytest.mark.parametrize("kind", SMALL)
def test_an_encoder_without_a_gradient_is_seen(kind):
    assert learned(Dead(), kind) == [(True, False)] * 3


def test_pairs_that_do_not_fit_are_refused_with_a_reason():
    assert "grid of levels" in misfit(VectorQuantizer(), default_component("gradient", "dsq"))
    assert "codebook" in misfit(FSQ(), default_component("gradient", "rotation"))
    assert "own" in misfit(External(), STE())
    assert "own" in misfit(FSQ(), Own())
    assert misfit(External(), Own()) is None
    assert misfit(Lattice(), default_component("gradient", "universal")) is None


@pytest.mark.parametrize("name", ["entropy_scalar", "external"])
def test_how_often_a_training_is_looked_at_changes_no_number_of_it(name):
    """Those whose forward pass draws by itself, which evaluation asks for, too."""
    trained = []
    for every in (6, 2):
        quantizer = quantizer_of(name, DIMS.get(name, 8))
        whole = stack(quantizer, Own() if quantizer.own_gradient else STE(), DIMS.get(name, 8))
        training = begin(dataclasses.replace(whole, train=dataclasses.replace(whole.train, steps=6, log_every=every)))
        training.advance()
        trained.append(training)
    one, other = trained
    for key, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[key]), key
    positions = [{k: v for k, v in each.streams.state().items() if not k.startswith("evaluation")} for each in trained]
    assert positions[0] == positions[1]
