"""Limits and references are found beside the training: nothing waits for them, nothing fails for them, nothing is lost."""

import json
import math
import sys
from concurrent.futures import Future

import pandas as pd
import pytest
import torch

from quantbench.points import Points
from quantbench.results import progress, watch
from quantbench.results.completions import COLUMNS, COMPLETIONS, Completion, completed, lacks, read_completions
from quantbench.results.tables import read_results
from quantbench.sweeps import worker
from quantbench.sweeps.drive import drive
from quantbench.sweeps.executors import Engine, Processes, WorkerDied, processes
from quantbench.sweeps.executors.slurm import job as slurm_job
from quantbench.sweeps.executors.slurm.task import write_task
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.plan import plan
from quantbench.sweeps.runner import resume
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.supply import Supply
from quantbench.sweeps.sweep import Combination
from quantbench.sweeps.trial import Record
from quantbench.sweeps.worker import run_stack, unheard
from quantbench.sweeps.yardsticks import Yardsticks
from quantbench.training import Keep
from tests.conftest import SMALL
from tests.sweeps.slow_source import SECONDS
from tests.sweeps.test_plan import CHOICES, config, sweep
from tests.sweeps.test_runner import without_cost

BESIDE = Keep(yardsticks=False)
TRAINED = {"status": "completed", "error": "", "stack_size": 4, "spent_bits": 2.0, "rate_bits": 2.0, "mse": 0.5}


def trials(seeds, how="slow"):
    node = config()["simulator"] | {"_target_": "tests.sweeps.slow_source.Slow", "how": how}
    combination = Combination(CHOICES | {"simulator": "slow"}, config() | {"simulator": node})
    return plan(sweep({"seed": list(seeds)}, combinations=[combination])).trials


class Instant(Engine):
    """Trains at once, as a very fast GPU beside which there are cores."""

    def __init__(self, helpers):
        self.helpers = helpers

    def submit(self, stack, alone=False):
        future = Future()
        future.set_result([Record(trial.id, dict(TRAINED), Points()) for trial in stack])
        return future


def driven(tmp_path, every, helpers, references=False):
    """What a driver does; gives the records at the end, and how many trials the journal had when the first limit was found."""
    journal, records, at_first = Journal(tmp_path), {}, []
    of = {trial.id: trial for trial in every}

    def keep(new, written):
        journal.write(new)
        records.update((one.trial, one) for one in new)
        for one in new:
            later.ask(of[one.trial], one)

    def complete(new):
        at_first.append(len(journal.read()))
        journal.complete(new)
        records.update(completed(records, new))

    engine = Instant(helpers)
    later = Yardsticks(engine, references, tmp_path / "kept", complete)
    stacks = [every[i : i + 25] for i in range(0, len(every), 25)]
    try:
        assert drive(engine, Supply(stacks), keep, later=later)
    finally:
        later.close()
        journal.close(complete=False)
    assert {one.trial: one.row for one in records.values()} == {one.trial: one.row for one in journal.read().values()}
    return records, at_first[0]


@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_helpers_share_the_work_and_every_trial_is_in_the_journal_before(tmp_path, count):
    every = trials(range(count))
    records, at_first = driven(tmp_path, every, helpers=2)
    assert at_first == count
    assert {one.row["limit_mse"] for one in records.values()} == {0.25}
    assert not any(map(lacks, records.values()))
    told = [one.row["limit_note"].split() for one in records.values()]
    moments = {process: [float(moment) for _, own, moment in told if own == process] for _, process, _ in told}
    if count == 200:  # from when both have started, which takes long on a busy machine
        assert len(moments) == 2
        began = max(map(min, moments.values()))
        after = sorted(moment for own in moments.values() for moment in own if moment >= began)
        assert len(after) > 100
        assert 0.9 * len(after) * SECONDS / 2 < after[-1] - began + SECONDS < 1.4 * len(after) * SECONDS / 2


def test_an_error_fails_no_trial_and_is_told(tmp_path, capsys):
    records, _ = driven(tmp_path, trials([0, 1], "raises"), helpers=0, references=True)
    for one in records.values():
        assert one.row["status"] == "completed"
        assert "limit_mse" not in one.row
        assert one.row["limit_note"].startswith("could not be computed: ValueError: no such logarithm")
        assert one.row["reference_note"] == "k-means, 4 codes"
    assert "could not be computed: ValueError: no such logarithm" in capsys.readouterr().err


