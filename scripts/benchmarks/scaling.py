"""What a sweep costs beside its training, from 10,000 trials to 100,000, and what that says of 1,000,000.

    python scripts/benchmarks/scaling.py [--sizes 10000 100000]

Each size runs in a process of its own: planning, the journal written and read again, the tables written and read again, with
seconds, bytes and the peak of memory. Records are made up, with as many columns and curve points as a default trial has;
everything else is what a sweep runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STACK = 64
"""Trials a stack."""

AXES = ["quantizer=vq,simvq", "gradient=ste,mste", "quantizer.commitment=0,0.1,0.25,1", "train.lr=0.001,0.003"]
"""2 x 2 x 4 x 2 = 32 trials a seed."""

POINTS, CURVES = 21, ("mse", "usage", "encoder_std", "gradient_norm", "perplexity", "quantization_error")
"""Of a trial of 4000 steps, logged every 200."""


def measure(trials: int, folder: Path) -> dict[str, float]:
    """Seconds, bytes and MiB of everything but training, for a sweep of about so many trials."""
    import numpy as np

    from quantbench.metrics import METRICS
    from quantbench.points import Points
    from quantbench.results.frame import frame
    from quantbench.results.load import load
    from quantbench.results.rank import rank
    from quantbench.sweeps import tables
    from quantbench.sweeps.compose import compose
    from quantbench.sweeps.journal import Journal
    from quantbench.sweeps.plan import plan
    from quantbench.sweeps.trial import Record, Trial

    found: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        found[f"{name}, s"] = time.perf_counter() - began
        found[f"peak memory after {name}, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    with timed("planning"):
        planned = plan(compose([*AXES, f"seed=range(0,{trials // 32})"]))
    drawn = np.random.default_rng(0)
    journal = Journal(folder)
    names = [name for name in METRICS if name != "diverged_step"]

    def records(stack: list[Trial]) -> list[Record]:
        made = []
        for trial in stack:
            row = {"status": "completed", "error": ""} | dict(zip(names, map(float, drawn.random(len(names))), strict=True))
            row |= dict.fromkeys(("dead_codes", "steps", "clips", "clips_skipped"), 7) | {
                "seconds": 1.0,
                "device": "cpu",
                "rate_bits": 8.0,
            }
            values = drawn.random((POINTS, len(CURVES))).tolist()
            points = [(200 * i, name, value) for i, line in enumerate(values) for name, value in zip(CURVES, line, strict=True)]
            made.append(Record(trial.id, row, Points(points)))
        return made

    found["trials"] = len(planned.trials)
    with timed("journal written"):
        for first in range(0, len(planned.trials), STACK):
            journal.write(records(planned.trials[first : first + STACK]))
    found["journal, bytes"] = sum(path.stat().st_size for path in journal.folder.glob("*.json"))
    with timed("journal read"):
        kept = journal.read()
    with timed("tables written"):
        tables.write_tables(planned, folder, kept)
    for name in ("results.csv", "curves.csv"):
        found[f"{name}, bytes"] = (folder / name).stat().st_size
    del kept, planned
    with timed("results.csv read"):
        runs = load(folder, curves=False)
    with timed("ranked"):
        rank(frame(runs, "nmse_db", goal=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of trials (10000 100000)")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments.one, Path(folder))))
        return
    columns = []
    for size in arguments.sizes:
        ran = subprocess.run([sys.executable, __file__, "--one", str(size)], stdout=subprocess.PIPE, text=True, check=True)
        columns.append(json.loads(ran.stdout.splitlines()[-1]))
    if len(columns) < 2:
        sys.exit("--sizes: two at least, for what a trial costs is the difference between them")
    (first, last) = columns[-2:]
    print(f"{'':44}" + "".join(f"{int(column['trials']):>14,}" for column in columns) + f"{'a trial':>12}{'1,000,000 *':>16}")
    for name in last:
        if name != "trials":
            each = (last[name] - first[name]) / (last["trials"] - first["trials"])
            million = last[name] + each * (1_000_000 - last["trials"])
            line = "".join(f"{column[name]:14,.1f}" for column in columns)
            print(f"{name:44}{line}{each:12.2g}{million:16,.0f}")
    print("* extrapolated along the line through the last two columns")


if __name__ == "__main__":
    main()
