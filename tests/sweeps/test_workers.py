"""Workers that really die, real Ctrl-C, and the progress bar that a terminal would show."""

import os
import pty
import re
import signal
import termios
import threading
from pathlib import Path

import pytest

from quantbench.results.tables import read_results
from quantbench.sweeps.executors import Engine, Inline, Processes, WorkerDied
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.worker import unheard
from tests.conftest import SMALL
from tests.sweeps.test_plan import sweep
from tests.sweeps.test_runner import children_of_group, wait_for

DEADLY = '''
import os, signal
from pathlib import Path
from quantbench.components import component
from quantbench.gradients import STE

@component
class Deadly(STE):
    """Kills its process, but only so many times."""

    times: int = 1

    def pass_through(self, quantizer, state, latents, code, moment):
        deaths = Path("deaths").open("a")
        if deaths.tell() < self.times:
            deaths.write("x")
            deaths.close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().pass_through(quantizer, state, latents, code, moment)
'''
TWO_WORKERS = ["executor=processes", "executor.workers=2", "executor.stack_size=2"]


@pytest.fixture
def deadly(tmp_path):
    """Options with which a run finds the gradient ``deadly``."""
    (tmp_path / "mine" / "gradient").mkdir(parents=True)
    (tmp_path / "mine" / "deadly_classes.py").write_text(DEADLY)
    (tmp_path / "mine" / "gradient" / "deadly.yaml").write_text("_target_: deadly_classes.Deadly\ntimes: 1\n")
    return ["--config-dir", "mine"]


def workers_of(driver):
    """Worker processes of a run: those in its process group that are no direct child of the driver (the fork server is one)."""
    found = []
    for pid in children_of_group(driver):
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if int(pid) != driver and parent != driver and parent != os.getpid():
            found.append(int(pid))
    return found


@pytest.mark.parametrize(("times", "failed"), [(1, 0), (100, 2)])
def test_a_stack_that_kills_its_worker_is_retried_once(command, deadly, tmp_path, times, failed):
    words = [*SMALL, "-m", *deadly, "gradient=ste,deadly,mste", "seed=0,1", *TWO_WORKERS]
    (tmp_path / "mine" / "gradient" / "deadly.yaml").write_text(f"_target_: deadly_classes.Deadly\ntimes: {times}\n")
    process = command("run", *words, cwd=tmp_path)
    _, err = process.communicate()
    assert process.returncode == (1 if failed else 0), err
    assert "Traceback" not in err
    (folder,) = tmp_path.glob("outputs/default/*")
    table = read_results(folder)
    assert len(table) == 6
    assert set(table[table["gradient"] != "deadly"]["status"]) == {"completed"}
    lost = table[table["status"] == "failed"]
    assert len(lost) == failed
    assert set(lost["error"]) <= {"its worker process died (out of memory, or killed)"}
    deaths = len((tmp_path / "deaths").read_text())
    assert deaths == 1 if not failed else deaths in (2, 4)  # twice a stack: there are one or two, as the workers are filled
    wait_for(lambda: not children_of_group(process.pid))


LONG = [*SMALL, "train.steps=120", "train.log_every=120", "-m", "seed=range(0,12)", *TWO_WORKERS, "executor.stack_size=1"]


def finished(tmp_path):
    return len(list(tmp_path.glob("outputs/default/*/journal/*.json")))


