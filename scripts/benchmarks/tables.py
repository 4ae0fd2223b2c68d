"""What the commands on tables cost: seconds and peak memory at 1,000, 10,000 and 100,000 rows, and from size to size.

    python scripts/benchmarks/tables.py

Two made-up tables of each size are compared: many groups of five seeds, and few groups of many seeds. One of each is ranked,
and one of a thousand methods, which have 499,500 pairs: with seeds too few to tell any two apart, and with enough.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from quantbench.results.tables import results_table, write

METRICS = (
    "mse",
    "nmse_db",
    "rate_bits",
    "entropy_bits",
    "perplexity",
    "usage",
    "encoder_growth",
    "gap_db",
    "limit_mse",
    "seconds",
)
GRADIENTS = ("ste", "mste", "noise", "nsvq")
SIZES = (1_000, 10_000, 100_000)
SHAPES = {"groups of 5 seeds": 5, "groups of 500": 500}


def made_up(rows: int, seeds: int, shift: float, path: Path) -> None:
    """A table as a sweep over strategies and learning rates would write it."""
    drawn = np.random.default_rng(int(shift * 10)).normal(shift, 1, (rows, len(METRICS)))
    fixed = {"experiment": "made_up", "status": "completed", "simulator": "codeword", "codec": "mlp", "quantizer": "vq"}
    records = []
    for i in range(rows):
        group, seed = divmod(i, seeds)
        own = {"trial": f"{group:012x}-{seed}", "seed": seed, "gradient": GRADIENTS[group % 4], "train.lr": 1e-5 * (group + 1)}
        records.append(fixed | own | dict(zip(METRICS, drawn[i], strict=True)) | {"rate_bits": 8.0})
    write(results_table(records, ["train.lr"]), path)


def many_methods(methods: int, seeds: int, path: Path) -> None:
    """A table of methods of which neighbours hardly differ, one of them a setting of the strategy."""
    generator = np.random.default_rng(0)
    fixed = {"experiment": "made_up", "status": "completed", "simulator": "codeword", "codec": "mlp", "quantizer": "vq"}
    values = generator.normal(size=(methods, seeds)) + 0.01 * np.arange(methods)[:, None]
    values = np.round(values, 2)  # there are ties
    records = [
        fixed
        | {"trial": f"{method:012x}-{seed}", "seed": seed, "gradient": "ste", "gradient.factor": method, "rate_bits": 8.0}
        | {"nmse_db": float(values[method, seed])}
        for method in range(methods)
        for seed in range(seeds)
    ]
    write(results_table(records, ["gradient.factor"]), path)


def command(*words: str) -> tuple[float, float]:
    """Seconds and peak mebibytes of a command."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    began = time.perf_counter()
    run = [sys.executable, "-c", code, sys.executable, "-m", "quantbench", *words]
    peak = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    return time.perf_counter() - began, peak


def report(name: str, found: tuple[float, float], note: str = "") -> None:
    print(f"{name:<42}{found[0]:>8.2f} s{found[1]:>8.0f} MiB  {note}", flush=True)


def main() -> None:
    for words in (["--help"], ["list"]):
        command(*words)  # the first `list` after a change of code makes the table that later ones read
        report(" ".join(words), command(*words))
    for shape, seeds in SHAPES.items():
        last = None
        for rows in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                paths = [Path(folder) / name for name in ("a.csv", "b.csv")]
                for path, shift in zip(paths, (0.0, 0.1), strict=True):
                    made_up(rows, seeds, shift, path)
                found = command("diff", *map(str, paths))
                ranked = command("rank", str(paths[0]))
            growth = f"{found[0] / last:.1f} times the time of a tenth of the rows" if last else ""
            report(f"diff, {rows} rows, {shape}", found, growth)
            report(f"rank, {rows} rows, {shape}", ranked)
            last = found[0]
    for seeds in (5, 30):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "many.csv"
            many_methods(1000, seeds, path)
            report(f"rank, 1,000 methods, {seeds} seeds", command("rank", str(path)))


if __name__ == "__main__":
    main()
