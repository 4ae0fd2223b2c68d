"""Time and memory of `quantbench.nn.Bottleneck` beside the same method of vector-quantize-pytorch.

Forward and backward of (32, 1024, 64) with 1024 codes, in one process, one after the other; the ratio is of medians. Peak
memory is that of a process of its own for each, beyond what it has after its first, small batch.

    python scripts/benchmarks/nn_module.py [--repeats 5] [--batch 32] [--json FILE]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from quantbench.nn import Bottleneck

DIM, CODES, LENGTH = 64, 1024, 1024
CASES = {
    "ema": {"rotation_trick": False},
    "rotation": {"rotation_trick": True},
    "gradient": {"rotation_trick": False, "ema_update": False, "learnable_codebook": True},
}


def pair(case: str) -> dict[str, nn.Module]:
    """The two modules, of the same method and weights."""
    torch.manual_seed(0)
    theirs = VectorQuantize(DIM, CODES, **CASES[case])
    return {"quantbench": Bottleneck.like(theirs), "vector_quantize_pytorch": theirs}


def step(module: nn.Module, x: Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    x = x.clone().requires_grad_()
    began = time.perf_counter()
    quantized, _, loss = module(x)
    (quantized.square().mean() + loss.sum()).backward()
    return time.perf_counter() - began


def memory(case: str, which: str, batch: int) -> float:
    """MiB that this process needs for a step beyond what it has after a small one."""
    module = pair(case)[which]
    step(module, torch.randn(1, 16, DIM))
    x = torch.randn(batch, LENGTH, DIM)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, at what there is
    before = peak()
    step(module, x)
    return peak() - before


def peak() -> float:
    """Peak memory of this process in MiB (Linux); what ``getrusage`` says would be the parent's, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(case: str, batch: int, repeats: int) -> dict[str, float]:
    modules, x = pair(case), torch.randn(batch, LENGTH, DIM)
    times: dict[str, list[float]] = {name: [] for name in modules}
    for repeat in range(repeats + 1):
        for name, module in modules.items():
            taken = step(module, x)
            if repeat:  # the first warms up
                times[name].append(taken)
    found = {f"{name}_seconds": statistics.median(each) for name, each in times.items()}
    found["ratio"] = found["quantbench_seconds"] / found["vector_quantize_pytorch_seconds"]
    for name in modules:
        command = [sys.executable, __file__, "--memory", case, name, "--batch", str(batch)]
        found[f"{name}_mib"] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", help="a file for the figures")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(memory(*arguments.memory, arguments.batch))
        return
    found = {}
    for case in arguments.cases:
        found[case] = measure(case, arguments.batch, arguments.repeats)
        print(case, " ".join(f"{name}={value:.3f}" for name, value in found[case].items()), flush=True)
    if arguments.json:
        about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "batch": arguments.batch}
        with open(arguments.json, "w") as file:
            json.dump(about | {"cases": found}, file, indent=1)


if __name__ == "__main__":
    main()
