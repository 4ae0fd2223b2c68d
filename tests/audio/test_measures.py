import math
import sys
import types

import numpy as np
import pytest
import torch

from quantbench.audio import measures
from quantbench.audio.measures import measure, si_sdr_db
from tests.audio.signals import speech

pytest.importorskip("transformers", reason="needs the extra 'audio'")


@pytest.fixture
def clips():
    return torch.from_numpy(np.stack([speech(2.0, seed=i) for i in range(2)]))


@pytest.fixture(autouse=True)
def no_visqol(monkeypatch):
    """ViSQOL is slow, and not installed everywhere."""
    monkeypatch.setitem(sys.modules, "visqol", None)


def noisy(clips, level=0.01):
    return clips + level * torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))


def test_si_sdr_of_an_example_made_by_hand():
    target = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    error = torch.tensor([[1.0, 1.0, -1.0, -1.0]])  # orthogonal to the target, zero mean
    assert si_sdr_db(target + 0.1 * error, target).item() == pytest.approx(20)
    assert si_sdr_db(3 * (target + 0.1 * error) + 5, target).item() == pytest.approx(20)


def test_si_sdr_is_finite_for_perfect_and_for_zero_outputs(clips):
    assert si_sdr_db(clips, clips).tolist() == [100, 100]
    assert si_sdr_db(0 * clips, clips).tolist() == [-100, -100]
    assert (si_sdr_db(0.3 * clips, clips) > 99).all()


def test_a_gain_of_ten_is_a_mel_distance_of_20_db():
    noise = 0.05 * torch.randn(3, 8000, generator=torch.Generator().manual_seed(0))
    assert measure(10 * noise, noise, 16000, False)["mel_distance_db"] == pytest.approx(20, abs=1e-3)


def test_the_mel_distance_does_not_depend_on_the_chunks(clips, monkeypatch):
    whole = measure(noisy(clips), clips, 16000, False)
    monkeypatch.setattr(measures, "CHUNK", 1)
    assert measure(noisy(clips), clips, 16000, False) == pytest.approx(whole)


def test_perfect_clips_have_the_best_scores(clips):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    found = measure(clips, clips, 16000, True)
    assert found["pesq"] == pytest.approx(4.64, abs=0.01)
    assert found["stoi"] == pytest.approx(1, abs=1e-6)
    assert found["mel_distance_db"] == 0
    assert (found["clips"], found["clips_skipped"]) == (2, 0)
    assert "visqol" not in found
    worse = measure(noisy(clips), clips, 16000, True)
    assert worse["pesq"] < found["pesq"]
    assert worse["stoi"] < found["stoi"]


def test_other_rates_are_resampled():
    pytest.importorskip("pesq")
    clips = torch.from_numpy(speech(2.0, 24000)[None])
    assert measure(clips, clips, 24000, True)["pesq"] == pytest.approx(4.64, abs=0.01)


@pytest.mark.parametrize("thorough", [False, True])
def test_silent_targets_are_skipped_and_counted(clips, thorough):
    target = torch.cat([clips, 1e-5 * clips[:1], torch.full_like(clips[:1], 0.5)])
    found = measure(noisy(target), target, 16000, thorough)
    assert (found["clips"], found["clips_skipped"]) == (2, 2)
    assert found["si_sdr_db"] == pytest.approx(measure(noisy(target)[:2], clips, 16000, False)["si_sdr_db"])
    assert measure(clips, 0 * clips, 16000, thorough) == {"clips": 0, "clips_skipped": 2}


def test_clips_too_short_for_a_measure_are_left_out_of_it(clips):
    start = 800  # within a syllable
    for samples, missing in ((500, {"mel_distance_db", "pesq", "stoi"}), (3000, {"pesq", "stoi"}), (5000, {"stoi"})):
        target = clips[:, start : start + samples]
        found = measure(noisy(target), target, 16000, True)
        assert not missing & found.keys()
        assert "si_sdr_db" in found
        assert (found["clips"], found["clips_skipped"]) == (2, 2)


def test_too_little_speech_for_stoi_is_skipped(clips):
    pytest.importorskip("pystoi")
    target = clips.clone()
    target[1, 4000:] = 0
    found = measure(noisy(target), target, 16000, True)
    assert (found["clips"], found["clips_skipped"]) == (2, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_outputs_that_are_not_finite_give_nan(clips, value):
    output = clips.clone()
    output[1, 100] = value
    found = measure(output, clips, 16000, True)
    assert all(math.isnan(score) for name, score in found.items() if not name.startswith("clips"))
    assert found["clips"] == 2


def test_a_silent_output_has_the_lowest_scores(clips):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    found = measure(0 * clips, clips, 16000, True)
    assert found["pesq"] == 1
    assert found["stoi"] == 0
    assert found["si_sdr_db"] == -100


def test_packages_that_are_not_installed_are_left_out(clips, monkeypatch):
    for package in ("pesq", "pystoi"):
        monkeypatch.setitem(sys.modules, package, None)
    assert measure(clips, clips, 16000, True).keys() == {"mel_distance_db", "si_sdr_db", "clips", "clips_skipped"}


def test_visqol_is_asked_for_speech_with_a_pinned_mapping(clips, monkeypatch):
    asked = {}

    class VisqolApi:
        def create(self, **settings):
            asked.update(settings)

        def measure_from_arrays(self, target, output, sample_rate):
            if np.array_equal(target, output):
                raise IndexError("list index out of range")
            return types.SimpleNamespace(moslqo=3.5)

    monkeypatch.setitem(sys.modules, "visqol", types.SimpleNamespace(VisqolApi=VisqolApi))
    measures._visqol.cache_clear()
    output = clips.clone()
    output[0] = noisy(clips)[0]
    found = measure(output, clips, 16000, True)
    measures._visqol.cache_clear()
    assert asked == {"mode": "speech", "use_lattice_model": False}
    assert found["visqol"] == 3.5
    assert found["clips_skipped"] == 1
