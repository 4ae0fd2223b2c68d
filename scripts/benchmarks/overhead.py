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
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from quantbench.cli import main as quantbench  # noqa: E402
from quantbench.sweeps import journal, yardsticks  # noqa: E402
from quantbench.training import run, trainer  # noqa: E402

WORDS = ["quantizer=vq", "quantizer.codes=256", "quantizer.commitment=1", "gradient=ste", "executor=inline"]
seconds: dict[str, float] = defaultdict(float)


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its time added to ``seconds``."""

    def run(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[name] += time.perf_counter() - began

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args()
    trainer.Training.advance = timed("advance", trainer.Training.advance)  # type: ignore[method-assign]
    trainer.Training._log = timed("curves", trainer.Training._log)  # type: ignore[method-assign]
    run.measure = timed("finish", run.measure)
    yardsticks.find = timed("limits", yardsticks.find)
    journal.Journal.write = timed("journal", journal.Journal.write)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        words = [*WORDS, f"seed=range(0,{options.trials})", f"train.steps={options.steps}", f"output={folder}"]
        code = quantbench(["run", "-m", *words])
    total = time.perf_counter() - BEGAN
    training = seconds["advance"] - seconds["curves"]  # but for the point before the first step, a hundredth of a second
    parts = {
        "training": training,
        "curves": seconds["curves"],
        "final evaluation": seconds["finish"],
        "limits and references": seconds["limits"],
        "journal": seconds["journal"],
    }
    parts["imports, planning, start of stacks, tables"] = total - sum(parts.values())
    for name, value in (parts | {"all": total}).items():
        print(f"{name:<44}{value:>8.1f} s{value / total:>8.1%}")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
