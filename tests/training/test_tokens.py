import math

import pytest
import torch

from quantbench.codecs import MLP
from quantbench.components import component
from quantbench.gradients import STE, NoiseSTEMix, Universal
from quantbench.quantizers import Lattice, Quantizer, Residual, Uniform, VectorQuantizer
from quantbench.simulators import Frames, Gaussian, GaussMarkov
from quantbench.training import Stack, TrainSettings, train
from quantbench.training.evaluate import evaluate
from quantbench.training.run import begin
from quantbench.training.tokens import Disturbed

torch.set_num_threads(1)
TOKENS = {"context_bits", "context_bits_error", "ngram_bits", "stability", "flip_damage"}


@component
class Through(MLP):
    """The latents are the frames, and the output is what is decoded."""

    def encode(self, weights, frames):
        return frames

    def decode(self, weights, latents, side, frames):
        return latents


@component
class Short(GaussMarkov):
    """Few frames to evaluate."""

    held_out_frames = 512


def begun(quantizer, simulator=None, gradient=None, codec=None, seeds=(0, 1)):
    simulator = simulator or Gaussian(frame_dim=4)
    stack = Stack.of(
        simulator=simulator,
        codec=codec or Through(hidden=4, latent_dim=simulator.input_dim),
        quantizer=quantizer,
        gradient=gradient or STE(),
        train=TrainSettings(steps=2, batch=64, log_every=2),
        seeds=seeds,
        device="cpu",
    )
    return begin(stack)


def measured(training, thorough=True):
    return evaluate(training.model, training.held_out, training.streams, thorough=thorough)


def test_signs_of_a_normal_source_have_a_known_stability_and_damage():
    """Noise of a tenth turns x to the other side of 0 with the chance arctan(0.1) / pi; the wrong one of two levels -a and a
    adds (|x| + a)**2 - (|x| - a)**2 = 4 a |x| to the error of one dimension of four."""
    found = measured(begun(Uniform(levels=2)))
    level = 1.0
    assert found["mse"].tolist() == pytest.approx([1 - 4 * level * math.sqrt(0.5 / math.pi) + level**2] * 2, rel=0.02)
    assert found["stability"].tolist() == pytest.approx([1 - math.atan(0.1) / math.pi] * 2, abs=1e-3)
    assert found["flip_damage"].tolist() == pytest.approx([4 * level * math.sqrt(2 / math.pi) / 4] * 2, rel=0.02)


def test_one_index_is_wrong_and_every_other_one_is_as_likely():
    training = begun(Residual(VectorQuantizer(codes=4), 3))
    disturbed = Disturbed(training.model, training.held_out, training.streams)
    right = torch.randint(4, (2, 6000, 3))
    alphabet = torch.tensor([4, 4, 4])
    step = (disturbed._one_wrong(right, alphabet) - right) % 4
    assert ((step != 0).sum(-1) == 1).all()
    counts = torch.stack([(step == by).sum(1) for by in (1, 2, 3)])
    assert ((counts - 6000 / 9).abs() < 110).all()
    sizes = torch.tensor([2, 1, 3])
    wrong = disturbed._one_wrong(torch.zeros(2, 500, 3, dtype=torch.long), sizes)
    assert ((wrong >= 0) & (wrong < sizes)).all()


def test_nothing_else_changes_by_what_is_drawn_for_tokens():
    """Strategies that draw while evaluating see the numbers that they saw before there were tokens."""
    gradient = NoiseSTEMix()
    quick = measured(begun(Uniform(levels=4), gradient=gradient), thorough=False)
    training = begun(Uniform(levels=4), gradient=gradient)
    before = training.streams.state()
    found = measured(training)
    assert quick.keys() < found.keys()
    assert {name: found[name].tolist() for name in quick} == {name: one.tolist() for name, one in quick.items()}
    changed = {name for name, position in training.streams.state().items() if position != before.get(name, 0)}
    assert changed == {"token noise", "evaluation noise"}


