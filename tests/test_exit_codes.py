"""0: done, 1: something failed, 2: bad input and nothing was done; 130, interrupted, is tested where that is."""

import sys

import pytest

from quantbench.errors import ConfigError
from quantbench.points import Points
from quantbench.results.tables import read_results
from quantbench.sweeps.executors import Inline
from quantbench.sweeps.trial import Record
from quantbench.sweeps.verdict import MOST_REASONS, tell
from tests.conftest import SMALL

RUN = ["run", "executor=inline", *SMALL]
EXPLODE = "train.explode=1e-9"


def only_run(tmp_path):
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    return folder


def test_a_trial_that_diverged_is_a_result_and_told(quantbench, tmp_path):
    code, _, err = quantbench(*RUN, EXPLODE, "-m", "seed=0,1,2")
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("diverged")]
    assert len(lines) == 1
    assert lines[0].startswith("diverged: 3 x distortion ")
    what = "times the target's power at step 1, more than train.explode=1e-09; try train.lr below 0.001, or train.clip of 1"
    assert lines[0].endswith(f"{what}, and the like")
    folder = only_run(tmp_path)
    assert set(read_results(folder)["status"]) == {"diverged"}
    assert quantbench("resume", str(folder))[0] == 0  # nothing is left to do


def test_reasons_are_few_lines(capsys):
    def record(number, reason):
        return Record(str(number), {"status": "diverged", "error": reason}, Points())

    kinds = [record(kind, f"reason {'abcdefg'[kind]} at step {n}") for kind in range(7) for n in range(kind + 1)]
    tell([*kinds, Record("x", {"status": "failed", "error": "why"}, Points()), Record("y", {"status": "completed"}, Points())])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "failed: x: why"
    assert lines[1] == "diverged: 7 x reason g at step 0, and the like"
    assert lines[-1] == f"diverged: {1 + 2 + 3} x for other reasons, in the column error"
    assert len(lines) == 1 + MOST_REASONS + 1


@pytest.fixture
def mine(tmp_path):
    """A folder with a strategy whose trials fail."""
    (tmp_path / "mine" / "gradient").mkdir(parents=True)
    (tmp_path / "mine" / "gradient" / "bad.yaml").write_text("# Mine.\n_target_: my_failing.Bad\n")
    (tmp_path / "mine" / "my_failing.py").write_text(
        "from quantbench.components import component\nfrom quantbench.gradients import Gradient\n\n\n"
        "@component\nclass Bad(Gradient):\n    def pass_through(self, *rest):\n        raise ValueError\n"
    )
    yield str(tmp_path / "mine")
    sys.modules.pop("my_failing", None)


def test_a_failed_trial_is_a_failure_whatever_else_happened(quantbench, mine, tmp_path):
    code, _, err = quantbench(*RUN, EXPLODE, "--config-dir", mine, "-m", "gradient=ste,bad")
    assert code == 1
    assert "failed: " in err
    assert "diverged: 1 x " in err
    assert "1 of 2 trials failed" in err
    assert quantbench("resume", str(only_run(tmp_path)), "--config-dir", mine)[0] == 1


def test_bad_input_to_some_of_hydras_jobs_is_a_failure_and_to_all_of_them_bad_input(quantbench, tmp_path):
    words = [*RUN, "hydra/launcher=basic", "-m"]
    code, _, err = quantbench(*words, "gradient=clipped_ste,dsq")
    assert code == 2
    assert err.count("nothing to train") == 2
    assert not (tmp_path / "outputs").exists()
    code, _, err = quantbench(*words, "gradient=clipped_ste,ste")
    assert code == 1
    assert err.count("nothing to train") == 1
    assert len(read_results(only_run(tmp_path))) == 1


def test_what_an_executor_finds_wrong_once_there_is_a_folder_is_a_failure(quantbench, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise ConfigError("executor.workers=9: too many")

    monkeypatch.setattr(Inline, "open", refuse)
    code, _, err = quantbench(*RUN)
    assert code == 1
    assert "executor.workers=9: too many" in err
    assert only_run(tmp_path).is_dir()
