"""Slurm's executor: its jobs run as plain commands, its driver with a queue of the test's own."""

import json
import os
import signal
from collections import Counter

import pandas as pd
import pytest

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.results.tables import read_results
from quantbench.sweeps import worker
from quantbench.sweeps.executors import Slurm
from quantbench.sweeps.executors.slurm import job as slurm_job
from quantbench.sweeps.executors.slurm import queue as slurm_queue
from quantbench.sweeps.executors.slurm.queue import Queue, SlurmSilent
from quantbench.sweeps.executors.slurm.task import pack, read_task, trials_of, unpack, write_task
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.worker import run_stack
from quantbench.training import Keep
from tests.conftest import SMALL
from tests.sweeps.test_plan import sweep
from tests.sweeps.test_runner import without_cost
from tests.sweeps.test_supply import Tight
from tests.sweeps.test_workers import DEADLY

AXES = ["-m", "gradient=ste,mste", "seed=range(0,4)"]
ALLOW = ["--allow", "slurm"]
WORDS = ["executor=slurm", "executor.stack_size=1", "executor.poll_seconds=0.1", *SMALL, *AXES]


def test_stacks_come_back_from_json_as_they_were(quantbench, small_run):
    from quantbench.sweeps.runner import SWEEP_FILE
    from quantbench.sweeps.sweep import Sweep

    folder = small_run(
        "quantizer=fsq", "quantizer.levels=[5,3]", "codec.latent_dim=2", "-m", "gradient=soft_round,ste", "seed=0,1"
    )
    stacks = schedule(plan(Sweep.load(folder / SWEEP_FILE))).stacks
    packed = pack(stacks)
    assert unpack(json.loads(json.dumps(packed))) == stacks
    assert trials_of(packed) == [[trial.id for trial in stack] for stack in stacks]
    assert len(packed["settings"]) < sum(len(trial.config) for stack in stacks for trial in stack) / 2


@pytest.fixture
def task(tmp_path):
    """A task of two stacks; gives its path, the stacks and the journal of their run."""
    stacks = schedule(plan(sweep({"seed": [0, 1, 2, 3], "quantizer.commitment": [0, 1]}))).stacks
    assert len(stacks) == 2
    journal = Journal(tmp_path)
    write_task(tmp_path / "0.json", stacks, "cpu", Keep(tmp_path), cpus=1)
    yield tmp_path / "0.json", stacks, journal
    journal.close(complete=False)


def results(records):
    """What records say, but for their cost."""
    return {one.trial: (one.row["status"], one.row["mse"], one.curves) for one in records}


def test_a_job_writes_the_records_of_this_process_into_the_journal(task):
    path, stacks, journal = task
    assert slurm_job.main([str(path)]) == 0
    expected = [record for stack in stacks for record in run_stack(stack, "cpu")]
    assert results(journal.read().values()) == results(expected)


def test_a_job_leaves_references_out_where_the_run_does(task, tmp_path):
    path, stacks, journal = task
    write_task(path, stacks, "cpu", Keep(tmp_path, references=False), cpus=1)
    assert slurm_job.main([str(path)]) == 0
    assert {one.row["reference_note"] for one in journal.read().values()} == {"switched off (references=false)"}


def test_a_job_that_starts_again_does_only_what_is_missing(task):
    path, stacks, journal = task
    journal.write(run_stack(stacks[0], "cpu"))
    part = journal.part([trial.id for trial in stacks[0]])
    before = part.stat().st_mtime_ns
    assert slurm_job.main([str(path)]) == 0
    assert part.stat().st_mtime_ns == before
    assert len(journal.read()) == 8


def test_a_job_that_is_short_of_memory_writes_whole_stacks(task, monkeypatch):
    """Later stacks are cut, but the driver waits for those that it submitted."""
    path, stacks, journal = task
    expected = [record for stack in stacks for record in run_stack(stack, "cpu")]
    for trial in stacks[1]:
        object.__setattr__(trial, "shape", stacks[0][0].shape)
    tight = Tight(2, MemoryError())
    monkeypatch.setattr(worker, "_train", tight)
    assert slurm_job.main([str(path)]) == 0
    assert tight.tried == [4, 2, 2, 2, 2]
    assert all(journal.part([trial.id for trial in stack]).exists() for stack in stacks)
    assert results(journal.read().values()) == results(expected)