def test_all_workers_killed_at_once_cost_nothing(command, tmp_path):
    process = command("run", *LONG, cwd=tmp_path)
    for stacks in (2, 5):
        wait_for(lambda stacks=stacks: finished(tmp_path) >= stacks and len(workers_of(process.pid)) == 2)
        for worker in workers_of(process.pid):
            os.kill(worker, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    (folder,) = tmp_path.glob("outputs/default/*")
    assert set(read_results(folder)["status"]) == {"completed"}
    assert len(read_results(folder)) == 12


@pytest.mark.parametrize("first", [pytest.param("worker", marks=pytest.mark.slow), "driver"])
def test_ctrl_c_while_a_worker_dies(command, tmp_path, first):
    process = command("run", *LONG, cwd=tmp_path)
    wait_for(lambda: finished(tmp_path) >= 2 and len(workers_of(process.pid)) == 2)
    victim = workers_of(process.pid)[0]
    signals = [(victim, signal.SIGKILL), (process.pid, signal.SIGINT)]
    for pid, number in signals if first == "worker" else reversed(signals):
        os.kill(pid, number)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "quantbench resume" in err
    wait_for(lambda: not children_of_group(process.pid))
    (folder,) = tmp_path.glob("outputs/default/*")
    table = read_results(folder)
    assert 2 <= len(table) < 12
    assert set(table["status"]) == {"completed"}
    resumed = command("resume", str(folder), cwd=tmp_path)
    _, err = resumed.communicate()
    assert resumed.returncode == 0, err
    assert len(read_results(folder)) == 12


class Interrupted(Engine):
    """Runs inline; the second time it is polled, Ctrl-C is pressed."""

    capacity = 2

    def __init__(self, inline):
        self.inline, self.polls = inline, 0

    def submit(self, stack, alone=False):
        return self.inline.submit(stack)

    def poll(self):
        self.polls += 1
        if self.polls == 2:
            raise KeyboardInterrupt


def test_stacks_that_are_finished_when_ctrl_c_comes_are_kept(quantbench, monkeypatch, tmp_path):
    original = Inline.open
    monkeypatch.setattr(Inline, "open", lambda *arguments: Interrupted(original(*arguments)))
    code, _, _ = quantbench("run", "executor=inline", "executor.stack_size=1", "-m", "seed=range(0,6)", *SMALL)
    assert code == 130
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    assert len(read_results(folder)) == 4


def test_an_engine_works_on_after_its_pool_broke():
    progress = []
    stacks = schedule(plan(sweep({"seed": [0, 1, 2, 3], "quantizer.commitment": [0, 1]}))).stacks
    engine = Processes(workers=2).open(2, "cpu", lambda trials, phase: progress.append(trials))
    try:
        for _ in range(2):  # a pool in place of the first can break too
            assert len(engine.submit(stacks[0]).result(timeout=60)) == 4
            for worker in list(engine.pool._processes.values()):
                worker.kill()
                worker.join()
            # Submitted before or after the pool has noticed: lost, or trained in a new pool, but never stuck.
            futures = [engine.submit(stack) for stack in stacks]
            for future in futures:
                error = future.exception(timeout=60)
                assert error is None or isinstance(error, WorkerDied)
        assert [record.row["status"] for record in engine.submit(stacks[1]).result(timeout=60)] == ["completed"] * 4
        engine.poll()
        assert sum(progress) > 0
    finally:
        engine.close()


def test_a_worker_that_dies_with_the_lock_of_the_progress_stops_nobody():
    (stack,) = schedule(plan(sweep({"seed": [0, 1]}))).stacks
    engine = Processes(workers=2).open(2, "cpu", unheard)
    try:
        engine.done.get_lock().acquire()  # as if a worker had died with it
        lost = engine.submit(stack)
        engine.poll()
        wait_for(lambda: engine.pool._processes)
        for worker in list(engine.pool._processes.values()):
            worker.kill()
        assert isinstance(lost.exception(timeout=60), WorkerDied)
        assert len(engine.submit(stack).result(timeout=60)) == 2
    finally:
        engine.close()


def test_one_progress_bar_shows_everything(command, deadly, tmp_path):
    words = [*SMALL, "train.steps=200", "-m", *deadly, "gradient=ste,deadly,mste", "seed=range(0,4)", *TWO_WORKERS]
    driver, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    text = []

    def read():
        try:
            while part := os.read(driver, 4096):
                text.append(part.decode())
        except OSError:  # the terminal is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    process = command("run", *words, cwd=tmp_path, out=os.devnull, err=os.ttyname(terminal))
    process.wait()
    os.close(terminal)
    reader.join(timeout=10)
    os.close(driver)
    assert process.returncode == 0, "".join(text)
    shown = [float(done) for done in re.findall(r"\| (\d+\.\d)/12 trials", "".join(text))]
    assert shown[0] == 0
    assert shown[-1] == 12
    assert max(shown) == 12  # though a worker died and its stack was trained twice
    assert len(set(shown)) > 3
    assert "training:" in "".join(text)
    assert "".join(text).count("\n") == 1  # one line, written again and again
