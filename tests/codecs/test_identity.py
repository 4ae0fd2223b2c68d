"""Only the bottleneck trains, on frames that are latents already."""

import pytest
import torch

from quantbench.codecs import Identity
from quantbench.errors import ConfigError
from quantbench.gradients import STE
from quantbench.quantizers import FSQ, Residual, VectorQuantizer
from quantbench.quantizers import Identity as NoQuantizer
from quantbench.simulators import Gaussian, Rotation
from quantbench.training import Stack, TrainSettings, train, trainer
from quantbench.training.keep import Keep
from quantbench.training.run import begin

QUICK = Keep(references=False, yardsticks=False)


def stack(quantizer, seeds=(0, 1), **settings):
    given = {"steps": 40, "batch": 32, "log_every": 20} | settings
    return Stack.of(
        simulator=Gaussian(frame_dim=4),
        codec=Identity(latent_dim=4),
        quantizer=quantizer,
        gradient=STE(),
        train=TrainSettings(**given),
        seeds=seeds,
        device="cpu",
    )


def outcome(whole):
    return [
        ({k: v for k, v in one.metrics.items() if k not in ("seconds", "step_seconds")}, one.curves)
        for one in train(whole, keep=QUICK)
    ]


@pytest.mark.parametrize(
    "quantizer", [VectorQuantizer(codes=8), VectorQuantizer(codes=8, update_by="ema"), FSQ(levels=4), NoQuantizer()]
)
def test_a_trial_is_what_it_is_alone(quantizer):
    assert outcome(stack(quantizer, (1,))) == outcome(stack(quantizer))[1:]


def test_a_codebook_learns_and_latents_stay():
    training = begin(stack(VectorQuantizer(codes=8), steps=400, lr=1e-2))
    assert torch.equal(training.model.encode(training.held_out), training.held_out.input)
    before = training.outcomes[0].curves
    first = next(value for _, name, value in before if name == "mse")
    training.advance()
    last = [value for _, name, value in training.outcomes[0].curves if name == "mse"][-1]
    assert last < 0.95 * first
    assert float(training.norm.min()) > 0


@pytest.mark.parametrize("quantizer", [FSQ(levels=5), Residual(stage=FSQ(levels=3), stages=2)])
def test_where_nothing_trains_it_is_measured_and_said(quantizer, capsys):
    whole = stack(quantizer, steps=10**9, batch=33)
    training = begin(whole)
    assert training.model.still
    trainer._say_once.cache_clear()
    results = train(whole, keep=QUICK)
    assert "nothing to train" in capsys.readouterr().err
    held_out = training.held_out.input
    latents = training.model.prepare(held_out)
    expected = training.model.decode(quantizer.quantize(training.model.quantizer, latents).values, training.held_out)
    assert results[0].metrics["mse"] == pytest.approx(float((expected[0] - held_out[0]).square().mean()), rel=1e-5)
    assert [step for step, name, _ in results[0].curves if name == "mse"] == [0, 10**9]
    assert results[0].diverged is None


def test_a_warm_start_has_nothing_to_do():
    warm = outcome(stack(VectorQuantizer(codes=8), warm_start=50))
    assert warm == outcome(stack(VectorQuantizer(codes=8)))


@pytest.mark.parametrize(
    ("simulator", "dim", "message"),
    [(Gaussian(frame_dim=4), 8, r"codec.latent_dim=8: must be 4, as many"), (Rotation(), 8, "gives back what it takes")],
)
def test_what_does_not_fit_is_refused(simulator, dim, message):
    with pytest.raises(ConfigError, match=message):
        Stack.of(simulator=simulator, codec=Identity(latent_dim=dim), quantizer=FSQ(), gradient=STE())


def test_the_choice_takes_its_dimensions_from_the_simulator(quantbench):
    words = ["run", "codec=identity", "simulator=gaussian", "dry_run=true", "executor=inline"]
    code, _, err = quantbench(*words, "-m", "simulator.frame_dim=3,6")
    assert code == 0, err
    code, _, err = quantbench(*words, "simulator.frame_dim=3", "codec.latent_dim=4")
    assert (code, "codec.latent_dim=4: must be 3" in err) == (2, True)
    code, _, err = quantbench(*words, "simulator.frame_dim=three")
    assert (code, "simulator.frame_dim='three': must be an integer" in err) == (2, True)