def test_the_death_of_a_helper_costs_its_own_columns_alone(tmp_path, capsys):
    records, _ = driven(tmp_path, [*trials([0], "kills"), *trials([1, 2, 3])], helpers=2)
    notes = {trial.rpartition("-")[2]: one.row["limit_note"] for trial, one in records.items()}
    assert notes.pop("0") == "could not be computed: its worker process died (out of memory, or killed)"
    assert {note.split()[0] for note in notes.values()} == {"slow"}
    assert {one.row["status"] for one in records.values()} == {"completed"}
    assert "its worker process died" in capsys.readouterr().err


def test_on_a_gpu_all_other_cores_help_and_on_the_cpu_those_without_a_stack(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 16)
    on_cpu = processes.ProcessEngine(4, ["cpu"], unheard, BESIDE)
    assert (on_cpu.helpers, [on_cpu.spare(busy) for busy in (0, 3, 4)]) == (4, [4, 1, 0])
    on_cpu.close()
    assert Processes(workers=1).open(9, "cpu", unheard).helpers == 0
    monkeypatch.setattr(processes, "find_device", lambda name: torch.device("cuda"))
    engine = Processes().open(9, "cuda", unheard)
    assert (engine.helpers, engine.spare(1)) == (15, sys.maxsize)
    engine = Processes(workers=3).open(9, "cuda", unheard)
    assert (engine.helpers, engine.spare(3)) == (13, sys.maxsize)
    engine.close()


class Helper:
    """In the place of helper processes: notes what runs at a time."""

    def __init__(self, later):
        self.later, self.keys = later, []

    def call(self, function, *given):
        self.keys.append((given[0], tuple(ask.trial for ask in given[1])))
        future = Future()
        future.answer = function, given
        return future

    def close(self):
        pass


def test_what_asks_of_one_source_is_never_looked_for_twice_at_a_time(tmp_path):
    every = plan(sweep({"seed": [0, 1], "quantizer.commitment": [0, 0.5, 1]})).trials
    new = []
    later = Yardsticks(Instant(9), True, tmp_path, new.extend)
    later._helpers = helper = Helper(later)
    for trial in every[::3]:
        later.ask(trial, Record(trial.id, dict(TRAINED), Points()))
    later.look(0)
    for trial in every[1::3] + every[2::3]:
        later.ask(trial, Record(trial.id, dict(TRAINED), Points()))
    later.look(0)
    assert len(helper.keys) == 4  # limits and a reference of each of two seeds; further asks of these wait
    assert sum(len(asks) for _, asks in helper.keys) == 4
    while later.left:
        for future in list(later.running):
            function, given = future.answer
            future.set_result(function(*given))
        later.look(0)
    assert len(helper.keys) == 8
    assert {one.trial for one in new} == {trial.id for trial in every}


def test_what_is_lost_with_others_is_looked_for_alone(tmp_path):
    every = plan(sweep({"seed": [0, 1, 2]})).trials
    later = Yardsticks(Instant(9), False, tmp_path, lambda new: None)
    later._helpers = Helper(later)
    for trial in every:
        later.ask(trial, Record(trial.id, dict(TRAINED), Points()))
    later.look(0)
    assert len(later.running) == 3
    for future in later.running:
        future.set_exception(WorkerDied("it died"))
    for left in (3, 2, 1):
        later.look(0)
        (future,) = later.running
        assert later.left == left
        function, given = future.answer
        future.set_result(function(*given))
    later.look(0)
    assert later.left == 0


@pytest.mark.parametrize("again", [{}, {"mse": 0.6}], ids=["the same", "trained again"])
def test_a_trial_that_is_brought_twice_has_one_answer_and_that_of_its_last_record(tmp_path, again):
    """A job of a cluster may have written its stack just before the journal was read, and be lost before it found limits."""
    (trial,) = plan(sweep({"seed": [0]})).trials
    new = []
    later = Yardsticks(Instant(9), True, tmp_path, new.extend)
    later._helpers = Helper(later)
    later.ask(trial, Record(trial.id, dict(TRAINED), Points()))
    later.look(0)
    last = Record(trial.id, TRAINED | again, Points())
    later.ask(trial, last)
    while later.left or later.running:
        for future in list(later.running):
            function, given = future.answer
            future.set_result(function(*given))
        later.look(0)
    assert [one.trial for one in new] == [trial.id]
    row = completed({trial.id: last}, new)[trial.id].row
    assert row["gap_db"] == pytest.approx(10 * math.log10(last.row["mse"] / row["limit_mse"]))


