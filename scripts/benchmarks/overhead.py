"""What a sweep spends on anything but training: planning, evaluation, limits, journal and tables.

    python scripts/benchmarks/overhead.py [--trials 512] [--steps 4000]

The workload `vq` of throughput.py, run by `quantbench run` in this process on one core, from imports to tables. With two
workers the share is the same but for what the driver does alone (imports, planning, tables), which then weighs twice.
Limits that are in the user's cache are not found again: QUANTBENCH_YARDSTICKS=off measures them.
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import argparse  # noqa: E402
import tempfile  # noqa: E402

from phases import Phases  # noqa: E402

from quantbench.cli import main as quantbench  # noqa: E402

WORDS = ["quantizer=vq", "quantizer.codes=256", "quantizer.commitment=1", "gradient=ste", "executor=inline"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args()
    phases = Phases()
    phases.watch()
    with tempfile.TemporaryDirectory() as folder:
        words = [*WORDS, f"seed=range(0,{options.trials})", f"train.steps={options.steps}", f"output={folder}"]
        code = quantbench(["run", "-m", *words])
    total = time.perf_counter() - BEGAN
    for name, value in (phases.of(total) | {"all": total}).items():
        print(f"{name:<44}{value:>8.1f} s{value / total:>8.1%}")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
