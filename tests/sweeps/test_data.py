"""The data that a trial is trained on is part of who it is; where the data lies is not."""

import os
import shutil
import sys

import numpy as np
import pytest
import yaml

from quantbench.audio import recordings
from quantbench.errors import ConfigError
from quantbench.results.tables import read_results
from quantbench.simulators import AudioFrames, Gaussian
from quantbench.sweeps.data import with_absolute_paths
from quantbench.sweeps.plan import plan
from quantbench.sweeps.sweep import Combination, Sweep
from tests.conftest import SMALL
from tests.sweeps.test_plan import CHOICES, config

soundfile = pytest.importorskip("soundfile")

RUN = ["executor=inline", "simulator=audio_frames", "simulator.frame_dim=12", *SMALL[:-1]]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def record(folder, seed=0, files=3):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(files):
        soundfile.write(folder / f"{number}.flac", 0.1 * random.standard_normal(8000), 16000)
    return folder


def identity(folder, **changes):
    simulator = {"_target_": "quantbench.simulators.AudioFrames", "folder": str(folder), "frame_dim": 12} | changes
    one = config() | {"simulator": simulator}
    one["quantizer"] = one["quantizer"] | {"codes": 16}
    return plan(Sweep([], [], [Combination(CHOICES, one)])).trials[0].id


def test_the_same_recordings_elsewhere_are_the_same_trial(tmp_path):
    first = record(tmp_path / "here")
    shutil.copytree(first, tmp_path / "there" / "deep")
    for path in (tmp_path / "there" / "deep").iterdir():
        os.utime(path, (1, 1))  # and copied at another time
    assert identity(first) == identity(tmp_path / "there" / "deep")
    assert identity(first) != identity(first, frame_dim=10)


@pytest.mark.parametrize("change", ["content", "name", "new file"])
def test_other_recordings_are_another_trial(tmp_path, change):
    folder = record(tmp_path / "here")
    before = identity(folder)
    if change == "content":
        with (folder / "0.flac").open("ab") as file:
            file.write(b"more")
    elif change == "name":  # names decide which files are held out
        (folder / "0.flac").rename(folder / "9.flac")
    else:
        shutil.copy(folder / "0.flac", folder / "9.flac")
    assert identity(folder) != before


def test_recordings_are_read_once_for_their_fingerprint(tmp_path, monkeypatch):
    folder = record(tmp_path / "here")
    found = AudioFrames(folder=str(folder)).fingerprint()
    assert Gaussian().fingerprint() == ""
    monkeypatch.setattr(recordings, "_content", lambda path: pytest.fail("read again"))
    assert AudioFrames(folder=str(folder)).fingerprint() == found
    monkeypatch.undo()
    (kept,) = (tmp_path / "cache" / "quantbench").glob("content-*.txt")
    kept.write_text("damaged")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert AudioFrames(folder=str(folder)).fingerprint() == found


def test_paths_of_a_sweep_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    audio = {"_target_": "quantbench.simulators.AudioFrames"}
    configs = [config() | {"simulator": audio | more} for more in ({"folder": "here"}, {}, {"folder": "${output}/x"})]
    combinations = [Combination(CHOICES, one) for one in [*configs, config()]]
    found = with_absolute_paths(Sweep([], [], combinations, {"simulator.folder": ["a", "/b", "${c}"], "seed": [0]}))
    folders = [one.config["simulator"].get("folder") for one in found.combinations]
    assert folders == [f"{tmp_path}/here", f"{tmp_path}/data/speech", "${output}/x", None]
    assert found.axes == {"simulator.folder": [f"{tmp_path}/a", "/b", "${c}"], "seed": [0]}
    assert configs[0]["simulator"]["folder"] == "here"  # the sweep that was given stays as it is


def test_resume_from_elsewhere_reads_the_same_recordings(quantbench, tmp_path, monkeypatch):
    record(tmp_path / "mine")
    code, _, err = quantbench("run", *RUN, "simulator.folder=mine", "-m", "seed=0,1")
    assert code == 0, err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    content = yaml.safe_load((folder / "sweep.yaml").read_text())
    assert content["combinations"][0]["config"]["simulator"]["folder"] == str(tmp_path / "mine")
    assert list(content["data"]) == [str(tmp_path / "mine")]
    before = read_results(folder)["mse"].tolist()
    (folder / "results.csv").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, _, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert read_results(folder)["mse"].tolist() == before