@pytest.mark.parametrize(("times", "failed"), [(1, 0), (100, 2)])
def test_a_worker_that_dies_in_a_job_is_handled_there(cluster, quantbench, tmp_path, times, failed):
    (tmp_path / "mine" / "gradient").mkdir(parents=True)
    (tmp_path / "mine" / "slurm_deadly.py").write_text(DEADLY.replace('"deaths"', f'"{tmp_path}/deaths"'))
    (tmp_path / "mine" / "gradient" / "deadly.yaml").write_text(f"_target_: slurm_deadly.Deadly\ntimes: {times}\n")
    words = ["executor=slurm", "executor.cpus=2", "executor.poll_seconds=0.1", *SMALL, "-m", "--config-dir", "mine"]
    code, _, err = quantbench("run", *words, "gradient=ste,deadly,mste", "seed=0,1", "executor.stack_size=2")
    assert code == (1 if failed else 0), err
    table = read_results(only_run(tmp_path))
    assert len(table) == 6
    lost = table[table["status"] == "failed"]
    assert len(lost) == failed
    assert set(lost["gradient"]) <= {"deadly"}
    assert set(lost["error"]) <= {"its worker process died (out of memory, or killed)"}
    assert len(cluster.arrays) == 1  # Slurm had nothing to do with it


def test_a_job_that_is_told_to_end_keeps_what_is_finished(task, monkeypatch, capsys):
    path, stacks, journal = task
    original, written = Journal.write, []

    def write(self, records):
        original(self, records)
        written.append(records)
        if len(written) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Journal, "write", write)
    assert slurm_job.main([str(path)]) == 130
    assert {records[0].trial for records in written} == {stacks[0][0].id}
    assert journal.part([trial.id for trial in stacks[0]]).exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_job_of_another_version_says_so(task, capsys):
    path, _, journal = task
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "0.0.1"}))
    assert slurm_job.main([str(path)]) == 1
    assert "the driver 0.0.1; install the same everywhere" in capsys.readouterr().err
    assert not journal.read()


def test_a_job_without_a_journal_trains_nothing(task, tmp_path, capsys):
    path, _, _ = task
    journal = tmp_path / "journal"
    journal.rename(tmp_path / "elsewhere")
    assert slurm_job.main([str(path)]) == 1
    assert "has no journal" in capsys.readouterr().err
    assert not journal.exists()
    (tmp_path / "elsewhere").rename(journal)


def test_the_queue_is_read_as_squeue_writes_it(monkeypatch):
    lines = "a|0|RUNNING\na|3|PENDING\nb|N/A|PENDING\na|1|TIMEOUT\na|N/A|CANCELLED\n"
    monkeypatch.setattr(slurm_queue, "_ask", lambda *command: lines)
    queue = slurm_queue.look(["a", "b"])
    assert queue.active == {("a", 0): "RUNNING", ("a", 3): "PENDING", ("b", 0): "PENDING"}
    assert queue.ended == Counter(TIMEOUT=1, CANCELLED=1)


class Cluster:
    """A queue whose jobs run when the test says so, or at once."""

    def __init__(self, monkeypatch, most=100):
        self.arrays, self.waiting, self.lost, self.at_once, self.silent = [], {}, {}, True, 0
        monkeypatch.setattr(slurm_queue, "require", lambda: None)
        monkeypatch.setattr(slurm_queue, "refusal", lambda parameters: None)
        monkeypatch.setattr(slurm_queue, "most_in_array", lambda: most)
        monkeypatch.setattr(slurm_queue, "submit", self.submit)
        monkeypatch.setattr(slurm_queue, "look", self.look)

    def submit(self, name, words, tasks, parameters, most, logs):
        assert words[1:] == ["-P", "-m", "quantbench.sweeps.executors.slurm.job"]
        self.arrays.append([trials_of(read_task(path)) for path in tasks])
        self.waiting |= {(name, index): path for index, path in enumerate(tasks)}
        if self.at_once:
            self.work()
        return str(len(self.arrays))

    def work(self, but=0):
        """Run the waiting jobs but the last few. Stacks in ``lost`` kill their job, so many times."""
        tasks = sorted(self.waiting)
        for task in tasks[: len(tasks) - but]:
            self.run(self.waiting.pop(task))

    def run(self, path):
        content = read_task(path)
        for number, stack in enumerate(trials_of(content)):
            if self.lost.get(stack[0], 0):
                self.lost[stack[0]] -= 1
                content = content | {"stacks": content["stacks"][:number]}
                break
        path.write_text(json.dumps(content))
        slurm_job.run_task(path)

    def look(self, names):
        if self.silent:
            self.silent -= 1
            raise SlurmSilent("executor=slurm: squeue failed (just now)")
        return Queue({task: "PENDING" for task in self.waiting if task[0] in names}, Counter())


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


