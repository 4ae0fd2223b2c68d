"""The simulator of real waveforms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.simulators import Audio
from quantbench.streams import Streams

soundfile = pytest.importorskip("soundfile")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def speech(folder: Path, files: int = 6, seconds: float = 0.5, **settings: object) -> Audio:
    """A simulator of a folder of made-up recordings: modulated noise at a level of each file's own."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(files):
        time = np.arange(int(16000 * seconds)) / 16000
        samples = random.normal(size=len(time)) * (1.1 + np.sin(2 * np.pi * 4 * time)) * 0.01 * (number + 1)
        soundfile.write(folder / f"{number}.flac", samples, 16000)
    return Audio(folder=str(folder), **settings)  # type: ignore[arg-type]


def test_segments_are_pieces_of_the_recordings(tmp_path: Path) -> None:
    simulator = speech(tmp_path / "speech", segment=400, clip=2400, clips=3)
    simulator.check()
    streams = Streams([0, 1, 0])
    world = simulator.world(streams)
    frames = simulator.draw(world, streams, 50)
    assert frames.input.shape == (3, 50, 400)
    assert frames.target is frames.input
    assert torch.equal(frames.input[0], frames.input[2])
    assert not torch.equal(frames.input[0], frames.input[1])
    train = world["train"].float() / 2**15
    for segment in frames.input[0, :5]:
        (starts,) = torch.where(train.unfold(0, 400, 1)[:, :8].eq(segment[:8]).all(1))
        assert any(torch.equal(train[start : start + 400], segment) for start in starts)


def test_all_recordings_have_one_level(tmp_path: Path) -> None:
    simulator = speech(tmp_path / "speech", segment=400, clip=4000, clips=3)
    streams = Streams([0])
    clips = simulator.evaluation(simulator.world(streams), streams)
    assert clips.input.shape == (1, 1, 4000) or clips.input.shape == (1, 3, 4000)
    assert clips.input.square().mean(-1).sqrt() == pytest.approx(10 ** (-16 / 20), rel=0.3)


def test_evaluation_is_of_recordings_that_training_never_sees(tmp_path: Path) -> None:
    simulator = speech(tmp_path / "speech", segment=400, clip=2400, held_out=0.3)
    streams = Streams([0])
    world = simulator.world(streams)
    assert len(world["train"]) == 4 * 8000
    assert len(world["held_out"]) == 2 * 8000


def test_too_long_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"simulator\.clip=32000: no held-out recording"):
        speech(tmp_path / "speech").prepare()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "people"}, r"simulator\.split=people: must be one of auto, speaker, file"),
        ({"segment": 10}, r"simulator\.segment=10: must be at least 64"),
        ({"folder": "/nowhere"}, r"simulator\.folder=/nowhere: no such folder"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Audio(**settings).check()  # type: ignore[arg-type]


def test_a_perfect_output_has_no_distance(tmp_path: Path) -> None:
    simulator = speech(tmp_path / "speech", segment=4000, clip=4000)
    streams = Streams([0, 1])
    clips = simulator.evaluation(simulator.world(streams), streams).input
    noisy = torch.stack([clips[0], clips[1] + 0.1 * clips[1].flip(-1)])
    found = simulator.measures(noisy, clips, thorough=False)
    assert found["mel_distance_db"][0] == 0
    assert found["mel_distance_db"][1] > 0.5
    assert found["si_sdr_db"][0] == 100
    assert 15 < found["si_sdr_db"][1] < 25
