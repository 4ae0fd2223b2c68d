"""A real Slurm cluster of one node, as scripts/slurm_cluster.sh sets it up: no accounting, arrays of at most eight jobs."""

import json
import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from quantbench.results.tables import read_results
from tests.conftest import SMALL
from tests.sweeps.clusters import slurm_cluster
from tests.sweeps.test_runner import wait_for, without_cost

pytestmark = pytest.mark.slow
pytest.importorskip("submitit", reason="needs the extra quantbench[slurm]")

WORDS = ["executor=slurm", "executor.stack_size=1", "executor.poll_seconds=1", *SMALL]
SLOW = '''
import time
from quantbench.components import component
from quantbench.gradients import STE

@component
class Slow(STE):
    """Sleeps in each step of a training."""

    seconds: float = 1.0

    def pass_through(self, quantizer, state, latents, code, moment):
        time.sleep(self.seconds)
        return super().pass_through(quantizer, state, latents, code, moment)
'''


@pytest.fixture(scope="module", autouse=True)
def slurm():
    with slurm_cluster():
        yield


@pytest.fixture(autouse=True)
def idle(slurm):
    """A driver is done when the last stack is there, which is before the last job has ended."""
    wait_for(lambda: not queue(), 120)
    yield
    subprocess.run(["scancel", "--user=root"], check=True, timeout=60)


@pytest.fixture
def slow(tmp_path):
    """Options with which a run finds the gradient ``slow``: some twenty seconds a trial for half a second a step."""
    (tmp_path / "mine" / "gradient").mkdir(parents=True)
    (tmp_path / "mine" / "slow_classes.py").write_text(SLOW)
    (tmp_path / "mine" / "gradient" / "slow.yaml").write_text("_target_: slow_classes.Slow\nseconds: 1.0\n")
    return ["--config-dir", "mine", "gradient=slow"]


def queue():
    """Job and state of all that waits and runs."""
    command = ["squeue", "--noheader", "--array", "--format=%i %T"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return dict(line.split() for line in lines)


def parts(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "journal").glob("*.json")}


def only_run(tmp_path):
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    return folder


def test_the_table_is_that_of_one_process_and_no_array_is_too_long(quantbench, small_run, tmp_path):
    axes = ["-m", "gradient=ste,mste", "seed=range(0,5)"]
    base = small_run(*axes)
    code, out, err = quantbench("run", *WORDS, "executor.stacks_per_job=1", *axes)
    assert code == 0, err
    (folder,) = set((tmp_path / "outputs" / "default").iterdir()) - {base}
    pd.testing.assert_frame_equal(without_cost(base), without_cost(folder))
    assert "submitted 8 stacks as 8 jobs" in out
    assert "submitted 2 stacks as 2 jobs" in out
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".csv", ".json", ".yaml"}
    assert list((tmp_path / "outputs" / ".slurm" / folder.name).glob("*.out"))


def test_a_cancelled_job_is_submitted_again_by_collect(quantbench, slow, tmp_path):
    words = [*WORDS, "executor.stacks_per_job=2", "executor.jobs=1", "-m", *slow, "gradient.seconds=0.5", "seed=range(0,6)"]
    code, out, err = quantbench("run", *words, "executor.wait=false")
    assert code == 0, err
    folder = only_run(tmp_path)
    assert f"quantbench resume {folder.relative_to(tmp_path)} --collect --allow slurm" in out
    assert len(queue()) == 3
    wait_for(lambda: len(parts(folder)) >= 1, 120)  # the first job is in its second stack
    running, *pending = sorted(queue())
    assert queue()[running] == "RUNNING"
    subprocess.run(["scancel", running, pending[-1]], check=True, timeout=60)
    wait_for(lambda: running not in queue() and pending[-1] not in queue())
    before = parts(folder)
    assert len(before) == 1

    code, out, err = quantbench("resume", str(folder), "--allow", "slurm", "--collect", "--config-dir", "mine")
    assert code == 0, err
    assert "1 trials are there" in out
    assert re.search(r"jobs that ended too early: \d cancelled", out)
    assert "3 trials are neither finished nor with a job; they are submitted" in out
    assert "submitted 3 stacks as 2 jobs" in out
    code, out, err = quantbench(
        "resume", str(folder), "--allow", "slurm", "--collect", "--config-dir", "mine"
    )  # nothing is submitted twice
    assert code == 0, err
    assert "0 trials are neither finished nor with a job" in out
    assert "submitted" not in out

    code, _, err = quantbench("resume", str(folder), "--allow", "slurm", "--config-dir", "mine")
    assert code == 0, err
    assert set(read_results(folder)["status"]) == {"completed"}
    assert len(read_results(folder)) == 6


def test_a_job_at_its_time_limit_keeps_finished_stacks(command, slow, tmp_path):
    words = [*WORDS, "executor.stacks_per_job=10", "executor.time=1"]
    words += ["-m", *slow, "gradient.seconds=0.3", "seed=range(0,10)"]
    process = command("run", *words, cwd=tmp_path)  # more than two minutes of stacks, in jobs of one
    wait_for(lambda: list(tmp_path.glob("outputs/default/*/journal/*.json")), 120)
    folder = only_run(tmp_path)
    (first,) = {job.partition("_")[0] for job in queue()}
    wait_for(lambda: first not in {job.partition("_")[0] for job in queue()}, 240)
    kept = parts(folder)
    assert 1 <= len(kept) < 10
    trials = {
        item["trial"]: item["row"]["seconds"] for name in kept for item in json.loads((folder / "journal" / name).read_text())
    }
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert out.count("submitted") >= 2
    table = read_results(folder)
    assert set(table["status"]) == {"completed"}
    assert len(table) == 10
    seconds = table.set_index("trial")["seconds"]
    assert all(seconds[trial] == pytest.approx(spent) for trial, spent in trials.items())  # nothing done again


def test_a_job_killed_with_kill_9_keeps_finished_stacks_and_the_driver_may_leave(command, slow, tmp_path):
    words = [*WORDS, "executor.stacks_per_job=3", "-m", *slow, "gradient.seconds=0.3", "seed=range(0,3)"]
    process = command("run", *words, cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("outputs/default/*/journal/*.json")), 120)
    folder = only_run(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    (worker,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"-m\0quantbench.sweeps.executors.slurm.job\0" in _read(path) and str(folder).encode() in _read(path)
    ]
    os.kill(worker, 9)
    wait_for(lambda: not queue())
    kept = parts(folder)
    assert 1 <= len(kept) < 3
    resumed = command("resume", str(folder), "--allow", "slurm", "--config-dir", "mine", cwd=tmp_path)
    out, err = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, err
    assert f"{3 - len(kept)} trials are neither finished nor with a job; they are submitted" in out
    assert len(read_results(folder)) == 3


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def test_a_partition_that_is_not_there_is_told_before_anything_is_written(quantbench, tmp_path):
    code, _, err = quantbench("run", *WORDS, "executor.partition=nowhere")
    assert code == 2
    assert "executor=slurm: the cluster takes no job with partition=nowhere" in err
    assert "invalid partition" in err
    assert not (tmp_path / "outputs").exists()
    assert not queue()
