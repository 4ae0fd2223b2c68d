"""Whether memory and open files stay flat: sweeps, resumes and comparisons in one process for half an hour.

.venv/bin/python scripts/benchmarks/endurance.py --minutes 30
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from quantbench.cli import main as quantbench

SWEEP = [
    "train.steps=20",
    "train.batch=16",
    "train.log_every=10",
    "codec.hidden=8",
    "simulator.bits=3",
    "-m",
    "seed=range(0,4)",
]
EXECUTORS = (["executor=inline"], ["executor=processes", "executor.workers=2", "executor.stack_size=4"])


class Reading(NamedTuple):
    minutes: float
    memory: float
    files: int
    threads: int
    children: int


def read(began: float) -> Reading:
    """Resident memory in MiB, open files, threads and child processes of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return Reading(
        (time.monotonic() - began) / 60,
        int(status["VmRSS"].split()[0]) / 1024,
        len(os.listdir("/proc/self/fd")),
        int(status["Threads"]),
        len(children),
    )


def once(number: int) -> None:
    """A sweep, its resume, and a comparison with itself; its folder is thrown away."""
    choices = ["gradient=ste,mste,noise,soft_to_hard", "quantizer=vq,rvq"]
    run(["run", *EXECUTORS[number % len(EXECUTORS)], *SWEEP, *choices])
    (folder,) = Path("outputs/default").iterdir()
    run(["resume", str(folder)])
    run(["diff", str(folder), str(folder)])
    shutil.rmtree("outputs")


def run(words: list[str]) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = quantbench(words)
    if code:
        sys.exit(out.getvalue())


def slope(readings: list[Reading], name: str) -> float:
    """Growth a sweep, fitted by least squares."""
    values = [float(getattr(one, name)) for one in readings]
    return statistics.linear_regression(range(len(values)), values).slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--most-growth", type=float, help="exit with 1 where a sweep takes more KiB than that, after the first third"
    )
    minutes, most = vars(parser.parse_args()).values()
    began = time.monotonic()
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        while not readings or readings[-1].minutes < minutes:
            once(len(readings))
            readings.append(read(began))
    late = readings[len(readings) // 3 :]
    print(f"{len(readings)} sweeps of 32 trials in {readings[-1].minutes:.1f} minutes")
    print("            first  after a third   last    most   growth a sweep after the first third")
    for name in ("memory", "files", "threads", "children"):
        values = [getattr(one, name) for one in readings]
        ends = f"{values[0]:6.0f} {getattr(late[0], name):14.0f} {values[-1]:6.0f} {max(values):7.0f}"
        print(f"{name:9} {ends} {slope(late, name):8.3f}{' MiB' if name == 'memory' else ''}")
    growth = 1024 * slope(late, "memory")
    if most is not None and growth > most:
        sys.exit(f"memory grows by {growth:.0f} KiB a sweep, more than {most:g}")
    if late[-1].files > late[0].files + 2:
        sys.exit(f"open files grow from {late[0].files} to {late[-1].files}")


if __name__ == "__main__":
    main()
