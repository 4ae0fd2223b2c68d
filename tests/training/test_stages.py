import dataclasses

import pytest
import torch

from quantbench.codecs import MLP
from quantbench.components import joined
from quantbench.gradients import STE, VP, IndexPropagation, NonStationary
from quantbench.gradients.acting import Strategy
from quantbench.quantizers import LFQ, VRVQ, Code, Moment, Product, QINCo, Residual, Uniform, VectorQuantizer
from quantbench.simulators import Gaussian
from quantbench.streams import Streams
from quantbench.training import Stack, TrainSettings
from quantbench.training.evaluate import evaluate
from quantbench.training.run import begin
from quantbench.training.stages import usage_of_parts

torch.set_num_threads(1)


class Recorder:
    """A strategy whose calls are written down, with the frames that count in the losses of each."""

    draws = False

    def __init__(self, gradient, moment, memories):
        self.gradient, self.moment, self.memories = gradient, moment, iter(memories)
        self.calls, self.counted = [], []

    def counting(self, counted):
        self.counted.append(counted)
        return self

    def __call__(self, *given):
        memory = next(self.memories, {})
        received = self.gradient.pass_through(*given, dataclasses.replace(self.moment, memory=memory))
        self.calls.append((*given, received))
        return received


@pytest.mark.parametrize("quantizer", [Residual(VectorQuantizer(codes=8), 3, dropout=0.5), VRVQ(VectorQuantizer(codes=8), 3)])
@pytest.mark.parametrize(
    "gradient", [NonStationary(), IndexPropagation(), VP(cluster_size_rate=4, skewness_weight=0.1, kurtosis_weight=0.1)]
)
def test_a_strategy_has_no_loss_of_frames_that_a_stage_does_not_code(quantizer, gradient):
    """Its loss of a stage is that of the frames coded there, as if there were no others, times their share."""
    training = begun(quantizer, gradient)
    model, joint = training.model, training.stack.gradient
    latents = model.prepare(model.encode(training.held_out.part(0, 60))).detach()
    runs = []
    for kind in (Strategy, Recorder):
        moment = Moment(0.02, Streams([0, 1]))
        memories = [{name: one.clone() for name, one in memory.items()} for memory in model.memories]
        runs.append(kind(joint, moment, memories))
        model.stack.quantizer.forward(model.quantizer, latents, runs[-1], moment)
    strategy, recorder = runs
    assert len(strategy.losses) == len(recorder.calls) == len(recorder.counted) == 3
    for loss, (_, state, y, code, received), counted in zip(strategy.losses, recorder.calls, recorder.counted, strict=True):
        for trial, used in enumerate(counted[:, :, 0] > 0):
            frames = [one[trial : trial + 1, used] for one in (y, code.values, code.indices, received)]
            own = {name: tensor[trial : trial + 1] for name, tensor in state.items()}
            arguments = (frames[0], Code(frames[1], frames[2]), frames[3])
            alone = joined([gradient]).loss(joined([VectorQuantizer(codes=8)]), own, *arguments, Moment(0.02, Streams([trial])))
            assert loss[trial].item() == pytest.approx(alone.item() * used.float().mean().item(), rel=1e-4)
    assert 0.1 < recorder.counted[-1].mean() < 0.9


def begun(quantizer, gradient, seeds=(0, 1)):
    return begin(
        Stack.of(
            simulator=Gaussian(frame_dim=6),
            codec=MLP(hidden=16, latent_dim=4),
            quantizer=quantizer,
            gradient=gradient,
            train=TrainSettings(steps=30, batch=64, lr=3e-3, log_every=30),
            seeds=seeds,
            device="cpu",
        )
    )


def trained(quantizer, seeds=(0, 1)):
    training = begun(quantizer, STE(), seeds)
    training.advance()
    return training


def measured(training):
    return evaluate(training.model, training.held_out, training.streams, thorough=True)


@pytest.mark.parametrize(
    "quantizer",
    [
        Residual(VectorQuantizer(codes=8), 3, dropout=0.5),
        Residual(VectorQuantizer(codes=8, projection=2), 2, shared=True),
        Residual(Uniform(levels=3, bound="tanh"), 3),
        Residual(LFQ(), 2),
        Residual(Product(VectorQuantizer(codes=4), 2), 2),
        QINCo(codes=8, stages=2),
    ],
)
def test_a_prefix_is_what_fewer_stages_would_have_coded(quantizer):
    """Each stage takes its best code for what is left over, whatever comes after it."""
    training = trained(quantizer)
    found = measured(training)
    model, frames = training.model, training.held_out
    with torch.no_grad():
        latents = model.prepare(model.encode(frames))
        for stages in range(1, quantizer.stages + 1):
            values = dataclasses.replace(model.stack.quantizer, stages=stages).quantize(model.quantizer, latents).values
            error = (model.decode(values, frames) - frames.target).square().double().mean((1, 2))
            assert found[f"mse_{stages}"].tolist() == pytest.approx(error.tolist(), rel=1e-5)
    assert f"mse_{quantizer.stages + 1}" not in found
    assert torch.equal(found[f"mse_{quantizer.stages}"], found["mse"])
    assert (found["mse_1"] > found["mse"]).all()


def test_prefixes_by_hand_and_usage_by_hand():
    """Sums of codewords, looked up one by one."""
    training = trained(Residual(VectorQuantizer(codes=64), 2, beam=3))
    found, model, frames = measured(training), training.model, training.held_out
    with torch.no_grad():
        indices = model.stack.quantizer.quantize(model.quantizer, model.encode(frames)).indices
        for trial in range(2):
            first = model.quantizer["0.codewords"][trial][indices[trial, :, 0]]
            values = torch.zeros(2, *first.shape)
            values[trial] = first
            error = (model.decode(values, frames)[trial] - frames.target[trial]).square().mean()
            assert found["mse_1"][trial].item() == pytest.approx(error.item(), rel=1e-5)
            for stage in range(2):
                occurring = len(set(indices[trial, :, stage].tolist()))
                assert found[f"usage_{stage + 1}"][trial].item() == occurring / 64
    assert torch.equal((found["usage_1"] + found["usage_2"]) / 2, found["usage"])


def test_usage_of_parts_with_several_slots_of_several_sizes():
    counts = torch.tensor([[3.0, 0, 1, 0, 0, 4, 5, 6, 0], [1, 1, 1, 1, 1, 0, 0, 0, 9]])
    found = usage_of_parts(counts, [3, 2, 2, 2], [1, 1, 2])
    assert [found[f"usage_{i}"].tolist() for i in (1, 2, 3)] == [[2 / 3, 1], [0, 1], [3 / 4, 1 / 4]]
    assert usage_of_parts(counts, [9], []) == {}


def test_one_stage_groups_and_no_parts():
    one = measured(trained(Residual(VectorQuantizer(codes=8), 1)))
    assert torch.equal(one["mse_1"], one["mse"])
    assert torch.equal(one["usage_1"], one["usage"])
    groups = measured(trained(Product(VectorQuantizer(codes=8), 2)))
    assert [name for name in groups if name.endswith(("_1", "_2"))] == ["usage_1", "usage_2"]
    plain = measured(trained(VectorQuantizer(codes=8)))
    assert not [name for name in plain if name.endswith("_1")]


def test_curves_have_no_prefixes():
    training = trained(Residual(VectorQuantizer(codes=8), 2))
    assert "mse_1" not in evaluate(training.model, training.curve_frames, training.streams)
