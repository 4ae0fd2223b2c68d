"""Dask clusters: of this machine, and a scheduler with workers of its own on the loopback device."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pandas as pd
import pytest

from quantbench.results.tables import read_results
from tests.conftest import SMALL
from tests.sweeps.clusters import dask_cluster
from tests.sweeps.test_runner import children_of_group, wait_for, without_cost
from tests.sweeps.test_workers import DEADLY

pytest.importorskip("distributed", reason="needs the extra quantbench[dask]")

PATIENCE = 240
"""Seconds; each worker imports PyTorch anew, which takes long on a busy machine."""
LONG = [*SMALL, "train.steps=300", "train.log_every=300", "-m", "seed=range(0,8)", "executor.stack_size=1"]


@pytest.fixture
def cluster(tmp_path):
    with dask_cluster(tmp_path) as one:
        yield one


def finished(tmp_path):
    return len(list(tmp_path.glob("outputs/default/*/journal/*.json")))


def test_a_cluster_of_this_machine_gives_the_table_of_one_process(quantbench, small_run, tmp_path):
    axes = ["-m", "gradient=ste,mste", "seed=range(0,3)"]
    base = small_run(*axes)
    code, _, err = quantbench("run", "executor=dask", "executor.workers=2", "executor.stack_size=2", *SMALL, *axes)
    assert code == 0, err
    assert re.search(r"Dask's dashboard: http://127.0.0.1:\d+/status", err)
    (folder,) = set((tmp_path / "outputs" / "default").iterdir()) - {base}
    pd.testing.assert_frame_equal(without_cost(base), without_cost(folder))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1", "nothing://127.0.0.1:8786"])
def test_an_address_that_is_none_is_named_before_anything_is_written(quantbench, tmp_path, address):
    code, _, err = quantbench("run", "executor=dask", f"executor.address={address}", *SMALL)
    assert code == 2
    assert f"executor.address={address}: no Dask scheduler answers there" in err
    assert not (tmp_path / "outputs").exists()
    code, out, err = quantbench("run", "executor=dask", f"executor.address={address}", "dry_run=true", *SMALL)
    assert code == 0, err
    assert "stacks as for 1 worker; a run asks the cluster" in out


def test_an_address_where_something_else_listens_has_a_time_limit(quantbench, monkeypatch):
    monkeypatch.setattr("quantbench.sweeps.executors.dask.CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        code, _, err = quantbench("run", "executor=dask", f"executor.address={address}", *SMALL)
    assert code == 2
    assert f"executor.address={address}: no Dask scheduler answers there within 1 s" in err


def test_too_few_open_files_are_one_message(quantbench, monkeypatch):
    limits, given = [(40, 40)], []
    monkeypatch.setattr("resource.getrlimit", lambda _: limits[-1])
    monkeypatch.setattr("resource.setrlimit", lambda _, limit: given.append(limit))
    words = ["run", "executor=dask", "executor.workers=2", "executor.stack_size=1", *SMALL, "-m", "seed=0,1"]
    code, _, err = quantbench(*words)
    assert code == 1
    (line,) = [line for line in err.splitlines() if line]
    assert line.startswith("error: executor=dask: 2 workers take up to 96 open files, and the system allows this process 40")

    def refused(workers):
        raise RuntimeError("Nanny failed to start.") from OSError(24, "Too many open files")

    monkeypatch.setattr("quantbench.sweeps.executors.dask._local_cluster", refused)
    limits.append((40, 4096))
    code, _, err = quantbench(*words)
    assert code == 1
    assert "executor=dask: a cluster of this machine cannot be started (RuntimeError: Nanny failed to start." in err
    assert given == [(96, 4096)]


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_nothing(command, cluster, small_run, tmp_path):
    address, (_, victim, _) = cluster
    process = command("run", *LONG, "executor=dask", f"executor.address={address}", cwd=tmp_path)
    wait_for(lambda: finished(tmp_path) >= 2, PATIENCE)
    victim.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    (folder,) = tmp_path.glob("outputs/default/*")
    base = small_run(*LONG)
    pd.testing.assert_frame_equal(without_cost(base), without_cost(folder))


@pytest.mark.slow
def test_a_driver_that_was_killed_is_resumed_on_the_same_cluster(command, cluster, tmp_path):
    address, processes = cluster
    process = command("run", *LONG, "executor=dask", f"executor.address={address}", cwd=tmp_path)
    wait_for(lambda: finished(tmp_path) >= 2, PATIENCE)
    process.kill()
    process.communicate(timeout=PATIENCE)
    (folder,) = tmp_path.glob("outputs/default/*")
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "journal").glob("*.json")}
    assert 2 <= len(kept) < 8
    refused = command("resume", str(folder), cwd=tmp_path)
    _, err = refused.communicate(timeout=PATIENCE)
    assert refused.returncode == 2
    assert f"reaches beyond this machine ({address}), and does not because a file says so" in err
    resumed = command("resume", str(folder), "--allow", address, cwd=tmp_path)
    out, err = resumed.communicate(timeout=PATIENCE)
    assert resumed.returncode == 0, err
    assert f"{len(kept)} trials are there" in out
    assert set(read_results(folder)["status"]) == {"completed"}
    assert len(read_results(folder)) == 8
    assert all(one.poll() is None for one in processes)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_and_keeps_what_is_finished(command, cluster, tmp_path):
    address, (scheduler, *_) = cluster
    process = command("run", *LONG, "executor=dask", f"executor.address={address}", cwd=tmp_path)
    wait_for(lambda: finished(tmp_path) >= 2, PATIENCE)
    scheduler.kill()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "executor=dask: the connection to the scheduler is lost" in err
    assert "Traceback" not in err
    (folder,) = tmp_path.glob("outputs/default/*")
    assert 2 <= len(read_results(folder)) < 8


@pytest.mark.slow
@pytest.mark.parametrize(("times", "failed"), [(1, 0), (100, 2)])
def test_a_stack_that_kills_its_worker_is_retried_once(command, tmp_path, times, failed):
    (tmp_path / "mine" / "gradient").mkdir(parents=True)
    (tmp_path / "mine" / "deadly_classes.py").write_text(DEADLY)
    (tmp_path / "mine" / "gradient" / "deadly.yaml").write_text(f"_target_: deadly_classes.Deadly\ntimes: {times}\n")
    words = ["executor=dask", "executor.workers=2", "executor.stack_size=2", *SMALL, "-m", "--config-dir", "mine"]
    process = command("run", *words, "gradient=ste,deadly,mste", "seed=0,1", cwd=tmp_path)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (1 if failed else 0), err
    assert "Traceback" not in err
    (folder,) = tmp_path.glob("outputs/default/*")
    table = read_results(folder)
    assert len(table) == 6
    assert set(table[table["gradient"] != "deadly"]["status"]) == {"completed"}
    assert (table["status"] == "failed").sum() == failed
    assert len((tmp_path / "deaths").read_text()) in ((1,) if not failed else (2, 4))
    wait_for(lambda: not children_of_group(process.pid))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_driver_leaves_no_workers_of_this_machine(command, tmp_path, how):
    process = command("run", *LONG, "executor=dask", "executor.workers=2", cwd=tmp_path)
    wait_for(lambda: finished(tmp_path) >= 2, PATIENCE)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # Ctrl-C goes to the whole group
    else:
        process.send_signal(how)
    _, err = process.communicate(timeout=PATIENCE)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in err
    wait_for(lambda: not children_of_group(process.pid))
    (folder,) = tmp_path.glob("outputs/default/*")
    assert 2 <= len(list(Path(folder / "journal").glob("*.json"))) < 8


@pytest.mark.slow
@pytest.mark.parametrize("later", [0.0, 0.3, 0.6, 1.0, 1.5])
def test_ctrl_c_while_a_cluster_of_this_machine_starts_is_no_traceback(command, tmp_path, later):
    process = command("run", *LONG, "executor=dask", "executor.workers=2", cwd=tmp_path)
    wait_for(lambda: len(children_of_group(process.pid)) >= 2, PATIENCE)
    time.sleep(later)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    wait_for(lambda: not children_of_group(process.pid))
