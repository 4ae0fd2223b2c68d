"""Trainings in low precision."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from quantbench.codecs import MLP
from quantbench.errors import ConfigError
from quantbench.gradients import STE, VP, Moment, SoftToHard
from quantbench.gradients.sampled import gumbel
from quantbench.losses import MSE
from quantbench.precision import LOW, TF32, computing, rounded
from quantbench.quantizers import FSQ, External, Residual, VectorQuantizer
from quantbench.quantizers.search import draw
from quantbench.simulators import Codeword
from quantbench.streams import Streams
from quantbench.training import Keep, Stack, TrainSettings, scaling, train
from quantbench.training.optimizer import Adam, Parameters
from quantbench.training.run import begin
from quantbench.training.scaling import LossScales
from quantbench.training.stack import check_precision
from tests.training.test_checkpoint import Stopped, stop_at

torch.set_num_threads(1)
EMA = VectorQuantizer(codes=12, update_by="ema", restart=0.1, restart_every=5)


def stack(quantizer=EMA, gradient=None, seeds=(3, 4, 5), **settings):
    given = {"steps": 14, "batch": 20, "log_every": 14, "lr": 3e-3, "precision": "bfloat16", "quantizer_precision": "same"}
    return Stack.of(
        simulator=Codeword(bits=4, frame_dim=6),
        codec=MLP(hidden=10, latent_dim=3),
        quantizer=quantizer,
        gradient=gradient or STE(),
        train=TrainSettings(**(given | settings)),
        seeds=seeds,
        device="cpu",
        names=[f"trial-{seed}" for seed in seeds],
    )


def outcome(outcomes):
    times = ("seconds", "step_seconds")
    return [({k: v for k, v in one.metrics.items() if k not in times}, one.curves, one.diverged) for one in outcomes]


@pytest.mark.parametrize(
    ("precision", "quantizer", "gradient"),
    [
        ("bfloat16", FSQ(levels=4), STE()),
        ("bfloat16", EMA, SoftToHard()),
        ("bfloat16", Residual(VectorQuantizer(codes=5, projection=2)), STE()),
        ("float16", EMA, STE()),
    ],
)
def test_a_trial_is_bit_equal_alone_and_in_a_stack(precision, quantizer, gradient):
    together = outcome(train(stack(quantizer, gradient, precision=precision)))
    assert [one[2] for one in together] == [None] * 3
    assert outcome(train(stack(quantizer, gradient, seeds=(4,), precision=precision))) == together[1:2]


@pytest.mark.parametrize("precision", list(LOW))
def test_a_training_that_was_cut_short_ends_bit_equal(tmp_path, monkeypatch, precision):
    # So large a scale that steps are skipped, and the scales are a part of what is kept.
    monkeypatch.setattr(scaling, "FIRST", 2.0**24)
    whole = stack(precision=precision)
    expected = outcome(train(whole))
    with monkeypatch.context() as patched:
        stop_at(patched, 12)
        with pytest.raises(Stopped):
            train(whole, keep=Keep(tmp_path, checkpoint_every=8))
    assert outcome(train(whole, keep=Keep(tmp_path, checkpoint_every=8))) == expected


def test_each_part_computes_in_its_precision():
    for quantizer_precision in ("float32", "same"):
        training = begin(stack(quantizer_precision=quantizer_precision))
        training.advance(8)
        model, frames = training.model, training.held_out.part(0, 32)
        latents = model.encode(frames)
        received = model.hard(model.prepare(latents), Moment(1.0, training.streams, training=False)).values
        low = torch.bfloat16
        assert torch.equal(latents, rounded(latents, low))
        output = model.decode(received, frames)
        assert torch.equal(output, rounded(output, low))
        assert torch.equal(received, rounded(received, low)) == (quantizer_precision == "same")
        buffers = torch.cat([model.quantizer[name].flatten() for name in ("codewords", "counts", "sums")])
        assert torch.equal(buffers, rounded(buffers, low)) == (quantizer_precision == "same")
        matrix = model.parameters.matrix
        assert not torch.equal(matrix, rounded(matrix, low))  # float32 weights are kept
        matrix.copy_(rounded(matrix, low))
        assert torch.equal(model.encode(frames), latents)  # and not computed with
        assert torch.equal(model.decode(received, frames), output)


def test_indices_decode_in_the_precision_of_the_quantizer():
    """What prefixes and wrong indices are measured by is what the code itself is made of."""
    training = begin(stack(Residual(VectorQuantizer(codes=5, projection=2), 3), quantizer_precision="same"))
    training.advance(8)
    model = training.model
    with torch.no_grad():
        code = model.hard(model.prepare(model.encode(training.held_out)), Moment(1.0, training.streams, training=False))
        assert torch.equal(model.values(code.indices), code.values)
        prefixes = model.prefixes(code.indices)
        assert torch.equal(prefixes[-1], code.values)
        assert all(torch.equal(one, rounded(one, torch.bfloat16)) for one in prefixes)
        assert not torch.equal(model.stack.quantizer.decode(model.quantizer, code.indices), code.values)


@pytest.mark.parametrize("precision", list(LOW))
def test_a_codebook_of_means_is_made_in_the_precision_of_the_quantizer(precision):
    training = begin(stack(VectorQuantizer(codes=12), VP(cluster_size_rate=2.0), precision=precision))
    training.advance(4)
    training._refit()
    codewords = training.model.quantizer["codewords"].detach()
    assert torch.equal(codewords, rounded(codewords, LOW[precision]))
    assert all(len(one.unique(dim=0)) == 12 for one in codewords)


@pytest.mark.parametrize("precision", list(LOW))
def test_draws_by_weight_are_not_bound_by_the_range_of_a_precision(precision):
    with computing(precision):
        found = draw(torch.full((1, 2000), 100.0), torch.tensor([[0.125, 0.5, 0.875]]))
    assert found.tolist() == [[250, 1000, 1750]]


def test_buffers_begin_rounded():
    model = begin(stack(replace(EMA, init_by="normal"))).model
    assert torch.equal(model.quantizer["sums"], rounded(model.quantizer["sums"], torch.bfloat16))


def test_precision_changes_little_here_but_something():
    results = {name: train(stack(steps=40, precision=name, seeds=(3,)))[0].metrics["mse"] for name in ("float32", *LOW)}
    assert len(set(results.values())) == 3
    assert max(results.values()) < 1.3 * min(results.values())


def test_float32_is_float32_whatever_the_quantizer_should_have():
    whole = {"precision": "float32", "seeds": (3,)}
    assert outcome(train(stack(**whole))) == outcome(train(stack(quantizer_precision="float32", **whole)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_part_of_a_training_takes_tf32_unless_it_is_asked_for(monkeypatch, precision):
    """cuDNN's convolutions would, by default: of losses and of discriminators, too."""
    seen, flags = set(), (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)

    def looking(of):
        def look(self, *arguments, **named):
            seen.update((of.__name__, one.fp32_precision) for one in flags)
            return of(self, *arguments, **named)

        return look

    for cls, name in ((MSE, "mean"), (MLP, "encode"), (Adam, "move"), (VectorQuantizer, "fit")):
        monkeypatch.setattr(cls, name, looking(getattr(cls, name)))
    assert torch.backends.cudnn.conv.fp32_precision == TF32
    train(stack(precision=precision, seeds=(3,)))
    assert {name for name, _ in seen} == {"mean", "encode", "move", "fit"}
    assert TF32 not in {kind for _, kind in seen}
    assert torch.backends.cudnn.conv.fp32_precision == TF32