def test_frames_that_stand_alone_are_no_sequence():
    found = measured(begun(Uniform(levels=2)))
    assert found.keys() & TOKENS == {"stability", "flip_damage"}


def test_a_dithered_code_is_no_token():
    found = measured(begun(Lattice(lattice="Z", levels=4), Short(frame_dim=2, in_a_row=64), Universal()))
    assert not found.keys() & TOKENS


def test_a_quantizer_that_decodes_no_indices_has_no_damage():
    @component
    class Silent(VectorQuantizer):
        decode = Quantizer.decode

    found = measured(begun(Silent(codes=8)))
    assert found.keys() & TOKENS == {"stability"}


def test_what_neighbouring_blocks_share_is_seen():
    """Signs of a process: the entropy of a sign given the one before it is that of an angle."""
    alone = measured(begun(Uniform(levels=2), GaussMarkov(frame_dim=1, correlation=0.9, in_a_row=64)))
    change = math.acos(0.9) / math.pi
    expected = -change * math.log2(change) - (1 - change) * math.log2(1 - change)
    for name, rel in (("context_bits", 0.02), ("ngram_bits", 0.04)):
        assert alone[name].tolist() == pytest.approx([expected] * 2, rel=rel)
    assert alone["spent_bits"].tolist() == pytest.approx([1, 1], abs=0.01)
    assert ((alone["context_bits"] - expected).abs() <= 3 * alone["context_bits_error"]).all()


def test_slots_add_up_and_a_stack_is_its_trials():
    simulator, quantizer = Short(frame_dim=4, in_a_row=16), Residual(VectorQuantizer(codes=4), 2)
    settings = TrainSettings(steps=4, batch=16, log_every=4)
    shared = {"simulator": simulator, "quantizer": quantizer, "gradient": STE(), "train": settings}

    def outcome(seeds):
        stack = Stack.of(**shared, codec=MLP(hidden=8, latent_dim=4), seeds=seeds, device="cpu")
        return [{name: one.metrics[name] for name in (*TOKENS, "mse_1", "usage_2")} for one in train(stack)]

    together = outcome((5, 6, 7))
    assert outcome((6,)) == together[1:2]
    assert all(0 < one["context_bits"] < 4 and one["context_bits"] < one["ngram_bits"] + 0.1 for one in together)


@component
class Pairs(Through):
    """A latent for every two samples."""

    def latents_per_frame(self, input_dim):
        return input_dim // 2

    def encode(self, weights, frames):
        return frames.reshape(len(frames), -1, 2)

    def decode(self, weights, latents, side, frames):
        return latents.reshape(len(latents), frames, -1)


@component
class Clips(Gaussian):
    """Clips of evaluation are longer than segments of training; all samples of a clip are one number."""

    def evaluation(self, world, streams):
        frame = streams.normal("evaluation", 300, 1).expand(-1, -1, 20)
        return Frames(frame, frame)


def test_the_codes_of_a_clip_are_a_sequence():
    """The sign of a clip costs a bit, once for both of its slots and all of its ten latents."""
    found = measured(begun(Uniform(levels=2), Clips(frame_dim=4), codec=Pairs(hidden=4, latent_dim=2)))
    assert found["context_bits"].tolist() == pytest.approx([0, 0], abs=1e-3)  # not 0 where parts have unlike shares of signs
    assert found["spent_bits"].tolist() == pytest.approx([2, 2], abs=0.02)
    assert found["ngram_bits"].tolist() == pytest.approx([2 / 10] * 2, abs=0.05)
    assert (found["stability"] > 0.9).all()


def test_a_strategy_that_decides_clip_by_clip_is_evaluated_on_clips_that_are_longer_than_segments():
    found = measured(begun(Uniform(levels=2), Clips(frame_dim=14), NoiseSTEMix(), codec=Pairs(hidden=4, latent_dim=2)))
    assert found["mismatch_db"].isfinite().all()
