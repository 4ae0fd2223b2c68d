import json

import numpy as np
import pytest
import torch

from quantbench.audio import recordings
from quantbench.audio.recordings import FULL_SCALE, at_level, audible_starts, load
from quantbench.errors import ConfigError
from tests.audio.signals import speech

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'audio'")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "quantbench"


def write(folder, names, seconds=0.5, rate=16000):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech(seconds, rate, seed=i), rate)
    return folder


@pytest.fixture
def speakers(tmp_path):
    return write(tmp_path / "speech", [f"{who}/{i}.{['wav', 'flac'][i % 2]}" for who in "abcde" for i in range(4)])


def held_out(waveforms):
    return set(waveforms.sources[len(waveforms.train_bounds) :])


def test_whole_speakers_are_held_out(speakers):
    found = load(speakers, 16000, 1000, 0.2, "auto")
    assert len({name.split("/")[0] for name in held_out(found)}) == 1
    assert len(held_out(found)) == len(found.held_out_bounds) == 4
    assert len(found.train_bounds) == 16
    assert found.train.dtype == torch.int16
    assert found.train_bounds.dtype == torch.int64
    assert found.train_bounds[0].tolist() == [0, 8000]
    assert len(found.train) == found.train_bounds[-1, 1] == 16 * 8000
    assert torch.equal(found.train_bounds[1:, 0], found.train_bounds[:-1, 1])


def test_the_number_of_speakers_comes_nearest_to_the_share(speakers):
    assert len(held_out(load(speakers, 16000, 1000, 0.45, "speaker"))) == 8
    assert len(held_out(load(speakers, 16000, 1000, 0.001, "speaker"))) == 4
    assert len(held_out(load(speakers, 16000, 1000, 0.999, "speaker"))) == 16


def test_files_of_two_speakers_are_split_by_file(tmp_path):
    folder = write(tmp_path / "speech", [f"{who}/{i}.wav" for who in "ab" for i in range(5)])
    assert len(held_out(load(folder, 16000, 1000, 0.3, "auto"))) == 3


def test_a_new_file_moves_no_speaker_and_at_most_one_file(speakers):
    before = {split: held_out(load(speakers, 16000, 1000, 0.2, split)) for split in ("speaker", "file")}
    for i in range(3):
        write(speakers, [f"a/new{i}.wav"])
        moved = {split: before[split] - held_out(load(speakers, 16000, 1000, 0.2, split)) for split in before}
        assert not moved["speaker"]
        assert len(moved["file"]) <= i + 1


def test_impossible_splits_name_setting_value_and_allowed(speakers):
    with pytest.raises(ConfigError, match=r"simulator.split=random: allowed are auto, speaker, file"):
        load(speakers, 16000, 1000, 0.2, "random")
    write(speakers, ["loose.wav"])
    with pytest.raises(ConfigError, match=r"simulator.split=speaker: .* 5 folders of speakers and 1 recordings outside"):
        load(speakers, 16000, 1000, 0.2, "speaker")


def test_left_out_files_are_named_and_counted(speakers, capsys):
    (speakers / "a" / "broken.flac").write_bytes(b"no audio")
    soundfile.write(speakers / "b" / "silent.wav", np.zeros(9000), 16000)
    write(speakers, [f"c/short{i}.wav" for i in range(7)], seconds=0.05)
    soundfile.write(speakers / "c" / "empty.wav", np.zeros(0), 16000)
    found = load(speakers, 16000, 1000, 0.2, "speaker")
    told = capsys.readouterr().err
    assert found.skipped == 10
    assert len(found.sources) == 20
    assert all(name in told for name in ("broken.flac", "silent.wav"))
    assert told.count("samples, fewer than 1000") == 5
    assert "10 of 30 recordings skipped: 1 unreadable, 8 too short, 1 silent" in told


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_sample_that_is_no_number_is_named(speakers, value):
    samples = np.zeros((9000, 2), np.float32)
    samples[4000:, 1] = value
    soundfile.write(speakers / "a" / "odd.wav", samples, 8000, subtype="FLOAT")
    with pytest.raises(ConfigError, match=rf"simulator\.folder: .*a/odd\.wav: sample 4000 \(0\.5 s\) is {value}"):
        load(speakers, 16000, 1000, 0.2, "speaker")


