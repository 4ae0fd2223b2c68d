"""Reconstruction losses and the discriminators."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quantbench.codecs import SEANet
from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.gradients import STE
from quantbench.losses import MSE, Adversarial, Audio
from quantbench.quantizers import VectorQuantizer
from quantbench.streams import Streams
from quantbench.training import Keep, Stack, TrainSettings, train
from quantbench.training.run import begin

pytest.importorskip("transformers")


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def test_mean_square_error_is_per_frame() -> None:
    a, b = noise(2, 3, 5), torch.zeros(2, 3, 5)
    loss = joined([MSE()] * 2)
    assert torch.allclose(loss.each(a, b, None), a.square().mean(2))
    assert torch.allclose(loss.mean(a, b, None), a.square().mean((1, 2)))


def test_the_weight_of_the_squared_error_changes_only_the_loss() -> None:
    a, b = noise(2, 3, 5), torch.zeros(2, 3, 5)
    loss = joined([MSE(weight=1.0), MSE(weight=50.0)])
    assert torch.allclose(loss.mean(a, b, None), a.square().mean((1, 2)) * torch.tensor([1.0, 50.0]))
    assert torch.allclose(loss.each(a, b, None), a.square().mean(2) * torch.tensor([[1.0], [50.0]]))
    with pytest.raises(ConfigError, match=r"loss\.weight=0\.0: must be above 0"):
        MSE(weight=0.0).check()


def test_the_audio_loss_is_the_weighted_sum_of_its_parts() -> None:
    a, b = noise(2, 3, 2000), noise(2, 3, 2000).flip(-1)

    def each(**weights: float) -> torch.Tensor:
        return Audio(**({"mel": 0.0, "stft": 0.0, "waveform": 0.0} | weights)).each(a, b, 16000)  # type: ignore[arg-type]

    whole = each(mel=15.0, stft=2.0, waveform=3.0)
    assert whole.shape == (2, 3)
    assert torch.allclose(whole, 15 * each(mel=1.0) + 2 * each(stft=1.0) + 3 * each(waveform=1.0), rtol=1e-5)
    assert torch.allclose(each(waveform=1.0), (a - b).abs().mean(-1))
    assert torch.equal(Audio().each(a, a, 16000), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (Audio(mel=0.0), "at least one weight must be above 0"),
        (Audio(mel=-1.0), r"loss\.mel=-1\.0: must be at least 0"),
        (Audio(windows=(64,)), r"loss\.bands=.*a number for each of loss\.windows=\[64\]"),
        (Adversarial(critic_lr=0.0), r"loss\.critic_lr=0\.0: must be above 0"),
    ],
)
def test_wrong_settings_are_refused(loss: Audio, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loss.check()


def test_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="loss: compares waveforms"):
        Audio().check_input(None, {})
    with pytest.raises(ConfigError, match=r"simulator\.segment=1000: must be above 1024"):
        Audio().check_input(16000, {"simulator.segment": 1000})


def test_gradients_go_where_they_should() -> None:
    loss = Adversarial(critic_channels=1)
    state = loss.init(Streams([0, 1]))
    output, target = noise(2, 2, 2400).requires_grad_(), noise(2, 2, 2400).flip(-1)
    critics = loss.critic(state, output, target)
    assert critics.shape == (2,)
    assert not torch.equal(critics[0], critics[1])
    gradients = torch.autograd.grad(critics.sum(), [*state.values(), output], allow_unused=True)
    assert gradients[-1] is None
    assert all(one is not None and one.abs().sum() > 0 for one in gradients[:-1])
    against = loss.against(state, output, target)
    first, *others = torch.autograd.grad(against[0], [output, *state.values()], allow_unused=True)
    assert first[0].abs().sum() > 0
    assert first[1].abs().sum() == 0
    assert all(one is None for one in others)


def adversarial(tmp_path: Path, **settings: object) -> Stack:
    from tests.simulators.test_audio import speech

    return Stack.of(
        simulator=speech(tmp_path / "recordings", segment=2400, clip=2400, clips=2),
        codec=SEANet(channels=2, strides=(5, 4), latent_dim=2),
        quantizer=VectorQuantizer(codes=4),
        gradient=STE(),
        loss=Adversarial(critic_channels=1, **settings),  # type: ignore[arg-type]
        train=TrainSettings(steps=24, batch=2, log_every=24),
        device="cpu",
        names=("only",),
    )


def test_discriminators_learn_to_tell_a_codec_that_stands_still(tmp_path: Path) -> None:
    stack = adversarial(tmp_path, critic_lr=0.01)
    training = begin(replace(stack, train=replace(stack.train, lr=torch.full_like(stack.train.lr, 1e-12))))
    frames = training.held_out
    output = training.model.decode(training.model.prepare(training.model.encode(frames)), frames).detach()

    def told() -> float:
        return float(stack.loss.critic(training.model.critic, output, frames.target).detach())

    before = told()
    training.advance()
    assert told() < 0.9 * before


@pytest.mark.slow  # tests/training/test_state.py has its halves
def test_a_training_with_discriminators_resumes_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.training.test_checkpoint import TIMES, Stopped, stop_at

    stack = adversarial(tmp_path)
    (expected,) = train(stack)
    with monkeypatch.context() as patched:
        stop_at(patched, 20)
        with pytest.raises(Stopped):
            train(stack, keep=Keep(tmp_path, checkpoint_every=8))
    (found,) = train(stack, keep=Keep(tmp_path, checkpoint_every=8))
    assert found.metrics | TIMES == expected.metrics | TIMES
    assert isinstance(found.metrics["mel_distance_db"], float)
    assert math.isfinite(found.metrics["mel_distance_db"])
