"""One part of what gpu.sh measures, in a process of its own.

    python scripts/benchmarks/gpu_parts.py PART FILE [--device cuda] [--tiny] [...]

FILE, JSON, is written anew with every figure, so that a part which is ended early leaves what it has.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()

import torch  # noqa: E402
from phases import Phases  # noqa: E402
from throughput import WORKLOADS, plain_rate, stack, train_alone, vqp  # noqa: E402

from quantbench import __version__  # noqa: E402
from quantbench.cli import main as quantbench  # noqa: E402
from quantbench.devices import find_device  # noqa: E402
from quantbench.results.tables import read_results  # noqa: E402
from quantbench.sweeps.environment import environment  # noqa: E402
from quantbench.sweeps.worker import describe, forget_peak, free_memory, peak_memory  # noqa: E402
from quantbench.training import Keep, Stack, train  # noqa: E402
from quantbench.training.evaluate import evaluate  # noqa: E402
from quantbench.training.fused import misfit, missing  # noqa: E402
from quantbench.training.run import begin  # noqa: E402

SIZES, EAGER_SIZES, FUSED_SIZES = (64, 1024, 1, 4096), (64, 1024, 1), (1024, 64)
"""Trials in a stack, in the order of what they tell: steps as graphs, steps as they are, the fused step."""
SEEDS, STEPS = 8, 200
"""Of the comparison with the CPU."""


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """The machine and the versions."""
    device = find_device(options.device)
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "gpus": [{"name": one.name, "memory_gib": round(one.total_memory / 2**30, 1)} for one in gpus],
        "cores": len(os.sched_getaffinity(0)),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "quantbench": __version__,
        "environment": environment(device),
    }


def agreement(options: argparse.Namespace) -> dict[str, Any]:
    """The same trainings on the CPU and on the device, from the same random numbers: distortion at the last step, by seed.

    Differences are relative: of the means over seeds, and the largest of a single seed.
    """
    found: dict[str, Any] = {}
    seeds, steps = (2, 10) if options.tiny else (SEEDS, STEPS)
    keep = Keep(references=False, yardsticks=False)
    for workload in WORKLOADS:
        settings = {"steps": steps, "log_every": steps}
        here, there = (_shorter(stack(workload, seeds, device), settings) for device in ("cpu", options.device))
        cpu, other = ([float(one.metrics["mse"] or math.nan) for one in train(whole, keep=keep)] for whole in (here, there))
        difference = statistics.mean(other) / statistics.mean(cpu) - 1
        found[workload] = {
            "steps": steps,
            "mse": {"cpu": cpu, "device": other},
            "difference_of_means": difference,
            "largest_difference": max(abs(b / a - 1) for a, b in zip(cpu, other, strict=True)),
            "within_2_percent": abs(difference) <= 0.02,
            **_same_weights(here, there),
        }
        write(options.file, found)
    return found


def _shorter(whole: Stack, settings: dict[str, int]) -> Stack:
    return dataclasses.replace(whole, train=dataclasses.replace(whole.train, **settings))


def _same_weights(here: Stack, there: Stack) -> dict[str, float]:
    """Largest difference of the frames, which should be 0; of what the CPU trained, the largest relative ones of metrics."""
    trained, other = begin(here), begin(there)
    frames = float((trained.held_out.input - other.held_out.input.cpu()).abs().max())
    trained.advance()
    other.model.load_state_dict(trained.model.state_dict())
    cpu, gpu = (evaluate(one.model, one.held_out, one.streams) for one in (trained, other))
    return {"difference_of_frames": frames} | {
        f"{name}_of_same_weights": float(
            ((gpu[name].cpu() - cpu[name].cpu()).abs() / cpu[name].cpu().abs().clamp_min(1e-12)).max()
        )
        for name in ("mse", "usage")
        if name in cpu
    }


def throughput(options: argparse.Namespace) -> dict[str, Any]:
    """Trial-steps per second of one workload by size of the stack, with the memory taken, and of what a user would write."""
    found: dict[str, Any] = {"workload": options.workload, "graph": options.graph, "stacks": []}
    _rates(options, found, SIZES if options.graph == "auto" else EAGER_SIZES)
    if options.graph == "off":
        return found
    seconds = _seconds(options)
    found["plain"] = round(plain_rate(options.workload, options.device, seconds), 1)
    write(options.file, found)
    peer = vqp(options.workload)
    found["vqp"] = None if peer is None else round(plain_rate(options.workload, options.device, seconds, bottleneck=peer), 1)
    return found


def fused(options: argparse.Namespace) -> dict[str, Any]:
    """Trial-steps per second of one workload by the fused kernel, with each kind of products; or why there are none."""
    found: dict[str, Any] = {"workload": options.workload, "stacks": []}
    device = find_device(options.device)
    if reason := missing(device) or misfit(stack(options.workload, 1, options.device)):
        return found | {"reason": reason}
    for products in options.products.split(","):
        _rates(options, found, FUSED_SIZES, products)
    return found


def compiling(options: argparse.Namespace) -> dict[str, Any]:
    """Have the fused kernel compiled, and kept where Triton keeps it: with others at work, nothing is measured."""
    train_alone(options.workload, 1, options.device, 0.01, options.products)
    return {}


def _rates(options: argparse.Namespace, found: dict[str, Any], sizes: tuple[int, ...], products: str = "") -> None:
    """A row for each size of a stack."""
    device = find_device(options.device)
    for size in (2, 4) if options.tiny else sizes:
        row: dict[str, Any] = {"trials": size} | ({"products": products} if products else {})
        began = time.perf_counter()
        forget_peak(device)
        try:
            rate = train_alone(options.workload, size, options.device, _seconds(options), products, options.graph)()
            row["trial_steps_per_second"] = round(rate, 1)
        except Exception as error:  # of memory, most likely; or of a compiler
            row["error"] = describe(error)
        row |= {"peak_memory_mb": round(peak_memory(device) or 0), "seconds": round(time.perf_counter() - began, 1)}
        free_memory()
        found["stacks"].append(row)
        write(options.file, found)


def _seconds(options: argparse.Namespace) -> float:
    """Of each measurement, about."""
    return 0.05 if options.tiny else 0.5


def sweep(options: argparse.Namespace) -> dict[str, Any]:
    """A sweep as the command line runs it, from imports to tables; ended early, what it had finished by then.

    Where several workers train, phases are of the process that drives them, and what they took is beside.
    """
    phases = Phases()
    phases.watch()
    runs, trials = options.file.parent / "runs", options.trials
    words = ["simulator=codeword", "simulator.frame_dim=16", "simulator.bits=8", *WORKLOADS["vq"], f"seed=range(0,{trials})"]
    code = quantbench(["run", "-m", *words, f"train.steps={options.steps}", f"device={options.device}", f"output={runs}"])
    seconds = time.perf_counter() - BEGAN
    found: dict[str, Any] = {
        "trials": trials,
        "steps": options.steps,
        "exit_code": code,
        "wall_seconds": round(seconds, 2),
        "phases": {name: round(taken, 2) for name, taken in phases.of(seconds).items()},
    }
    write(options.file, found)
    (folder,) = {path.parent for path in runs.rglob("results.csv")}
    table = read_results(folder)
    trained = table[table["status"].isin(["completed", "diverged"])]
    found["status"] = {str(name): int(count) for name, count in table["status"].value_counts().items()}
    if trained.empty:
        return found
    return found | {
        "trial_steps_per_second": round(float(trained["steps"].sum()) / seconds),
        "seconds_of_workers": {
            "stacks": round(float(trained["seconds"].sum()), 2),
            "steps": round(float((trained["step_seconds"] * trained["steps"]).sum()), 2),
        },
        "stack_sizes": {str(int(size)): int(count) for size, count in trained["stack_size"].value_counts().items()},
        "devices": {str(name): int(count) for name, count in trained["device"].value_counts().items()},
        "peak_memory_mb": float(trained["peak_memory_mb"].max()),
        "nmse_db": float(trained["nmse_db"].mean()),
        "environment": json.loads((folder / "environment.json").read_text()),
    }


PARTS = {one.__name__: one for one in (machine, agreement, throughput, fused, compiling, sweep)}


def write(file: Path, found: dict[str, Any]) -> None:
    """Write figures in one step."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(found))
    new.replace(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes to try the script itself with")
    parser.add_argument("--workload", default="vq", choices=WORKLOADS)
    parser.add_argument("--graph", default="auto", choices=("auto", "off"))
    parser.add_argument("--products", default="tf32x3,ieee", help="of the fused kernel")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    write(options.file, PARTS[options.part](options))


if __name__ == "__main__":
    main()
