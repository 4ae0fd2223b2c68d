"""How long planning takes: 10,000 trials over 24 combinations of groups, against Hydra's own way.

    python scripts/benchmarks/planning.py [--hydra-jobs N]

The whole command is measured, from start to the end of a dry run, and the parts that it is made of. Beside it Hydra's own
composition of every job is measured on N jobs and extrapolated: its basic sweeper composes each job once to check it, its
basic launcher once more to run it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import hydra

from quantbench.paths import config_folder
from quantbench.sweeps.compose import compose
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import schedule

AXES = [
    "simulator=codeword,gaussian",
    "quantizer=vq,scalar,fsq",
    "gradient=ste,mste,noise,soft_to_hard",
    "quantizer.commitment=0,0.1,0.25,1",
    "train.lr=0.001,0.003",
    "seed=range(0,53)",
]
"""2 x 3 x 4 = 24 combinations of groups, 424 trials each: 10,176 trials."""


def parts(axes: list[str]) -> tuple[int, int, dict[str, float]]:
    """Trials, stacks, and seconds for composing and planning."""
    seconds = {}
    start = time.perf_counter()
    sweep = compose(axes)
    seconds[f"compose {len(sweep.combinations)} combinations"] = time.perf_counter() - start
    start = time.perf_counter()
    planned = plan(sweep)
    seconds["apply, resolve, check"] = time.perf_counter() - start
    start = time.perf_counter()
    scheduled = schedule(planned)
    seconds["group, cut into stacks"] = time.perf_counter() - start
    return len(planned.trials), len(scheduled.stacks), seconds


def hydra_compose(jobs: int) -> float:
    """Seconds that Hydra takes to compose one job, the mean over ``jobs`` of them."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        start = time.perf_counter()
        for seed in range(jobs):
            hydra.compose("config", ["quantizer=fsq", "gradient=mste", "quantizer.commitment=1", f"seed={seed}"])
        return (time.perf_counter() - start) / jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hydra-jobs", type=int, default=40, help="jobs that Hydra composes (40)")
    arguments = parser.parse_args()

    start = time.perf_counter()
    command = [sys.executable, "-m", "quantbench", "run", "-m", "dry_run=true", *AXES]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    whole = time.perf_counter() - start
    print(ended.stdout.partition("\n")[0])

    trials, stacks, seconds = parts(AXES)
    each = hydra_compose(arguments.hydra_jobs)
    alone = 2 * each * trials
    for name, value in seconds.items():
        print(f"{value:8.2f} s  {name}")
    seeds, _, once = parts(["seed=range(0,10000)"])
    print(f"{sum(once.values()):8.2f} s  all of these for {seeds:,} trials of one axis, seed=range(0,10000)")
    print(f"{whole:8.2f} s  the whole command, imports and printing {trials:,} trials in {stacks} stacks included")
    print(f"{alone:8.0f} s  Hydra's basic sweeper and launcher, composing alone: {1000 * each:.0f} ms a job, twice")
    print(f"{alone / whole:8.0f} x faster")


if __name__ == "__main__":
    main()
