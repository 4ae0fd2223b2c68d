"""Drivers that are killed at any moment: nothing finished is lost or done twice, and the table ends as if nothing had been."""

import contextlib
import os
import random
import signal
import time
from typing import NamedTuple

import pandas as pd
import pytest

from quantbench.results.schema import COST
from quantbench.results.tables import read_results
from quantbench.sweeps.journal import Journal
from tests.conftest import SMALL
from tests.faults.starter import Starter
from tests.sweeps.clusters import dask_cluster, slurm_cluster
from tests.sweeps.test_runner import children_of_group, wait_for

EXECUTORS = ["inline", "processes", "dask", "slurm"]
QUICK = ["inline", pytest.param("processes", marks=pytest.mark.slow)]
TRIALS = 6


class Commands(NamedTuple):
    """A sweep of six stacks with one executor, what resumes it but for the folder, and whether its jobs outlive the driver."""

    run: list[str]
    resume: list[str]
    jobs_live_on: bool


def commands(executor, steps, *settings, resume=()):
    sweep = ["run", *SMALL, f"executor={executor}", "executor.stack_size=1", f"train.steps={steps}", *settings]
    return Commands([*sweep, "-m", f"seed=range(0,{TRIALS})"], ["resume", *resume], executor == "slurm")


@contextlib.contextmanager
def engine(executor, folder):
    """Commands whose sweeps train for about as long as it takes to start: it is then that there is something to lose."""
    if executor == "inline":
        yield commands("inline", 30)
    elif executor == "processes":
        yield commands("processes", 1500, "executor.workers=2")
    elif executor == "dask":
        pytest.importorskip("distributed", reason="needs the extra quantbench[dask]")
        with dask_cluster(folder) as (address, _):
            yield commands("dask", 1500, f"executor.address={address}", resume=["--allow", address])
    else:
        pytest.importorskip("submitit", reason="needs the extra quantbench[slurm]")
        with slurm_cluster():
            yield commands("slurm", 1000, "executor.stacks_per_job=3", "executor.poll_seconds=0.5", resume=["--allow", "slurm"])


@pytest.fixture
def starter(tmp_path):
    one = Starter(tmp_path)
    yield one
    one.close()


@pytest.fixture
def started(executor, tmp_path):
    """Commands of an executor, and a starter that sees its cluster."""
    (tmp_path / "cluster").mkdir()
    with engine(executor, tmp_path / "cluster") as words, contextlib.closing(Starter(tmp_path)) as one:
        yield one, words


def folders(root):
    return set(root.glob("outputs/default/*"))


def tables(folder):
    """Both tables without what differs from run to run."""
    return read_results(folder).drop(columns=COST), (folder / "curves.csv").read_text()


def finished(folder):
    """What is on disk, and how long it took; taken as the next driver will take it."""
    if (folder / "journal").exists():
        journal = Journal(folder)  # the lock died with its owner
        records = journal.read()
        journal.close(complete=False)
        return {trial: record.row["seconds"] for trial, record in records.items()}
    if (folder / "results.csv").exists():
        table = read_results(folder)
        return dict(zip(table["trial"], table["seconds"], strict=True))
    return {}


def assert_as_undisturbed(folder, undisturbed, kept):
    results, curves = tables(folder)
    pd.testing.assert_frame_equal(results, undisturbed[0])
    assert curves == undisturbed[1]
    seconds = read_results(folder).set_index("trial")["seconds"]
    assert len(seconds) == TRIALS
    assert {trial: seconds[trial] for trial in kept} == pytest.approx(kept)  # the same training, not another one
    assert not (folder / "journal").exists()


def undisturbed(starter, words):
    """The tables, and the seconds that a sweep takes."""
    for _ in range(2):  # the first one also imports what no process has imported yet
        before, begin = folders(starter.folder), time.perf_counter()
        code, printed = starter.run(*words.run)
        assert code == 0, printed
    (folder,) = folders(starter.folder) - before
    return tables(folder), time.perf_counter() - begin


def kill_and_resume(starter, words, kills, seed):
    """Kill so many drivers, each after a random time; a sweep that was killed is resumed, and killed again. Gives figures."""
    expected, duration = undisturbed(starter, words)
    chance = random.Random(seed)
    seen = folders(starter.folder)
    done, sweeps, kept, folder, useful = 0, 0, {}, None, 0
    while done < kills or folder:
        pid = starter.start(*([*words.resume, folder] if folder else words.run))
        if done < kills:
            time.sleep(chance.uniform(0, 1.1 * duration))
            os.kill(pid, signal.SIGKILL)
        code = starter.wait(pid)
        assert code in (0, -signal.SIGKILL), starter.log.read_text()
        done += code == -signal.SIGKILL
        # No worker outlives its driver, nor a child that was just forked, which holds the lock until it is another program.
        wait_for(lambda pid=pid: not children_of_group(pid))
        new = folders(starter.folder) - seen
        if not folder and new:
            (folder,) = new
            seen |= new
        if folder and not (folder / "sweep.yaml").exists():  # killed before anything could be trained
            assert code == -signal.SIGKILL
            assert not list(folder.glob("journal/*.json"))
            folder = None
            continue
        if folder:
            now = finished(folder)
            assert {trial: now[trial] for trial in kept} == pytest.approx(kept)
            useful += code == -signal.SIGKILL and 0 < len(now) < TRIALS
            kept = now
            if code == 0:
                assert_as_undisturbed(folder, expected, kept)
                sweeps, kept, folder = sweeps + 1, {}, None
    return {"kills": done, "sweeps": sweeps, "kills with some trials finished": useful, "seconds a sweep": round(duration, 2)}


