import itertools
import math
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from quantbench.codecs import MLP
from quantbench.errors import ConfigError
from quantbench.gradients import MSTE, NSVQ, STE, VP, DiVeQ, Moment, Noise, Schedule, SoftThenHard, SoftToHard
from quantbench.quantizers import FSQ, Identity, Residual, Uniform, VectorQuantizer
from quantbench.simulators import Codeword, Gaussian, Rotation
from quantbench.training import Keep, Stack, TrainSettings, train
from quantbench.training.run import begin
from quantbench.training.warm import part

torch.set_num_threads(1)


def stack(trials, quantizer=None, gradient=None, simulator=None, hidden=16, latent_dim=4, device="cpu", **settings):
    """A stack; of settings given as a tuple, each trial has its own."""
    given = {"steps": 60, "batch": 32, "log_every": 20} | settings

    def own(trial):
        return {name: value[trial] if isinstance(value, tuple) else value for name, value in given.items()}

    return Stack.of(
        simulator=simulator or Codeword(bits=4, frame_dim=6),
        codec=MLP(hidden=hidden, latent_dim=latent_dim),
        quantizer=quantizer or VectorQuantizer(codes=16),
        gradient=gradient or STE(),
        train=[TrainSettings(**own(trial)) for trial in range(trials)],
        seeds=range(trials),
        device=device,
    )


def results(outcomes):
    return [
        ({k: v for k, v in one.metrics.items() if k not in ("seconds", "step_seconds")}, one.curves, one.diverged)
        for one in outcomes
    ]


WEIGHTS = (0.0, 0.25, 1.0, 4.0, 0.5)


def each(cls, **settings):
    """Five quantizers with commitment losses of different weights."""
    return [cls(**settings, commitment=weight) for weight in WEIGHTS]


