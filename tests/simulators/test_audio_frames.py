import numpy as np
import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.simulators import AudioFrames
from quantbench.simulators.audio_frames import _load
from quantbench.simulators.splits import half
from quantbench.streams import Streams

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'audio'")


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _load.cache_clear()
    folder = tmp_path / "recordings"
    (folder / "speaker").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(10):
        rate = 8000 if i == 3 else 16000
        samples = 0.1 * generator.standard_normal((rate // 2, 2 if i == 4 else 1))
        suffix = ["wav", "flac", "ogg"][i % 3]
        soundfile.write(folder / "speaker" / f"{i}.{suffix}", samples, rate)
    return folder


def frames_of(simulator):
    streams = Streams([0, 1])
    world = simulator.world(streams)
    return simulator.draw(world, streams, 50), simulator.evaluation(world, streams)


def test_bands_are_normalised_and_files_are_split(recordings):
    simulator = AudioFrames(folder=str(recordings), frame_dim=12, held_out=0.2)
    simulator.check()
    drawn, held_out = frames_of(simulator)
    assert drawn.input.shape == (2, 50, 12)
    assert held_out.input.shape[0] == 2
    train = simulator.world(Streams([0]))["train"]
    assert torch.allclose(train.mean(0), torch.zeros(12), atol=1e-4)
    assert torch.allclose(train.std(0), torch.ones(12), atol=1e-2)
    files = 10
    assert held_out.input.shape[1] / (held_out.input.shape[1] + len(train)) == pytest.approx(2 / files, abs=0.03)


def test_validation_and_test_are_two_halves_in_whole_runs(recordings):
    parts = {
        part: frames_of(AudioFrames(folder=str(recordings), frame_dim=12, held_out=0.5, evaluate_on=part))[1]
        for part in ("all", "validation", "test")
    }
    joined = torch.cat([parts["validation"].input, parts["test"].input], dim=1)
    assert torch.equal(joined, parts["all"].input)
    assert parts["validation"].runs + parts["test"].runs == parts["all"].runs
    sizes = [parts[part].input.shape[1] for part in ("validation", "test")]
    assert abs(sizes[0] - sizes[1]) <= max(parts["all"].runs)
    assert all(sum(one.runs) == one.input.shape[1] for one in parts.values())
    _load.cache_clear()


def test_a_single_run_is_cut_in_the_middle():
    frames = torch.arange(7.0)[:, None]
    assert [part.flatten().tolist() for part in (half(frames, [7], True)[0], half(frames, [7], False)[0])] == [
        [0, 1, 2],
        [3, 4, 5, 6],
    ]
    assert half(frames, [7], False)[1] == [4]


def test_runs_end_with_files_and_before_silence(recordings):
    simulator = AudioFrames(folder=str(recordings), frame_dim=12, held_out=0.9, window=512, hop=256)
    for path in (recordings / "speaker").iterdir():
        samples = 0.1 * np.random.default_rng(1).standard_normal(512 + 256 * 29)
        samples[512 + 256 * 9 : 512 + 256 * 15] = 0  # frames 11 to 15 lie within
        path.unlink()
        soundfile.write(path.with_suffix(".flac"), samples, 16000)
    _, held_out = frames_of(simulator)
    assert held_out.runs == (11, 14) * 9
    assert sum(held_out.runs) == held_out.input.shape[1]
    _load.cache_clear()
    assert frames_of(simulator)[1].runs == held_out.runs  # from the cache
    assert held_out.part(0, 10).runs is None


def test_the_cache_is_used_and_follows_the_files(recordings, tmp_path, capsys):
    simulator = AudioFrames(folder=str(recordings), frame_dim=12)
    first = simulator.world(Streams([0]))["train"]
    cached = list((tmp_path / "cache" / "quantbench").glob("*.npz"))
    assert len(cached) == 1
    _load.cache_clear()
    assert torch.equal(first, simulator.world(Streams([0]))["train"])
    (recordings / "speaker" / "0.wav").unlink()
    _load.cache_clear()
    assert len(simulator.world(Streams([0]))["train"]) != len(first)


def test_corrupt_files_are_named_and_counted(recordings, capsys):
    (recordings / "broken.flac").write_bytes(b"no audio")
    frames_of(AudioFrames(folder=str(recordings), frame_dim=12))
    told = capsys.readouterr().err
    assert "broken.flac" in told
    assert "1 of 11 recordings skipped: 1 unreadable" in told


def test_nothing_readable_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"no audio")
    with pytest.raises(ConfigError, match="nothing to train on in 2 recordings: 2 unreadable"):
        AudioFrames(folder=str(tmp_path)).prepare()


def test_a_missing_folder_says_which_command_fetches_it(tmp_path):
    with pytest.raises(ConfigError, match=r"simulator.folder=.*missing.*scripts/get_audio.sh"):
        AudioFrames(folder=str(tmp_path / "missing")).check()


def test_bands_that_hold_no_frequency_are_refused(recordings):
    with pytest.raises(ConfigError, match=r"simulator.frame_dim=200: .* mel bands hold no frequency"):
        AudioFrames(folder=str(recordings), frame_dim=200).check()


def test_recordings_that_would_poison_every_mean_are_left_out(recordings, capsys):
    soundfile.write(recordings / "silent.wav", np.zeros(9000), 16000)
    drawn, held_out = frames_of(AudioFrames(folder=str(recordings), frame_dim=12))
    assert drawn.input.isfinite().all()
    assert held_out.input.isfinite().all()
    assert "1 of 11 recordings skipped: 0 unreadable, 0 too short, 1 silent" in capsys.readouterr().err


def test_recordings_with_a_sample_that_is_no_number_are_refused(recordings):
    soundfile.write(recordings / "nan.wav", np.full(9000, np.nan, np.float32), 16000, subtype="FLOAT")
    with pytest.raises(ConfigError, match=r"nan\.wav: sample 0 \(0 s\) is nan"):
        frames_of(AudioFrames(folder=str(recordings), frame_dim=12))