@pytest.mark.parametrize("executor", QUICK)
def test_five_kills(started):
    assert kill_and_resume(*started, 5, seed=0)["sweeps"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_hundred_kills(started, executor):
    found = kill_and_resume(*started, 100, seed=1)
    print(executor, found)
    assert found["kills with some trials finished"] >= 20


def killed_at_write(starter, words, number, expected):
    """Whether there was such a write."""
    before = folders(starter.folder)
    code, printed = starter.run(*words.run, kill_at=number)
    assert code in (0, -signal.SIGKILL), printed
    new = folders(starter.folder) - before
    if code == 0:
        return False
    if not new or not next(iter(new), None).joinpath("sweep.yaml").exists():
        return True  # nothing was trained yet
    (folder,) = new
    kept = finished(folder)
    code, printed = starter.run(*words.resume, folder)
    assert code == 0, printed
    assert "damaged" not in printed
    assert_as_undisturbed(folder, expected, kept)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_killed_at_each_of_its_writes(started, executor):
    expected, _ = undisturbed(*started)
    number = 1
    while killed_at_write(*started, number, expected):
        number += 1
    print(f"{executor}: killed at {number - 1} writes")
    assert number > 5 * TRIALS


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def interrupt_and_resume(starter, words, times, seed):
    expected, duration = undisturbed(starter, words)
    chance = random.Random(seed)
    ended = dict.fromkeys(["130", "0", "signal"], 0)
    for number in range(times):
        before = folders(starter.folder)
        pid = starter.start(*words.run)
        time.sleep(chance.uniform(0, duration))
        how = SIGNALS[number % len(SIGNALS)]
        (os.killpg if how == signal.SIGINT else os.kill)(pid, how)
        code = starter.wait(pid)
        printed = starter.log.read_text()
        assert "Traceback" not in printed
        assert code in (0, 130, -how), (code, printed)
        ended["signal" if code < 0 else str(code)] += 1
        wait_for(lambda pid=pid: not children_of_group(pid))
        for folder in folders(starter.folder) - before:
            if not (folder / "sweep.yaml").exists():
                continue
            kept = finished(folder)
            if code == 130 and "quantbench resume" in printed:  # the tables hold what was finished
                table = read_results(folder)
                assert set(table["trial"]) <= set(kept)
                assert words.jobs_live_on or len(table) >= len(kept) - 1
            code, printed = starter.run(*words.resume, folder)
            assert code == 0, printed
            assert_as_undisturbed(folder, expected, kept)
    return ended


@pytest.mark.parametrize("executor", QUICK)
def test_a_signal_of_each_kind(started):
    interrupt_and_resume(*started, 3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_sixty_signals(started, executor):
    ended = interrupt_and_resume(*started, 60, seed=1)
    print(executor, ended)
    assert ended["130"] >= 10


@pytest.mark.slow
def test_the_lock_dies_with_its_owner(starter):
    first = starter.start(*commands("processes", 500, "executor.workers=2").run)
    wait_for(lambda: list(starter.folder.glob("outputs/default/*/journal/*.json")))
    (folder,) = folders(starter.folder)
    code, printed = starter.run("resume", folder)
    assert code == 1
    assert "another process is running this sweep" in printed
    os.kill(first, signal.SIGKILL)
    starter.wait(first)
    kept = finished(folder)
    code, printed = starter.run("resume", folder)
    assert code == 0, printed
    seconds = read_results(folder).set_index("trial")["seconds"]
    assert {trial: seconds[trial] for trial in kept} == pytest.approx(kept)
    assert len(seconds) == TRIALS


@pytest.mark.slow
def test_a_hangup_that_is_ignored_ends_nothing(starter):
    """As nohup has it."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        deaf = Starter(starter.folder)
    finally:
        signal.signal(signal.SIGHUP, previous)
    pid = deaf.start(*commands("inline", 30).run)
    wait_for(lambda: list(starter.folder.glob("outputs/default/*/journal/*.json")))
    os.kill(pid, signal.SIGHUP)
    assert deaf.wait(pid) == 0
    deaf.close()
    (folder,) = folders(starter.folder)
    assert len(read_results(folder)) == TRIALS