def test_loss_scales_and_skipped_steps_are_those_of_pytorch(monkeypatch):
    """Against torch.amp.GradScaler with torch.optim.Adam, each trial by itself."""
    monkeypatch.setattr(scaling, "PATIENCE", 3)
    monkeypatch.setattr(scaling, "FIRST", 8.0)
    generator = torch.Generator().manual_seed(0)
    initial = torch.randn(2, 5, generator=generator)
    state = {"w": nn.Parameter(initial.clone())}
    parameters = Parameters([state])
    adam, scales = Adam(parameters, torch.full((2,), 0.1), torch.zeros(2), most=14), LossScales(2, torch.device("cpu"))
    peers = [nn.Parameter(initial[i].clone()) for i in range(2)]
    optimizers = [torch.optim.Adam([peer], lr=0.1) for peer in peers]
    scalers = [torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3) for _ in peers]
    for step in range(14):
        slopes = torch.randn(2, 5, generator=generator)
        if step in (0, 5, 6):
            slopes[step % 2, 2] = torch.inf
        gradient, finite = scales.unscale(parameters.gradient(((state["w"] * slopes).sum(1) * scales.scale).sum()))
        scales.update(finite)
        adam.step(gradient, gradient.norm(dim=1), taken=finite)
        for peer, optimizer, scaler, slope in zip(peers, optimizers, scalers, slopes, strict=True):
            optimizer.zero_grad()
            scaler.scale((peer * slope).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        assert scales.scale.tolist() == [scaler.get_scale() for scaler in scalers]
        assert torch.allclose(state["w"], torch.stack(list(peers)), atol=1e-6)
    assert adam.taken.tolist() == [12, 13]


def test_a_gradient_without_any_fitting_scale_is_divergence(monkeypatch):
    monkeypatch.setattr(scaling, "LEAST", 0.5)
    training = begin(stack(precision="float16"))
    training.scales.scale[1] = 2.0**126  # overflows, and is halved
    training.advance(8)
    assert [one.diverged for one in training.outcomes] == [None] * 3
    training.scales.scale[1] = 0.25  # below the least
    training.advance(8)
    reasons = [one.diverged for one in training.outcomes]
    assert reasons[0] is reasons[2] is None
    assert "loss scale" in reasons[1]


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"train\.precision=tf32: needs a GPU, and the device is cpu"):
        stack(precision="tf32")
    whole = re.escape("train.quantizer_precision=same: modules of other packages (quantizer: External)")
    with pytest.raises(ConfigError, match=whole):
        check_precision(External(), TrainSettings(precision="float16", quantizer_precision="same"))
    with pytest.raises(ConfigError, match=r"train\.precision='half': must be one of float32, tf32, bfloat16, float16"):
        stack(precision="half")
    assert replace(stack().train, quantizer_precision="float32").bottleneck == "float32"


def test_noise_has_the_precision_with_which_it_is_drawn():
    """A uniform number near 1 that is rounded gives a Gumbel number that is enormous, or none."""
    moment = Moment(0.0, Streams([0, 1]))
    logits = torch.zeros(2, 4000, 16)
    exact = gumbel(logits, Moment(0.0, Streams([0, 1])))
    for precision in LOW:
        with computing(precision):
            found = gumbel(logits, Moment(0.0, Streams([0, 1])))
        assert torch.equal(found, exact)
    assert gumbel(logits, moment).max() < 20
