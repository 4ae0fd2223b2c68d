"""Checkpoints, warm starts and exports: a training that stopped goes on as if it had not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quantbench.codecs import MLP, SEANet
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Gradient, Noise
from quantbench.quantizers import Quantizer, VectorQuantizer
from quantbench.simulators import Codeword
from quantbench.streams import Streams
from quantbench.training import Keep, Stack, TrainSettings, checkpoint, train, warm
from quantbench.training.configuration import configuration
from quantbench.training.run import begin
from quantbench.training.trainer import Training
from tests.training.test_state import same

EMA, NOISE = VectorQuantizer(codes=8, update_by="ema", restart=0.1, restart_every=7), Noise()
TIMES = {"seconds": None, "step_seconds": None}


class Stopped(Exception):
    """A power cut."""


def toy(quantizer: Quantizer = EMA, gradient: Gradient = NOISE, **settings: object) -> Stack:
    defaults: dict[str, object] = {"steps": 60, "batch": 16, "log_every": 20, "lr": 0.01}
    return Stack.of(
        simulator=Codeword(bits=4, frame_dim=4),
        codec=MLP(hidden=8, latent_dim=2),
        quantizer=quantizer,
        gradient=gradient,
        train=TrainSettings(**(defaults | settings)),  # type: ignore[arg-type]
        seeds=(0, 1),
        device="cpu",
        names=("first", "second"),
    )


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    whole = Training._step

    def cut(self: Training, at: int, frames: object) -> torch.Tensor:
        if at == step and self.purpose == "data":
            raise Stopped
        return whole(self, at, frames)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "_step", cut)


@pytest.mark.parametrize("warm_start", [0, 8])
def test_a_training_that_was_cut_short_ends_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_start: int) -> None:
    stack = toy(warm_start=warm_start)
    expected = train(stack)
    keep = Keep(tmp_path, checkpoint_every=10)
    with monkeypatch.context() as patched:
        stop_at(patched, 45)
        with pytest.raises(Stopped):
            train(stack, keep=keep)
    steps: list[int] = []
    first: list[int] = []
    whole = Training._step
    monkeypatch.setattr(Training, "_step", lambda self, at, frames: first.append(at) or whole(self, at, frames))
    found = train(stack, steps.append, keep)
    assert min(first) == 33  # kept at multiples of the 8 batches drawn ahead: after 16 and 32 steps
    assert sum(steps) == 60
    for one, other in zip(found, expected, strict=True):
        assert one.curves == other.curves
        assert one.metrics | TIMES == other.metrics | TIMES


def test_a_diverged_trial_stays_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = toy(VectorQuantizer(codes=8), STE(), explode=0.05, steps=40)
    expected = train(stack)
    assert all(outcome.diverged for outcome in expected)
    with monkeypatch.context() as patched:
        stop_at(patched, 30)
        with pytest.raises(Stopped):
            train(stack, keep=Keep(tmp_path, checkpoint_every=8))
    found = train(stack, keep=Keep(tmp_path, checkpoint_every=8))
    assert [one.diverged for one in found] == [one.diverged for one in expected]
    assert [one.metrics["mse"] for one in found] == [one.metrics["mse"] for one in expected]


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Keep(tmp_path, checkpoint_every=8)
    stop_at(monkeypatch, 30)
    with pytest.raises(Stopped):
        train(toy(), keep=keep)
    with pytest.raises(ConfigError, match=r"another configuration \(train\.lr: 0\.01 there, 0\.02 here\)"):
        train(toy(lr=0.02), keep=keep)
    checkpoint.path(tmp_path, ("first", "second")).write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match=r"cannot be read as a checkpoint"):
        train(toy(), keep=keep)


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    """The file knows nothing of trainings: any tensors and plain values, however nested."""
    state = {
        "step": 3,
        "whole": {"b": torch.arange(6.0).view(2, 3).t(), "empty": {}, "none": None, "marks": torch.tensor([True, False])},
        "several": [torch.ones(2, dtype=torch.float64), 1.5, [torch.zeros(0)]],
        "curve": [[0, "mse", float("inf")]],
    }
    here, metadata = [{"seed": 0}], {"names": ["only"], "trials": [{"seed": 0}]}
    file = checkpoint.path(tmp_path, ["only"])
    checkpoint.save(file, state, metadata)
    found = checkpoint.load(file, here, torch.device("cpu"))
    assert same(found, state) == []
    assert [path.name for path in file.parent.iterdir()] == ["only.safetensors"]
    assert checkpoint.foreign(tmp_path, ["only"]) == {}
    assert checkpoint.foreign(tmp_path, ["other"]) == {file: here}
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ConfigError, match=r"cannot be read as a checkpoint"):
        checkpoint.load(file, here, torch.device("cpu"))


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"metadata": "{}", "state": "{}"},
        {"metadata": '{"names": ["only"], "trials": []}', "state": "{}"},
        {"metadata": '{"names": [["only"]], "trials": [{}]}', "state": "{}"},
        {"metadata": '{"names": ["only"], "trials": [3]}', "state": "{}"},
        {"metadata": '{"names": ["only"], "trials": [{}]}', "state": "[]"},
        {"metadata": "[" * 100_000, "state": "{}"},
    ],
)
def test_a_checkpoint_that_says_nothing_is_named(tmp_path: Path, text: dict[str, str]) -> None:
    from safetensors.torch import save_file

    file = checkpoint.path(tmp_path, ["only"])
    file.parent.mkdir()
    save_file({"0": torch.zeros(1)}, file, text)
    with pytest.raises(ConfigError, match=r"cannot be read as a checkpoint.*delete it to start anew"):
        checkpoint.load(file, [{}], torch.device("cpu"))
    if text.get("state") != "[]":
        with pytest.raises(ConfigError, match=r"cannot be read as a checkpoint.*delete it to start anew"):
            checkpoint.foreign(tmp_path, ["other"])


def test_a_checkpoint_without_what_a_training_needs_is_named(tmp_path: Path) -> None:
    keep = Keep(tmp_path, checkpoint_every=8)
    stack = toy()
    trials = [configuration(stack, trial) for trial in range(2)]
    for state in ({}, {"step": 3, "stepping": 0.0, "model": 3}):
        checkpoint.save(checkpoint.path(tmp_path, stack.names), state, {"names": stack.names, "trials": trials})
        with pytest.raises(ConfigError, match=r"cannot be read as a checkpoint.*delete it to start anew"):
            train(stack, keep=keep)


def test_a_checkpoint_of_other_random_numbers_is_refused(tmp_path: Path) -> None:
    """As before streams had positions: its trials would be half of the one and half of the other."""
    stack = toy()
    trials = [configuration(stack, trial) for trial in range(2)]
    state = begin(stack).state_dict()
    state["generators"] = {purpose: torch.zeros(2, 5056, dtype=torch.uint8) for purpose in state.pop("streams")}
    file = checkpoint.path(tmp_path, stack.names)
    checkpoint.save(file, state, {"names": stack.names, "trials": trials})
    with pytest.raises(
        ConfigError, match=r"earlier version of QuantBench, which drew other random numbers; run the sweep anew, or"
    ):
        train(stack, keep=Keep(tmp_path, checkpoint_every=8))


def test_warm_weights_are_made_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = toy(warm_start=8)
    made: list[Stack] = []
    whole = Training.advance
    monkeypatch.setattr(Training, "advance", lambda self: made.append(self.stack) or whole(self))
    together = warm.warm_weights(stack, tmp_path)
    assert [one.seeds for one in made] == [(0, 1)]
    assert made[0].train.steps == 8
    again = warm.warm_weights(warm.part(replace(stack, gradient=STE()), [1, 0, 1]), tmp_path)
    assert len(made) == 1
    for name, tensor in together.items():
        assert torch.equal(again[name], tensor[[1, 0, 1]])
    warm.warm_weights(replace(stack, train=replace(stack.train, lr=torch.full_like(stack.train.lr, 0.1))), tmp_path)
    assert len(made) == 2
    # Frames of their own: what a trial sees after its warm start is what it would have seen without.
    alone = warm.warm_weights(warm.part(stack, [1]), tmp_path / "other")
    assert all(torch.equal(tensor[0], together[name][1]) for name, tensor in alone.items())


def test_the_quantizer_meets_latents_of_unit_variance(tmp_path: Path) -> None:
    training = begin(toy(warm_start=20))
    frames = training.stack.simulator.draw(training.world, Streams([0, 1]), 32, "first frames")
    encoded = training.model.encode(frames)
    assert torch.allclose((encoded - encoded.mean(1, keepdim=True)).square().mean((1, 2)), torch.ones(2), atol=0.2)


def test_warm_start_trains_without_quantization(tmp_path: Path) -> None:
    cold, warmed = train(toy())[0], train(toy(warm_start=200), keep=Keep(tmp_path))[0]
    assert warmed.curves[0][2] < cold.curves[0][2]


def test_exports_can_be_heard_and_loaded(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    from safetensors import safe_open

    from tests.simulators.test_audio import speech

    stack = Stack.of(
        simulator=speech(tmp_path / "recordings", segment=400, clip=2400, clips=4),
        codec=SEANet(channels=2, strides=(5, 4), latent_dim=2),
        quantizer=VectorQuantizer(codes=4),
        gradient=STE(),
        train=TrainSettings(steps=2, batch=2),
        device="cpu",
        names=("only",),
    )
    train(stack, keep=Keep(tmp_path, export=True))
    written = sorted(path.name for path in (tmp_path / "export" / "only").iterdir())
    assert written == ["clip-0.flac", "clip-1.flac", "clip-2.flac", "clip-3.flac", "weights.safetensors"]
    target, rate = soundfile.read(tmp_path / "export" / "target" / "clip-1.flac", dtype="float32")
    expected = stack.simulator.evaluation(stack.simulator.world(Streams([0])), Streams([0])).target[0, 1]
    assert rate == 16000
    assert torch.allclose(torch.from_numpy(target), expected, atol=1e-4)
    with safe_open(tmp_path / "export" / "only" / "weights.safetensors", "pt") as stored:
        assert json.loads(stored.metadata()["configuration"])["codec.channels"] == 2
        assert any(name.startswith("codec.encoder.") for name in stored.keys())  # noqa: SIM118