def only_run(tmp_path, experiment="default"):
    (folder,) = (tmp_path / "outputs" / experiment).iterdir()
    return folder


def test_the_table_is_that_of_one_process(cluster, quantbench, small_run, tmp_path):
    base = small_run(*AXES)
    code, _, err = quantbench("run", *WORDS, "executor.stacks_per_job=3")
    assert code == 0, err
    (folder,) = set((tmp_path / "outputs" / "default").iterdir()) - {base}
    pd.testing.assert_frame_equal(without_cost(base), without_cost(folder))
    assert [len(job) for job in cluster.arrays[0]] == [3, 3, 2]
    assert not (folder / "slurm").exists()
    assert not (folder / "journal").exists()


@pytest.mark.parametrize(("site", "own", "sizes"), [(3, "null", [3, 3, 2]), (100, 4, [4, 4]), (3, 5, [3, 3, 2])])
def test_no_array_is_longer_than_the_cluster_or_the_setting_allows(monkeypatch, quantbench, site, own, sizes):
    cluster = Cluster(monkeypatch, most=site)
    code, _, err = quantbench("run", *WORDS, "executor.stacks_per_job=1", f"executor.array={own}")
    assert code == 0, err
    assert [len(array) for array in cluster.arrays] == sizes


@pytest.mark.parametrize(("times", "failed"), [(1, 0), (2, 1)])
def test_a_stack_that_ends_its_job_is_alone_the_second_time(cluster, quantbench, tmp_path, times, failed):
    code, _, _ = quantbench("run", *WORDS, "dry_run=true")
    assert code == 0
    planned = []
    original = cluster.submit

    def submit(name, words, tasks, *others):
        if not planned:
            planned.extend(trials_of(read_task(tasks[0])))
            cluster.lost[planned[1][0]] = times
        return original(name, words, tasks, *others)

    slurm_queue.submit = submit  # undone with the fixture's own
    code, _, err = quantbench("run", *WORDS, "executor.stacks_per_job=4")
    assert code == (1 if failed else 0)
    table = read_results(only_run(tmp_path))
    assert len(table) == 8
    lost = table[table["status"] == "failed"]
    assert list(lost["trial"]) == planned[1][:failed]
    assert cluster.arrays[1] == [[planned[1]], [planned[2], planned[3]]]  # the suspect, and what it kept from running
    assert len(cluster.arrays) == 2
    if failed:
        assert "its Slurm job ended before it was finished, twice" in err
        code, _, err = quantbench("resume", str(only_run(tmp_path)), *ALLOW)  # failed trials are tried again
        assert code == 0, err
        assert cluster.arrays[2] == [[planned[1]]]