def test_nothing_left_is_an_error_with_numbers(tmp_path):
    folder = write(tmp_path / "speech", ["a.wav", "b.wav"])
    with pytest.raises(ConfigError, match=r"simulator.folder=.*nothing to train on in 2 recordings: .* 2 too short"):
        load(folder, 16000, 8001, 0.2, "auto")


def test_recordings_of_any_rate_and_number_of_channels_become_mono_at_one(tmp_path):
    folder = write(tmp_path / "speech", ["a.wav", "b.wav"])
    write(folder, ["c.wav", "d.wav"], rate=44100)
    stereo = speech(0.5, 8000)
    soundfile.write(folder / "e.wav", np.stack([stereo, stereo], 1), 8000)
    found = load(folder, 16000, 1000, 0.2, "auto")
    bounds = torch.cat([found.train_bounds, found.held_out_bounds])
    assert (bounds[:, 1] - bounds[:, 0]).tolist() == [8000] * 5


def test_the_cache_equals_the_fresh_result_and_is_used(speakers, cache, monkeypatch):
    files = recordings.find(speakers)
    chosen = recordings.held_out_by("auto", speakers, files, 0.2)
    decoded = recordings.decode(speakers, files, chosen, 16000, 9, lambda samples: at_level(samples, 16000))
    fresh = recordings._waveforms(decoded)
    load(speakers, 16000, 9, 0.2, "auto")
    assert len(list(cache.iterdir())) == 3
    assert json.loads(next(cache.glob("*.json")).read_text())["skipped"] == 0
    monkeypatch.setattr(recordings, "decode", None)
    cached = load(speakers, 16000, 9, 0.2, "auto")
    assert torch.equal(cached.train, fresh.train)
    assert torch.equal(cached.held_out, fresh.held_out)
    assert torch.equal(cached.train_bounds, fresh.train_bounds)
    assert torch.equal(cached.held_out_bounds, fresh.held_out_bounds)
    assert cached.sources == fresh.sources


def test_a_damaged_cache_is_made_again(speakers, cache):
    before = load(speakers, 16000, 9, 0.2, "auto").train.clone()
    next(cache.glob("*-train.npy")).write_bytes(b"")
    assert torch.equal(load(speakers, 16000, 9, 0.2, "auto").train, before)


def test_without_a_cache_folder_it_goes_on_in_memory(speakers, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load(speakers, 16000, 1000, 0.2, "auto").train) == 16 * 8000
    assert "waveforms are not cached" in capsys.readouterr().err


@pytest.mark.parametrize("gain", [0.05, 1.0, 3.0])
def test_the_level_does_not_depend_on_the_gain_or_on_pauses(gain):
    loud = gain * speech(1.0)
    level = at_level(loud, 16000) / FULL_SCALE
    assert np.allclose(level, at_level(speech(1.0), 16000) / FULL_SCALE, atol=1 / FULL_SCALE)
    assert np.array_equal(at_level(np.concatenate([loud, np.zeros(16000, np.float32)]), 16000)[:16000], at_level(loud, 16000))


def test_a_steady_tone_has_24_dbfs_and_a_click_stays_below_full_scale():
    tone = np.sin(0.3 * np.arange(16000)).astype(np.float32)
    assert 20 * np.log10(np.sqrt(np.mean((at_level(tone, 16000) / FULL_SCALE) ** 2))) == pytest.approx(-16, abs=0.01)
    tone[8000] = 1000
    assert np.abs(at_level(tone, 16000)).max() == round(0.99 * FULL_SCALE)


def test_audible_starts_lie_on_the_grid_and_leave_silence_out():
    generator = np.random.default_rng(0)
    loud = generator.normal(0, 3000, 5000)
    samples = torch.tensor(np.concatenate([loud, np.zeros(3000), loud, loud[:50]]).astype(np.int16))
    bounds = torch.tensor([[0, 5000], [5000, 13000], [13000, 13050]])
    starts = audible_starts(samples, bounds, 1000, 300)
    rms = [(s, (samples[s : s + 1000].double() / FULL_SCALE).square().mean().sqrt()) for s in range(0, 4001, 300)]
    rms += [(s, (samples[s : s + 1000].double() / FULL_SCALE).square().mean().sqrt()) for s in range(5000, 12001, 300)]
    assert starts.tolist() == [s for s, level in rms if level > 10 ** (-50 / 20)]
    assert starts.dtype == torch.int64
    assert not len(audible_starts(torch.zeros(5000, dtype=torch.int16), bounds[:1], 1000, 300))
