import json
import os
import signal
import socket
import time

import pytest
from rich.console import Console

from quantbench.errors import ConfigError
from quantbench.points import Points
from quantbench.results.progress import COMPLETE, RUNNING, STOPPED, SUBMITTED, Watch
from quantbench.results.records import Record, write_records
from quantbench.results.tables import results_table, write
from quantbench.results.watch import standings, view
from tests.conftest import SMALL
from tests.faults.tools import limited

FINISHED = {"status": "completed", "error": "", "nmse_db": -3.0, "seconds": 2.0}


def plan(count, gradient="ste"):
    return [
        {
            "trial": f"{gradient}-{seed}",
            "experiment": "test",
            "seed": seed,
            "simulator": "codeword",
            "codec": "mlp",
            "quantizer": "vq",
            "gradient": gradient,
            "quantizer.commitment": 0.25,
        }
        for seed in range(count)
    ]


@pytest.fixture
def sweep(tmp_path):
    """A folder of a sweep of six trials that this process runs."""
    journal = tmp_path / "journal"
    journal.mkdir()
    rows = plan(3) + plan(3, "[red]mste")
    table = results_table(rows, ["quantizer.commitment"])
    write(table[["trial", "experiment", "status", "error", *table.columns[4:11]]], journal / "plan.csv")
    (journal / "lock").write_text(f"{os.getpid()} {socket.gethostname()}\n")
    return tmp_path


def finish(folder, *trials, **row):
    records = [Record(trial, FINISHED | row, Points()) for trial in trials]
    write_records(folder / "journal" / f"{trials[0]}.json", records)


def shown(now, width=80, most=None):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(view(now, None, most))
    return console.export_text()


def test_a_sweep_under_way(sweep):
    watch = Watch(sweep)
    assert (watch.look().state, watch.look().finished) == (RUNNING, 0)
    finish(sweep, "ste-0", "ste-1")
    finish(sweep, "ste-2", status="diverged", error="loss not finite at step 3")
    now = watch.look()
    assert (now.finished, now.finished_since, len(now.table)) == (3, 3, 6)
    assert now.remaining_seconds == pytest.approx(now.seconds, rel=0.2)
    header, rows = standings(now, None)
    assert header == ["method", "done", "trials", "diverged", "failed", "nmse_db [95 % if normal]", "seconds"]
    assert rows[0][:5] == ["vq ste", 3, 3, 1, 0]
    assert rows[0][5].mean == -3
    assert rows[1][:6] == ["vq [red]mste", 0, 3, 0, 0, None]
    text = " ".join(shown(now).split())  # wherever its lines break
    assert "3 of 6 trials" in text
    assert "1 x loss not finite at step 3" in text
    assert "vq [red]mste" in text  # a name is no markup


def test_what_a_resumed_sweep_had_before_tells_nothing_of_its_speed(sweep):
    finish(sweep, "ste-0")
    os.utime(sweep / "journal" / "ste-0.json", (0, 0))
    now = Watch(sweep).look()
    assert (now.finished, now.finished_since, now.remaining_seconds) == (1, 0, None)


@pytest.mark.parametrize("lock", ["", "999999999 {host}", None])
def test_a_sweep_that_nobody_runs(sweep, lock):
    path = sweep / "journal" / "lock"
    path.unlink() if lock is None else path.write_text(lock.format(host=socket.gethostname()))
    now = Watch(sweep).look()
    assert now.state == STOPPED
    assert "quantbench resume" in shown(now)


def test_a_plan_without_trials(sweep):
    plan = sweep / "journal" / "plan.csv"
    plan.write_text(plan.read_text().splitlines()[0] + "\n")
    assert (len(Watch(sweep).look().table), Watch(sweep).look().finished) == (0, 0)


def test_a_sweep_that_was_left_to_jobs(sweep):
    (sweep / "journal" / "lock").unlink()
    (sweep / "slurm").mkdir()
    finish(sweep, "ste-0")
    now = Watch(sweep).look()
    assert now.state == SUBMITTED
    assert now.remaining_seconds > 0
    assert "--collect" in shown(now)


def test_a_driver_on_another_machine_counts_as_there(sweep):
    (sweep / "journal" / "lock").write_text("1 elsewhere\n")
    assert Watch(sweep).look().state == RUNNING


def test_a_damaged_record_is_left_to_resume(sweep):
    finish(sweep, "ste-1")
    whole = (sweep / "journal" / "ste-1.json").read_text()
    (sweep / "journal" / "half.json").write_text(whole[:20])
    (sweep / "journal" / "other.json").write_text(whole.replace("-3.0", "-3.5").replace("ste-1", "ste-2"))
    (sweep / "journal" / "bare.json").write_text('[{"trial": "ste-0", "row": {"status": "completed"}, "curves": []}]')
    assert Watch(sweep).look().finished == 1


@pytest.mark.parametrize("name", ["plan.csv", "lock", "ste-0.json"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["pipe", "link"])
def test_what_has_no_end_is_refused(sweep, name, make):
    (sweep / "journal" / name).unlink(missing_ok=True)
    make(sweep / "journal" / name)
    with limited(20), pytest.raises(ConfigError, match=rf"journal/{name}: is (no regular file|a link).*remove it"):
        Watch(sweep).look()


def test_few_lines_show_what_is_under_way(sweep):
    finish(sweep, "[red]mste-0")
    text = shown(Watch(sweep).look(), most=1)
    assert "vq [red]mste" in text
    assert "vq ste" not in text
    assert "and 1 rows more" in text


def test_a_complete_run(small_run, quantbench):
    folder = small_run("-m", "gradient=ste,mste", "seed=0,1")
    assert Watch(folder).look().state == COMPLETE
    code, out, err = quantbench("watch", str(folder), "--format", "json")
    assert (code, err) == (0, "")
    assert [(row["method"], row["done"], row["trials"]) for row in json.loads(out)] == [("vq ste", 2, 2), ("vq mste", 2, 2)]
    code, out, _ = quantbench("watch", str(folder))
    assert "complete" in out


def test_an_interrupted_run(quantbench, command, tmp_path):
    running = command("run", "-m", *SMALL, "train.steps=2000000", "gradient=ste,mste", "executor=inline", cwd=tmp_path)
    try:
        while not (plans := list(tmp_path.glob("outputs/*/*/journal/plan.csv"))):
            time.sleep(0.1)
        folder = plans[0].parents[1]
        code, out, _ = quantbench("watch", str(folder), "--once")
        assert code == 0
        assert "running" in out
        assert "0 of 2 trials" in out
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert "stopped" in quantbench("watch", str(folder), "--once")[1]


def test_no_run(quantbench, tmp_path):
    with pytest.raises(ConfigError, match="no folder of a run"):
        Watch(tmp_path).look()
    code, _, err = quantbench("watch", str(tmp_path), "--metric", "beauty")
    assert code == 2
    assert "--metric beauty: no such metric" in err


def test_each_row_can_be_read_across_in_a_narrow_terminal(sweep):
    finish(sweep, "ste-0", "ste-1")
    text = shown(Watch(sweep).look(), width=50)
    assert max(map(len, text.splitlines())) <= 50
    row = next(line for line in text.splitlines() if line.startswith("vq ste"))
    assert "-3" in row
    assert "in every row: trials 3; diverged 0; failed 0" in text
