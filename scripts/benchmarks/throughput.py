"""Trial-steps per second on the whole machine: this project beside what a user would write, and beside the arithmetic floor.

    python scripts/benchmarks/throughput.py [--device cuda] [--json FILE] [--repeats N] [--workloads vq,fsq] [--small]
    python scripts/benchmarks/throughput.py --whole     # real sweeps of 1, 8, 64 and 512 trials too: minutes

The workload: codeword source of 8 bits, 16 features, hidden 64, latent 8, batch 256, Adam. `plain` is plain.py beside this
file; `compiled` is the same under torch.compile; `vqp` has a module of vector-quantize-pytorch as its bottleneck; `processes`
is one single-threaded process a core, each running `plain`. `quantbench N` is the training of N trials alone, spread over
the workers as a sweep spreads them; `run N` is all of `quantbench run`, from planning to the tables. `fused ieee N` and `fused
tf32x3 N` are the training of N trials by the fused kernel on a GPU, where it covers the workload.

Each figure is the median of interleaved repetitions, warm. The floor is what the products of a step would take at the rate of
a large matrix product, measured in the same run. Nothing is judged.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import plain
import torch
from plain import BATCH, FEATURES, HIDDEN, LATENT
from torch import Tensor, nn

from quantbench import kernels
from quantbench.sweeps.catalogue import default_component
from quantbench.sweeps.executors.processes import cores
from quantbench.sweeps.worker import keep_memory
from quantbench.training import Stack, TrainSettings
from quantbench.training.fused import Fused, misfit, missing
from quantbench.training.trainer import BATCHES_AHEAD, Training

WORKLOADS: dict[str, list[str]] = {
    "vq": ["quantizer=vq", "quantizer.codes=256", "quantizer.commitment=1", "gradient=ste"],
    "fsq": ["quantizer=fsq", "quantizer.levels=3", "gradient=ste"],
    "rvq": ["quantizer=rvq", "quantizer.stage.codes=64", "quantizer.stages=4", "quantizer.stage.commitment=1", "gradient=ste"],
    "soft_to_hard": ["quantizer=vq", "quantizer.codes=256", "quantizer.commitment=0", "gradient=soft_to_hard"],
}
LARGEST_STACK = {"cpu": 64, "cuda": 1024}
EAGER = "THROUGHPUT_EAGER"
"""Environment variable, for workers too: steps of a GPU as they are."""
WARM = 20
SECONDS, SHORT = 2.0, 0.5
"""Of each measurement, about."""


class VQP(nn.Module):
    """A module of vector-quantize-pytorch in the place of the bottleneck."""

    def __init__(self, module: nn.Module, loss: bool) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, y: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        found = self.module(y.unsqueeze(0))
        return found[0].squeeze(0), found[2].sum() if self.loss else torch.zeros((), device=y.device)


def vqp(workload: str) -> nn.Module | None:
    """The same quantizer in that package, as its documentation sets it up; None where it has none, or is not installed."""
    try:
        import vector_quantize_pytorch as package
    except ImportError:
        return None
    if workload == "vq":
        return VQP(package.VectorQuantize(dim=LATENT, codebook_size=256, rotation_trick=False, commitment_weight=1.0), True)
    if workload == "rvq":
        quantizer = package.ResidualVQ(dim=LATENT, codebook_size=64, num_quantizers=4, rotation_trick=False)
        return VQP(quantizer, True)
    return VQP(package.FSQ(levels=[3] * LATENT), False) if workload == "fsq" else None


def flops(workload: str) -> float:
    """Floating-point operations of the products of a step: forward, by the weights, and by what is no input of the codec."""
    network = FEATURES * HIDDEN + HIDDEN * HIDDEN + HIDDEN * LATENT
    products = 2 * 3 * network - FEATURES * HIDDEN
    codes = {"vq": 256, "rvq": 4 * 64, "soft_to_hard": 256 * 6, "fsq": 0}[workload]  # soft: 2 forward, 4 backward
    return 2.0 * BATCH * (products + codes * LATENT)


def matrix_rate(device: str) -> float:
    """Operations per second of a large matrix product."""
    size = 1024 if device == "cpu" else 8192
    a, b = torch.randn(2, size, size, device=device)
    for _ in range(3):
        a @ b
    plain.synchronize(device)
    began, repeats = time.perf_counter(), 20
    for _ in range(repeats):
        a @ b
    plain.synchronize(device)
    return 2 * size**3 * repeats / (time.perf_counter() - began)


def stack(workload: str, trials: int, device: str, graph: str = "", fused: str = "off") -> Stack:
    """So many trials of a workload; ``graph`` and ``fused`` as in ``TrainSettings``."""
    settings: dict[str, dict[str, Any]] = defaultdict(dict)
    chosen = {"simulator": "codeword", "codec": "mlp"}
    for word in WORKLOADS[workload]:
        key, value = word.split("=")
        group, dot, name = key.partition(".")
        if dot:
            settings[group][name] = int(value)
        else:
            chosen[group] = value
    parts = {group: default_component(group, choice, None, settings[group]) for group, choice in chosen.items()}
    by: dict[str, Any] = {"graph": graph or ("off" if os.environ.get(EAGER) else "auto"), "fused": fused}
    train = TrainSettings(steps=10**6, log_every=10**6, **by)
    return Stack.of(**parts, train=train, seeds=range(trials), device=device)


def train_alone(
    workload: str, trials: int, device: str, seconds: float = 0.5, products: str = "", graph: str = ""
) -> Callable[[], float]:
    """A function that trains on for a while and gives trial-steps per second; by the fused kernel with some ``products``."""
    training = Training(one := stack(workload, trials, device, graph, "auto" if products else "off"))
    if products:
        training.fused = Fused(one, training.model, training.adam, training.divergence.largest, BATCHES_AHEAD, products)
    training.start()

    def go(steps: int) -> float:
        began = time.perf_counter()
        training.advance(steps)
        plain.synchronize(device)
        return (time.perf_counter() - began) / steps

    go(WARM)

    def measure() -> float:
        steps = max(8, int(seconds / go(8)))
        return trials / go(steps)

    return measure


def serve(connection: Connection, kind: str, workload: str, trials: int, seconds: float) -> None:
    """In a worker: make ready, then measure whenever told to."""
    torch.set_num_threads(1)
    keep_memory()
    quantbench = kind == "quantbench"
    measure = train_alone(workload, trials, "cpu", seconds) if quantbench else lambda: plain_rate(workload, "cpu", seconds)
    connection.send(0.0)
    while connection.recv():
        connection.send(measure())


@contextmanager
def workers(kind: str, workload: str, trials: list[int], seconds: float) -> Iterator[Callable[[], float]]:
    """Single-threaded processes that work at the same time; gives a function for the sum of their rates."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for number in trials:
        near, far = context.Pipe()
        process = context.Process(target=serve, args=(far, kind, workload, number, seconds), daemon=True)
        process.start()
        pipes.append(near)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()

    def measure() -> float:
        for pipe in pipes:
            pipe.send(True)
        return sum(pipe.recv() for pipe in pipes)

    try:
        yield measure
    finally:
        for pipe in pipes:
            pipe.send(False)
        for process in processes:
            process.join()