CASES = {
    "vq": (each(VectorQuantizer, codes=16), STE(), Codeword(bits=4, frame_dim=6)),
    "ema": (
        each(VectorQuantizer, codes=16, update_by="ema", restart=0.1, restart_every=5, init_by="kmeans"),
        MSTE(),
        Rotation(bits=2, frame_dim=3),
    ),
    "rvq": (
        [Residual(one, 2) for one in each(VectorQuantizer, codes=4)],
        Noise(distribution="gaussian"),
        Gaussian(frame_dim=6, evaluation_frames=1100),
    ),
    "soft": (
        each(VectorQuantizer, codes=16),
        [SoftToHard(temperature=Schedule(1 + weight, 0.1, "exponential")) for weight in WEIGHTS],
        Codeword(bits=4, frame_dim=6, nuisance=0.1),
    ),
    "fsq": (each(FSQ, levels=3), SoftToHard(), Gaussian(frame_dim=6, evaluation_frames=1100)),
    "odd sizes": ([Residual(one, 3) for one in each(VectorQuantizer, codes=5)], MSTE(), Codeword(bits=3, frame_dim=5)),
    "odd rotation": (each(VectorQuantizer, codes=17), STE(), Rotation(bits=2, frame_dim=3)),
    "projected": (
        [
            replace(one, affine_lr=one.commitment)
            for one in each(VectorQuantizer, codes=16, projection=3, search="cosine", affine=True, restart=0.1)
        ],
        DiVeQ(),
        Codeword(bits=4, frame_dim=6),
    ),
    "dropped": (
        Residual(
            VectorQuantizer(codes=8, projection=2, update_by="ema", restart=0.1, restart_every=3), 3, shared=True, dropout=0.5
        ),
        NSVQ(),
        Gaussian(frame_dim=6, evaluation_frames=1100),
    ),
    "remembered": (
        [Residual(one, 2) for one in each(VectorQuantizer, codes=8)],
        SoftThenHard(tail=0.3, first=VP(cluster_size_rate=2.0, update_probability=0.1)),
        Codeword(bits=4, frame_dim=6),
    ),
    "scalar": (each(Uniform, levels=(2, 3, 4, 5)), Noise(match="step"), Gaussian(frame_dim=6, evaluation_frames=1100)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_trial_is_bit_equal_alone_and_in_any_stack(case):
    quantizer, gradient, simulator = CASES[case]
    odd = {"hidden": 13, "latent_dim": 3, "batch": 33} if "odd" in case else {}
    rates = {"lr": (1e-3, 1e-3, 3e-3, 1e-2, 1e-3), "lr_end": (1.0, 0.1, 1.0, 0.0, 0.5)}
    whole = stack(5, quantizer, gradient, simulator, **rates, **odd)
    keep = Keep(references=False)  # a reference is found once a seed in a process, and has tests of its own
    together = results(train(whole, keep=keep))
    for chosen in ([0], [3], [1, 4], [4, 2, 0]):
        assert results(train(part(whole, chosen), keep=keep)) == [together[i] for i in chosen]


def test_how_often_a_codebook_is_made_changes_nothing_in_the_end():
    """Vector perturbation trains without a codebook; k-means makes one for every point of a curve, and at the end."""
    gradient = VP(cluster_size_rate=2.0)

    def ends(quantizer=None, **settings):
        whole = stack(2, quantizer, gradient, **settings)
        # Noise that measures the mismatch is drawn at every point of the curves.
        return [{name: value for name, value in one[0].items() if name != "mismatch_db"} for one in results(train(whole))]

    assert ends(log_every=10) == ends(log_every=60)
    other = VectorQuantizer(codes=16, commitment=3.0, codebook_weight=0.1)  # its own losses are left out
    assert ends(other) == ends()
    training = begin(stack(2, gradient=gradient))
    training.advance()
    made = training.model.quantizer["codewords"].detach().clone()
    training._refit()
    assert torch.equal(training.model.quantizer["codewords"], made)


def test_only_a_step_is_remembered():
    training = begin(stack(2, gradient=VP(cluster_size_rate=2.0, update_probability=1.0)))
    model, before = training.model, training.model.memories[0]["queue"].clone()
    latents = model.prepare(model.encode(training.held_out.part(0, 8)))
    model.pass_through(latents, Moment(0.0, training.streams))  # as an audit asks
    assert torch.equal(model.memories[0]["queue"], before)
    training.advance(1)
    assert not torch.equal(model.memories[0]["queue"], before)


def poison(mask, value):
    """STE that gives the trials in a mask, from a step on, something that no training survives."""

    def pass_through(quantizer, state, latents, code, moment):
        received = STE().pass_through(quantizer, state, latents, code, moment)
        bad = torch.tensor(mask)[:, None, None] & (moment.progress > 0.4) & (moment.progress < 1)
        return received * torch.where(bad, value, 1.0)

    gradient = STE()
    object.__setattr__(gradient, "pass_through", pass_through)
    return gradient


NOT_FINITE = (
    "what the decoder receives is the first that is not finite at step 25; try train.lr below 0.001, or train.clip of 1"
)


@pytest.mark.parametrize(
    ("value", "reason"), [(math.nan, NOT_FINITE), (math.inf, NOT_FINITE), (1e6, "train.explode=1000; try ")]
)
def test_a_diverging_trial_is_frozen_and_harms_no_neighbour(value, reason):
    healthy = results(train(stack(3)))
    outcomes = train(replace(stack(3), gradient=poison([False, True, False], value)))
    found = results(outcomes)
    assert found[0] == healthy[0]
    assert found[2] == healthy[2]
    metrics, curves, diverged = found[1]
    assert reason in diverged
    assert metrics["diverged_step"] == metrics["steps"] == 25
    assert max(step for step, _, _ in curves) < 25
    assert math.isfinite(metrics["mse"])  # frozen as it was before the step that ruined it
    assert metrics["mse"] < 2


def test_a_trial_that_the_last_step_ruins_has_diverged():
    outcomes = train(stack(2, steps=1, lr=(1e-3, 1e30)))
    assert outcomes[0].diverged is None
    assert "after the last step" in outcomes[1].diverged
    assert outcomes[1].metrics["diverged_step"] == 1


class Odd(Codeword):
    """A source of which some frames are not finite."""

    odd: ClassVar[str] = ""

    def draw(self, world, streams, frames, purpose="data"):
        drawn = super().draw(world, streams, frames, purpose)
        if purpose == self.odd:
            drawn.input[-1, 7, 2] = math.inf
        return drawn

    def evaluation(self, world, streams):
        return self.draw(world, streams, 64, "evaluation")


@pytest.mark.parametrize(("purpose", "what"), [("evaluation", "evaluation"), ("first frames", "first")])
def test_data_that_are_not_finite_are_bad_input(monkeypatch, purpose, what):
    monkeypatch.setattr(Odd, "odd", purpose)
    with pytest.raises(
        ConfigError, match=rf"simulator=Odd: the {what} frames hold inf \(the input of frame 7, feature 2, .*seed=1"
    ):
        train(stack(2, simulator=Odd(bits=4, frame_dim=6)))


def test_a_trial_says_what_was_first_not_finite(monkeypatch):
    monkeypatch.setattr(Odd, "odd", "data")
    outcomes = train(stack(2, simulator=Odd(bits=4, frame_dim=6)))
    assert [one.diverged for one in outcomes] == [
        None,
        "the data is the first that is not finite at step 1; look at the source",
    ]
    first, second = (one.diverged for one in train(stack(2, lr=(1000.0, 1e30), clip=(0.0, 0.5))))
    assert first.endswith("at step 2; try train.lr below 1000, or train.clip of 1")
    assert second.endswith("at step 2; try train.lr below 1e+30, or train.clip below 0.5")
    assert "is the first that is not finite" in second
    gradient = poison([True], 1e30)
    (found,) = train(replace(stack(1), gradient=gradient))
    assert found.diverged.startswith("the reconstruction loss is the first that is not finite at step 25")


def test_ste_without_commitment_makes_the_encoder_grow_and_mste_does_not():
    """The finding this project exists for, in small."""

    def growth(gradient, commitment):
        quantizer = VectorQuantizer(codes=64, commitment=commitment)
        whole = stack(3, quantizer, gradient, Codeword(bits=6), steps=1000, batch=128, log_every=1000)
        return [one.metrics["encoder_growth"] for one in train(whole)]

    assert min(growth(STE(), 0.0)) > 100
    assert max(growth(STE(), 1.0)) < 3
    assert max(growth(MSTE(), 0.0)) < 5


def test_a_learning_rate_that_falls_to_nothing_ends_in_rest():
    steps = {"steps": 100, "log_every": 1, "lr": 0.01}
    moving, resting = (train(stack(1, lr_end=end, **steps))[0] for end in (1.0, 0.0))

    def last_changes(outcome):
        mse = [value for _, name, value in outcome.curves if name == "mse"]
        return max(abs(a - b) for a, b in itertools.pairwise(mse[-6:]))

    assert last_changes(resting) < 0.1 * last_changes(moving)


def test_without_a_quantizer_the_codec_learns_the_source():
    (outcome,) = train(stack(1, Identity(), steps=1500, batch=64, lr=3e-3, log_every=1500))
    assert outcome.metrics["nmse_db"] < -25
    for name in ("rate_bits", "entropy_bits", "usage", "quantization_error", "perplexity"):
        assert outcome.metrics.get(name) is None


def test_metrics_of_a_finished_trial():
    (outcome,) = train(stack(1, steps=200))
    metrics = outcome.metrics
    assert metrics["source_bits"] == 4
    assert metrics["rate_bits"] == 4
    assert 0 < metrics["entropy_bits"] <= 4
    assert metrics["dead_codes"] == 16 * (1 - metrics["usage"])
    assert metrics["encoder_growth"] == pytest.approx(metrics["encoder_std"] / metrics["encoder_std_start"])
    assert metrics["mismatch_db"] == pytest.approx(0, abs=1e-4)  # STE passes the hard code itself
    assert metrics["diverged_step"] is None
    assert metrics["steps"] == 200
    steps = sorted({step for step, _, _ in outcome.curves})
    assert steps == list(range(0, 201, 20))
    at_end = {name: value for step, name, value in outcome.curves if step == 200}
    assert at_end["mse"] == metrics["mse"]
    assert at_end["encoder_std"] == metrics["encoder_std"]
    assert at_end["gradient_norm"] == metrics["gradient_norm"]


def test_noise_has_a_mismatch_and_side_information_is_used():
    (noisy,) = train(stack(1, gradient=Noise(), steps=200))
    assert abs(noisy.metrics["mismatch_db"]) > 0.01
    (told,) = train(stack(1, Identity(), simulator=Rotation(bits=1, frame_dim=2), steps=600, batch=128, lr=3e-3))
    assert told.metrics["nmse_db"] < -15
