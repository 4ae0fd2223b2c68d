"""What each kernel brings, and the size of stacks: microseconds a trial-step of the workloads of throughput.py, on one core.

    python scripts/benchmarks/ablation.py [--workloads vq,soft_to_hard] [--repeats 5]

Every row leaves one kernel to PyTorch's own operations, the last one all of them. Medians of interleaved repetitions.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from throughput import train_alone

from quantbench import kernels
from quantbench.codecs import MLP
from quantbench.losses import base as losses
from quantbench.quantizers import base, vector
from quantbench.quantizers.vector import CodebookQuantizer
from quantbench.simulators import codeword
from quantbench.sweeps.worker import keep_memory
from quantbench.training.optimizer import Adam

KERNELS: dict[str, list[tuple[Any, str]]] = {
    "network": [(MLP, "_network")],
    "search": [(vector, "nearest")],
    "soft code": [(CodebookQuantizer, "soft_code")],
    "take": [(vector, "take"), (codeword, "take")],
    "errors": [(losses, "trial_error"), (base, "trial_error"), (vector, "trial_error")],
    "Adam": [(Adam, "step")],
}
"""Where each kernel is asked for."""
SIZES = (16, 32, 64, 128)


def by_pytorch(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without kernels."""

    def run(*arguments: Any, **named: Any) -> Any:
        with kernels.without():
            return function(*arguments, **named)

    return run


@contextlib.contextmanager
def lacking(names: list[str]) -> Iterator[None]:
    """Leave these kernels to PyTorch within this context."""
    with contextlib.ExitStack() as stack:
        for owner, attribute in (place for name in names for place in KERNELS[name]):
            stack.enter_context(mock.patch.object(owner, attribute, by_pytorch(getattr(owner, attribute))))
        yield


def measure(workload: str, repeats: int) -> None:
    rows = {"all kernels": [], **{f"without {name}": [name] for name in KERNELS}, "without any": list(KERNELS)}
    ready = {trials: train_alone(workload, trials, "cpu") for trials in SIZES}
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeats):
        for row, names in rows.items():
            for trials in SIZES if row == "all kernels" else (16, 64):
                with lacking(names):
                    found.setdefault((row, trials), []).append(1e6 / ready[trials]())
    print(f"{workload:<20}" + "".join(f"{trials:>8}" for trials in SIZES))
    for row in rows:
        cells = [f"{statistics.median(found[row, n]):>8.0f}" if (row, n) in found else " " * 8 for n in SIZES]
        print(f"{row:<20}" + "".join(cells).rstrip(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="vq,soft_to_hard")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    for workload in options.workloads.split(","):
        measure(workload, options.repeats)


if __name__ == "__main__":
    main()
