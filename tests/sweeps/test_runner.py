import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from quantbench.results.schema import COST, IDENTITY, MEASURED, NOTES
from quantbench.results.tables import read_results
from quantbench.sweeps.executors import Engine, Inline, WorkerDied
from quantbench.sweeps.journal import Journal, new_folder
from quantbench.sweeps.runner import resume
from tests.conftest import SMALL

AXES = ["-m", "gradient=ste,mste", "seed=range(0,3)"]


def without_cost(folder):
    return read_results(folder).drop(columns=COST)


def test_the_files_of_a_run(small_run):
    folder = small_run(*AXES, "quantizer.commitment=0,1")
    table = read_results(folder)
    assert list(table.columns) == [*IDENTITY, "quantizer.commitment", *MEASURED, *NOTES, *COST]
    assert len(table) == 12
    assert set(table["status"]) == {"completed"}
    assert table["trial"].is_unique
    curves = pd.read_csv(folder / "curves.csv")
    assert list(curves.columns) == ["trial", "step", "metric", "value"]
    assert set(curves["trial"]) == set(table["trial"])
    assert set(curves["step"]) == {0, 10, 20}
    assert not (folder / "journal").exists()
    assert (folder / "environment.json").exists()


def test_the_same_command_twice_gives_the_same_table(small_run):
    first, second = small_run(*AXES), small_run(*AXES)
    assert first != second
    pd.testing.assert_frame_equal(without_cost(first), without_cost(second))
    assert (first / "curves.csv").read_bytes() == (second / "curves.csv").read_bytes()


def test_stack_size_and_executor_do_not_change_results(small_run):
    base = without_cost(small_run(*AXES))
    for change in ("executor.stack_size=1", "executor.stack_size=2"):
        pd.testing.assert_frame_equal(base, without_cost(small_run(*AXES, change)))
    pd.testing.assert_frame_equal(base, without_cost(small_run(*AXES, "executor=processes", "executor.workers=2")))


def test_a_trial_does_not_depend_on_its_sweep(small_run):
    sweep, alone = without_cost(small_run(*AXES)), without_cost(small_run("gradient=mste", "seed=1"))
    row = sweep[sweep["trial"] == alone["trial"][0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(row, alone)


class Fragile(Engine):
    """Runs inline, but loses stacks as told."""

    capacity = 2

    def __init__(self, inline, losses):
        self.inline, self.losses, self.submitted = inline, losses, []

    def submit(self, stack, alone=False):
        seeds = tuple(trial.config["seed"] for trial in stack)
        self.submitted.append(seeds)
        future = self.inline.submit(stack)
        if self.losses.get(seeds, 0):
            self.losses[seeds] -= 1
            future = type(future)()
            future.set_exception(WorkerDied("its worker process died"))
        return future


@pytest.mark.parametrize(("losses", "failed"), [({(1,): 1}, 0), ({(1,): 2}, 1), ({(0,): 1, (1,): 1, (2,): 1}, 0)])
def test_a_lost_stack_is_tried_once_more(quantbench, monkeypatch, tmp_path, losses, failed):
    fragile = []
    original = Inline.open

    def open_(self, stacks, device, advance, keep):
        fragile.append(Fragile(original(self, stacks, device, advance), dict(losses)))
        return fragile[0]

    monkeypatch.setattr(Inline, "open", open_)
    words = ["executor=inline", "executor.stack_size=1", "-m", "seed=0,1,2", *SMALL]
    code, _out, err = quantbench("run", *words)
    assert code == (1 if failed else 0)
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    table = read_results(folder)
    assert (table["status"] == "failed").sum() == failed
    assert len(fragile[0].submitted) == 3 + len(losses)
    if failed:
        assert "its worker process died" in err
        assert table[table["seed"] == 1]["error"].item() == "its worker process died"
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        resume(folder)  # failed trials are tried again
        assert set(read_results(folder)["status"]) == {"completed"}


def wait_for(condition, seconds=240):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGINT, signal.SIGTERM))]
)
def test_a_stopped_sweep_is_resumed_and_ends_with_the_same_table(command, small_run, tmp_path, how):
    trials = ["train.steps=150", "train.log_every=150", "-m", "seed=range(0,8)"]
    words = [*SMALL, *trials, "executor=processes", "executor.workers=2", "executor.stack_size=1"]
    process = command("run", *words, cwd=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("outputs/default/*/journal/*.json"))) >= 2)
    (folder,) = tmp_path.glob("outputs/default/*")
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # Ctrl-C goes to the whole group
    else:
        process.send_signal(how)
    _, err = process.communicate()
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert "quantbench resume" in err
        assert 2 <= len(read_results(folder)) < 8
    wait_for(lambda: not children_of_group(process.pid))
    done = {path.stem: path.stat().st_mtime_ns for path in (folder / "journal").glob("*.json")}
    journal = Journal(folder)
    finished = {trial: record.row["seconds"] for trial, record in journal.read().items()}
    journal.close(complete=False)
    assert 2 <= len(finished) < 8

    resumed = command("resume", str(folder), cwd=tmp_path)
    _out, err = resumed.communicate()
    assert resumed.returncode == 0, err
    table = read_results(folder)
    assert list(table["seed"]) == list(range(8))
    kept = table.set_index("trial")["seconds"]
    assert all(kept[trial] == pytest.approx(seconds) for trial, seconds in finished.items())  # nothing done again
    assert done
    pd.testing.assert_frame_equal(without_cost(small_run(*trials)), without_cost(folder))


