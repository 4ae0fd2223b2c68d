import math

import pytest
import torch

from quantbench.codecs import MLP
from quantbench.components import component
from quantbench.gradients import STE, Gradient
from quantbench.quantizers import FSQ, Uniform, VectorQuantizer
from quantbench.simulators import Codeword, Gaussian, GaussMarkov
from quantbench.training import Stack, TrainSettings
from quantbench.training.evaluate import _counts, code_usage, evaluate
from quantbench.training.run import begin


def test_code_usage_by_hand():
    counts = torch.tensor([[4.0, 4, 0, 8, 6, 2], [16, 0, 0, 0, 8, 8]])
    usage = code_usage(counts, [4, 2])
    first = 1.5 + (0.75 * math.log2(4 / 3) + 0.25 * 2)
    assert usage["entropy_bits"].tolist() == pytest.approx([first, 0 + 1])
    assert usage["perplexity"][1].item() == pytest.approx((1 + 2) / 2)
    assert usage["usage"].tolist() == pytest.approx([5 / 6, 3 / 6])
    assert usage["dead_codes"].tolist() == [1, 3]


def test_counts_keep_slots_and_trials_apart():
    indices = torch.tensor([[[0, 1], [2, 1]], [[1, 0], [1, 1]]])
    assert _counts(indices, [3, 2]).tolist() == [[1, 0, 1, 0, 2], [0, 2, 0, 1, 1]]


@component
class Unquantized(Gradient):
    """The decoder is trained on the latents themselves."""

    def pass_through(self, quantizer, state, latents, code, moment):
        return latents


def test_mismatch_is_positive_where_the_hard_code_is_worse():
    settings = TrainSettings(steps=200, batch=64, lr=3e-3, log_every=200)
    stack = Stack.of(
        simulator=Gaussian(frame_dim=4),
        codec=MLP(hidden=16, latent_dim=4),
        quantizer=Uniform(levels=2),
        gradient=Unquantized(),
        train=settings,
        seeds=(0, 1),
        device="cpu",
    )
    training = begin(stack)
    training.advance()
    model, frames = training.model, training.held_out
    found = evaluate(model, frames, training.streams)
    with torch.no_grad():
        latents = model.prepare(model.encode(frames))
        code = stack.quantizer.quantize(model.quantizer, latents).values
        hard, trained_on = ((model.decode(what, frames) - frames.target).square().mean((1, 2)) for what in (code, latents))
    assert (hard > trained_on).all()
    assert found["mismatch_db"].tolist() == pytest.approx((10 * torch.log10(hard / trained_on)).tolist(), abs=1e-3)
    assert (found["mismatch_db"] > 1).all()


def trained(quantizer, frames):
    settings = TrainSettings(steps=1, batch=64)
    source = GaussMarkov(frame_dim=3, evaluation_frames=frames)
    parts = {
        "codec": MLP(hidden=8, latent_dim=3),
        "quantizer": quantizer,
        "gradient": STE(),
        "train": settings,
        "device": "cpu",
    }
    training = begin(Stack.of(simulator=source, seeds=(0, 1), **parts))
    found = evaluate(training.model, training.held_out, training.streams, thorough=True)
    with torch.no_grad():
        latents = training.model.prepare(training.model.encode(training.held_out))
        return found, training.stack.quantizer.quantize(training.model.quantizer, latents).indices


def test_usage_of_whole_codes_and_the_frames_that_it_is_counted_on():
    found, indices = trained(FSQ(levels=[5, 4, 3]), 90)
    assert indices.shape == (2, 90, 3)
    whole = [len({tuple(code) for code in trial.tolist()}) / 60 for trial in indices]
    assert found["joint_usage"].tolist() == pytest.approx(whole)
    assert found["frames_per_code"].tolist() == [18, 18]  # of the largest slot
    assert whole[0] < found["usage"][0]


def test_usage_of_one_slot_is_that_of_whole_codes_and_is_bounded_by_the_frames():
    found, _ = trained(VectorQuantizer(codes=40), 80)
    assert found["joint_usage"].tolist() == found["usage"].tolist()
    found, _ = trained(VectorQuantizer(codes=40), 10)
    assert (found["usage"] <= found["frames_per_code"]).all()
    assert found["joint_usage"].isnan().all()  # fewer frames than codes


@component
class Variable(VectorQuantizer):
    """Says what it spent."""

    def measure(self, state, indices, exact=False):
        return {"spent_bits": torch.full((len(indices),), 2.5 if exact else 1.25, dtype=torch.float64)}


@pytest.mark.parametrize(("simulator", "bits"), [(Gaussian(frame_dim=2), 1.25), (Codeword(bits=4, frame_dim=2), 2.5)])
def test_what_a_quantizer_spent_takes_the_place_of_the_sum_over_slots(simulator, bits):
    whole = Stack.of(
        simulator=simulator,
        codec=MLP(hidden=4, latent_dim=2),
        quantizer=Variable(codes=4),
        gradient=STE(),
        seeds=(0, 1),
        device="cpu",
    )
    training = begin(whole)
    found = evaluate(training.model, training.held_out, training.streams, thorough=True)
    assert found["spent_bits"].tolist() == [bits, bits]  # an alphabet is measured exactly
    assert found["joint_entropy_bits"].max() != bits