AXES = ["-m", "simulator.bits=4", "quantizer.codes=4", "gradient=ste,mste", "seed=0,1"]


def test_the_numbers_are_those_that_a_training_finds_itself(tmp_path):
    (stack,) = schedule(plan(sweep({"quantizer.codes": [4], "seed": [0, 1]}))).stacks
    itself, beside = run_stack(stack, "cpu"), run_stack(stack, "cpu", keep=BESIDE)
    assert not set(COLUMNS) & set(beside[0].row)
    new = []
    later = Yardsticks(Instant(0), True, tmp_path, new.extend)
    for trial, record in zip(stack, beside, strict=True):
        later.ask(trial, record)
    while later.left:
        later.look(0)
    whole = completed({one.trial: one for one in beside}, new)
    for record in itself:
        cost = {"seconds", "cpu_seconds", "step_seconds", "peak_memory_mb"}
        assert {k: v for k, v in whole[record.trial].row.items() if k not in cost} == {
            k: v for k, v in record.row.items() if k not in cost
        }


def test_a_run_cut_before_its_limits_is_completed_without_training(small_run, quantbench, tmp_path, monkeypatch, capsys):
    undisturbed = small_run(*AXES)

    def cut(self, found):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "complete", cut)
        assert quantbench("run", "executor=inline", *SMALL, *AXES)[0] == 130
    (folder,) = set(undisturbed.parent.iterdir()) - {undisturbed}
    table = read_results(folder)
    assert table["limit_mse"].isna().all()
    assert set(table["status"]) == {"completed"}
    look = progress.Watch(folder).look()
    assert (look.finished, look.without_limits) == (4, 4)
    watch.watch(folder, once=True)
    assert "limitsandreferencesof4tocome" in "".join(capsys.readouterr().out.split())
    monkeypatch.setattr(worker, "_train", None)  # is not asked
    resume(folder)
    pd.testing.assert_frame_equal(without_cost(folder), without_cost(undisturbed))
    assert progress.Watch(folder).look().without_limits == 0


def test_a_line_counts_only_for_the_record_that_it_is_of(tmp_path):
    record = Record("a-0", dict(TRAINED), Points())
    of = {"spent_bits": 2.0, "rate_bits": 2.0, "mse": 0.5}
    right = Completion("a-0", of, {"limit_mse": 0.25, "limit_note": "x", "reference_mse": None, "reference_note": "y"})
    path = tmp_path / COMPLETIONS
    lines = [
        Completion("a-0", of | {"mse": 0.6}, right.row | {"limit_mse": 9.0}).line(),  # trained again since
        Completion("a-0", of, right.row | {"mse": 0.1}).line(),  # no column of a limit
        Completion("a-0", of, right.row | {"limit_mse": "much"}).line(),
        Completion("b-0", of, right.row).line(),
        right.line().replace("0.25", "0.35"),
        json.dumps([1]),
        right.line()[:-5],  # cut by a crash
    ]
    path.write_text("\n".join(lines))
    assert completed({"a-0": record}, read_completions(path)) == {"a-0": record}
    path.write_text("\n".join([*lines, right.line()]))
    assert completed({"a-0": record}, read_completions(path))["a-0"].row == TRAINED | right.row
    assert read_completions(tmp_path / "none") == []


def test_a_job_of_a_cluster_writes_its_stack_first_and_once_more_with_its_limits(tmp_path, monkeypatch):
    stacks = schedule(plan(sweep({"seed": [0, 1]}))).stacks
    journal, written = Journal(tmp_path), []
    write_task(tmp_path / "0.json", stacks, "cpu", Keep(tmp_path), cpus=1)
    original = Journal.write
    monkeypatch.setattr(Journal, "write", lambda self, new: written.append(any(map(lacks, new))) or original(self, new))
    assert slurm_job.main([str(tmp_path / "0.json")]) == 0
    assert written == [True, False]
    original(journal, run_stack(stacks[0], "cpu", keep=BESIDE))  # as if it was killed between the two
    monkeypatch.setattr(worker, "_train", None)
    assert slurm_job.main([str(tmp_path / "0.json")]) == 0
    assert not any(map(lacks, journal.read().values()))
    journal.close(complete=False)