def children_of_group(group):
    """Processes of a process group that still live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_resume_of_a_complete_run_does_nothing(small_run, quantbench):
    folder = small_run(*AXES)
    before = (folder / "results.csv").read_bytes()
    code, out, _ = quantbench("resume", str(folder))
    assert code == 0
    assert "nothing to resume" in out
    assert (folder / "results.csv").read_bytes() == before


def test_two_processes_cannot_run_one_folder(tmp_path, quantbench, small_run):
    folder = small_run("seed=0")
    held = Journal(folder)
    (folder / "results.csv").unlink()
    code, _, err = quantbench("resume", str(folder))
    assert code == 1
    assert "another process is running this sweep" in err
    held.close(complete=False)
    assert quantbench("resume", str(folder))[0] == 0


def test_folders_of_the_same_second_differ(tmp_path):
    assert len({new_folder(str(tmp_path), "x") for _ in range(20)}) == 20


def test_a_disk_that_fills_up_keeps_what_was_written(quantbench, tmp_path, monkeypatch):
    written = []
    original = Journal.write

    def write(self, records):
        if len(written) == 2:
            monkeypatch.setattr(os, "fsync", full)
        written.append(records)
        original(self, records)

    def full(descriptor):  # room for the tables is there again
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", write)
    words = ["executor=inline", "executor.stack_size=1", "-m", "seed=range(0,4)", *SMALL]
    code, _, err = quantbench("run", *words)
    assert code == 1
    assert "No space left on device" in err
    assert "quantbench resume" in err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    assert len(read_results(folder)) == 3  # what was finished is tried once more before the end
    resume(folder)
    assert len(read_results(folder)) == 4


def test_an_output_that_is_no_folder_is_a_clear_error(quantbench, tmp_path):
    (tmp_path / "taken").write_text("a file")
    code, _, err = quantbench("run", "executor=inline", "output=taken", *SMALL)
    assert code == 1
    assert "output=taken: cannot make a folder there" in err


def test_references_are_no_part_of_who_a_trial_is(small_run):
    """`references=false` reaches the workers, and changes nothing else."""
    with_them, without = (
        read_results(small_run("simulator.bits=5", "quantizer.codes=8", *word)) for word in ([], ["references=false"])
    )
    assert list(with_them["trial"]) == list(without["trial"])
    assert list(with_them["mse"]) == list(without["mse"])
    assert list(with_them["limit_mse"]) == list(without["limit_mse"])
    assert with_them["reference_note"].tolist() == ["k-means, 8 codes"]
    assert without["reference_note"].tolist() == ["switched off (references=false)"]
    assert without["reference_mse"].isna().all()
