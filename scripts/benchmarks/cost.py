"""Ratios of what one training costs: the toy codec, tiny real ones, and the Descript Audio Codec as published.

    quantbench run +experiment=cost executor.workers=1
    python scripts/benchmarks/cost.py outputs/cost/<time>-<id>

Seconds a step are measured; the number of steps is that of the transfer experiments, and for the published codec that of its
paper (Kumar et al. 2023, arXiv 2306.06546: 400 000 steps of 72 segments), without its discriminators. Where the run was on a
GPU, seconds are the GPU's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from quantbench.results.render import number, render
from quantbench.results.tables import read_results


class Budget(NamedTuple):
    """Steps of a training, and how many measured steps one of them is."""

    steps: int
    scale: float
    source: str


BUDGETS = {
    "mlp": Budget(1800, 1, "transfer_toy, warm start included"),
    "seanet": Budget(1800, 1, "transfer_audio, warm start included"),
    "dac_tiny": Budget(1800, 1, "transfer_audio, warm start included"),
    "dac_16khz": Budget(400_000, 72, "published: 72 segments a step"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder of a run of experiment=cost, or its results.csv")
    parser.add_argument("--format", default="table", choices=["table", "csv", "markdown"])
    arguments = parser.parse_args()
    table = read_results(arguments.results)
    table = table[table["status"] == "completed"]
    seconds = table.groupby("codec")["step_seconds"].agg(["median", "min", "max"])
    memory = table.groupby("codec")["peak_memory_mb"].median()
    whole = {
        codec: seconds["median"][codec] * budget.steps * budget.scale
        for codec, budget in BUDGETS.items()
        if codec in seconds.index
    }
    rows = [
        [
            codec,
            f"{1e3 * seconds['median'][codec]:.3g} [{1e3 * seconds['min'][codec]:.3g}, {1e3 * seconds['max'][codec]:.3g}]",
            number(memory[codec], 3),
            f"{BUDGETS[codec].steps} ({BUDGETS[codec].source})",
            number(total, 3),
            *(f"{total / whole[other]:.3g}" if other in whole else "" for other in ("mlp", "dac_tiny")),
        ]
        for codec, total in whole.items()
    ]
    header = ["codec", "ms a step [least, most]", "peak MiB", "steps of a training", "seconds", "x toy", "x dac_tiny"]
    print(render(header, rows, arguments.format))
    print(f"\n{'/'.join(sorted(set(table['device'])))}; {table['seed'].nunique()} seeds, medians")


if __name__ == "__main__":
    main()