def test_collect_submits_only_what_no_job_has_and_resume_waits(cluster, quantbench, tmp_path):
    cluster.at_once = False
    code, out, err = quantbench("run", *WORDS, "executor.stacks_per_job=2", "executor.wait=false")
    assert code == 0, err
    folder = only_run(tmp_path)
    assert f"quantbench resume {folder.relative_to(tmp_path)} --collect --allow slurm" in out
    cluster.work(but=2)
    cancelled = cluster.waiting.pop(sorted(cluster.waiting)[-1])
    code, out, err = quantbench("resume", str(folder), "--collect", *ALLOW)
    assert code == 0, err
    assert "4 trials are there" in out
    assert "jobs: 1 pending" in out
    assert "2 trials are neither finished nor with a job; they are submitted" in out
    assert cluster.arrays[1:] == [[trials_of(read_task(cancelled))]]
    assert len(read_results(folder)) == 4
    cluster.work()
    cluster.at_once = True
    code, out, err = quantbench("resume", str(folder), *ALLOW)
    assert code == 0, err
    assert len(cluster.arrays) == 2
    assert set(read_results(folder)["status"]) == {"completed"}
    code, out, _ = quantbench("resume", str(folder), "--collect")
    assert code == 0
    assert "complete, nothing to resume" in out


def test_collect_tells_of_trials_that_failed(cluster, quantbench, tmp_path):
    """The sweep goes on, and what failed is a failure all the same."""
    cluster.at_once = False
    mine = tmp_path / "mine"
    (mine / "gradient").mkdir(parents=True)
    (mine / "gradient" / "bad.yaml").write_text("# Mine.\n_target_: my_unable.Bad\n")
    code = "from quantbench.components import component\nfrom quantbench.gradients import Gradient\n"
    (mine / "my_unable.py").write_text(
        f"{code}\n\n@component\nclass Bad(Gradient):\n    def pass_through(self, *rest):\n        raise ValueError\n"
    )
    own = ["--config-dir", str(mine)]
    words = [*WORDS[:-2], "gradient=bad,ste", "seed=0,1", "executor.stacks_per_job=1", "executor.wait=false"]
    assert quantbench("run", *own, *words)[0] == 0
    cluster.work(but=1)
    code, out, err = quantbench("resume", str(only_run(tmp_path)), *ALLOW, "--collect", *own)
    assert code == 1
    assert "3 of 4 trials are in the table" in out
    assert err.count("failed: ") == 2
    assert "2 of 4 trials failed" in err


def test_a_stack_that_ends_while_a_driver_looks_is_not_submitted_again(cluster, quantbench, tmp_path, monkeypatch):
    cluster.at_once = False
    assert quantbench("run", *WORDS, "executor.stacks_per_job=4", "executor.wait=false")[0] == 0
    original = cluster.look

    def look(names):
        found = original(names)
        cluster.work(but=1)
        monkeypatch.setattr(slurm_queue, "look", original)
        return found

    monkeypatch.setattr(slurm_queue, "look", look)
    code, out, err = quantbench("resume", str(only_run(tmp_path)), *ALLOW, "--collect")
    assert code == 0, err
    assert "4 trials are there" in out
    assert "0 trials are neither finished nor with a job" in out
    assert len(cluster.arrays) == 1
    assert len(read_results(only_run(tmp_path))) == 4


def test_a_part_that_is_damaged_when_it_arrives_is_trained_again(cluster, quantbench, tmp_path, monkeypatch, capsys):
    original = cluster.run

    def run(path):
        original(path)
        if len(cluster.arrays) == 1:
            part = sorted(only_run(tmp_path).glob("journal/*.json"))[0]
            part.write_text(part.read_text()[:-20])

    monkeypatch.setattr(cluster, "run", run)
    code, _, err = quantbench("run", *WORDS, "executor.stacks_per_job=8")
    assert code == 0, err
    assert "is damaged" in err
    assert [len(stacks) for array in cluster.arrays for stacks in array] == [8, 1]
    assert set(read_results(only_run(tmp_path))["status"]) == {"completed"}


def test_nothing_is_submitted_where_the_queue_cannot_be_seen(cluster, quantbench, tmp_path):
    cluster.at_once = False
    assert quantbench("run", *WORDS, "executor.wait=false")[0] == 0
    cluster.silent = 1
    code, _, err = quantbench("resume", str(only_run(tmp_path)), *ALLOW, "--collect")
    assert code == 1
    assert "squeue failed" in err
    assert len(cluster.arrays) == 1


