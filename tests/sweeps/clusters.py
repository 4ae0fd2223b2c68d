"""Clusters of this machine: a Dask scheduler with two workers on the loopback device, and a Slurm cluster of one node."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.sweeps.test_runner import wait_for

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm_cluster.sh"


@contextlib.contextmanager
def dask_cluster(folder):
    """Gives the address, and the processes of the scheduler and its two workers, which may be killed."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask, quiet = [sys.executable, "-m", "dask"], {"stderr": subprocess.DEVNULL, "cwd": folder}
    ports = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", *ports], **quiet)
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
    processes = [scheduler, *(subprocess.Popen([*worker, "--local-directory", str(folder)], **quiet) for _ in range(2))]
    try:
        wait_for(lambda: _answers(address))
        yield address, processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _answers(address):
    host, port = address.removeprefix("tcp://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


@contextlib.contextmanager
def slurm_cluster():
    """As scripts/slurm_cluster.sh sets it up: no accounting, arrays of at most eight jobs. This process's Slurm meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("scripts/slurm_cluster.sh needs root")
    with tempfile.TemporaryDirectory(prefix="quantbench-") as parent:
        os.chmod(parent, 0o755)  # munged runs as a user of its own
        folder, log = Path(parent) / "slurm", Path(parent) / "log"
        with log.open("w") as out:  # no pipe: the daemons live on, and would keep it open
            started = subprocess.run([SCRIPT, "start", folder], stdout=out, stderr=out, timeout=120)
        try:
            if "is missing: apt-get install" in log.read_text():
                pytest.skip(log.read_text().strip())
            assert started.returncode == 0, log.read_text()
            os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
            yield
        finally:
            os.environ.pop("SLURM_CONF", None)
            subprocess.run([SCRIPT, "stop", folder], check=True, timeout=120)