@pytest.fixture
def cut_short(quantbench, tmp_path):
    """The folder of a sweep of recordings of which one trial is missing."""
    record(tmp_path / "mine")
    words = ["--config-dir", str(tmp_path / "own"), "gradient=flaky,ste"]
    (tmp_path / "own" / "gradient").mkdir(parents=True)
    (tmp_path / "own" / "gradient" / "flaky.yaml").write_text("# Mine.\n_target_: my_flaky.Flaky\n")
    (tmp_path / "own" / "my_flaky.py").write_text(
        "from quantbench.components import component\nfrom quantbench.gradients import Gradient\n\n\n"
        "@component\nclass Flaky(Gradient):\n    def pass_through(self, *rest):\n        raise ValueError\n"
    )
    code, _, _ = quantbench("run", *RUN, "simulator.folder=mine", "-m", *words)
    assert code == 1
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    yield folder
    sys.modules.pop("my_flaky", None)


def test_resume_on_other_recordings_is_refused_by_the_name_of_the_folder(quantbench, cut_short, tmp_path):
    table = (cut_short / "results.csv").read_bytes()
    shutil.move(tmp_path / "mine", tmp_path / "kept")
    record(tmp_path / "mine", seed=1)
    words = ["resume", str(cut_short), "--config-dir", str(tmp_path / "own")]
    code, out, err = quantbench(*words)
    assert code == 2
    assert f"{tmp_path / 'mine'}: the data in it is not what this sweep began with" in err
    assert "resuming" not in out
    assert (cut_short / "results.csv").read_bytes() == table
    shutil.rmtree(tmp_path / "mine")
    code, _, err = quantbench(*words)
    assert code == 2
    assert f"simulator.folder={tmp_path / 'mine'}: no such folder" in err
    # Moved, and named anew: the recordings are the same, and so are the trials.
    sweep = cut_short / "sweep.yaml"
    sweep.write_text(sweep.read_text().replace(f"folder: {tmp_path / 'mine'}", f"folder: {tmp_path / 'kept'}"))
    code, out, _ = quantbench(*words)
    assert code == 1  # the class of this test still fails
    assert "2 trials are there" in out


def test_a_sweep_that_noted_no_data_is_not_resumed(quantbench, cut_short, tmp_path):
    content = yaml.safe_load((cut_short / "sweep.yaml").read_text())
    del content["data"]
    (cut_short / "sweep.yaml").write_text(yaml.safe_dump(content))
    code, _, err = quantbench("resume", str(cut_short), "--config-dir", str(tmp_path / "own"))
    assert code == 2
    assert "did not note what is in it" in err


def test_dry_runs_and_skipped_trials(quantbench, tmp_path):
    record(tmp_path / "mine")
    words = ["run", *RUN, "simulator.folder=mine", "-m", "quantizer=none,fsq", "gradient=ste,soft_to_hard"]
    code, out, err = quantbench(*words, "dry_run=true")
    assert code == 0, err
    assert "default: 4 trials in 3 stacks, 1 skipped" in out
    assert not (tmp_path / "outputs").exists()
    code, _, err = quantbench("run", *RUN, "simulator.folder=nowhere", "dry_run=true")
    assert code == 2
    assert f"simulator.folder={tmp_path}/nowhere: no such folder" in err


def test_data_that_is_no_mapping_is_no_sweep(tmp_path):
    Sweep([], [], [Combination(CHOICES, config())]).save(tmp_path / "sweep.yaml")
    text = (tmp_path / "sweep.yaml").read_text()
    (tmp_path / "sweep.yaml").write_text(text.replace("data: {}", "data: [1]"))
    with pytest.raises(ConfigError, match=r"data=\[1\]: must be a mapping"):
        Sweep.load(tmp_path / "sweep.yaml")