def test_a_driver_waits_on_while_slurm_is_silent(cluster, quantbench, monkeypatch):
    looks = []
    original = cluster.look

    def look(names):
        looks.append(names)
        if len(looks) in (1, 2):
            raise SlurmSilent("executor=slurm: squeue failed (its controller restarts)")
        return original(names)

    monkeypatch.setattr(slurm_queue, "look", look)
    code, _, err = quantbench("run", *WORDS)
    assert code == 0, err
    assert err.count("its controller restarts") == 2
    assert len(cluster.arrays) == 1


def test_a_job_that_slurm_does_not_take_is_named_and_resumed_later(cluster, quantbench, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise QuantBenchError("executor=slurm: a job could not be submitted (QOSMaxSubmitJobPerUserLimit)")

    monkeypatch.setattr(slurm_queue, "submit", refuse)
    code, _, err = quantbench("run", *WORDS)
    assert code == 1
    assert "QOSMaxSubmitJobPerUserLimit" in err
    monkeypatch.setattr(slurm_queue, "submit", cluster.submit)
    assert quantbench("resume", str(only_run(tmp_path)), *ALLOW)[0] == 0
    assert len(read_results(only_run(tmp_path))) == 8


def test_collect_is_for_jobs_that_outlive_the_driver(quantbench, small_run):
    folder = small_run("seed=0")
    (folder / "journal").mkdir()
    code, _, err = quantbench("resume", str(folder), "--collect")
    assert code == 2
    assert "--collect: is for runs with executor=slurm" in err


def test_a_machine_without_slurm_is_told_before_anything_is_written(quantbench, tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="needs the extra quantbench[slurm]")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = quantbench("run", *WORDS)
    assert code == 2
    assert "executor=slurm: sbatch, squeue, scontrol, srun not found" in err
    assert not (tmp_path / "outputs").exists()
    code, out, err = quantbench("run", *WORDS, "dry_run=true", "executor.jobs=5")
    assert code == 0, err
    assert "stacks for 5 at a time" in out
    assert out.count("stack ") == 8


@pytest.mark.parametrize("setting", ["jobs=0", "time=0", "gpus=-1", "cpus=0", "stacks_per_job=0", "array=0", "options=fast"])
def test_settings_are_checked(cluster, quantbench, setting):
    for more in ([], ["dry_run=true"]):
        code, _, err = quantbench("run", *WORDS, f"executor.{setting}", *more)
        assert code == 2
        assert f"executor.{setting.split('=')[0]}=" in err


@pytest.mark.parametrize("option", [{"exclusive; touch x": True}, {"comment": "a\ntouch x"}])
def test_no_option_becomes_a_line_of_the_batch_script(option):
    with pytest.raises(ConfigError, match="is no option of sbatch"):
        Slurm(options=option).check()
    with pytest.raises(ConfigError, match="is no option of sbatch"):
        Slurm(partition="main\ntouch x").check()


def test_options_of_a_file_are_not_given_to_sbatch_until_they_are_named(cluster, quantbench, tmp_path):
    cluster.at_once = False
    assert quantbench("run", *WORDS, "executor.wait=false", "+executor.options.output=/etc/motd")[0] == 0
    cluster.waiting.clear()
    words = ["resume", str(only_run(tmp_path)), "--collect"]
    for typed, asked in (([], "--allow slurm --allow executor.options"), (ALLOW, "--allow executor.options")):
        code, _, err = quantbench(*words, *typed)
        assert code == 2
        assert "executor.options={'output': '/etc/motd'}" in err
        assert err.endswith(f"resume with {asked}\n")
        assert len(cluster.arrays) == 1
    assert quantbench(*words, *ALLOW, "--allow", "executor.options")[0] == 0
    assert len(cluster.arrays) == 2


def test_no_job_is_submitted_and_no_queue_asked_because_a_file_says_so(cluster, quantbench, tmp_path, monkeypatch):
    cluster.at_once = False
    assert quantbench("run", *WORDS, "executor.wait=false")[0] == 0
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(slurm_queue, "look", None)  # a call would fail
    code, _, err = quantbench("resume", str(only_run(tmp_path)))
    assert code == 2
    assert "reaches beyond this machine (slurm), and does not because a file says so" in err
    assert err.endswith("resume with --allow slurm\n")
    assert sorted(tmp_path.rglob("*")) == before