def plain_rate(
    workload: str, device: str, seconds: float, compiled: bool = False, bottleneck: nn.Module | None = None
) -> float:
    """Steps per second of one codec."""
    steps = int(400 * seconds)
    return steps / plain.train(bottleneck or plain.BOTTLENECKS[workload](), steps, device, compiled)


def alone(workload: str, trials: int, device: str, seconds: float) -> float:
    """Rate of the training of so many trials alone, spread as a sweep spreads them."""
    if device != "cpu":
        return train_alone(workload, min(trials, LARGEST_STACK["cuda"]), device, seconds)()
    count = min(cores(), trials)
    shares = [min(LARGEST_STACK["cpu"], (trials + i) // count) for i in range(count)]
    with workers("quantbench", workload, shares, seconds) as measure:
        return measure()


def whole(workload: str, trials: int, steps: int, device: str) -> float:
    """Trial-steps per second of a real sweep."""
    folder = tempfile.mkdtemp()
    words = ["run", "-m", *WORKLOADS[workload], f"seed=range(0,{trials})", f"train.steps={steps}"]
    began = time.perf_counter()
    command = [sys.executable, "-m", "quantbench", *words, f"output={folder}", f"device={device}"]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return trials * steps / seconds


def measure_workload(workload: str, options: argparse.Namespace) -> dict[str, float]:
    """Medians by name."""
    device, rates = options.device, defaultdict[str, list[float]](list)
    seconds = SHORT if options.small else SECONDS
    sizes = [1, 8, 64, 512] if device == "cpu" else [1, 64, 1024]
    for _ in range(options.repeats):  # interleaved: the machine's speed wanders
        rates["flop/s"].append(matrix_rate(device))
        rates["plain"].append(plain_rate(workload, device, seconds))
        if not options.small:
            rates["compiled"].append(plain_rate(workload, device, seconds, compiled=True))
        if (peer := vqp(workload)) is not None:
            rates["vqp"].append(plain_rate(workload, device, seconds, bottleneck=peer))
        if device == "cpu":
            with workers("plain", workload, [1] * cores(), seconds) as measure:
                rates["processes"].append(measure())
        for trials in sizes[2:3] if options.small else sizes:
            rates[f"quantbench {trials}"].append(alone(workload, trials, device, seconds))
        if device == "cuda" and not (missing(torch.device(device)) or misfit(stack(workload, 1, device))):
            for trials, products in ((sizes[2], "ieee"), (sizes[2], "tf32x3")):
                rates[f"fused {products} {trials}"].append(train_alone(workload, trials, device, seconds, products)())
        torch.compiler.reset()
    if options.whole:
        for trials in sizes:
            rates[f"run {trials}"].append(whole(workload, trials, options.steps, device))
    return {name: statistics.median(values) for name, values in rates.items()}


def table(found: dict[str, float], workload: str) -> str:
    """Rates, their ratio to plain, and their share of the floor."""
    floor = found["flop/s"] / flops(workload)
    lines = [f"{workload}: {flops(workload) / 1e6:.1f} Mflop a step, floor {floor:.0f} trial-steps/s"]
    for name, rate in found.items():
        if name != "flop/s":
            lines.append(f"  {name:<18}{rate:>9.0f} /s{rate / found['plain']:>8.2f} x plain{rate / floor:>8.3f} of the floor")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", help="write all figures there")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--eager", action="store_true", help="steps of a GPU as they are, and not as graphs")
    parser.add_argument("--small", action="store_true", help="half a minute: one repetition, fewer rows")
    parser.add_argument("--whole", action="store_true", help="whole sweeps too")
    parser.add_argument("--steps", type=int, default=1000, help="of a whole sweep")
    options = parser.parse_args()
    if options.small:
        options.repeats = 1
    if options.eager:
        os.environ[EAGER] = "1"
    keep_memory()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, ", end="")
    print("kernels: " + ((kernels.ready() or "compiled") if options.device == "cpu" else "PyTorch's for CUDA"))
    results = {}
    for workload in options.workloads.split(","):
        results[workload] = measure_workload(workload, options)
        print(table(results[workload], workload), flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"device": options.device, "torch": torch.__version__, "trial_steps_per_second": results}, file, indent=2)


if __name__ == "__main__":
    main()
